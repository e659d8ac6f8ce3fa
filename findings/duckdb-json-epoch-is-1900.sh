#!/usr/bin/env bash
# DuckDB 1.5.6: read_json reads the texts "epoch" and "Infinity" as the date 1900-01-01.
# DuckDB 2.0.1: read_json reads them as 1970-01-01 and an infinite date; read_csv of the same version keeps the column as text.
# The sniffer checks whether it can cast each text to a date, and that cast accepts DuckDB's special words; 1.5.6 then reads
# them with a date format, which leaves the date at its default. Many JSON writers use Infinity for a missing limit, because
# JSON has no such number. Such a value becomes a day in the year 1900, even in a column of real dates.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.5.6 2.0.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
done
printf '{"valid_to": "2026-01-02"}\n{"valid_to": "Infinity"}\n{"valid_to": "epoch"}\n' > "$work/permits.jsonl"
printf 'valid_to\n2026-01-02\nInfinity\nepoch\n' > "$work/permits.csv"
cat > "$work/look.py" <<'EOF'
import sys

import duckdb


def read(call):
    query = f"SELECT valid_to::VARCHAR FROM {call}"
    return [row[0] for row in duckdb.connect().execute(query).fetchall()]


SEEN = {
    "1.5.6": (["2026-01-02", "1900-01-01", "1900-01-01"], ["2026-01-02", "infinity", "1970-01-01"]),
    "2.0.1": (["2026-01-02", "infinity", "1970-01-01"], ["2026-01-02", "Infinity", "epoch"]),
}
seen = (read(f"read_json('{sys.argv[1]}/permits.jsonl')"), read(f"read_csv('{sys.argv[1]}/permits.csv', header = true)"))
print(f"duckdb {duckdb.__version__}: expected the words as they are, seen {seen[0]} by read_json and {seen[1]} by read_csv")
if seen != SEEN[duckdb.__version__]:
    sys.exit("changed: this finding no longer holds as written")
EOF
for version in 1.5.6 2.0.1; do
    "$work/$version/bin/python" "$work/look.py" "$work"
done
