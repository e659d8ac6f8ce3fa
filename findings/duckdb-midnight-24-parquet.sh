#!/usr/bin/env bash
# The time of day 24:00:00, which DuckDB (like PostgreSQL and ISO 8601) accepts for the end of a day, has three values once it is in a
# Parquet file: DuckDB reads 24:00:00, pyarrow 00:00:00, polars null.
# duckdb 1.5.6 and 2.0.1, pyarrow 26.0.1, polars 2.1.0.
# Expected: an error of the writer, since Parquet's TIME counts from midnight and its readers have no such time, or the same value for
# all readers. Found: the file has 86,400,000,000 microseconds; pyarrow wraps it to the start of the day when it makes a Python value, and
# polars shows null, but counts no null in the file's statistics. A filter for times after noon loses the row in polars.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'EOF'
import datetime
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet

file = str(Path(sys.argv[1]) / "closing.parquet")
con = duckdb.connect()
con.execute(f"COPY (SELECT unnest([TIME '08:00:00', TIME '24:00:00']) AS closes) TO '{file}'")
found = {
    "duckdb": [str(row[0]) for row in con.execute(f"FROM '{file}'").fetchall()],
    "pyarrow": pyarrow.parquet.read_table(file).column("closes").to_pylist(),
    "polars": polars.read_parquet(file)["closes"].to_list(),
}
metadata = pyarrow.parquet.read_metadata(file).row_group(0).column(0).statistics
after_noon = polars.read_parquet(file).filter(polars.col("closes") > polars.time(12)).height
print(f"duckdb {duckdb.__version__}, pyarrow {pyarrow.__version__}, polars {polars.__version__}")
for reader, values in found.items():
    print(f"  {reader:<8} {', '.join(map(str, values))}")
print(f"  nulls in the file: {metadata.null_count}; rows after noon in polars: {after_noon}")
eight = datetime.time(8)
as_described = (
    found == {"duckdb": ["08:00:00", "24:00:00"], "pyarrow": [eight, datetime.time(0)], "polars": [eight, None]}
    and metadata.null_count == 0
    and after_noon == 0
)
sys.exit(0 if as_described else 1)
EOF
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==26.0.1 polars==2.1.0
    "$work/$version/bin/python" -W ignore "$work/look.py" "$work" || { echo "it changed with duckdb $version"; exit 1; }
done
echo "as described: 24:00:00 has three values"
