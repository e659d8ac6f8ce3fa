"""Handlers: the built-in ones, which run without a queue, and the tools to write your own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pudato.handlers._find import register_handler_factory as register_handler_factory
    from pudato.handlers.base import BaseHandler as BaseHandler
    from pudato.handlers.base import Handler as Handler
    from pudato.handlers.own import Answer as Answer
    from pudato.handlers.own import Context as Context
    from pudato.handlers.own import OwnHandler as OwnHandler
    from pudato.handlers.own import Retry as Retry
    from pudato.handlers.own import Unavailable as Unavailable
    from pudato.handlers.own import handler as handler
    from pudato.handlers.query import QueryHandler as QueryHandler
    from pudato.handlers.query import create_duckdb_handler as create_duckdb_handler
    from pudato.handlers.registry import RegistryHandler as RegistryHandler
    from pudato.handlers.registry import create_memory_registry_handler as create_memory_registry_handler
    from pudato.handlers.storage import StorageHandler as StorageHandler
    from pudato.handlers.transform import TransformHandler as TransformHandler

_WHERE = {
    "Answer": "own",
    "BaseHandler": "base",
    "Context": "own",
    "Handler": "base",
    "OwnHandler": "own",
    "QueryHandler": "query",
    "RegistryHandler": "registry",
    "Retry": "own",
    "StorageHandler": "storage",
    "TransformHandler": "transform",
    "Unavailable": "own",
    "create_duckdb_handler": "query",
    "create_memory_registry_handler": "registry",
    "handler": "own",
    "register_handler_factory": "_find",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'pudato.handlers' has no attribute {name!r}")
    return getattr(import_module(f"pudato.handlers.{module}"), name)


def __dir__() -> list[str]:
    return __all__
