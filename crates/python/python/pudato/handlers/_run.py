"""Runs an action and reports the outcome of its command."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pudato import _core
from pudato._claim import ClaimBody
from pudato.handlers.own import Action, Answer, Context, OwnHandler, Retry, Unavailable
from pudato.protocol import Command, Event, Result
from pudato.protocol.errors import HandlerError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

STOPS: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)
"""Exceptions that stop the program and do not fail the command."""


def handle(handler: OwnHandler, command: Command) -> Result:
    """Runs a Command without a queue."""
    action = _named(handler, command.action)
    if action is None:
        known = ", ".join(handler.supported_actions())
        return _failed(command, handler.service_type, [f"action: expected one of {known}, found {command.action!r}"])
    if command.type != handler.service_type:
        return _failed(command, handler.service_type, [f"type: expected {handler.service_type!r}, found {command.type!r}"])
    if action.fields is not None and (unknown := next((name for name in command.payload if name not in action.fields), None)):
        expected = f"{action.name} has no such field; expected some of {', '.join(action.fields)}"
        return _failed(command, handler.service_type, [f"payload.{unknown}: {expected}"])
    try:
        value = action.call(command, Context(command))
        if action.is_coroutine:
            # On a thread of its own, because the caller may be in a loop that is running, as in a notebook.
            with ThreadPoolExecutor(1) as thread:
                value = thread.submit(asyncio.run, value).result()
        result, _ = _answer(command, action, value)
    except (HandlerError, ValidationError) as error:
        result = _final(command, error)
    whole = {"handler": handler.service_type, "job_id": command.job_id, "step_id": command.step_id}
    return result.model_copy(update=whole)


def _named(handler: OwnHandler, name: str) -> Action | None:
    found = handler.actions.get(name)
    return found or next((one for one in handler.actions.values() if name in one.aliases), None)


def run(action: Action, taken: _core.Taken, stopped: Callable[[BaseException], None]) -> None:
    """Runs the action of a command on this thread."""
    command: Command | None = None
    try:
        command = Command.model_validate_json(ClaimBody(taken.command))
        tell(action, taken, command, action.call(command, Context(command, taken)))
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises affects only its own command
        fail(action, taken, command, error, stopped)


async def run_coroutine(action: Action, taken: _core.Taken, stopped: Callable[[BaseException], None]) -> None:
    """Runs the action of a command on the event loop."""
    command: Command | None = None
    try:
        command = Command.model_validate_json(ClaimBody(taken.command))
        tell(action, taken, command, await action.call(command, Context(command, taken)))
    except BaseException as error:  # noqa: BLE001 - as above
        if not (isinstance(error, asyncio.CancelledError) and taken.cancelled):
            fail(action, taken, command, error, stopped)


def tell(action: Action, taken: _core.Taken, command: Command, value: Any) -> None:
    """Answers a command with what its action returned."""
    try:
        result, events = _answer(command, action, value)
        bodies = [event.model_dump_json() for event in events]
        body = result.model_dump_json()
    except (HandlerError, Retry, Unavailable):
        raise
    except Exception as error:  # noqa: BLE001 - a retry would fail in the same way
        refused = Result.error(correlation_id=command.correlation_id, errors=[clean(f"the answer of {action.name}: {error}")])
        taken.answer(refused.model_dump_json(), [])
    else:
        taken.answer(body, bodies)


def fail(
    action: Action,
    taken: _core.Taken,
    command: Command | None,
    error: BaseException,
    stopped: Callable[[BaseException], None],
) -> None:
    """Reports the outcome of a command whose action raised."""
    try:
        _fail(action, taken, command, error, stopped)
    except Exception as again:  # noqa: BLE001 - even str() of a custom exception may raise
        taken.retry(clean(last_line(again)))


def _fail(
    action: Action,
    taken: _core.Taken,
    command: Command | None,
    error: BaseException,
    stopped: Callable[[BaseException], None],
) -> None:
    if isinstance(error, Retry):
        taken.retry(clean(error.why), error.after)
    elif isinstance(error, Unavailable):
        taken.unavailable(clean(error.why))
    elif isinstance(error, (HandlerError, ValidationError)) and command is not None:
        final = _final(command, error)
        try:
            body = final.model_dump_json()
        except Exception as refused:  # noqa: BLE001 - report the error without its details
            why = clean(f"the details of the error cannot be serialised: {refused}")
            body = final.model_copy(update={"data": None, "errors": [*final.errors, why]}).model_dump_json()
        taken.answer(body, [])
    elif isinstance(error, STOPS):
        stopped(error)
        taken.stop(clean(f"{taken.service} {action.name} asked the program to stop: {last_line(error)}"))
    else:
        log = logging.getLogger(f"pudato.handlers.{taken.service}")
        whole = "".join(traceback.format_exception(error))
        log.error("%s failed:\n%s", action.name, _core.redact(clean(whole.rstrip())), extra=_ids(command, taken))
        taken.retry(clean(last_line(error)))


def clean(text: str) -> str:
    """Escapes lone surrogates, so that the text can be encoded as UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def last_line(error: BaseException) -> str:
    """Returns the last line of the traceback."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _ids(command: Command | None, taken: _core.Taken) -> dict[str, Any]:
    if command is None:
        return {"attempt": taken.attempt}
    ids = {"correlation_id": command.correlation_id, "job_id": command.job_id, "step_id": command.step_id}
    return {**ids, "attempt": taken.attempt}


def _answer(command: Command, action: Action, value: Any) -> tuple[Result, list[Event]]:
    if isinstance(value, (Retry, Unavailable)):
        raise value
    if isinstance(value, Result):
        return value, []
    if value is None or isinstance(value, Mapping):
        return Result.success(correlation_id=command.correlation_id, data=dict(value or {})), []
    if isinstance(value, Answer):
        result = Result.success(
            correlation_id=command.correlation_id,
            data=dict(value.data),
            inputs=list(value.inputs),
            outputs=list(value.outputs),
            executions=list(value.executions),
        )
        return result, [_event(command, event) for event in value.events]
    kind = type(value).__name__
    raise HandlerError(f"{action.name} returned a {kind}; expected a dict, an Answer, a Result or None")


def _event(command: Command, event: Any) -> Event:
    if isinstance(event, Event):
        return event
    kind, payload = event
    return Event(type=kind, payload=dict(payload), correlation_id=command.correlation_id)


def _final(command: Command, error: HandlerError | ValidationError) -> Result:
    result = Result.error(correlation_id=command.correlation_id, errors=[clean(error.message or str(error))])
    details = error.details
    if details is None:
        return result
    data = dict(details) if isinstance(details, Mapping) else {"details": details}
    return result.model_copy(update={"data": data})


def _failed(command: Command, service: str, errors: list[str]) -> Result:
    return Result.error(
        correlation_id=command.correlation_id,
        errors=errors,
        handler=service,
        job_id=command.job_id,
        step_id=command.step_id,
    )
