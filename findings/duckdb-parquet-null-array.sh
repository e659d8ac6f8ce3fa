#!/usr/bin/env bash
# DuckDB: a Parquet file with a NULL in a column of the type ARRAY (a list of fixed length, e.g. INTEGER[2] or FLOAT[384] for
# embeddings) cannot be read by pyarrow.
# duckdb 1.5.6 and 2.0.1, pyarrow 26.0.1, polars 2.1.0.
# For such a row DuckDB writes as many entries as the array is long, in place of one that says that the list is NULL: three
# rows of two numbers, one of them NULL, have 6 values in the file's metadata instead of 5. DuckDB itself and polars read the
# file; pyarrow, and with it pandas, refuse it. Cast to a LIST, the column is written as Parquet wants it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==26.0.1 polars==2.1.0
done
cat > "$work/look.py" <<'EOF'
import sys

import duckdb
import polars
import pyarrow
import pyarrow.parquet

RIGHT = [[1, 2], None, [3, 4]]


def seen(kind):
    file = f"{sys.argv[1]}/points.parquet"
    duckdb.sql(f"COPY (SELECT a::{kind} AS a FROM (VALUES ([1, 2]), (NULL), ([3, 4])) t(a)) TO '{file}'")
    try:
        arrow = [row["a"] for row in pyarrow.parquet.read_table(file).to_pylist()]
    except pyarrow.ArrowInvalid as error:
        arrow = f"refused: {error}"
    values = duckdb.connect().execute(f"SELECT num_values FROM parquet_metadata('{file}')").fetchone()[0]
    return values, arrow, polars.read_parquet(file)["a"].to_list()


for kind in ("INTEGER[]", "INTEGER[2]"):
    values, arrow, frame = seen(kind)
    print(f"duckdb {duckdb.__version__}, {kind}: expected 5 values and {RIGHT}, seen {values}, pyarrow {arrow}, polars {frame}")
    holds = (values, arrow) == (5, RIGHT) if kind == "INTEGER[]" else values == 6 and str(arrow).startswith("refused: Length spanned")
    if not holds or frame != RIGHT:
        sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work"
done
