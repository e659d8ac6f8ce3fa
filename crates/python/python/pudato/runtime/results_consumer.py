"""The results consumer, which writes every Result and its lineage to the registry.

Run it as a Lambda function (`handle`), or as a program until Ctrl-C (`run_local`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from pudato import _core
from pudato._fabric import opening
from pudato.config import Settings
from pudato.handlers.base import Handler
from pudato.handlers.registry import RegistryHandler
from pudato.protocol import Command, Result
from pudato.runtime import _functions
from pudato.runtime._serve import serve

__all__ = ["handle", "process_result", "run_local"]


def _create_registry_handler() -> RegistryHandler:
    """Returns the registry that the settings name."""
    return RegistryHandler(settings=_functions.settings_here())


def process_result(result: Result, registry: RegistryHandler | Handler) -> dict[str, Any]:
    """Writes one Result to a registry.

    Args:
        result: The Result.
        registry: The registry. A handler of another class receives an `update_step` Command instead.

    Returns:
        `{"correlation_id", "action": "skipped", "reason": "no_step_id"}` for a Result that belongs to no step, and otherwise
        `{"correlation_id", "step_id", "action": "updated", "status"}`, with `errors` if the status is `error`.
    """
    if isinstance(registry, RegistryHandler):
        return _outcome((result.correlation_id, result.step_id, result.status, registry._apply(result)))
    if not result.step_id:
        return _skipped(result.correlation_id)
    answer = registry.handle(_update(result))
    return _updated(result.correlation_id, result.step_id, [] if answer.status == "success" else answer.errors)


def handle(event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
    """Writes the Results of an SQS event to the registry.

    Args:
        event: `{"Records": [{"messageId": .., "receiptHandle": .., "body": ..}]}`. A record may have only a `body`.
        context: The Lambda context, which says how much time is left.

    Returns:
        `processed`: how many messages are done. `outcomes`: what `process_result` returns for each Result. `batchItemFailures`: the messages to deliver
        again.

    Raises:
        PudatoError: The function cannot be opened, or the event is not from SQS. Lambda delivers the whole event again.
    """
    registry = _create_registry_handler()
    if not isinstance(registry, RegistryHandler):
        return _handle_with(registry, event)
    settings = _functions.settings_here()
    if registry._is_own:
        opened = _functions.function(settings, "results")
    else:
        opened = _functions.open_function(settings, "results", registry._registry())
    done, left = _functions.handle(opened, event, context)
    return _response(event, [_outcome(one) for one in done], left)


def run_local(poll_interval: float = 1.0, max_messages: int = 10) -> None:
    """Consumes the results queue and the events queue until Ctrl-C or SIGTERM.

    Args:
        poll_interval: Ignored; accepted for older programs. The consumer waits for messages and does not poll.
        max_messages: Ignored; accepted for older programs. Each receive asks for as many messages as the fabric allows.

    Raises:
        ConfigurationError: A setting is invalid or missing.
        UnavailableError: The fabric or the registry cannot be reached.
    """
    if not poll_interval >= 0:
        raise ValueError(f"poll_interval: expected seconds, 0 or more, found {poll_interval!r}")
    if not max_messages >= 1:
        raise ValueError(f"max_messages: expected 1 or more, found {max_messages!r}")
    settings = Settings()
    _core.start_logs(settings._core)
    serving = _core.Serving(opening(settings), [])
    serve(serving, ["results"], drain_seconds=settings.drain_seconds)


def _handle_with(registry: Handler, event: Mapping[str, Any]) -> dict[str, Any]:
    """Handles an event with a registry handler of another class."""
    outcomes: list[dict[str, Any]] = []
    left: list[str] = []
    for number, record in enumerate(event["Records"]):
        try:
            outcomes.append(process_result(Result.model_validate_json(_bare(record["body"])), registry))
        except Exception:
            logging.getLogger("pudato.runtime").exception("a Result could not be written; it will be delivered again")
            left.append(record.get("messageId") or f"record-{number}")
    return _response(event, outcomes, left)


def _bare(body: str) -> str:
    """Unwraps a body that has `Message` and no other field."""
    fields = json.loads(body)
    if isinstance(fields, dict) and list(fields) == ["Message"] and isinstance(fields["Message"], str):
        return fields["Message"]
    return body


def _response(event: Mapping[str, Any], outcomes: list[dict[str, Any]], left: list[str]) -> dict[str, Any]:
    done = len(event.get("Records", ())) - len(left)
    return {"processed": done, "outcomes": outcomes, "batchItemFailures": _functions.failures(left)}


def _outcome(done: _functions.Done) -> dict[str, Any]:
    correlation_id, step_id, _, applied = done
    if not step_id or applied == "skipped":
        return _skipped(correlation_id)
    if applied == "mismatched":
        why = f"the Result does not match the step {step_id}: its job, service, action or correlation id differs; the step is unchanged"
        return _updated(correlation_id, step_id, [why])
    return _updated(correlation_id, step_id, [])


def _skipped(correlation_id: str) -> dict[str, Any]:
    return {"correlation_id": correlation_id, "action": "skipped", "reason": "no_step_id"}


def _updated(correlation_id: str, step_id: str, errors: list[str]) -> dict[str, Any]:
    updated = {"correlation_id": correlation_id, "step_id": step_id, "action": "updated"}
    if errors:
        return {**updated, "status": "error", "errors": errors}
    return {**updated, "status": "success"}


def _update(result: Result) -> Command:
    payload: dict[str, Any] = {
        "step_id": result.step_id,
        "status": {"success": "success", "error": "failed", "pending": "running"}[result.status],
        "duration_ms": result.duration_ms,
    }
    for name in ("inputs", "outputs", "executions"):
        if listed := getattr(result, name):
            payload[name] = [one.model_dump() for one in listed]
    if result.errors:
        payload["error"] = "; ".join(result.errors)
    return Command(
        type="registry",
        action="update_step",
        payload=payload,
        correlation_id=result.correlation_id,
        job_id=result.job_id,
        step_id=result.step_id,
    )
