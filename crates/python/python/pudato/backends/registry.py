"""Backends that store a registry."""

from __future__ import annotations

from pudato import _core

__all__ = [
    "InMemoryRegistryBackend",
    "PostgreSQLRegistryBackend",
    "RegistryBackend",
    "create_postgres_registry_backend",
]


class RegistryBackend:
    """A store of jobs, steps, Results and lineage."""

    def __init__(self, registry: _core.Registry) -> None:
        self._registry = registry


class InMemoryRegistryBackend(RegistryBackend):
    """A registry in memory, in SQLite without a file."""

    def __init__(self) -> None:
        super().__init__(_core.Registry.memory())


class PostgreSQLRegistryBackend(RegistryBackend):
    """A registry in a PostgreSQL database. pudato creates the tables on first use.

    Args:
        url: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    """

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            kind = type(url).__name__
            raise TypeError(f"url: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, found a {kind}")
        super().__init__(_core.Registry.postgres(url))


def create_postgres_registry_backend(database_url: str) -> PostgreSQLRegistryBackend:
    """Returns a registry in the PostgreSQL database at this URL."""
    return PostgreSQLRegistryBackend(database_url)
