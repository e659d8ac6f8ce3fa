"""The functions of this process: opened once for each service and settings."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

from pudato import _core
from pudato._fabric import opening
from pudato.config import Settings
from pudato.handlers._find import current, find

Done = tuple[str, str | None, str, str | None]
"""The correlation id, the step and the status of a Result, and what it became in the registry."""

_opened: dict[Any, _core.Function] = {}
_lock = threading.Lock()


def settings_here() -> Settings:
    """The settings, with the defaults of a Lambda if this is one."""
    if is_lambda():
        return Settings(variables={**_core.lambda_defaults(), **os.environ})
    return Settings()


def is_lambda() -> bool:
    """Whether this process is an execution environment of AWS Lambda."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def function(settings: Settings, service: str) -> _core.Function:
    """The function of a service. It is opened at its first event, and then kept."""
    # A data folder may be relative, and a handler may be registered anew.
    values = tuple((name, entry[1]) for name, entry in settings._entries.items())
    key = (service, current(service), os.getcwd(), values)
    with _lock:
        found = _opened.get(key)
        if found is None:
            found = _opened[key] = open_function(settings, service)
        return found


def open_function(settings: Settings, service: str, registry: _core.Registry | None = None) -> _core.Function:
    """Opens the function of a service."""
    _core.forward_logs(settings._core)
    if service == "results":
        return _core.Function(opening(settings), service, [], is_lambda() and registry is None, registry)
    handler = find(service)
    if handler is None:
        return _core.Function(opening(settings), service, [], is_lambda())
    from pudato.handlers._pool import Pool

    pool = Pool(int(settings.concurrency))
    own = pool.add(handler)
    opened = _core.Function(opening(settings), handler.service_type, [own], is_lambda())
    pool.start()
    return opened


def handle(opened: _core.Function, event: Mapping[str, Any], context: Any) -> tuple[list[Done], list[str]]:
    """Handles an event. Returns the messages that are done, and the ids of those that must be delivered again."""
    return opened.handle(json.dumps(event), _left_ms(context))


def failures(left: list[str]) -> list[dict[str, str]]:
    """The list of messages to deliver again, as Lambda reads it."""
    return [{"itemIdentifier": one} for one in left]


def _left_ms(context: Any) -> int | None:
    ask: Any = getattr(context, "get_remaining_time_in_millis", None)
    return None if ask is None else int(ask())
