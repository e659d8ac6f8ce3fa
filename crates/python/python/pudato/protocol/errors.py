"""The errors of pudato."""

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
    """An action failed for good. Its text becomes the error of the Result."""


class ValidationError(_Detailed):
    """A payload is not as the action expects it."""


class BackendError(_Detailed):
    """A store or an engine failed."""
