"""Settings: keywords override the environment, which overrides `pudato.toml`, which overrides defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pudato import _core

__all__ = ["Settings", "get_settings"]


class Settings:
    """All settings of this process, read once and checked together.

    Every variable of docs/settings.md is an attribute: in lower case and without `PUDATO_`, so that `PUDATO_STORAGE_QUEUE_URL` is
    `storage_queue_url`. All values are texts. On the embedded fabric, topics and queues have the fabric's names.

    Args:
        file: The settings file; by default `pudato.toml` in the working directory, if it exists.
        environment: Read instead of `os.environ`.
        **given: Settings by attribute name. They override the environment.

    Raises:
        ConfigurationError: A setting cannot be used. The text names all of them.
    """

    _SECRET: ClassVar[str] = "********"
    _core: _core.Settings
    _entries: dict[str, tuple[str, str, str, bool]]

    def __init__(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
        **given: Any,
    ) -> None:
        read = dict(os.environ if environment is None else environment)
        known = _core.variables()
        flags: dict[str, str] = {}
        for name, value in given.items():
            variable = known.get(name)
            if variable is None:
                raise _core.ConfigurationError(_unknown(name, known))
            flags[variable] = _text(value)
        path = None if file is None else Path(file)
        self._core = _core.Settings(flags, read, path)
        self._entries = {
            attribute: (variable, value, origin, is_secret)
            for attribute, variable, value, origin, is_secret in self._core.entries()
        }

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        entry = self._entries.get(name)
        if entry is None:
            raise AttributeError(_unknown(name, self._entries))
        return entry[1]

    def origin(self, name: str) -> str:
        """Where a setting comes from: `flag` for a keyword, `environment (NAME)`, `pudato.toml (KEY)` or `default`."""
        return self._entries[name][2]

    @property
    def is_local(self) -> bool:
        """Whether messages stay on this machine, in the embedded fabric."""
        return self.fabric == "embedded"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._entries]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, (_, value, _, is_secret) in self._entries.items():
            yield name, self._SECRET if is_secret and value else value

    def __repr__(self) -> str:
        named = ", ".join(f"{name}={value!r}" for name, value in self if self._entries[name][2] != "default")
        return f"Settings({named})"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else "; `pudato config` lists all"
    return f"{name}: pudato has no such setting{meant}"


def get_settings() -> Settings:
    """The settings of this process, read at the first call and kept."""
    global _kept
    if _kept is None:
        _kept = Settings()
    return _kept


_kept: Settings | None = None
