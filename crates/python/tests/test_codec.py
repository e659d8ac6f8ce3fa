"""Both readers, the fast and the slow one, follow the rules of docs/design/messages.md."""

from __future__ import annotations

import enum
import gc
import json
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from pudato import _core
from pudato._claim import ClaimBody
from pudato.protocol import Command, Event, Result

FIXTURES = Path(__file__).parents[3] / "fixtures"
KINDS: dict[str, type[Command] | type[Result] | type[Event]] = {"command": Command, "result": Result, "event": Event}
MIB = 1_048_576


def vectors(name: str) -> list[dict[str, Any]]:
    lines = (FIXTURES / name).read_bytes().splitlines()
    assert lines
    return [json.loads(line) for line in lines]


def written(message: Command | Result | Event) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(message.model_dump_json())
    assert fields == message.model_dump(mode="json")
    return fields


def same(one: Any, other: Any) -> bool:
    """Equality that distinguishes 1 from 1.0 and True, and 0.0 from -0.0."""
    return repr(one) == repr(other)


def refusal(kind: type[Command] | type[Result] | type[Event], body: Any) -> tuple[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as error:
        kind.model_validate_json(body)
    first = error.value.errors()[0]
    assert first["msg"] and first["loc"]
    return first["loc"], first["msg"]


def text(payload: str = "{}", **more: str) -> str:
    fields = {"type": '"t"', "action": '"a"', "payload": payload, **more}
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def through_both(payload: str) -> list[Command]:
    """The message as each reader reads it. An unknown field forces the slow one."""
    return [Command.model_validate_json(text(payload)), Command.model_validate_json(text(payload, unknown="1"))]


@pytest.mark.parametrize("line", vectors("valid.jsonl"), ids=lambda line: f"{line['kind']}-{line['form']}")
def test_every_valid_vector_reads_as_expected(line: dict[str, Any]) -> None:
    kind, body = KINDS[line["kind"]], line["body"]
    for given in (body, body.encode(), bytearray(body.encode())):
        message = kind.model_validate_json(given)
        fields = written(message)
        if "expect" in line:
            assert fields == line["expect"] and list(fields) == list(kind.model_fields)
        else:
            assert {name: fields[name] for name in line["expect_subset"]} == line["expect_subset"]
        again = kind.model_validate_json(message.model_dump_json())
        assert again == message and again.model_dump_json() == message.model_dump_json()


@pytest.mark.parametrize("line", vectors("invalid.jsonl"), ids=lambda line: f"{line['kind']}-{line['body'][:30]}")
def test_every_invalid_vector_raises_an_error_that_names_the_field(line: dict[str, Any]) -> None:
    refusal(KINDS[line["kind"]], line["body"])


@pytest.mark.parametrize("line", vectors("valid.jsonl"), ids=lambda line: f"{line['kind']}-{line['form']}")
def test_the_slow_reader_reads_everything_that_the_fast_one_reads(line: dict[str, Any]) -> None:
    kind = KINDS[line["kind"]]
    fast = kind.model_validate_json(line["body"])
    raw = fast.model_dump_json()
    careful = kind.model_validate_json(raw[:-1] + ',"unknown":{}}')
    assert careful == fast and careful.model_dump_json() == raw
    assert careful.model_fields_set == set(kind.model_fields)
    assert [type(part) for part in getattr(careful, "inputs", [])] == [type(part) for part in getattr(fast, "inputs", [])]


PIECES = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1",
    "-1",
    "1.5",
    "e",
    "0",
    "\\u0000",
    "\\ud800",
    '"type":"x",',
    '"Type":"Notification",',
    '"TopicArn":"x",',
    '"payload":{"a":1,"a":2},',
    '"status":"error",',
    '"correlation_id":"x",',
    '"x":99999999999999999999,',
]
"""Snippets that change the meaning of a text if inserted."""


@pytest.mark.parametrize("seed", range(30))
def test_the_fast_reader_accepts_only_what_the_slow_one_accepts_and_agrees_with_it(seed: int) -> None:
    source = random.Random(seed)
    lines = vectors("valid.jsonl") + vectors("invalid.jsonl")
    for _ in range(200):
        line = source.choice(lines)
        body = line["body"]
        for _ in range(source.choice([1, 1, 2])):
            at = source.randrange(len(body) + 1)
            body = body[:at] + source.choice(PIECES) + body[at + source.randrange(3) :]
        kind = source.choice([KINDS[line["kind"]], *KINDS.values()])
        try:
            # The slow reader alone.
            careful = _core.fields(kind, body)
        except ValidationError:
            with pytest.raises(ValidationError):
                kind.model_validate_json(body)
            continue
        read = kind.model_validate_json(body)
        given = read.model_dump(include=read.model_fields_set)
        assert read.model_fields_set == set(careful) & set(kind.model_fields), body
        for name, value in given.items():
            if name not in {"inputs", "outputs", "executions"}:
                assert same(value, careful[name]), body
        # Integers beyond 64 bits become strings the first time and stay strings.
        written = kind.model_validate_json(read.model_dump_json())
        assert written.model_dump_json() == read.model_dump_json(), body


def test_two_nested_envelopes_are_unwrapped_and_a_third_is_not() -> None:
    def wrapped(body: str) -> str:
        return json.dumps({"Type": "Notification", "TopicArn": "arn:x", "Message": body, "Timestamp": "x"})

    body = text('{"Message":"mine","TopicArn":"mine","Type":"Notification"}')
    for _ in range(3):
        assert Command.model_validate_json(body).payload["Message"] == "mine"
        body = wrapped(body)
    refusal(Command, body)


def test_sns_messages_other_than_notifications_are_refused() -> None:
    body = json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn:x", "Message": text()})
    assert refusal(Command, body)[0] == ("Type",)
    body = json.dumps({"Type": "Notification", "TopicArn": "arn:x", "Message": {}})
    assert refusal(Command, body)[0] == ("Message",)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("0", 0),
        ("-1", -1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", 2**63),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("1180591620717411303424", 2**70),
        ("1" + "0" * 300, 10**300),
        ("0.1", 0.1),
        ("1e300", 1e300),
        ("-0.0", -0.0),
        ("-0", 0),
        ("5e-324", 5e-324),
        ("2.2250738585072011e-308", 2.2250738585072011e-308),
        ("1E2", 100.0),
        ("9007199254740993", 9007199254740993),
        ("123456789012345680000.0", 123456789012345680000.0),
    ],
)
def test_numbers_of_any_size_are_read_exactly(number: str, value: float) -> None:
    for read in through_both(f'{{"x":{number},"l":[{number}]}}'):
        assert same(read.payload, {"x": value, "l": [value]})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "01", "1.", ".5", "+1", "0x10", "1" + "0" * 400])
def test_numbers_outside_json_are_refused(number: str) -> None:
    assert refusal(Command, text(f'{{"x":{number}}}'))[0] == ("body",)


def test_integers_beyond_64_bits_are_written_as_strings() -> None:
    for number in (2**63, 2**64 - 1, -(2**63)):
        assert f'"x":{number}}}' in Result.success("c", {"x": number}).to_json()
    for number in (2**64, -(2**63) - 1, 10**400):
        data = Result.from_json(Result.success("c", {"x": number}).to_json()).data
        assert data == {"x": str(number)}


@pytest.mark.parametrize("where", ['{"type":"t","type":"t","action":"a"}', text('{"k":1,"k":1}'), text('{"x":[{"k":1,"k":2}]}')])
def test_duplicate_keys_are_refused_at_every_depth(where: str) -> None:
    loc, reason = refusal(Command, where)
    assert loc == ("body",) and "duplicate key" in reason


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_nesting_is_limited() -> None:
    # The message and its payload are two levels.
    for body in (text('{"x":%s}' % nested(62)), text('{"x":%s}' % nested(62), unknown="1")):
        read = Command.model_validate_json(body)
        assert Command.model_validate_json(read.model_dump_json()) == read
    loc, reason = refusal(Command, text('{"x":%s}' % nested(63)))
    assert loc == ("body",) and "64 levels" in reason
    refusal(Command, text('{"x":%s}' % nested(100_000)))


def test_nested_parts_count_towards_the_depth_limit_in_both_directions() -> None:
    def body(levels: int) -> str:
        return (
            '{"status":"success","correlation_id":"c","inputs":[{"ref_type":"f","location":"l","metadata":{"x":%s}}]}'
            % nested(levels)
        )

    read = Result.model_validate_json(body(60))
    assert Result.model_validate_json(read.model_dump_json()) == read
    refusal(Result, body(61))
    read.inputs[0].metadata["x"] = [read.inputs[0].metadata["x"]]
    with pytest.raises(Exception, match=r"inputs\[0\].metadata.x\[0\].*64 levels"):
        read.model_dump_json()


def keys(count: int) -> str:
    return "{" + ",".join(f'"{number}":0' for number in range(count)) + "}"


def test_the_number_of_keys_is_limited_and_claims_may_have_more() -> None:
    assert len(Command.model_validate_json(text(keys(9_997))).payload) == 9_997
    loc, reason = refusal(Command, text(keys(9_998)))
    assert loc == ("body",) and "10000 keys" in reason
    assert len(Command.model_validate_json(ClaimBody(text(keys(9_998)))).payload) == 9_998
    refusal(Command, ClaimBody(text(keys(1_000_001))))


def test_body_size_is_limited_except_for_claims() -> None:
    rest = MIB - len(text('{"x":""}'))
    assert Command.model_validate_json(text('{"x":"%s"}' % ("a" * rest)))
    loc, reason = refusal(Command, text('{"x":"%s"}' % ("a" * (rest + 1))))
    assert loc == ("body",) and "1048577 bytes" in reason
    # The limit is in bytes, not characters.
    refusal(Command, text('{"x":"%s"}' % ("ä" * (rest // 2 + 1))))
    body = text('{"x":"%s"}' % ("a" * 2 * MIB))
    assert Command.model_validate_json(ClaimBody(body)).payload["x"] == "a" * 2 * MIB


@pytest.mark.parametrize("characters", ["", "ä", "\u2028", "😀", "\x00\x1f\x7f", '"\\/', "\ufffe\uffff", "é" * 100])
def test_strings_are_read_as_they_were_written(characters: str) -> None:
    for made in (Result.success("c", {characters: characters}), Result.error("c", [characters])):
        body = made.to_json()
        assert "\ufffe" not in body and "\uffff" not in body and "\n" not in body
        assert Result.from_json(body) == made
        assert Result.from_json(json.dumps(json.loads(body))) == made


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ("", ("body",)),
        ("null", ("body",)),
        ('{"type":"t"', ("body",)),
        ('{"type":"t","action":"a"} x', ("body",)),
        (b'{"type":"t","action":"\xff"}', ("body",)),
        ('{"type":"t","action":"\\ud800"}', ("body",)),
        ('{"type":"t","action":"\ud800"}', ("body",)),
        ('{"type":"t","action":"a\n"}', ("body",)),
        (None, ("body",)),
        ({"type": "t"}, ("body",)),
        ('{"type":"t"}', ("action",)),
        ('{"type":"t","action":null}', ("action",)),
        ('{"type":"t","action":"a","payload":null}', ("payload",)),
        ('{"type":"t","action":"a","correlation_id":null}', ("correlation_id",)),
        ('{"type":"t","action":"a","job_id":5}', ("job_id",)),
    ],
)
def test_invalid_commands_raise_errors_that_name_the_field(body: Any, loc: tuple[str, ...]) -> None:
    assert refusal(Command, body)[0] == loc


@pytest.mark.parametrize(
    ("more", "loc"),
    [
        ('"status":"done"', ("status",)),
        ('"status":"success","duration_ms":"5"', ("duration_ms",)),
        ('"status":"success","duration_ms":1.0', ("duration_ms",)),
        ('"status":"success","errors":["a",5]', ("errors", 1)),
        ('"status":"success","errors":null', ("errors",)),
        ('"status":"success","data":[]', ("data",)),
        ('"status":"success","inputs":[{"ref_type":"f","location":"l"},{"ref_type":"f"}]', ("inputs", 1, "location")),
        ('"status":"success","executions":[{"execution_type":null}]', ("executions", 0, "execution_type")),
    ],
)
def test_invalid_results_raise_errors_that_name_the_field(more: str, loc: tuple[int | str, ...]) -> None:
    assert refusal(Result, '{"correlation_id":"c",%s}' % more)[0] == loc


def test_errors_name_every_invalid_field_and_describe_the_first_as_the_contract_does() -> None:
    with pytest.raises(ValidationError) as error:
        Command.model_validate_json('{"payload":5,"job_id":5}')
    found = {one["loc"]: (one["type"], one["msg"]) for one in error.value.errors()}
    assert set(found) == {("type",), ("action",), ("payload",), ("job_id",)}
    assert found[("type",)] == ("missing", "required, expected a string; it is missing")
    assert error.value.title == "Command"


def test_fields_in_any_order_make_the_same_message() -> None:
    fields = written(Command(type="t", action="a", payload={"z": 1, "a": 2}))
    backwards = json.dumps(dict(reversed(fields.items())))
    read = Command.model_validate_json(backwards)
    assert written(read) == fields and list(written(read)) == list(fields)
    assert list(read.payload) == ["z", "a"]


def test_a_dict_that_changes_while_it_is_written_is_written_as_it_was() -> None:
    payload: dict[str, Any] = {f"k{number}": number for number in range(100)}

    class Mark(enum.Enum):
        A = 1

        @property
        def value(self) -> int:
            payload[f"new{len(payload)}"] = 0
            return 1

    payload["mark"] = Mark.A
    payload["after"] = math.pi
    made = Result.success("c", {})
    made.data = payload
    read = Result.from_json(made.to_json()).data
    assert read is not None and read["mark"] == 1 and read["after"] == math.pi


def test_an_endless_value_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    made = Result.success("c", {"a": endless})
    with pytest.raises(Exception, match=r"data\.a\[0\].*64 levels"):
        made.to_json()


class Dropped:
    """Reads and writes a message when it is garbage-collected."""

    same: ClassVar[list[bool]] = []

    def __init__(self, body: str) -> None:
        self.body = body
        self.circle = self

    def __del__(self) -> None:
        self.same.append(Command.model_validate_json(self.body).model_dump_json() == self.body)


def test_messages_are_read_while_others_are_being_read() -> None:
    """Garbage collection in the middle of a message runs arbitrary code and lets other threads run."""
    body = Command(type="t", action="a", payload={f"k{n}": [{"n": n, "x": [n]}] for n in range(200)}).model_dump_json()
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:

        def read(_: int) -> bool:
            Dropped(body)
            return Command.model_validate_json(body).model_dump_json() == body

        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(read, range(40)))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert Dropped.same == [True] * 40
