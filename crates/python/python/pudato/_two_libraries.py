"""Stops other libraries in this process from opening the databases that pudato has open.

SQLite locks files with POSIX locks. They belong to the process, not to the handle: when anything in this process closes a file that pudato
has open, the operating system drops pudato's locks, and another process may then change or delete what pudato is using. So this process
must not open such a file a second time, neither with Python's sqlite3 nor as a plain file. Other processes may, because they have their own locks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from pudato import _core

_COMPANIONS = ("", "-wal", "-shm")
_guarded: set[str] = set()
_names: set[str] = set()
_pid: int | None = None


def guard(databases: Iterable[str | os.PathLike[str]]) -> None:
    """From now on, raises an error if Python code in this process opens these databases."""
    global _pid
    _guarded.update(os.path.realpath(os.fsdecode(path)) + end for path in databases for end in _COMPANIONS)
    _names.update(map(os.path.basename, _guarded))
    if _pid is None:
        sys.addaudithook(_audit)
    _pid = os.getpid()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("open", "sqlite3.connect") or not arguments:
        return
    path = arguments[0]
    if not isinstance(path, (str, bytes, os.PathLike)):
        return
    # A forked child has its own locks.
    if _is_guarded(os.fsdecode(path)) and os.getpid() == _pid:
        raise _core.RefusedError(
            f"{os.fsdecode(path)}: pudato has this database open in this process, and loses its locks when other code in this process closes it; "
            "read a copy, which `pudato.backup(folder)` makes, or open it in another process"
        )


def _is_guarded(path: str) -> bool:
    if path.startswith("file:"):
        from urllib.parse import unquote

        path = unquote(path.removeprefix("file:").partition("?")[0])
        path = "/" + path.lstrip("/") if path.startswith("//") else path
    # Most files have a different name and need no further check. A link to a guarded file may have any name, so follow links.
    try:
        if os.path.basename(path) not in _names and not os.path.islink(path):
            return False
        return os.path.realpath(path) in _guarded
    except (OSError, ValueError):
        return False
