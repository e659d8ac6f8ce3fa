#!/usr/bin/env bash
# DuckDB: a prepared PIVOT keeps the columns of the day it was prepared and drops all later categories.
# duckdb 1.4.5, 1.5.6 and 2.0.1.
# The values of the pivoted column are read once, into a type that stays behind; EXECUTE reads the rows anew,
# but only for these columns. New rows of old categories appear, rows of a new category do not, and nothing
# says so: the total across a row is then short. Each PIVOT, also one that is only prepared, leaves its type in
# the session's catalog.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.4.5 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
cat > "$work/look.py" <<'EOF'
import sys

import duckdb

print(f"duckdb {duckdb.__version__}")
db = duckdb.connect()


def ask(query):
    result = db.execute(query)
    return [column[0] for column in result.description], result.fetchall()


pivot = "PIVOT sales ON kind USING sum(amount) GROUP BY day"
db.execute("CREATE TABLE sales AS FROM (VALUES (1, 'card', 10), (1, 'cash', 20)) v(day, kind, amount)")
db.execute(f"PREPARE report AS {pivot}")
db.execute("INSERT INTO sales VALUES (1, 'card', 5), (1, 'voucher', 500)")
expected = ask(pivot)
seen = ask("EXECUTE report")
types = ask("SELECT count(*) FROM duckdb_types() WHERE type_name LIKE '%pivot_enum%'")[1][0][0]
print(f"  expected {expected}\n  seen     {seen}\n  types left by two PIVOTs: expected 0, seen {types}")
pinned = (["day", "card", "cash"], [(1, 15, 20)])
if expected != (["day", "card", "cash", "voucher"], [(1, 15, 20, 500)]) or seen != pinned or types != 2:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.4.5 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py"
done
