#!/usr/bin/env bash
# DuckDB: pyarrow cannot read a Parquet file with a NULL in a column of type ARRAY (a list of fixed length, e.g. INTEGER[2],
# or FLOAT[384] for embeddings).
# duckdb 1.5.6 and 2.0.1, pyarrow 26.0.1, polars 2.1.0.
# For such a row, DuckDB writes one entry per array element instead of a single entry for the NULL list. With three rows of two
# numbers, one of them NULL, the file's metadata shows 6 values instead of 5. DuckDB itself and polars can read the file;
# pyarrow, and so pandas, refuse it. If you cast the column to a LIST, DuckDB writes it correctly.
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
