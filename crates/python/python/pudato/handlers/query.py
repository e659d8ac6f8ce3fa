"""The service `query`, without a queue."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pudato.config import Settings
from pudato.handlers._built_in import BuiltIn

__all__ = ["QueryHandler", "create_duckdb_handler"]


class QueryHandler(BuiltIn):
    """Handles the Commands of the service `query`; docs/commands.md lists its actions.

    Args:
        settings: The settings; by default from the environment.
    """

    service_type: ClassVar[str] = "query"

    # The folder of a temporary database, which is removed with the handler.
    _folder: TemporaryDirectory[str] | None = None

    def __init__(self, *, settings: Settings | None = None) -> None:
        super().__init__(settings)


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
