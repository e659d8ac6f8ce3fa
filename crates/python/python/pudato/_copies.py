"""Copies of the databases, which any library may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pudato.config import Settings

__all__ = ["backup"]


def backup(folder: str | os.PathLike[str], settings: Settings | None = None) -> Path:
    """Copies the databases of the data folder while pudato keeps running. Each copy is consistent.

    Read the copies with any library, such as `sqlite3` or `pandas.read_sql`. Do not open the databases themselves in a process that uses
    pudato.

    Args:
        folder: A new or empty folder. It receives `fabric.db` and `registry.db`, if the settings keep them in files.
        settings: The settings; by default from the environment.

    Returns:
        The folder.

    Raises:
        ConfigurationError: The folder is not empty.
        UnavailableError: The folder cannot be written.
    """
    from pudato._fabric import installation
    from pudato.config import get_settings

    installation(settings if settings is not None else get_settings()).backup(Path(folder))
    return Path(folder)
