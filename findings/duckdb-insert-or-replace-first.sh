#!/usr/bin/env bash
# DuckDB: INSERT OR REPLACE keeps the FIRST of two rows with one key, if they come in one statement.
# duckdb 1.5.6 and 2.0.1; compared with SQLite.
# In two statements the last one wins, as everywhere. A batch of changes ("old", then "new") hence ends with the
# old value, though each change alone would be right. ON CONFLICT DO UPDATE drops the second row as well:
# n + excluded.n loses its amount. With several threads, which row is the first differs from run to run for
# batches of many thousand rows (printed, not checked).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
cat > "$work/look.py" <<'EOF'
import sqlite3
import sys

import duckdb


def state(db, statements):
    db.execute("CREATE TABLE state (id INTEGER PRIMARY KEY, word VARCHAR)")
    for statement in statements:
        db.execute(statement)
    return db.execute("SELECT * FROM state").fetchall()


def balance(db):
    db.execute("CREATE TABLE balance (id INTEGER PRIMARY KEY, n INTEGER)")
    db.execute("INSERT INTO balance VALUES (1, 100)")
    db.execute("INSERT INTO balance VALUES (1, 10), (1, 20) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n")
    return db.execute("SELECT * FROM balance").fetchall()


def many(threads):
    """500,000 keys, first all with version 0, then all with version 1; how many end with version 1."""
    db = duckdb.connect()
    db.execute(f"SET threads = {threads}")
    db.execute("CREATE TABLE latest (id BIGINT PRIMARY KEY, version INTEGER)")
    db.execute("CREATE TABLE changes AS SELECT i % 500000 AS id, i // 500000 AS version FROM range(1000000) r(i)")
    db.execute("INSERT OR REPLACE INTO latest FROM changes")
    return db.execute("SELECT sum(version)::BIGINT FROM latest").fetchall()[0][0]


print(f"duckdb {duckdb.__version__}, sqlite {sqlite3.sqlite_version}")
one = ["INSERT OR REPLACE INTO state VALUES (1, 'old'), (1, 'new')"]
two = ["INSERT OR REPLACE INTO state VALUES (1, 'old')", "INSERT OR REPLACE INTO state VALUES (1, 'new')"]
seen = [
    (state(sqlite3.connect(":memory:"), statements), state(duckdb.connect(), statements)) for statements in (two, one)
]
seen.append((balance(sqlite3.connect(":memory:")), balance(duckdb.connect())))
for what, (lite, duck) in zip(("two statements", "one statement", "n + excluded.n"), seen):
    print(f"  {what}: expected (SQLite) {lite}, seen {duck}")
single = many(1)
print(f"  500,000 keys twice: expected 500000 of the later version, seen {single} with 1 thread, "
      f"{[many(2) for _ in range(3)]} in three runs with 2")
pinned = [([(1, "new")], [(1, "new")]), ([(1, "new")], [(1, "old")]), ([(1, 130)], [(1, 110)])]
if seen != pinned or single != 0:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py"
done
