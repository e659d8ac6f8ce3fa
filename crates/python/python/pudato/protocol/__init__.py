"""The messages: Command, Result and Event."""

from pudato.protocol.errors import (
    BackendError,
    ConfigurationError,
    HandlerError,
    MessageError,
    PudatoError,
    ValidationError,
)
from pudato.protocol.messages import Command, DataReference, Event, ExecutionRecord, Result

__all__ = [
    "BackendError",
    "Command",
    "ConfigurationError",
    "DataReference",
    "Event",
    "ExecutionRecord",
    "HandlerError",
    "MessageError",
    "PudatoError",
    "Result",
    "ValidationError",
]
