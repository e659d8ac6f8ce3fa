"""Finds a handler by its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pudato.handlers.own import Action, Effect, OwnHandler, registered

BUILT_IN = ("storage", "query", "transform", "registry")
"""The built-in services."""

GROUP = "pudato.handlers"
"""The entry point group in which installed packages register their handlers."""

_factories: dict[str, Callable[[], Any]] = {}


class UnknownHandler(ValueError):
    """No handler has this name."""


def register_handler_factory(handler_type: str, factory: Callable[[], Any]) -> None:
    """Registers a factory for the handler of a service.

    Args:
        handler_type: The `type` of its Commands.
        factory: Called without arguments when the handler is first needed. It returns a handler made with `pudato.handler`, or an object
            with `service_type`, `handle(command)` and `supported_actions()`.
    """
    if not handler_type:
        raise ValueError("handler_type: expected a name, found an empty string")
    _factories[handler_type] = factory


def current(name: str) -> object:
    """Returns what is registered under a name. The object changes when the name is registered again."""
    return _factories.get(name) or registered().get(name)


def find(name: str) -> OwnHandler | None:
    """Returns the handler with this name; None for a built-in service.

    The name is looked up in this order: built-in services; handlers registered in this process; entry points in the group
    `pudato.handlers`; `module:attribute`.

    Raises:
        UnknownHandler: There is no such handler. The error text suggests the closest name.
    """
    if name in BUILT_IN:
        return None
    if name in _factories:
        return own(_factories[name](), name)
    if name in registered():
        return registered()[name]
    for entry in entry_points(group=GROUP, name=name):
        return own(entry.load(), name)
    if ":" in name:
        return own(_attribute(name), None)
    raise UnknownHandler(_unknown(name))


def own(found: Any, service: str | None) -> OwnHandler:
    """Converts a handler to the kind that `pudato.handler` makes.

    Args:
        found: Such a handler; an object with `service_type`, `handle` and `supported_actions`; or a callable without arguments that returns
            one.
        service: The service, if the object does not name it.
    """
    if isinstance(found, OwnHandler):
        return found
    if isinstance(found, type) or (callable(found) and not hasattr(found, "handle")):
        found = found()
        if isinstance(found, OwnHandler):
            return found
    wanted = "a handler made with pudato.handler, or an object with service_type, handle(command) and supported_actions()"
    if not (callable(getattr(found, "handle", None)) and callable(getattr(found, "supported_actions", None))):
        raise TypeError(f"expected {wanted}, found {found!r}")
    name = getattr(found, "service_type", None) or service
    if not isinstance(name, str):
        raise TypeError(f"{found!r}: service_type: expected the name of its service; a handler is {wanted}")
    made = OwnHandler(name)
    effect: Effect = getattr(found, "effect", "once")
    lease_max: float = getattr(found, "lease_max", 900)
    handler: Any = found
    for action in handler.supported_actions():
        made.actions[action] = Action(name=action, function=handler.handle, effect=effect, lease_max=lease_max)
    return made


def _attribute(name: str) -> Any:
    module, _, attribute = name.partition(":")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise UnknownHandler(f"{name}: there is no module {error.name!r} in {here} or among the installed packages") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [one for one, value in vars(found).items() if isinstance(value, OwnHandler)]
            raise UnknownHandler(f"{name}: {module} has no {attribute!r}{_nearest(attribute, known)}")
        found = getattr(found, part)
    return found


def _unknown(name: str) -> str:
    entries = [entry.name for entry in entry_points(group=GROUP)]
    known = [*BUILT_IN, *_factories, *registered(), *entries]
    listed = ", ".join(dict.fromkeys(known))
    return f"expected one of {listed}, or module:attribute, found {name!r}{_nearest(name, known)}"


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
