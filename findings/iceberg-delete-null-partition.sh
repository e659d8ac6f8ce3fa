#!/usr/bin/env bash
# PyIceberg: which NULL rows `delete("region != 'EU'")` removes depends on how the rows lie in files.
# pyiceberg 0.12.0, pyarrow 26.0.1.
# A scan with this filter never returns a row whose region is NULL, as in SQL. DELETE with the same filter keeps
# it where it shares a file with others, and removes it where it has a file of its own: after partitioning by
# the column, or after an append of NULLs alone. Partitioning a table or compacting it changes what a
# nightly DELETE takes away.
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
from pyiceberg.transforms import IdentityTransform

print(f"pyiceberg {pyiceberg.__version__}, pyarrow {pyarrow.__version__}")
here = os.getcwd()
catalog = SqlCatalog("local", uri=f"sqlite:///{here}/catalog.db", warehouse=f"file://{here}")
catalog.create_namespace("shop")
where = "region != 'EU'"


def orders(*regions):
    return pyarrow.table({"region": pyarrow.array(regions, pyarrow.string())})


def kept(name, appends, by_region=False):
    table = catalog.create_table(f"shop.{name}", schema=orders().schema)
    if by_region:
        with table.update_spec() as spec:
            spec.add_field("region", IdentityTransform())
    for rows in appends:
        table.append(rows)
    matched = table.scan(where).to_arrow()["region"].to_pylist()
    table.delete(where)
    left = sorted(table.scan().to_arrow()["region"].to_pylist(), key=str)
    print(f"{name}: the filter matches {matched}; after DELETE, expected ['EU', None], seen {left}")
    return matched, left


seen = [
    kept("one_file", [orders("EU", "US", None)]),
    kept("two_files", [orders("EU", "US"), orders(None)]),
    kept("by_region", [orders("EU", "US", None)], by_region=True),
]
if seen != [(["US"], ["EU", None]), (["US"], ["EU"]), (["US"], ["EU"])]:
    sys.exit("changed: this finding no longer holds as written")
EOF
