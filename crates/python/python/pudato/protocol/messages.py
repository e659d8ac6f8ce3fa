"""The messages as pydantic models. pudato's core parses and serialises them, as everywhere else in pudato.

The format follows docs/design/messages.md: size, depth and the number of keys are limited, duplicate keys are an error, a timestamp is
written exactly as it was read, and no value changes silently. `model_dump_json` and `model_dump(mode="json")` produce the same JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    WithJsonSchema,
    WrapSerializer,
)

from pudato import _core, values

__all__ = ["Command", "DataReference", "Event", "ExecutionRecord", "Result"]


def _written(name: str, kind: Any) -> WrapSerializer:
    """Makes pydantic serialise a field with arbitrary values in the wire format."""

    def plain(value: Any, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(_core.plain(value, name))

    return WrapSerializer(plain, return_type=kind, when_used="json")


_Data = Annotated[dict[str, Any] | None, _written("data", dict[str, Any] | None)]
_Details = Annotated[dict[str, Any], _written("details", dict[str, Any])]
_Metadata = Annotated[dict[str, Any], _written("metadata", dict[str, Any])]
_Payload = Annotated[dict[str, Any], _written("payload", dict[str, Any])]
_Timestamp = Annotated[
    str, AfterValidator(_core.timestamp), WithJsonSchema({"type": "string", "format": "date-time"})
]


class _Model(BaseModel):
    model_config = ConfigDict(defer_build=True)

    def model_dump_json(self, **how: Any) -> str:
        """Serialises the message to one line of JSON, with the fields in the order of the message format.

        Args:
            **how: pydantic's options: `indent`, `include`, `exclude`, `exclude_none`, and so on.

        Raises:
            MessageError: A value cannot be serialised, or a field is invalid. The error text names it, e.g. `payload.a[3]`.
        """
        if not how:
            return _core.encode(self)
        indent, ensure_ascii = how.pop("indent", None), how.pop("ensure_ascii", False)
        text = _core.dumps(self.model_dump(mode="json", **how), "")
        if indent is None and not ensure_ascii:
            return text
        separators = (",", ":") if indent is None else (",", ": ")
        return _core.escaped(json.dumps(json.loads(text), indent=indent, ensure_ascii=ensure_ascii, separators=separators))


class DataReference(_Model):
    """A dataset that was read or written."""

    # Before 2.14, pydantic cannot serialise this class inside a Result if its build is deferred.
    model_config = ConfigDict(defer_build=False)

    ref_type: str = Field(description="What it is: file, table, model, ...")
    location: str = Field(description="Where it is, e.g. s3://bucket/key")
    format: str | None = Field(default=None, description="How it is stored, e.g. csv")
    metadata: _Metadata = Field(default_factory=dict, description="Statistics and the like, e.g. row_count")


class ExecutionRecord(_Model):
    """Something that the action executed, e.g. a SQL statement."""

    model_config = ConfigDict(defer_build=False)

    execution_type: str = Field(description="What kind: sql, python, dbt, ...")
    details: _Details = Field(default_factory=dict, description="The details")

    @classmethod
    def sql(cls, statements: list[str], dialect: str = "duckdb", **extra: Any) -> Self:
        """Records SQL statements."""
        return cls(execution_type="sql", details={"dialect": dialect, "statements": statements, **extra})

    @classmethod
    def python(cls, module: str, function: str, args: Any = None, code_hash: str | None = None, **extra: Any) -> Self:
        """Records a call of a Python function. `args` is usually a dict or a list; it is `{}` by default."""
        details = {"module": module, "function": function, "args": args or {}, "code_hash": code_hash, **extra}
        return cls(execution_type="python", details=details)

    @classmethod
    def dbt(
        cls,
        command: str,
        models: list[str] | None = None,
        compiled_sql: list[str] | None = None,
        project_dir: str | None = None,
        target: str | None = None,
        **extra: Any,
    ) -> Self:
        """Records a dbt run."""
        details = {
            "command": command,
            "models": models or [],
            "compiled_sql": compiled_sql or [],
            "project_dir": project_dir,
            "target": target,
            **extra,
        }
        return cls(execution_type="dbt", details=details)


class _Message(_Model):
    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """Parses a message from JSON, with or without an SNS envelope.

        Args:
            json_data: The body of a queue message.
            **how: pydantic's options: `context`, `extra`, `by_alias`, `by_name`. Parsing is always strict about types.

        Raises:
            pydantic.ValidationError: The message is invalid. The errors name the fields; `body` means the text as a whole.
        """
        if not how:
            message: Self = _core.decode(cls, json_data)
            return message
        how.pop("strict", None)
        return cls._of_fields(_core.fields(cls, json_data), **how)

    @classmethod
    def _by_pydantic(cls, text: str) -> Self:
        return super().model_validate_json(text, strict=True)

    @classmethod
    def _refused(cls, text: str | None, field: str, reason: str) -> ValidationError:
        """Makes the error for a text that the codec rejects."""
        from pudato.protocol._refused import refused

        return refused(cls.__name__, cls._by_pydantic, text, field, reason)

    @classmethod
    def _of_fields(cls, fields: dict[str, Any], **how: Any) -> Self:
        """Makes a message from fields that the codec has checked. In fields that a subclass adds, tagged bytes and floats are decoded."""
        base = next(base for base in (Command, Result, Event) if issubclass(cls, base))
        known = base.model_fields
        own = {name: value if name in known else values.decode(value) for name, value in fields.items()}
        return cls.model_validate(own, **how)

    @classmethod
    def from_json(cls, data: str | bytes | bytearray) -> Self:
        """Same as `model_validate_json`."""
        return cls.model_validate_json(data)

    def to_json(self) -> str:
        """Same as `model_dump_json`."""
        return self.model_dump_json()


class _Published(_Message):
    @classmethod
    def from_sns_message(cls, message: Mapping[str, Any]) -> Self:
        """Reads a message from the JSON object that SNS delivers, or from the message's fields.

        Args:
            message: A notification with the JSON in `Message`, or the fields of the message.

        Raises:
            pydantic.ValidationError: It is not a valid message of this type.
        """
        if "TopicArn" in message:
            return cls.model_validate_json(json.dumps(dict(message)))
        if "Message" in message and "type" not in message:
            return cls.model_validate_json(message["Message"])
        return cls.model_validate(dict(message))


class Command(_Published):
    """A request to a handler."""

    type: str = Field(min_length=1, description="The service that handles it: storage, query, transform, registry or one of your own")
    action: str = Field(min_length=1, description="What the service does, e.g. put_object")
    payload: _Payload = Field(default_factory=dict, description="The arguments of the action")
    correlation_id: str = Field(default_factory=_core.new_id, description="Ties every message of one request together")
    job_id: str | None = Field(default=None, description="The job it belongs to")
    step_id: str | None = Field(default=None, description="The step of the job")
    metadata: _Metadata = Field(default_factory=dict, description="Context: idempotency_key, source, user and your own fields")
    timestamp: _Timestamp = Field(default_factory=_core.now, description="When it was made")


class Result(_Message):
    """A handler's answer to a Command."""

    status: Literal["success", "error", "pending"] = Field(description="How it ended")
    data: _Data = Field(default=None, description="The answer")
    errors: list[str] = Field(default_factory=list, description="What went wrong, one string per error")
    correlation_id: str = Field(description="Copied from the Command")
    job_id: str | None = Field(default=None, description="Copied from the Command")
    step_id: str | None = Field(default=None, description="Copied from the Command")
    duration_ms: int = Field(default=0, ge=0, le=2**64 - 1, description="How long the handler took, in milliseconds")
    timestamp: _Timestamp = Field(default_factory=_core.now, description="When it was made")
    handler: str | None = Field(default=None, description="The service that answered")
    inputs: list[SerializeAsAny[DataReference]] = Field(default_factory=list, description="What was read")
    outputs: list[SerializeAsAny[DataReference]] = Field(default_factory=list, description="What was written")
    executions: list[SerializeAsAny[ExecutionRecord]] = Field(default_factory=list, description="What was executed")

    @classmethod
    def success(
        cls,
        correlation_id: str,
        data: dict[str, Any] | None = None,
        duration_ms: int = 0,
        handler: str | None = None,
        inputs: list[DataReference] | None = None,
        outputs: list[DataReference] | None = None,
        executions: list[ExecutionRecord] | None = None,
        job_id: str | None = None,
        step_id: str | None = None,
    ) -> Self:
        """Makes the Result of a successful action."""
        return cls(
            status="success",
            data=data,
            correlation_id=correlation_id,
            job_id=job_id,
            step_id=step_id,
            duration_ms=duration_ms,
            handler=handler,
            inputs=inputs or [],
            outputs=outputs or [],
            executions=executions or [],
        )

    @classmethod
    def error(
        cls,
        correlation_id: str,
        errors: list[str],
        duration_ms: int = 0,
        handler: str | None = None,
        job_id: str | None = None,
        step_id: str | None = None,
    ) -> Self:
        """Makes the Result of a failed action. The Command is not retried."""
        return cls(
            status="error",
            errors=errors,
            correlation_id=correlation_id,
            job_id=job_id,
            step_id=step_id,
            duration_ms=duration_ms,
            handler=handler,
        )

    @classmethod
    def pending(
        cls,
        correlation_id: str,
        data: dict[str, Any] | None = None,
        handler: str | None = None,
        job_id: str | None = None,
        step_id: str | None = None,
    ) -> Self:
        """Makes the Result of an action that is still running. Another Result will follow."""
        return cls(
            status="pending",
            data=data,
            correlation_id=correlation_id,
            job_id=job_id,
            step_id=step_id,
            handler=handler,
        )


class Event(_Published):
    """Something that happened and that other programs may want to know about."""

    type: str = Field(min_length=1, description="service.what_happened, e.g. storage.object_created")
    payload: _Payload = Field(default_factory=dict, description="The details")
    correlation_id: str = Field(default_factory=_core.new_id, description="The correlation id of the Command that caused it")
    timestamp: _Timestamp = Field(default_factory=_core.now, description="When it happened")
    source: str | None = Field(default=None, description="Which program published it, e.g. storage-handler")
