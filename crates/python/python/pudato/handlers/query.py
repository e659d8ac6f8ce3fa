"""The service `query`, without a queue."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pudato import _core
from pudato._fabric import opening
from pudato.config import Settings
from pudato.handlers._built_in import BuiltIn

__all__ = ["QueryHandler", "create_duckdb_handler"]


class QueryHandler(BuiltIn):
    """Handles the Commands of the service `query`; docs/commands.md lists its actions.

    Args:
        settings: The settings; by default from the environment.
        is_in_memory: Whether to use a warehouse in memory, regardless of the settings.
    """

    service_type: ClassVar[str] = "query"

    def __init__(self, *, settings: Settings | None = None, is_in_memory: bool = False) -> None:
        super().__init__(settings)
        self._is_in_memory = is_in_memory
        self._folder: TemporaryDirectory[str] | None = None

    def _open(self) -> _core.Service:
        settings = self._settings if self._settings is not None else Settings()
        return _core.Service(opening(settings), self.service_type, self._is_in_memory)


def create_duckdb_handler(database_path: str | os.PathLike[str] | None = None, read_only: bool = False) -> QueryHandler:
    """Creates a query handler on one DuckDB file, or on a temporary database.

    Args:
        database_path: The file, which is created if it does not exist. None: a temporary database, which ends with the handler.
        read_only: Must be False: pudato opens a warehouse for reading and writing.
    """
    if read_only:
        raise ValueError("read_only: expected False; pudato opens a warehouse for reading and writing")
    if database_path is None:
        # A file and not memory: DuckDB runs in a process of its own, which ends between two Commands and would lose the tables.
        folder = TemporaryDirectory(prefix="pudato-")
        handler = QueryHandler(settings=Settings(duckdb_path=Path(folder.name, "warehouse.duckdb")))
        handler._folder = folder
        return handler
    return QueryHandler(settings=Settings(duckdb_path=Path(database_path)))
