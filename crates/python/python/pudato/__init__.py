"""pudato: a typed message fabric for data operations.

`import pudato` is fast, because each name is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers recognise this name, so `typing` need not be imported: that would take longer than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pudato import aio as aio
    from pudato import progress as progress
    from pudato.client import Client as Client
    from pudato.outcomes import CommandFailed as CommandFailed
    from pudato.outcomes import NotRecorded as NotRecorded
    from pudato.outcomes import PipelineFailed as PipelineFailed
    from pudato.outcomes import Waits as Waits
    from pudato.serving import serve as serve
    from pudato.handlers.own import Answer as Answer
    from pudato.handlers.own import Retry as Retry
    from pudato.handlers.own import Unavailable as Unavailable
    from pudato.handlers.own import handler as handler
    from pudato.protocol import Command as Command
    from pudato.protocol import DataReference as DataReference
    from pudato.protocol import Event as Event
    from pudato.protocol import ExecutionRecord as ExecutionRecord
    from pudato.protocol import HandlerError as HandlerError
    from pudato.protocol import Result as Result
    from pudato._copies import backup as backup
    from pudato._core import CallTimeout as CallTimeout
    from pudato._core import ConfigurationError as ConfigurationError
    from pudato._core import MessageError as MessageError
    from pudato._core import PudatoError as PudatoError
    from pudato._core import RefusedError as RefusedError
    from pudato._core import UnavailableError as UnavailableError
    from pudato.config import Settings as Settings

_WHERE = {
    "Client": "pudato.client",
    "CommandFailed": "pudato.outcomes",
    "NotRecorded": "pudato.outcomes",
    "PipelineFailed": "pudato.outcomes",
    "Waits": "pudato.outcomes",
    "serve": "pudato.serving",
    "CallTimeout": "pudato._core",
    "Command": "pudato.protocol",
    "ConfigurationError": "pudato._core",
    "DataReference": "pudato.protocol",
    "Event": "pudato.protocol",
    "ExecutionRecord": "pudato.protocol",
    "MessageError": "pudato._core",
    "PudatoError": "pudato._core",
    "RefusedError": "pudato._core",
    "Answer": "pudato.handlers.own",
    "HandlerError": "pudato.protocol.errors",
    "Result": "pudato.protocol",
    "Retry": "pudato.handlers.own",
    "Settings": "pudato.config",
    "UnavailableError": "pudato._core",
    "backup": "pudato._copies",
    "Unavailable": "pudato.handlers.own",
    "handler": "pudato.handlers.own",
}

_MODULES = ("aio", "progress")

__all__ = sorted([*_WHERE, *_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from pudato import _core

        return _core.__version__
    if name in _MODULES:
        return import_module(f"pudato.{name}")
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'pudato' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
