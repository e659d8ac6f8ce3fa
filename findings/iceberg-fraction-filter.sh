#!/usr/bin/env bash
# PyIceberg: a fraction in a filter on an integer column is rounded first, so that DELETE hits other rows.
# pyiceberg 0.12.0, pyarrow 26.0.1.
# Written as text, `qty = 1.5` can match no integer, but it deletes the rows with 2; `qty > 1.5` and `qty < 2.5`
# both leave out the 2 that lies between. The same comparison as an expression object, GreaterThan("qty", 1.5),
# is refused with a TypeError, so that trying it out there gives no warning of what the text does. A threshold
# that comes from an average or a percentage then selects, overwrites and deletes wrong rows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    'pyiceberg[sql-sqlite,pyarrow]==0.12.0' pyarrow==26.0.1
cd "$work"
venv/bin/python - <<'EOF'
import os
import sys

import pyarrow
import pyiceberg
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import GreaterThan

print(f"pyiceberg {pyiceberg.__version__}, pyarrow {pyarrow.__version__}")
here = os.getcwd()
catalog = SqlCatalog("local", uri=f"sqlite:///{here}/catalog.db", warehouse=f"file://{here}")
catalog.create_namespace("shop")
rows = pyarrow.table({"qty": pyarrow.array([1, 2, 3, 4], pyarrow.int64())})
table = catalog.create_table("shop.stock", schema=rows.schema)
table.append(rows)

same = True


def check(what, expected, pinned, seen):
    global same
    print(f"{what}: expected {expected}, seen {seen}")
    same = same and seen == pinned


def scan(where):
    try:
        return sorted(table.scan(where).to_arrow()["qty"].to_pylist())
    except TypeError:
        return "TypeError"


check("qty > 1.5", [2, 3, 4], [3, 4], scan("qty > 1.5"))
check("GreaterThan('qty', 1.5)", [2, 3, 4], "TypeError", scan(GreaterThan("qty", 1.5)))
check("qty < 2.5", [1, 2], [1], scan("qty < 2.5"))
check("qty >= 3.4", [4], [3, 4], scan("qty >= 3.4"))
check("qty = 1.5", [], [2], scan("qty = 1.5"))
table.delete("qty = 1.5")
check("all, after DELETE of qty = 1.5", [1, 2, 3, 4], [1, 3, 4], sorted(table.scan().to_arrow()["qty"].to_pylist()))
if not same:
    sys.exit("changed: this finding no longer holds as written")
EOF
