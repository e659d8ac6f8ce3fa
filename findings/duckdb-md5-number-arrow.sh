#!/usr/bin/env bash
# DuckDB hands a UHUGEINT of 2^127 or more to Arrow as a negative number. `md5_number`, which people use for surrogate keys, returns a
# UHUGEINT, so about half of all keys change their value on the way to pyarrow and polars, without an error.
# duckdb 1.5.6 and 2.0.1, pyarrow 26.0.1, polars 2.1.0.
# Expected: the same number, or an error, as `.df()` of 1.5.6 gives for pandas. Found: the Arrow type is decimal128(38, 0), which cannot
# hold 39 digits; its 128 bits are those of the number, read with a sign. A join of keys that went through Arrow with keys that did not
# finds no match for such a row. Casting the key to VARCHAR or UUID keeps it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'EOF'
import sys

import duckdb
import polars
import pyarrow

CITIES = ["Amsterdam", "Berlin", "Copenhagen"]
QUERY = "SELECT name, md5_number(name) AS key FROM (SELECT unnest(?) AS name) ORDER BY name"
con = duckdb.connect()
kind = con.execute("SELECT typeof(md5_number('a'))").fetchone()[0]
right = [key for _, key in con.execute(QUERY, [CITIES]).fetchall()]
table = con.execute(QUERY, [CITIES]).to_arrow_table()
arrow = [int(key) for key in table.column("key").to_pylist()]
below_zero = polars.from_arrow(table).filter(polars.col("key") < 0)["name"].to_list()
print(f"duckdb {duckdb.__version__}, pyarrow {pyarrow.__version__}, polars {polars.__version__}: {kind}")
for city, key, through in zip(CITIES, right, arrow):
    print(f"  {city:<10} {key:>39}  through Arrow {through:>40}")
wrapped = [key - 2**128 if key >= 2**127 else key for key in right]
as_described = kind == "UHUGEINT" and arrow == wrapped and below_zero == ["Berlin", "Copenhagen"]
sys.exit(0 if as_described else 1)
EOF
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==26.0.1 polars==2.1.0
    "$work/$version/bin/python" -W ignore "$work/look.py" || { echo "it changed with duckdb $version"; exit 1; }
done
echo "as described: keys of 2^127 and more are negative after Arrow"
