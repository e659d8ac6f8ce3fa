"""The installations of this process, one for each set of settings."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from pudato import _core

if TYPE_CHECKING:
    from pudato.config import Settings

_opened: dict[tuple[Any, ...], _core.Installation] = {}
_lock = threading.Lock()


def installation(settings: Settings, session: _core.Session | None = None, *, calls: bool = True) -> _core.Installation:
    """Returns the installation of these settings. The first call opens it; later calls share it.

    Args:
        settings: The settings.
        session: The AWS identity of this program; by default the SDK finds one.
        calls: Whether the caller waits for Results, which needs the registry. Publishing and receiving do not need it.

    Raises:
        ConfigurationError: A setting is missing or wrong.
        UnavailableError: A store cannot be opened.
        PudatoError: This process was forked after pudato was used.
    """
    # Sessions compare by identity. The key holds the session, so that its id is not reused while the installation is open.
    calls = calls or settings.fabric == "embedded" or bool(settings.registry_database_url)
    key = (session, calls, settings._folder, *((name, entry[1]) for name, entry in settings._entries.items()))
    with _lock:
        found = _opened.get(key)
        if found is None:
            found = _core.Installation(settings._core, session, calls)
            databases = found.databases()
            if databases:
                from pudato._two_libraries import guard

                guard(databases)
            _opened[key] = found
        return found


def opening(settings: Settings) -> _core.Settings:
    """Returns the settings for a part of the core that opens the databases itself, and blocks the rest of this process from opening them."""
    from pathlib import Path

    from pudato._two_libraries import guard

    data_dir = Path(settings._folder, settings.data_dir)
    guard([data_dir / "fabric.db"] if settings.fabric == "embedded" else [])
    registry = settings.registry_database_url
    if not registry:
        guard([data_dir / "registry.db"])
    elif registry.startswith("sqlite:") and ":memory:" not in registry:
        guard([Path(settings._folder, registry.removeprefix("sqlite:").removeprefix("//"))])
    return settings._core


def _after_fork() -> None:
    global _lock
    # Another thread of the parent may have held the lock when the process forked.
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
