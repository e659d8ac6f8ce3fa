"""Copies of the databases, to read with any library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pudato.config import Settings

__all__ = ["backup"]


def backup(folder: str | os.PathLike[str], settings: Settings | None = None) -> Path:
    """Copies the databases of the data folder, consistent in themselves, while everything goes on.

    The copies may be read with any library, such as `sqlite3` or `pandas.read_sql`. The databases themselves must not be opened in a
    process that uses pudato.

    Args:
        folder: A new or empty folder. The copies in it are `fabric.db` and `registry.db`, if the settings keep them in files.
        settings: The settings; those of the environment by default.

    Returns:
        The folder.

    Raises:
        ConfigurationError: The folder is not empty.
        UnavailableError: It cannot be written.
    """
    from pudato._fabric import installation
    from pudato.config import get_settings

    installation(settings if settings is not None else get_settings()).backup(Path(folder))
    return Path(folder)
