#!/usr/bin/env bash
# Polars SQL: SELECT without FROM does not look at its WHERE; the row always comes.
# polars 2.1.0; compared with DuckDB 2.0.1 and SQLite.
# A row that should appear only under a condition ("add a zero row if the day has no sales") is a common way
# to fill gaps. Polars parses the condition, ignores it without an error, and adds the row each time: counts and
# averages over the result are wrong, sums are not, so that a check of totals does not show it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
cd "$work"
venv/bin/python - <<'EOF'
import sqlite3
import sys

import duckdb
import polars

print(f"polars {polars.__version__}, duckdb {duckdb.__version__}, sqlite {sqlite3.sqlite_version}")
sales = polars.DataFrame({"amount": [10, 20]})
duck = duckdb.connect()
lite = sqlite3.connect(":memory:")
for connection in (duck, lite):
    connection.execute("CREATE TABLE sales (amount INTEGER)")
    connection.execute("INSERT INTO sales VALUES (10), (20)")

seen = []
for query in (
    "SELECT 1 AS x WHERE 1 = 2",
    "SELECT amount FROM sales UNION ALL SELECT 0 AS amount WHERE (SELECT count(*) FROM sales) = 0",
    "SELECT avg(amount) AS a FROM (SELECT amount FROM sales UNION ALL SELECT 0 AS amount WHERE 1 = 2) AS t",
):
    expected = [sorted(duck.execute(query).fetchall()), sorted(lite.execute(query).fetchall())]
    rows = sorted(polars.SQLContext(sales=sales).execute(query, eager=True).rows())
    print(f"{query}\n  expected (DuckDB, SQLite): {expected}\n  seen (polars): {rows}")
    seen.append((expected[0] == expected[1], rows))
if seen != [(True, [(1,)]), (True, [(0,), (10,), (20,)]), (True, [(10.0,)])]:
    sys.exit("changed: this finding no longer holds as written")
EOF
