"""Installations with their registry."""

from __future__ import annotations

import threading

from pudato import _core
from pudato._fabric import installation
from pudato.config import Settings

_opened: dict[int, _core.Installation] = {}
_lock = threading.Lock()


def with_registry(settings: Settings) -> _core.Installation:
    """Returns the installation of these settings with its registry open.

    A program whose Results arrive on a queue (PUDATO_REPLIES) does not need the registry to make calls. If it asks for jobs or lineage, or
    serves, this opens a second installation.
    """
    called = installation(settings)
    own = settings._core.answered_by_registry()
    if own is None:
        return called
    with _lock:
        found = _opened.get(id(called))
        if found is None:
            found = _opened[id(called)] = _core.Installation(own)
        return found
