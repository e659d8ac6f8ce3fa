"""The built-in services, without a queue."""

from __future__ import annotations

from typing import ClassVar

from pudato import _core
from pudato._claim import ClaimBody
from pudato._fabric import opening
from pudato.config import Settings
from pudato.protocol import Command, Result


class BuiltIn:
    """The handler of a built-in service. It opens on first use."""

    service_type: ClassVar[str] = ""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._opened: _core.Service | None = None

    def handle(self, command: Command) -> Result:
        """Runs a Command without a queue and returns its Result.

        Raises:
            UnavailableError: A store or an engine cannot be reached.
            ConfigurationError: A setting cannot be used.
        """
        result = self._service().handle(command.model_dump_json().encode())
        # It never travelled, so the limits of a queue do not apply.
        return Result.model_validate_json(ClaimBody(result))

    def supported_actions(self) -> list[str]:
        """The names of its actions, with their aliases."""
        return self._service().actions()

    def _service(self) -> _core.Service:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> _core.Service:
        settings = self._settings if self._settings is not None else Settings()
        return _core.Service(opening(settings), self.service_type)
