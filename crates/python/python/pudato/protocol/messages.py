"""The messages as pydantic models. Their texts are read and written by the same code as everywhere else in pudato."""

from __future__ import annotations

from typing import Any, Literal, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from pudato import _core

__all__ = ["Command", "DataReference", "Event", "ExecutionRecord", "Result"]


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="microseconds")


class DataReference(BaseModel):
    model_config = ConfigDict(defer_build=True)
    ref_type: str
    location: str
    format: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class ExecutionRecord(BaseModel):
    model_config = ConfigDict(defer_build=True)
    execution_type: str
    details: dict[str, Any] = Field(default_factory=dict)


class _Message(BaseModel):
    model_config = ConfigDict(defer_build=True)
    _kind = ""

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> Self:
        body = json_data.encode() if isinstance(json_data, str) else bytes(json_data)
        return cls.model_validate(_core.decode(cls._kind_of(), body))

    @classmethod
    def _kind_of(cls) -> str:
        raise NotImplementedError


class Command(_Message):
    type: str = Field(min_length=1)
    action: str = Field(min_length=1)
    payload: dict[str, Any] = Field(default_factory=dict)
    correlation_id: str = Field(default_factory=lambda: str(uuid4()))
    job_id: str | None = None
    step_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: str = Field(default_factory=_now)

    @classmethod
    def _kind_of(cls) -> str:
        return "command"


class Result(_Message):
    status: Literal["success", "error", "pending"]
    data: dict[str, Any] | None = None
    errors: list[str] = Field(default_factory=list)
    correlation_id: str
    job_id: str | None = None
    step_id: str | None = None
    duration_ms: NonNegativeInt = 0
    timestamp: str = Field(default_factory=_now)
    handler: str | None = None
    inputs: list[DataReference] = Field(default_factory=list)
    outputs: list[DataReference] = Field(default_factory=list)
    executions: list[ExecutionRecord] = Field(default_factory=list)

    @classmethod
    def _kind_of(cls) -> str:
        return "result"

    @classmethod
    def success(cls, correlation_id: str, data: dict[str, Any] | None = None, duration_ms: int = 0, **more: Any) -> Self:
        return cls(status="success", correlation_id=correlation_id, data=data, duration_ms=duration_ms, **more)

    @classmethod
    def error(cls, correlation_id: str, errors: list[str], duration_ms: int = 0, **more: Any) -> Self:
        return cls(status="error", correlation_id=correlation_id, errors=errors, duration_ms=duration_ms, **more)

    @classmethod
    def pending(cls, correlation_id: str, data: dict[str, Any] | None = None, **more: Any) -> Self:
        return cls(status="pending", correlation_id=correlation_id, data=data, **more)


class Event(_Message):
    type: str = Field(min_length=1)
    payload: dict[str, Any] = Field(default_factory=dict)
    correlation_id: str = Field(default_factory=lambda: str(uuid4()))
    timestamp: str = Field(default_factory=_now)
    source: str | None = None

    @classmethod
    def _kind_of(cls) -> str:
        return "event"
