"""The messages behave like pydantic models in every respect, and follow the contract where pydantic would be more lenient."""

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import datetime
from inspect import signature
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from pudato.protocol import Command, DataReference, Event, ExecutionRecord, MessageError, Result

TIME = "2026-11-23T10:15:30.123456+00:00"


def locs(error: pytest.ExceptionInfo[ValidationError]) -> list[tuple[int | str, ...]]:
    return [one["loc"] for one in error.value.errors()]


def command(**more: Any) -> Command:
    return Command(type="storage", action="put_object", correlation_id="req-1", timestamp=TIME, **more)


def result(**more: Any) -> Result:
    return Result(status="success", correlation_id="req-1", timestamp=TIME, **more)


# Fields and defaults.


def test_a_command_has_the_defaults_of_the_contract() -> None:
    made = Command(type="storage", action="put_object")
    assert made.payload == {} and made.metadata == {}
    assert made.job_id is None and made.step_id is None
    assert len(made.correlation_id) == 36
    assert made.correlation_id != Command(type="storage", action="put_object").correlation_id
    assert datetime.fromisoformat(made.timestamp).utcoffset() is not None
    assert made.timestamp.endswith("+00:00") and len(made.timestamp) == len(TIME)


def test_defaults_are_not_shared_between_messages() -> None:
    one, other = Command(type="a", action="b"), Command(type="a", action="b")
    one.payload["k"] = 1
    assert other.payload == {}
    one, other = (Command.model_validate_json('{"type":"a","action":"b"}') for _ in range(2))
    one.payload["k"] = 1
    assert other.payload == {}


def test_a_result_has_the_defaults_of_the_contract() -> None:
    made = Result(status="success", correlation_id="req-1")
    assert made.data is None and made.errors == [] and made.duration_ms == 0 and made.handler is None
    assert made.inputs == [] and made.outputs == [] and made.executions == []


def test_success_error_and_pending_make_the_results_of_their_names() -> None:
    done = Result.success(correlation_id="req-123", data={"etag": "abc123"}, duration_ms=45)
    assert (done.status, done.data, done.duration_ms) == ("success", {"etag": "abc123"}, 45)
    failed = Result.error(correlation_id="req-123", errors=["File not found"])
    assert (failed.status, failed.errors, failed.data) == ("error", ["File not found"], None)
    going = Result.pending(correlation_id="req-123", data={"task_id": "async-456"})
    assert (going.status, going.data) == ("pending", {"task_id": "async-456"})


def test_success_error_and_pending_take_their_arguments_by_position() -> None:
    reference, record = DataReference(ref_type="file", location="a"), ExecutionRecord.sql(["SELECT 1"])
    done = Result.success("c", {"k": 1}, 5, "storage", [reference], [reference], [record], "job", "step")
    assert (done.correlation_id, done.data, done.duration_ms, done.handler) == ("c", {"k": 1}, 5, "storage")
    assert (done.inputs, done.outputs, done.executions) == ([reference], [reference], [record])
    assert (done.job_id, done.step_id) == ("job", "step")
    failed = Result.error("c", ["e"], 5, "storage", "job", "step")
    assert (failed.errors, failed.duration_ms, failed.handler) == (["e"], 5, "storage")
    going = Result.pending("c", {"k": 1}, "storage", "job", "step")
    assert (going.data, going.handler, going.job_id, going.step_id) == ({"k": 1}, "storage", "job", "step")


def test_execution_records_of_sql_python_and_dbt_keep_their_details() -> None:
    sql = ExecutionRecord.sql(["SELECT 1"], rows=3)
    assert (sql.execution_type, sql.details) == ("sql", {"dialect": "duckdb", "statements": ["SELECT 1"], "rows": 3})
    assert ExecutionRecord.sql(statements=["S"], dialect="postgresql").details["dialect"] == "postgresql"
    python = ExecutionRecord.python("m", "f", args=["a.csv"], code_hash="h", version="1")
    expected: dict[str, Any] = {"module": "m", "function": "f", "args": ["a.csv"], "code_hash": "h", "version": "1"}
    assert (python.execution_type, python.details) == ("python", expected)
    assert ExecutionRecord.python("m", "f").details["args"] == {}
    dbt = ExecutionRecord.dbt("build", target="prod", threads=4)
    expected = {"command": "build", "models": [], "compiled_sql": [], "project_dir": None, "target": "prod", "threads": 4}
    assert (dbt.execution_type, dbt.details) == ("dbt", expected)
    spark = ExecutionRecord(execution_type="spark", details={"app": "etl"})
    assert spark.model_dump() == {"execution_type": "spark", "details": {"app": "etl"}}


def test_a_reference_takes_any_type_and_location() -> None:
    for kind in ["table", "file", "stream", "model", "api", "view"]:
        made = DataReference(ref_type=kind, location="x")
        assert made.model_dump() == {"ref_type": kind, "location": "x", "format": None, "metadata": {}}
    made = DataReference(ref_type="file", location="s3://b/k", format="parquet", metadata={"row_count": 100})
    assert made.metadata["row_count"] == 100 and made.format == "parquet"


# Like pydantic.


def test_unknown_keywords_are_ignored_and_positions_refused() -> None:
    assert not hasattr(command(unknown=1), "unknown")
    with pytest.raises(TypeError):
        Command("storage", "put_object")  # type: ignore[call-arg]


def test_errors_are_validation_errors_with_every_wrong_field() -> None:
    with pytest.raises(ValidationError) as error:
        Command(payload=None, metadata=[])  # type: ignore[call-arg, arg-type]
    assert set(locs(error)) == {("type",), ("action",), ("payload",), ("metadata",)}
    assert {one["type"] for one in error.value.errors()} == {"missing", "dict_type"}
    assert isinstance(error.value, ValueError)
    for wrong in ({"type": 5, "action": "a"}, {"type": "t", "action": "a", "payload": [1]}):
        with pytest.raises(ValueError):
            Command.model_validate(wrong)


def test_the_top_dict_is_copied() -> None:
    payload = {"k": 1}
    made = command(payload=payload)
    payload["k"] = 2
    assert made.payload == {"k": 1}


def test_changes_in_place_are_written() -> None:
    made = command()
    made.payload["k"] = [1]
    made.payload["k"].append(2)
    made.job_id = "job-1"
    assert json.loads(made.to_json())["payload"] == {"k": [1, 2]}
    assert json.loads(made.to_json())["job_id"] == "job-1"
    read = Command.from_json(made.to_json())
    read.payload["k"].append(3)
    assert json.loads(read.to_json())["payload"] == {"k": [1, 2, 3]}


def test_messages_with_equal_fields_are_equal_however_they_were_made() -> None:
    made = result(data={"k": 1}, inputs=[DataReference(ref_type="file", location="a")])
    read = Result.model_validate_json(made.model_dump_json())
    assert read == made and read != result()
    assert type(read) is Result and type(read.inputs[0]) is DataReference
    with pytest.raises(TypeError):
        hash(read)


def test_copies_and_pickles_are_the_same_message() -> None:
    for made in (command(payload={"k": [1]}), Command.from_json(command(payload={"k": [1]}).to_json())):
        for same in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), made.model_copy()):
            assert same == made and same.model_fields_set == made.model_fields_set
        deep = copy.deepcopy(made)
        deep.payload["k"].append(2)
        assert made.payload == {"k": [1]}
        assert made.model_copy(update={"job_id": "j"}).job_id == "j"


def test_a_message_that_was_read_is_a_whole_pydantic_instance() -> None:
    read = Command.model_validate_json('{"action":"a","type":"t"}')
    assert read.model_fields_set == {"type", "action"}
    assert read.model_extra is None
    assert [name for name, _ in read] == list(Command.model_fields)
    assert "type='t'" in repr(read)
    assert read.model_dump(exclude_unset=True) == {"type": "t", "action": "a"}
    assert json.loads(read.model_dump_json(exclude_unset=True)) == {"type": "t", "action": "a"}
    read.step_id = "s"
    assert "step_id" in read.model_fields_set
    with pytest.raises(AttributeError):
        _ = read.unknown  # type: ignore[attr-defined]


def test_parts_may_be_dicts_and_numbers_may_be_strings() -> None:
    made = Result.model_validate(
        {
            "status": "success",
            "correlation_id": "c",
            "duration_ms": "5",
            "inputs": [{"ref_type": "file", "location": "a"}],
            "executions": [{"execution_type": "sql"}],
        }
    )
    assert made.duration_ms == 5 and result(duration_ms=1.0).duration_ms == 1
    assert isinstance(made.inputs[0], DataReference) and isinstance(made.executions[0], ExecutionRecord)
    with pytest.raises(ValidationError) as error:
        Result.model_validate({"status": "success", "correlation_id": "c", "inputs": [{"location": "a"}]})
    assert locs(error) == [("inputs", 0, "ref_type")]


class Tenanted(Command):
    tenant: str = "none"
    share: float = 0.0
    seal: bytes = b""


class Measured(DataReference):
    rows: int = 0


def test_a_subclass_reads_and_writes_its_own_fields() -> None:
    made = Tenanted(type="t", action="a", tenant="x", share=math.inf, payload={"b": b"\xff"})
    text = made.model_dump_json()
    assert list(json.loads(text))[:9] == [*Command.model_fields, "tenant"]
    read = Tenanted.model_validate_json(text)
    assert type(read) is Tenanted and (read.tenant, read.share) == ("x", math.inf)
    assert read.payload == {"b": {"$type": "blob", "base64": "/w=="}}
    assert Command.model_validate_json(text).action == "a"
    with pytest.raises(ValidationError) as error:
        Tenanted.model_validate_json('{"type":"t","action":"a","tenant":5}')
    assert locs(error) == [("tenant",)]


def test_a_part_of_a_subclass_is_written_with_its_own_fields() -> None:
    made = result(inputs=[Measured(ref_type="file", location="a", rows=3)])
    assert json.loads(made.model_dump_json())["inputs"][0]["rows"] == 3
    assert made.model_dump(mode="json")["inputs"][0]["rows"] == 3


class Job(BaseModel):
    command: Command
    results: list[Result] = []


def test_a_message_may_be_a_field_of_another_model() -> None:
    job = Job(command=command(payload={"f": math.nan, "b": b"a"}), results=[result(data={"n": 2**70})])
    text = job.model_dump_json()
    assert json.loads(text)["command"]["payload"]["f"] == {"$type": "float", "value": "NaN"}
    assert json.loads(text)["command"]["payload"]["b"] == {"$type": "blob", "base64": "YQ=="}
    assert json.loads(text)["results"][0]["data"]["n"] == str(2**70)
    assert Job.model_validate_json(text).command.action == "put_object"


def test_type_adapters_read_and_write_messages() -> None:
    adapter = TypeAdapter(list[Command])
    read = adapter.validate_json(b"[" + command().model_dump_json().encode() + b"]")
    assert read == [command()]
    assert json.loads(adapter.dump_json(read)) == [json.loads(command().model_dump_json())]
    with pytest.raises(ValidationError) as error:
        adapter.validate_python([{"type": "", "action": "a"}])
    assert locs(error) == [(0, "type")]


def test_the_json_schema_names_the_rules() -> None:
    for mode in ("validation", "serialization"):
        schema = Command.model_json_schema(mode=mode)
        assert schema["required"][:2] == ["type", "action"]
        assert schema["properties"]["type"]["minLength"] == 1
        assert schema["properties"]["timestamp"]["format"] == "date-time"
        assert schema["properties"]["payload"]["type"] == "object"
    assert Result.model_json_schema()["properties"]["duration_ms"]["minimum"] == 0


def test_fastapi_takes_a_message_as_body_and_returns_one() -> None:
    fastapi = pytest.importorskip("fastapi")
    client = pytest.importorskip("fastapi.testclient")
    app = fastapi.FastAPI()

    def post(body: Command) -> Result:
        return Result.success(body.correlation_id, {"share": math.inf, "action": body.action})

    # FastAPI cannot resolve the string annotations of a nested function.
    post.__annotations__ = {"body": Command, "return": Result}
    app.post("/commands")(post)
    with client.TestClient(app) as http:
        answer = http.post("/commands", json={"type": "storage", "action": "put", "correlation_id": "c"})
        assert answer.status_code == 200, answer.text
        expected = {"share": {"$type": "float", "value": "Infinity"}, "action": "put"}
        assert answer.json()["data"] == expected
        assert http.post("/commands", json={"type": "", "action": "put"}).status_code == 422
        assert http.get("/openapi.json").status_code == 200


@pytest.mark.skipif("extra" not in signature(BaseModel.model_validate).parameters, reason="this pydantic has no such option")
def test_unknown_fields_are_refused_on_request() -> None:
    with pytest.raises(ValidationError) as error:
        Command.model_validate_json('{"type":"t","action":"a","more":1}', extra="forbid")
    assert locs(error) == [("more",)]


# Like the contract, where pydantic is more lenient.


@pytest.mark.parametrize("field", ["type", "action"])
def test_an_empty_type_or_action_is_refused(field: str) -> None:
    fields = {"type": "t", "action": "a", field: ""}
    with pytest.raises(ValidationError) as error:
        Command(**fields)  # type: ignore[arg-type]
    assert locs(error) == [(field,)]
    with pytest.raises(ValidationError) as error:
        Command.model_validate_json(json.dumps(fields))
    assert locs(error) == [(field,)]


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31", "2026-01-31 09:00:00", "2026-13-01T00:00:00Z", ""])
def test_a_timestamp_that_is_not_rfc_3339_is_refused(text: str) -> None:
    fields = {"type": "a.b", "timestamp": text}
    with pytest.raises(ValidationError, match="RFC 3339") as error:
        Event.model_validate(fields)
    assert locs(error) == [("timestamp",)]
    with pytest.raises(ValidationError, match="RFC 3339") as error:
        Event.model_validate_json(json.dumps(fields))
    assert locs(error) == [("timestamp",)]


@pytest.mark.parametrize("text", ["2026-01-31T09:00:00Z", "2026-01-31T09:00:00.5+01:00", "2026-01-31t09:00:00z"])
def test_a_timestamp_is_written_as_it_was_read(text: str) -> None:
    assert json.loads(Event(type="a.b", timestamp=text).to_json())["timestamp"] == text
    read = Event.from_json(json.dumps({"type": "a.b", "timestamp": text}))
    assert read.timestamp == text and json.loads(read.to_json())["timestamp"] == text


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_duration_over_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValidationError) as error:
        result(duration_ms=number)
    assert locs(error) == [("duration_ms",)]
    with pytest.raises(ValidationError) as error:
        Result.from_json(json.dumps({"status": "success", "correlation_id": "c", "duration_ms": number}))
    assert locs(error) == [("duration_ms",)]


def test_a_field_changed_to_an_invalid_value_is_not_written() -> None:
    made = result(inputs=[DataReference(ref_type="file", location="a")])
    for field, value in [
        ("status", "done"),
        ("timestamp", "yesterday"),
        ("duration_ms", -1),
        ("duration_ms", True),
        ("correlation_id", None),
        ("errors", "e"),
        ("errors", [5]),
        ("data", [1]),
        ("inputs", [5]),
        ("inputs", [{"location": "a"}]),
    ]:
        wrong = made.model_copy(update={field: value})
        with pytest.raises(MessageError, match=f"^{field}"):
            wrong.model_dump_json()


def test_from_sns_message_takes_notifications_and_plain_fields() -> None:
    for sent in (command(payload={"Message": "inner"}), Event(type="a.b", payload={"Message": "inner"})):
        kind = type(sent)
        assert kind.from_sns_message({"Message": sent.to_json()}) == sent
        notification = {"Type": "Notification", "TopicArn": "arn:aws:sns:x:y:z", "Message": sent.to_json()}
        assert kind.from_sns_message(notification) == sent
        assert kind.from_sns_message(sent.model_dump()) == sent
        assert kind.from_sns_message({**sent.model_dump(), "Message": "not an envelope"}) == sent
        with pytest.raises(ValidationError):
            kind.from_sns_message({**notification, "Type": "SubscriptionConfirmation"})
        with pytest.raises(ValidationError):
            kind.from_sns_message({"Message": 5})


def test_both_ways_of_writing_agree() -> None:
    payload = {"f": math.nan, "i": -math.inf, "b": b"\xff\x00", "n": 2**70, "t": (1, {"x": bytearray(b"a")})}
    made = result(
        data=payload,
        inputs=[DataReference(ref_type="file", location="a", metadata=payload)],
        executions=[ExecutionRecord(execution_type="sql", details=payload)],
    )
    text = made.model_dump_json()
    assert made.model_dump(mode="json") == json.loads(text)
    assert json.loads(TypeAdapter(Result).dump_json(made)) == json.loads(text)
    assert made.model_dump()["data"] == made.data
    assert list(json.loads(text)) == list(Result.model_fields)


def test_pydantic_options_apply_when_writing() -> None:
    made = command(payload={"a": math.inf, "b": 1, "ä": "\ufffe"})
    assert made.model_dump_json(include={"type"}) == '{"type":"storage"}'
    assert "payload" not in made.model_dump_json(exclude={"payload"})
    assert json.loads(made.model_dump_json(exclude={"payload": {"b", "ä"}}))["payload"] == {
        "a": {"$type": "float", "value": "Infinity"}
    }
    assert "job_id" not in made.model_dump_json(exclude_none=True)
    assert made.model_dump_json(indent=2).startswith('{\n  "type": "storage",\n')
    for how in ({"indent": 2}, {"ensure_ascii": True}, {"round_trip": True}, {"by_alias": True}):
        text = made.model_dump_json(**how)
        assert json.loads(text) == json.loads(made.model_dump_json()) and "\ufffe" not in text
    assert made.model_dump_json(ensure_ascii=True).isascii()


def test_pydantic_options_apply_when_reading() -> None:
    text = '{"type":"t","action":"a","more":1}'
    assert Command.model_validate_json(text, context={"x": 1}).action == "a"
    assert Command.model_validate_json(text, strict=True).action == "a"
    with pytest.raises(ValidationError):
        Command.model_validate_json('{"type":"t","type":"u","action":"a"}', context={})
