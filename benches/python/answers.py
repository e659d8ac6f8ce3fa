"""How fast a query's answer becomes a polars data frame, compared with DuckDB's own `.pl()` of the same table, in one process.

Each figure is one line of JSON on stdout. `python.polars_ratio` is the time to convert an Answer in memory to polars, divided by the
time of `.pl()`. The other figures show where the time of a whole query goes. Each is the minimum of several repetitions.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars

from pudato import Client, Settings, _core

ROWS = 100_000
SQL = f"""
SELECT
    i::INTEGER AS id, i * 7919 AS large, (i % 100)::UTINYINT AS small, i / 7 AS ratio, (i * 1.25)::DECIMAL(12, 2) AS price,
    i % 3 = 0 AS flag, 'name of row ' || i AS name, ['red', 'green', 'blue'][1 + i % 3] AS colour,
    DATE '2020-01-01' + (i % 2000)::INTEGER AS day, TIMESTAMP '2020-01-01 00:00:00' + to_seconds(i) AS at
FROM range({ROWS}) r(i)
"""


def least(times: int, work: Callable[[], Any]) -> float:
    """The minimum of several runs, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1_000)
    return min(took)


def main() -> None:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE t AS {SQL}")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(variables={}, data_dir=Path(folder) / ".pudato", query_isolation="none")
        with Client(settings, serve=True) as client:
            client.query("SELECT 1")
            query_ms = least(3, lambda: client.query(SQL, timeout=300))
            answer = client.query(SQL, timeout=300)
            text = answer._core.text.encode()
    expected = connection.sql("FROM t").pl()
    assert polars.DataFrame(answer).equals(expected), "the same values as DuckDB's own"
    theirs = least(15, lambda: connection.sql("FROM t").pl())
    ours = least(15, lambda: polars.DataFrame(answer))
    figures = [
        ("python.polars_ratio", ours / theirs, "ratio"),
        ("python.polars", ours, "ms"),
        ("python.duckdb_pl", theirs, "ms"),
        ("python.answer_from_text", least(5, lambda: _core.Answer(text)), "ms"),
        ("python.answer_rows", least(3, lambda: answer._core.rows()), "ms"),
        ("python.query", query_ms, "ms"),
    ]
    for name, value, unit in figures:
        print(json.dumps({"name": name, "value": round(value, 3), "unit": unit}), flush=True)


if __name__ == "__main__":
    main()
