#!/usr/bin/env bash
# DuckDB: read_csv answers with no rows, and no error, where strict_mode = true is written beside new_line = '\r\n'.
# duckdb 1.5.6 and 2.0.1.
# strict_mode is true by default, and the file does end its lines with CR LF: each of the two options alone reads both
# rows, and so does strict_mode = false. Somebody who writes the options of a partner's file down in full, so that
# nothing is left to the sniffer, loads an empty table.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
printf 'id,amount\r\n1,10\r\n2,20\r\n' > "$work/amounts.csv"
cat > "$work/look.py" <<'EOF'
import sys

import duckdb

OPTIONS = "delim = ',', quote = '\"', escape = '\"', header = true, auto_detect = false, columns = {'id': 'INTEGER', 'amount': 'INTEGER'}"


def rows(more):
    query = f"SELECT count(*) FROM read_csv('{sys.argv[1]}', {OPTIONS}{more})"
    return duckdb.connect().execute(query).fetchone()[0]


seen = {more: rows(more) for more in (
    "",
    ", strict_mode = true",
    r", new_line = '\r\n'",
    r", new_line = '\r\n', strict_mode = false",
    r", new_line = '\r\n', strict_mode = true",
)}
for more, count in seen.items():
    print(f"duckdb {duckdb.__version__}{more or ', defaults'}: expected 2 rows, seen {count}")
if list(seen.values()) != [2, 2, 2, 2, 0]:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work/amounts.csv"
done
