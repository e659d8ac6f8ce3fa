"""The Lambda functions of this process, one for each service and set of settings."""

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
"""The correlation id, step and status of a Result, and its outcome in the registry."""

_opened: dict[Any, _core.Function] = {}
_lock = threading.Lock()


def settings_here() -> Settings:
    """Returns the settings, with the defaults for Lambda if the process runs in one."""
    if is_lambda():
        return Settings(variables={**_core.lambda_defaults(), **os.environ})
    return Settings()


def is_lambda() -> bool:
    """Whether this process is an execution environment of AWS Lambda."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def function(settings: Settings, service: str) -> _core.Function:
    """Returns the function of a service. The first event opens it; later events reuse it."""
    # The key has the working directory because the data folder may be relative, and the handler because it may be registered again.
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
    """Handles an event. Returns the messages that are done, and the ids of those to deliver again."""
    return opened.handle(json.dumps(event), _left_ms(context))


def failures(left: list[str]) -> list[dict[str, str]]:
    """Returns the messages to deliver again, in the form that Lambda expects."""
    return [{"itemIdentifier": one} for one in left]


def _left_ms(context: Any) -> int | None:
    ask: Any = getattr(context, "get_remaining_time_in_millis", None)
    return None if ask is None else int(ask())
