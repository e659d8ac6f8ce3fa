#!/usr/bin/env bash
# DuckDB 2.0: ROUND(x, 2) of a DOUBLE gives another cent than before for nearly half of all half cents.
# duckdb 1.5.6 and 2.0.1.
# Over 100,000 prices from 0.005 to 999.995, 2.0 rounds the exact binary value (2.675 becomes 2.67), 1.5 rounded
# what one reads (2.68). The cast to DECIMAL(12, 2) still does the latter, so that in 2.0 two common ways to
# get cents from one column disagree, and a total changes with the upgrade while the data stay the same.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
cat > "$work/look.py" <<'EOF'
import sys

import duckdb

prices = "SELECT i::DOUBLE / 1000 AS x FROM range(5, 1000000, 10) r(i)"
row = duckdb.connect().execute(f"""
    SELECT count(*),
           count(*) FILTER (WHERE round(x, 2)::DECIMAL(12, 2) <> x::DECIMAL(12, 2)),
           sum(round(x, 2)::DECIMAL(12, 2))::VARCHAR,
           sum(x::DECIMAL(12, 2))::VARCHAR,
           round(2.675::DOUBLE, 2)
    FROM ({prices})""").fetchall()[0]
print(f"duckdb {duckdb.__version__}: of {row[0]} prices, round(x, 2) and x::DECIMAL(12, 2) differ in: "
      f"expected 0, seen {row[1]}")
print(f"  sum of round(x, 2): {row[2]}, sum of the casts: {row[3]}, round(2.675, 2): {row[4]}")
pinned = {
    "1.5.6": (100000, 0, "50000454.12", "50000454.12", 2.68),
    "2.0.1": (100000, 43412, "50000020.00", "50000454.12", 2.67),
}
if row != pinned[duckdb.__version__]:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py"
done
