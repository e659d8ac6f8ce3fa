#!/usr/bin/env bash
# DuckDB: a macro changes what operators and keywords mean, also in views that were stored before it.
# duckdb 1.4.5, 1.5.6 and 2.0.1.
# EXTRACT, AT TIME ZONE, list literals and even + are calls of functions by name, and a user's macro of this
# name stands before the built-in one. A helper such as date_part(part, day) for fiscal years, made once in
# the database file, silently moves the year of every older view that says EXTRACT, in every later session;
# year(day), which means the same, stays.
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
file = sys.argv[1]
with duckdb.connect(file) as db:
    db.execute("CREATE TABLE sales AS FROM (VALUES (DATE '2025-06-30', 10), (DATE '2025-11-30', 20)) v(day, amount)")
    db.execute("""CREATE VIEW per_year AS
        SELECT EXTRACT(year FROM day) AS year, sum(amount) AS total FROM sales GROUP BY ALL ORDER BY ALL""")
    before = db.execute("FROM per_year").fetchall()
    # A fiscal year from October on.
    db.execute("CREATE MACRO date_part(part, day) AS year(day + INTERVAL 3 MONTH)")
with duckdb.connect(file) as db:
    after = db.execute("FROM per_year").fetchall()
    same = db.execute("SELECT year(day) AS year, sum(amount) FROM sales GROUP BY ALL").fetchall()
    month = db.execute("SELECT EXTRACT(month FROM DATE '2025-06-30')").fetchall()
    db.execute("CREATE MACRO list_value(a, b) AS a || '..' || b")
    db.execute('CREATE MACRO "+"(a, b) AS a || b')
    literal = db.execute("SELECT ['a', 'b']").fetchall()
    plus = db.execute("SELECT 1 + 2").fetchall()
print(f"  the view after date_part: expected {before}, seen {after}; with year(day): {same}")
print(f"  EXTRACT(month ..) after it: expected [(6,)], seen {month}")
print(f"  ['a', 'b'] after list_value: expected [(['a', 'b'],)], seen {literal}")
print(f"  1 + 2 after \"+\": expected [(3,)], seen {plus}")
pinned = ([(2025, 30)], [(2025, 10), (2026, 20)], [(2025, 30)], [(2025,)], [("a..b",)], [("12",)])
if (before, after, same, month, literal, plus) != pinned:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.4.5 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work/$version.duckdb"
done
