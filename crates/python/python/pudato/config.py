"""Settings. Keyword arguments override the environment, which overrides `pudato.toml`, which overrides the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pudato import _core
from pudato._fields import Fields
from pudato._original import translated

if TYPE_CHECKING:
    from typing import Unpack

    from pudato._fields import Given

__all__ = ["Settings", "get_settings"]


class Settings(Fields):
    """All settings of a program, read once and checked together.

    Every variable in docs/settings.md is an attribute, in lower case and without `PUDATO_`: `PUDATO_STORAGE_QUEUE_URL` becomes
    `storage_queue_url`. All values are strings. A topic or queue that is not set has its default name, which is all that the embedded
    fabric needs.

    Args:
        file: The settings file; by default `pudato.toml` in the working directory, if it exists.
        env_file: A file with lines `NAME=VALUE`, such as `.env`. Its variables act as environment variables, and the real environment overrides
            them. By default no file is read.
        variables: Read instead of `os.environ`.
        **given: Settings by attribute name, as strings, or as numbers, booleans or paths where that fits. They override all other sources.

    Raises:
        ConfigurationError: A setting is invalid or does not exist. The error text names all of them.
    """

    _SECRET: ClassVar[str] = "********"
    _ADVICE: ClassVar[Mapping[str, str]] = {
        "localstack_endpoint": "use aws_endpoint_url, which LOCALSTACK_ENDPOINT also sets",
    }
    _core: _core.Settings
    _entries: dict[str, tuple[str, str, str, bool]]

    def __init__(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        env_file: str | os.PathLike[str] | None = None,
        variables: Mapping[str, str] | None = None,
        **given: Unpack[Given],
    ) -> None:
        self._arguments: dict[str, Any] = {"file": file, "env_file": env_file, "variables": variables, **given}
        own = dict(os.environ if variables is None else variables)
        filed = {} if env_file is None else _read_env_file(Path(env_file))
        known = _core.variables()
        wrong: list[str] = []
        flags: dict[str, str] = {}
        for name, value in given.items():
            variable = known.get(name)
            if variable is None:
                wrong.append(_unknown(name, known))
                continue
            try:
                flags[variable] = _text(name, value)
            except ValueError as error:
                wrong.append(str(error))
        self._entries = {}
        try:
            merged = translated({**filed, **own})
            self._core = _core.Settings(flags, merged, None if file is None else Path(file))
        except (_core.ConfigurationError, ValueError) as error:
            wrong.append(str(error))
        if wrong:
            raise _core.ConfigurationError("\n".join(wrong))
        # Relative paths are relative to this folder, even if the program changes it later.
        self._folder = os.getcwd()
        self._region = own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION") or filed.get("AWS_REGION") or filed.get("AWS_DEFAULT_REGION")
        self._entries = {
            attribute: (variable, value, _origin(origin, own, filed, env_file), is_secret)
            for attribute, variable, value, origin, is_secret in self._core.entries()
        }

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> str:
            if name.startswith("_"):
                raise AttributeError(name)
            if name == "aws_region":
                raise AttributeError("aws_region: neither AWS_REGION nor AWS_DEFAULT_REGION is set")
            entry = self._entries.get(name)
            if entry is None:
                raise AttributeError(_unknown(name, self._entries))
            return entry[1]

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"{name}: settings cannot be changed; make others with Settings({name}=...)")
        super().__setattr__(name, value)

    def origin(self, name: str) -> str:
        """Returns where a setting comes from: `flag` for a keyword argument, `environment (NAME)`, `.env (NAME)`, `pudato.toml (KEY)` or `default`.

        Raises:
            ConfigurationError: There is no such setting.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise _core.ConfigurationError(_unknown(name, self._entries))
        return entry[2]

    @property
    def is_local(self) -> bool:
        """Whether everything stays on this machine: the fabric is embedded, or an emulator replaces AWS."""
        return self.fabric == "embedded" or bool(self.aws_endpoint_url)

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint of an emulator, in the form that boto3 expects; None for AWS itself."""
        return self.aws_endpoint_url or None

    @property
    def localstack_endpoint(self) -> str:
        """The same as `aws_endpoint_url`; empty if there is no emulator."""
        return self.aws_endpoint_url

    @property
    def aws_region(self) -> str:
        """The region in the environment.

        Raises:
            AttributeError: The environment sets no region. On AWS, the SDK then takes it from the profile.
        """
        if not self._region:
            raise AttributeError  # `__getattr__` then raises the error with its text.
        return self._region

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._entries]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, (_, value, _, is_secret) in self._entries.items():
            yield name, self._SECRET if is_secret and value else value

    def __repr__(self) -> str:
        named = ", ".join(f"{name}={value!r}" for name, value in self if self._entries[name][2] != "default")
        return f"Settings({named})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._arguments,)

    def _with(self, **given: Any) -> Settings:
        """Returns a copy of these settings with some of them replaced."""
        return _again({**self._arguments, **given})


def _again(arguments: dict[str, Any]) -> Settings:
    return Settings(**arguments)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping) and name == "containers":
        return ", ".join(f"{container}={location}" for container, location in value.items())
    kind = "a mapping of names to locations" if name == "containers" else "a number, a boolean or a path"
    raise ValueError(f"{name}: expected a string, {kind}, found {value!r}")


def _origin(origin: str, own: Mapping[str, str], filed: Mapping[str, str], env_file: object) -> str:
    name = origin.removeprefix("environment (").removesuffix(")")
    return f"{env_file} ({name})" if name != origin and name in filed and not own.get(name) else origin


def _read_env_file(path: Path) -> dict[str, str]:
    """Reads a file with one `NAME=VALUE` per line. `#` starts a comment; quotes preserve spaces."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _core.ConfigurationError(f"{path}: cannot be read: {error}") from None
    found: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            wrong.append(f"{path}, line {number}: expected NAME=VALUE")
            continue
        if value[:1] in ("'", '"'):
            text, quote, rest = value[1:].partition(value[0])
            if not quote or (rest.strip() and not rest.strip().startswith("#")):
                wrong.append(f"{path}, line {number}: {name}: expected the closing quote at the end")
            found[name] = text
        else:
            found[name] = value.partition(" #")[0].rstrip()
    if wrong:
        raise _core.ConfigurationError("\n".join(wrong))
    return found


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    advice = Settings._ADVICE.get(name) or _core.instead_of(name)
    if advice is None and (near := get_close_matches(name, known, n=1)):
        advice = f"did you mean {near[0]}?"
    return f"{name}: pudato has no such setting; {advice or '`pudato config` lists all settings'}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Returns the settings of this process. The first call reads them; `get_settings.cache_clear()` makes the next call read them again."""
    return Settings()
