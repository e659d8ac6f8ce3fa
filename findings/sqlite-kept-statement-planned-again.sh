#!/usr/bin/env bash
# SQLite: a prepared statement that is kept and run again is parsed and planned anew on every run, if it has `LIMIT ?` (since
# 3.47) or a parameter compared with `=` beside an ORDER BY (since 3.54). No ANALYZE is needed.
# apsw 3.46.1.0, 3.53.4.0 and 3.54.1.0, which bundle the SQLite of the same number.
# SQLite's planner looks at the values of such parameters. Binding one, even to the value it had, marks the statement as
# expired, and the next step compiles it again. A cache of prepared statements then saves nothing, and a short index lookup takes
# several times longer. SQLITE_DBCONFIG_ENABLE_QPSG, which makes plans independent of bound values, ends it.
# The authorizer is called once for the SELECT of each compilation, so its calls count the compilations.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 3.46.1.0 3.53.4.0 3.54.1.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "apsw==$version"
done
cat > "$work/look.py" <<'EOF'
import sys

import apsw

RUNS = 100
PLAIN = "SELECT value FROM reading WHERE station = ?"
LIMIT = "SELECT value FROM reading WHERE station = ? LIMIT ?"
ORDER = "SELECT value FROM reading WHERE station = ? ORDER BY at"
# How often each is compiled in 100 runs.
SEEN = {
    "3.46.1": {PLAIN: 1, LIMIT: 1, ORDER: 1},
    "3.53.4": {PLAIN: 1, LIMIT: 101, ORDER: 1},
    "3.54.1": {PLAIN: 1, LIMIT: 101, ORDER: 101},
}


def compilations(sql, has_stable_plans):
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE reading (station INTEGER, at INTEGER, value REAL)")
    connection.execute("CREATE INDEX reading_at ON reading (station, at)")
    if has_stable_plans:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    count = 0

    def authorizer(operation, *_):
        nonlocal count
        count += operation == apsw.SQLITE_SELECT
        return apsw.SQLITE_OK

    connection.authorizer = authorizer
    for station in range(RUNS):
        list(connection.execute(sql, (station, 2)[: sql.count("?")]))
    return count


version = apsw.sqlite_lib_version()
for sql, seen in SEEN[version].items():
    found, stable = compilations(sql, False), compilations(sql, True)
    print(f"SQLite {version}: {RUNS} runs of {sql}: compiled {found} times, with stable plans {stable}")
    if (found, stable) != (seen, 1):
        sys.exit("changed: this finding no longer holds as written")
EOF
for version in 3.46.1.0 3.53.4.0 3.54.1.0; do
    "$work/$version/bin/python" "$work/look.py"
done
