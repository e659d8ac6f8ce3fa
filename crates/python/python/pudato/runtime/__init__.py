"""Programs that run handlers: the local runner, the results consumer, and the entry point for AWS Lambda."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pudato.handlers._find import register_handler_factory as register_handler_factory
    from pudato.runtime.lambda_handler import handle as handle
    from pudato.runtime.local_runner import LocalRunner as LocalRunner

# Loaded on first use, because `python -m pudato.runtime.local_runner` warns if its module has already been imported.
_WHERE = {
    "LocalRunner": "pudato.runtime.local_runner",
    "handle": "pudato.runtime.lambda_handler",
    "register_handler_factory": "pudato.handlers._find",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'pudato.runtime' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
