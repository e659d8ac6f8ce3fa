"""The service `query`, without a queue."""

from __future__ import annotations

from pathlib import Path

from pudato.handlers.query import create_duckdb_handler
from pudato.protocol import Command

SCRIPT = "CREATE TABLE t (id INTEGER, name VARCHAR); INSERT INTO t VALUES (1, 'Ada'), (2, 'Bo')"


def test_a_temporary_database_keeps_its_tables_as_long_as_its_handler() -> None:
    handler = create_duckdb_handler()
    assert handler.handle(Command(type="query", action="execute_script", payload={"sql": SCRIPT})).status == "success"
    asked = Command(type="query", action="execute", payload={"sql": "SELECT name FROM t ORDER BY id"})
    result = handler.handle(asked)
    assert result.data is not None and result.data["rows"] == [["Ada"], ["Bo"]]
    other = create_duckdb_handler()
    assert other.handle(asked).status == "error"


def test_a_database_file_keeps_its_tables_for_the_next_handler(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    assert create_duckdb_handler(file).handle(Command(type="query", action="execute_script", payload={"sql": SCRIPT})).status == "success"
    counted = create_duckdb_handler(file).handle(Command(type="query", action="execute_sql", payload={"sql": "SELECT count(*) FROM t"}))
    assert counted.data is not None and counted.data["rows"] == [[2]]


def test_the_aliases_of_actions_are_supported_actions() -> None:
    assert {"execute", "execute_sql", "execute_script"} <= set(create_duckdb_handler().supported_actions())
