"""pudato's errors."""

from __future__ import annotations

from typing import Any

from pudato._core import CallTimeout, ConfigurationError, MessageError, PudatoError, RefusedError, UnavailableError

__all__ = [
    "BackendError",
    "CallTimeout",
    "ConfigurationError",
    "HandlerError",
    "MessageError",
    "PudatoError",
    "RefusedError",
    "UnavailableError",
    "ValidationError",
]


class _Detailed(PudatoError):
    def __init__(self, message: str = "", details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class HandlerError(_Detailed):
    """An action failed, and a retry will not help. The text becomes the error in the Result."""


class ValidationError(_Detailed):
    """A payload is invalid for its action. The command is not retried."""


class BackendError(_Detailed):
    """A store or an engine failed."""
