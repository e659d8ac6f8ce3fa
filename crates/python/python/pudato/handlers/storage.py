"""The service `storage`, without a queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from pudato.config import Settings
from pudato.handlers._built_in import BuiltIn
from pudato.protocol import Command, Result
from pudato.protocol.errors import HandlerError

if TYPE_CHECKING:
    from pudato.backends.storage import S3Backend

__all__ = ["StorageHandler"]


class StorageHandler(BuiltIn):
    """Handles the Commands of the service `storage`; docs/commands.md lists its actions.

    Args:
        backend: The store of the objects; by default the containers that the settings name.
        settings: The settings; by default from the environment.
    """

    service_type: ClassVar[str] = "storage"

    def __init__(self, backend: S3Backend | None = None, *, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._backend = backend

    def handle(self, command: Command) -> Result:
        """Runs a Command without a queue and returns its Result.

        Raises:
            UnavailableError: The store cannot be reached.
            ConfigurationError: A setting cannot be used.
        """
        if self._backend is None:
            return super().handle(command)
        began = time.perf_counter()
        try:
            if command.action not in _ACTIONS:
                raise HandlerError(f"action: expected one of {', '.join(_ACTIONS)}, found {command.action!r}")
            data, inputs, outputs = self._backend.run(command.action, command.payload)
        except HandlerError as error:
            result = Result.error(correlation_id=command.correlation_id, errors=[error.message])
        else:
            result = Result.success(correlation_id=command.correlation_id, data=data, inputs=inputs, outputs=outputs)
        ids = {"handler": self.service_type, "job_id": command.job_id, "step_id": command.step_id}
        return result.model_copy(update={**ids, "duration_ms": int((time.perf_counter() - began) * 1000)})

    def supported_actions(self) -> list[str]:
        """The names of its actions."""
        return super().supported_actions() if self._backend is None else list(_ACTIONS)


_ACTIONS = ("put_object", "get_object", "list_objects", "delete_object", "head_object")
