"""Installations, one for each set of settings in a process."""

from __future__ import annotations

import threading

from pudato import _core
from pudato.config import Settings

_opened: dict[tuple[tuple[str, str], ...], _core.Installation] = {}
_lock = threading.Lock()


def installation(settings: Settings) -> _core.Installation:
    """The installation of these settings. It is opened at the first call, and then shared."""
    key = tuple((name, entry[1]) for name, entry in settings._entries.items())
    with _lock:
        found = _opened.get(key)
        if found is None:
            found = _opened[key] = _core.Installation(settings._core)
        return found
