#!/usr/bin/env bash
# Delta Lake: DELETE of a DECIMAL amount finds nothing, because the file's statistics were rounded.
# deltalake 1.6.6, also read with polars 2.1.0; pyarrow 26.0.1.
# The writer stores minimum and maximum of a column as double precision numbers. From 16 digits on, a
# value can lie outside of its own bounds: readers then skip the file, and DELETE and a filtered read
# report 0 rows, without an error. A total of the same column, which needs no filter, is still right:
# reconciliations by key and by total contradict each other.
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


def look(amount):
    """How often each way finds the only row of a table by its own amount."""
    kind = pyarrow.decimal128(18, 2)
    rows = pyarrow.table({"amount": pyarrow.array([amount], kind)})
    folder = f"payments-{amount}"
    write_deltalake(folder, rows)
    log = pathlib.Path(folder, "_delta_log", "00000000000000000000.json").read_text()
    actions = [json.loads(line) for line in log.splitlines()]
    stats = next(action["add"]["stats"] for action in actions if "add" in action)
    print(f"amount {amount}, in the log: {json.loads(stats)['maxValues']}")
    where = f"amount = CAST('{amount}' AS DECIMAL(18, 2))"

    def count(query):
        engine = QueryBuilder().register("payments", DeltaTable(folder))
        return pyarrow.table(engine.execute(query).read_all()).num_rows

    found = {
        "SELECT by amount": count(f"SELECT amount FROM payments WHERE {where}"),
        "polars by amount": polars.scan_delta(folder).filter(polars.col("amount") == amount).collect().height,
        "DELETE by amount": DeltaTable(folder).delete(where)["num_deleted_rows"],
        "rows after all": count("SELECT amount FROM payments"),
    }
    print(f"  seen: {found}")
    return list(found.values())


print("expected: each filter finds 1 row, DELETE deletes it, 0 rows stay")
seen = [look(Decimal("9999999999999.99")), look(Decimal("99999999999999.99"))]
if seen != [[1, 1, 1, 0], [0, 0, 0, 1]]:
    sys.exit("changed: this finding no longer holds as written")
EOF
