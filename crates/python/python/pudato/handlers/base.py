"""Base classes for handlers that are written as classes."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

from pudato.protocol import Command, DataReference, Event, ExecutionRecord, Result

__all__ = ["BaseHandler", "Handler"]


@runtime_checkable
class Handler(Protocol):
    """The interface of a handler."""

    service_type: str
    """The `type` of its Commands."""

    def handle(self, command: Command) -> Result:
        """Handles a Command."""
        ...

    def supported_actions(self) -> list[str]:
        """Returns the names of its actions."""
        ...


class BaseHandler(ABC):
    """A handler that measures its run time and turns every exception into an error Result.

    A subclass sets `service_type` and implements `_handle` and `supported_actions`. Because every exception becomes a final error Result,
    no command is retried. If you want retries, use `pudato.handler`.
    """

    service_type: str = ""

    def __init__(self) -> None:
        self._log = logging.getLogger(f"pudato.handlers.{self.service_type}")

    def handle(self, command: Command) -> Result:
        """Handles a Command and sets the duration of its Result."""
        began = time.perf_counter()
        try:
            if command.action not in self.supported_actions():
                return self._error(command, [f"Unsupported action: {command.action}"])
            result = self._handle(command)
        except Exception as error:
            log = getattr(self, "_log", None) or logging.getLogger("pudato.handlers")
            log.exception("the command failed", extra={"correlation_id": command.correlation_id})
            return self._error(command, [str(error)], _since(began))
        if result.duration_ms == 0:
            return result.model_copy(update={"duration_ms": _since(began)})
        return result

    @abstractmethod
    def _handle(self, command: Command) -> Result:
        """Handles a Command whose action is supported."""

    @abstractmethod
    def supported_actions(self) -> list[str]:
        """Returns the names of its actions."""

    def _success(
        self,
        command: Command,
        data: dict[str, Any] | None = None,
        duration_ms: int = 0,
        inputs: list[DataReference] | None = None,
        outputs: list[DataReference] | None = None,
        executions: list[ExecutionRecord] | None = None,
    ) -> Result:
        """Returns a success Result for a Command."""
        return Result.success(
            correlation_id=command.correlation_id,
            data=data,
            duration_ms=duration_ms,
            handler=self.service_type,
            inputs=inputs or [],
            outputs=outputs or [],
            executions=executions or [],
            job_id=command.job_id,
            step_id=command.step_id,
        )

    def _error(self, command: Command, errors: list[str], duration_ms: int = 0) -> Result:
        """Returns a final error Result for a Command."""
        return Result.error(
            correlation_id=command.correlation_id,
            errors=errors,
            duration_ms=duration_ms,
            handler=self.service_type,
            job_id=command.job_id,
            step_id=command.step_id,
        )

    def _pending(self, command: Command, data: dict[str, Any] | None = None) -> Result:
        """Returns a pending Result for a Command whose work continues elsewhere. The code that finishes the work publishes the final Result."""
        return Result.pending(
            correlation_id=command.correlation_id,
            data=data,
            handler=self.service_type,
            job_id=command.job_id,
            step_id=command.step_id,
        )

    def create_event(self, event_type: str, command: Command, payload: dict[str, Any] | None = None) -> Event:
        """Makes an Event about a Command. The caller publishes it."""
        return Event(
            type=event_type,
            payload=payload or {},
            correlation_id=command.correlation_id,
            source=self.service_type,
        )


def _since(began: float) -> int:
    return int((time.perf_counter() - began) * 1000)
