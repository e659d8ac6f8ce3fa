#!/usr/bin/env bash
# DuckDB: doc->>'amount' returns other digits than the document has, although it returns text.
# duckdb 1.5.6 and 2.0.1.
# A number with a fraction goes through DOUBLE on the way out of JSON, also where the target is VARCHAR or DECIMAL:
# 99999999999999.99 arrives as .98, while whole numbers of any length stay exact. In 1.5 even read_json with a
# declared DECIMAL column does so. 2.0 repaired that, so that now two ways to read one file differ: by declared
# column it is right, by ->> it is not, and a total of ledger lines depends on who wrote the query.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
cat > "$work/ledger.json" <<'EOF'
{"amount": 99999999999999.99, "id": 12345678901234567890123}
{"amount": 12345678901234567.89, "id": 2}
EOF
cat > "$work/look.py" <<'EOF'
import sys

import duckdb

print(f"duckdb {duckdb.__version__}")
file = sys.argv[1]
ways = {
    "doc->>'amount'": f"SELECT json->>'amount' FROM read_ndjson_objects('{file}')",
    "(doc->>'amount')::DECIMAL": f"SELECT (json->>'amount')::DECIMAL(20, 2)::VARCHAR FROM read_ndjson_objects('{file}')",
    "column as VARCHAR": f"SELECT amount FROM read_json('{file}', columns = {{amount: 'VARCHAR'}})",
    "column as DECIMAL": f"SELECT amount::VARCHAR FROM read_json('{file}', columns = {{amount: 'DECIMAL(20, 2)'}})",
    "doc->>'id'": f"SELECT json->>'id' FROM read_ndjson_objects('{file}')",
}
rounded = ["99999999999999.98", "12345678901234568.0"]
exact = ["99999999999999.99", "12345678901234567.89"]
pinned = {
    "doc->>'amount'": rounded,
    "(doc->>'amount')::DECIMAL": ["99999999999999.98", "12345678901234568.00"],
    "column as VARCHAR": ["99999999999999.98", "1.2345678901234568e+16"],
    "column as DECIMAL": ["99999999999999.98", "12345678901234567.68"] if duckdb.__version__ == "1.5.6" else exact,
    "doc->>'id'": ["12345678901234567890123", "2"],
}
seen = {way: [value for (value,) in duckdb.connect().execute(query).fetchall()] for way, query in ways.items()}
for way, values in seen.items():
    print(f"  {way}: expected {pinned[way] if 'id' in way else exact}, seen {values}")
if seen != pinned:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work/ledger.json"
done
