#!/usr/bin/env bash
# DuckDB: a TIME WITH TIME ZONE leaves as another time of day through Arrow than through Parquet.
# duckdb 1.5.6 and 2.0.1, pyarrow 26.0.1.
# Arrow gets the local time and loses the offset (09:00+05:30 becomes 09:00), Parquet gets UTC (03:30). Both
# arrive in pyarrow as a plain time64, without an error. Two extracts of one table hence differ by the offset, and the
# Arrow one even turns the order round: what started first comes last. Back in DuckDB, the Parquet value is
# not equal to the one that was written.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==26.0.1
done
cat > "$work/look.py" <<'EOF'
import sys
import warnings

import duckdb
import pyarrow
import pyarrow.parquet

# 2.0.1 advises another way to the same table.
warnings.simplefilter("ignore")
print(f"duckdb {duckdb.__version__}, pyarrow {pyarrow.__version__}")
db = duckdb.connect()
db.execute("""CREATE TABLE shifts AS
    FROM (VALUES ('Pune', '09:00:00+05:30'::TIMETZ), ('Accra', '05:00:00+00'::TIMETZ)) v(site, start)""")
by_time = [site for (site,) in db.execute("SELECT site FROM shifts ORDER BY start").fetchall()]
arrow = db.execute("FROM shifts").to_arrow_table()
db.execute(f"COPY shifts TO '{sys.argv[1]}'")
parquet = pyarrow.parquet.read_table(sys.argv[1])


def times(table):
    return {row["site"]: row["start"].isoformat() for row in table.to_pylist()}


def order(table):
    return table.sort_by("start")["site"].to_pylist()


equal = db.execute(f"""SELECT count(*) FROM shifts s JOIN '{sys.argv[1]}' p
    ON s.site = p.site AND s.start = p.start""").fetchall()[0][0]
print(f"  expected: one time for each site, whichever way, in the order {by_time}, and 2 rows equal")
print(f"  Arrow: {times(arrow)}, order {order(arrow)}")
print(f"  Parquet: {times(parquet)}, order {order(parquet)}, rows equal to the table's: {equal}")
seen = (by_time, times(arrow), order(arrow), times(parquet), order(parquet), equal)
pinned = (
    ["Pune", "Accra"],
    {"Pune": "09:00:00", "Accra": "05:00:00"},
    ["Accra", "Pune"],
    {"Pune": "03:30:00", "Accra": "05:00:00"},
    ["Pune", "Accra"],
    1,
)
if seen != pinned:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work/$version.parquet"
done
