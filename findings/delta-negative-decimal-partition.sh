#!/usr/bin/env bash
# Delta Lake: one negative amount in a DECIMAL partition column makes the whole table unreadable.
# deltalake 1.6.6, pyarrow 26.0.1, polars 2.1.0.
# The writer puts the sign before the whole part and once more before the fraction: -12.34 becomes
# "-12.-34" in the log. The append raises an error, but its commit stands: from then on every read fails, also
# of the partitions written before, and so does a retry. A whole negative number (-10.00) is harmless, so that
# tests with round numbers pass.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    deltalake==1.6.6 pyarrow==26.0.1 polars==2.1.0
cd "$work"
venv/bin/python - <<'EOF'
import json
import pathlib
import sys
from decimal import Decimal

import deltalake
import polars
import pyarrow
from deltalake import DeltaTable, QueryBuilder, write_deltalake

print(f"deltalake {deltalake.__version__}, pyarrow {pyarrow.__version__}, polars {polars.__version__}")


def append(rate):
    rates = pyarrow.array([Decimal(rate)], pyarrow.decimal128(10, 2))
    try:
        write_deltalake("rates", pyarrow.table({"rate": rates, "n": [1]}), mode="append", partition_by=["rate"])
        return "written"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def read(reader):
    try:
        return reader()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def count():
    engine = QueryBuilder().register("rates", DeltaTable("rates"))
    return pyarrow.table(engine.execute("SELECT n FROM rates").read_all()).num_rows


def commits():
    return sorted(pathlib.Path("rates", "_delta_log").glob("*.json"))


seen = []
for rate in ("12.34", "-10.00", "-12.34"):
    said = append(rate)
    last = [json.loads(line) for line in commits()[-1].read_text().splitlines()]
    logged = next(action["add"]["partitionValues"]["rate"] for action in last if "add" in action)
    rows = read(count)
    height = read(lambda: polars.read_delta("rates").height)
    print(f"{rate}: expected it in the log as written and readable; seen\n  append: {said}\n"
          f"  commits: {len(commits())}, the last has {logged!r}\n  deltalake reads: {rows}\n  polars reads: {height}")
    is_refused = all("-12.-34" in str(what) for what in (said, rows, height))
    seen.append((len(commits()), logged, "refused" if is_refused else (said, rows, height)))
again = "-12.-34" in append("7.00")
print(f"7.00, afterwards: expected to be written; seen it refused: {again}")
pinned = [(1, "12.34", ("written", 1, 1)), (2, "-10.00", ("written", 2, 2)), (3, "-12.-34", "refused")]
if seen != pinned or not again:
    sys.exit("changed: this finding no longer holds as written")
EOF
