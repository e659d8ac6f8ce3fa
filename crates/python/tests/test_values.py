"""How Python values are converted in messages, without loss."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import random
import sys
import types
import uuid
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from pudato import values
from pudato.config import Settings
from pudato.messaging import SNSPublisher, SQSConsumer
from pudato.protocol import Command, MessageError, Result

UTC = datetime.UTC


class Colour(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    FIRST = "first"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


@dataclasses.dataclass
class Point:
    x: float
    tags: tuple[bytes, ...] = ()


class Shape(BaseModel):
    name: str
    area: float = math.inf
    made: datetime.date = datetime.date(2026, 1, 31)


TABLE: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    (2**64, "18446744073709551616"),
    (-(2**63) - 1, "-9223372036854775809"),
    (0.1, 0.1),
    (-0.0, -0.0),
    (5e-324, 5e-324),
    (1e300, 1e300),
    (math.inf, {"$type": "float", "value": "Infinity"}),
    (-math.inf, {"$type": "float", "value": "-Infinity"}),
    (math.nan, {"$type": "float", "value": "NaN"}),
    (b"a\xff", {"$type": "blob", "base64": "Yf8="}),
    (bytearray(b""), {"$type": "blob", "base64": ""}),
    (memoryview(b"abc")[1:], {"$type": "blob", "base64": "YmM="}),
    ((1, [2, (3,)]), [1, [2, [3]]]),
    ({7}, [7]),
    (frozenset(), []),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (types.MappingProxyType({"a": b""}), {"a": {"$type": "blob", "base64": ""}}),
    (Text("a"), "a"),
    ({Text("k"): 1, Name.FIRST: 2}, {"k": 1, "first": 2}),
    (datetime.datetime(2026, 1, 31, 9, 0, 0, 5, UTC), "2026-01-31T09:00:00.000005+00:00"),
    (datetime.datetime(2026, 1, 31, 9), "2026-01-31T09:00:00"),
    (datetime.date(2026, 1, 31), "2026-01-31"),
    (datetime.time(9, 30, tzinfo=UTC), "09:30:00+00:00"),
    (datetime.timedelta(0), "PT0S"),
    (datetime.timedelta(days=2, hours=3, minutes=4, seconds=5, microseconds=6), "P2DT3H4M5.000006S"),
    (datetime.timedelta(hours=30), "P1DT6H"),
    (datetime.timedelta(seconds=-0.5), "PT-0.5S"),
    (datetime.timedelta(days=-1, hours=-1), "P-1DT-1H"),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (PurePosixPath("/a/b"), "/a/b"),
    (Colour.RED, "red"),
    (Name.FIRST, "first"),
    (Level.HIGH, 3),
    (Point(math.nan, (b"a",)), {"x": {"$type": "float", "value": "NaN"}, "tags": [{"$type": "blob", "base64": "YQ=="}]}),
    (Shape(name="s"), {"name": "s", "area": {"$type": "float", "value": "Infinity"}, "made": "2026-01-31"}),
]


@pytest.mark.parametrize(("value", "wire"), TABLE, ids=lambda value: f"{type(value).__name__}")
def test_each_value_becomes_what_the_table_says(value: Any, wire: Any) -> None:
    made = Result.success("c", {"x": value, "l": [value]})
    body = made.model_dump_json()
    assert repr(json.loads(body)["data"]) == repr({"x": wire, "l": [wire]})
    assert repr(made.model_dump(mode="json")["data"]) == repr({"x": wire, "l": [wire]})
    assert repr(values.encode(value)) == repr(wire)
    read = Result.model_validate_json(body).data
    assert repr(read) == repr({"x": wire, "l": [wire]})


def test_numpy_values_become_numbers_lists_and_times() -> None:
    numpy = pytest.importorskip("numpy")
    nat = numpy.datetime64("NaT")
    for value, wire in [
        (numpy.int64(-5), -5),
        (numpy.uint64(2**64 - 1), 2**64 - 1),
        (numpy.float64(0.1), 0.1),
        (numpy.float32(0.1), 0.10000000149011612),
        (numpy.float32("nan"), {"$type": "float", "value": "NaN"}),
        (numpy.bool_(True), True),
        (numpy.str_("a"), "a"),
        (numpy.bytes_(b"a"), {"$type": "blob", "base64": "YQ=="}),
        (numpy.array(7), 7),
        (numpy.array([[1, 2], [3, 4]], dtype="int16"), [[1, 2], [3, 4]]),
        (numpy.array([0.5, numpy.inf]), [0.5, {"$type": "float", "value": "Infinity"}]),
        (numpy.array(["a", "bc"]), ["a", "bc"]),
        (numpy.array([b"a", None, 2**70], dtype=object), [{"$type": "blob", "base64": "YQ=="}, None, str(2**70)]),
        (numpy.array([], dtype="float64"), []),
        (numpy.datetime64("2026-01-31T09:00:00.000000001"), "2026-01-31T09:00:00.000000001"),
        (numpy.datetime64("2026-01-31"), "2026-01-31"),
        (nat, None),
        (numpy.array(["2026-01-31", "NaT"], dtype="datetime64[D]"), ["2026-01-31", None]),
        (numpy.timedelta64(1_500_000_001, "ns"), "PT1.500000001S"),
        (numpy.timedelta64(-2, "D"), "P-2D"),
        (numpy.timedelta64("NaT"), None),
        (numpy.timedelta64("NaT", "s"), None),
        (numpy.array([1, "NaT"], dtype="timedelta64[h]"), ["PT1H", None]),
    ]:
        assert repr(values.encode({"x": value})) == repr({"x": wire}), value
    for refused in [
        numpy.complex128(1j),
        numpy.array([1j]),
        numpy.longdouble(1) / 3,
        numpy.timedelta64(1, "Y"),
        numpy.zeros(2, dtype=[("a", "i4")]),
        numpy.array([object()], dtype=object),
    ]:
        with pytest.raises(MessageError, match=r"value\.x"):
            values.encode({"x": refused})


def test_pandas_times_become_strings_and_missing_values_null() -> None:
    pandas = pytest.importorskip("pandas")
    for value, wire in [
        (pandas.Timestamp("2026-01-31T09:00:00.000000001", tz="UTC"), "2026-01-31T09:00:00.000000001+00:00"),
        (pandas.Timestamp("2026-01-31"), "2026-01-31T00:00:00"),
        (pandas.NaT, None),
        (pandas.NA, None),
        (pandas.Timedelta(1, "ns"), "PT0.000000001S"),
        (pandas.Timedelta(-1, "ns"), "PT-0.000000001S"),
        (pandas.Timedelta(days=1, hours=6), "P1DT6H"),
    ]:
        assert values.encode([value]) == [wire], value
    with pytest.raises(MessageError, match=r"value\[0\].*DataFrame"):
        values.encode([pandas.DataFrame({"a": [1]})])


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        (Unknown(), "payload.a[3]", "Unknown"),
        (Unknown, "payload.a[3]", "type"),
        (1j, "payload.a[3]", "complex"),
        (range(3), "payload.a[3]", "range"),
        ((n for n in range(3)), "payload.a[3]", "generator"),
        (SecretStr("s"), "payload.a[3]", "SecretStr"),
        ({1: "one"}, "payload.a[3]", "int 1"),
        ({None: 1}, "payload.a[3]", "None"),
        ({b"k": 1}, "payload.a[3]", "bytes"),
        ({"k": {"l": Unknown()}}, "payload.a[3].k.l", "Unknown"),
        ("a\ud800", "payload.a[3]", "lone surrogate at 1"),
        ({"\udfff": 1}, "payload.a[3]", "lone surrogate at 0"),
        (PurePosixPath("\udcff"), "payload.a[3]", "lone surrogate"),
        ([Point(0, (Unknown(),))], "payload.a[3][0].tags[0]", "Unknown"),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_cannot_represent_raise_errors_with_their_path(value: Any, path: str, found: str) -> None:
    made = Command(type="t", action="a", payload={"a": [0, 1, 2, value]})
    with pytest.raises(MessageError) as error:
        made.model_dump_json()
    assert error.value.field == path and found in error.value.reason
    assert str(error.value) == f"{path}: {error.value.reason}"
    with pytest.raises(ValueError, match="payload") as dumped:
        made.model_dump(mode="json")
    assert str(error.value) in str(dumped.value)
    with pytest.raises(MessageError, match=r"value\[0\]"):
        values.encode([value])


class Broken(BaseModel):
    x: int = 1

    def model_dump(self, **how: Any) -> dict[str, Any]:
        raise LookupError("no dump")


class Interrupted(BaseModel):
    def model_dump(self, **how: Any) -> dict[str, Any]:
        raise KeyboardInterrupt


def test_an_exception_raised_by_a_value_is_the_cause() -> None:
    with pytest.raises(MessageError, match="no dump") as error:
        values.encode({"a": Broken()})
    assert isinstance(error.value.__cause__, LookupError)
    with pytest.raises(KeyboardInterrupt):
        values.encode({"a": Interrupted()})


def test_integers_over_pythons_digit_limit_are_refused() -> None:
    number = 10 ** (sys.get_int_max_str_digits() + 1)
    with pytest.raises(MessageError, match="value.a"):
        values.encode({"a": number})


def generated(random: random.Random, depth: int = 0) -> Any:
    """A random value that `values.decode` restores exactly: JSON values, bytes and floats."""
    characters = "aé\u2028😀\x00\"\\\ufffe\uffff $"
    kinds = ["null", "bool", "int", "float", "special", "text", "bytes"] + (["list", "dict"] * 2 if depth < 5 else [])
    match random.choice(kinds):
        case "null":
            return None
        case "bool":
            return random.random() < 0.5
        case "int":
            return random.choice([1, -1]) * random.getrandbits(random.choice([1, 31, 53, 63]))
        case "float":
            return random.choice([random.uniform(-1, 1), random.uniform(-1, 1) * 10 ** random.randint(-320, 308)])
        case "special":
            return random.choice([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, sys.float_info.max])
        case "text":
            return "".join(random.choices(characters, k=random.randint(0, 20)))
        case "bytes":
            return random.randbytes(random.randint(0, 20))
        case "list":
            return [generated(random, depth + 1) for _ in range(random.randint(0, 5))]
        case _:
            keys = ["".join(random.choices(characters, k=random.randint(0, 8))) for _ in range(random.randint(0, 5))]
            return {key: generated(random, depth + 1) for key in keys}


@pytest.mark.parametrize("seed", range(40))
def test_written_values_are_read_back_equal(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(25):
        payload = {"x": generated(source)}
        made = Command(type="t", action="a", payload=payload, metadata=payload)
        body = made.model_dump_json()
        read = Command.model_validate_json(body)
        # `repr` distinguishes 0.0 from -0.0 and True from 1, and NaN equals itself.
        assert repr(values.decode(read.payload)) == repr(payload), seed
        assert repr(values.decode(values.encode(payload))) == repr(payload), seed
        assert repr(read.payload) == repr(values.encode(payload)) == repr(json.loads(body)["payload"]), seed
        assert read.model_dump_json() == body
        careful = Command.model_validate_json(body[:-1] + ',"unknown":1}')
        assert repr(careful) == repr(read)


def test_rust_reads_python_messages_and_writes_the_same(tmp_path: Path) -> None:
    settings = Settings(variables={}, data_dir=tmp_path / ".pudato")
    source = random.Random(7)
    sent = [Command(type="t", action="a", payload={"x": generated(source)}) for _ in range(100)]
    for command in sent:
        # Rust parses the message and publishes its own serialisation.
        SNSPublisher(settings).publish_command(command, topic_arn=settings.storage_topic_arn)
    received: list[str] = []
    consumer = SQSConsumer(settings)
    while messages := consumer.receive_messages(queue_url=settings.storage_queue_url, wait_time_seconds=0):
        for message in messages:
            received.append(message.body)
            consumer.delete_message(settings.storage_queue_url, message.receipt_handle)
    assert sorted(received) == sorted(command.model_dump_json() for command in sent)


@pytest.mark.parametrize("seed", range(20))
def test_large_integers_are_read_exactly_and_written_as_strings(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(50):
        number = source.choice([1, -1]) * source.getrandbits(source.choice([64, 65, 128, 900]))
        body = f'{{"type":"t","action":"a","payload":{{"x":{number}}}}}'
        assert Command.model_validate_json(body).payload == {"x": number}
        fits = -(2**63) <= number < 2**64
        assert values.encode(number) == (number if fits else str(number))


@pytest.mark.parametrize(
    "value",
    [
        {"$type": "blob", "base64": "no base64!"},
        {"$type": "blob", "base64": "YQ"},
        {"$type": "blob", "base64": 5},
        {"$type": "blob"},
        {"$type": "blob", "base64": "YQ==", "more": 1},
        {"$type": "float", "value": "1.0"},
        {"$type": "float", "value": 1.0},
        {"$type": "other", "value": "NaN"},
        {"$type": ["blob"], "base64": "YQ=="},
    ],
)
def test_a_dict_that_only_resembles_a_tagged_object_is_kept(value: Any) -> None:
    assert values.decode(value) == value
    assert values.decode({"a": [value]}) == {"a": [value]}


def test_decoding_copies_lists_and_dicts() -> None:
    read = {"a": [{"b": 1}]}
    values.decode(read)["a"][0]["b"] = 2
    assert read == {"a": [{"b": 1}]}


def test_a_masked_value_of_numpy_is_null_or_refused() -> None:
    numpy = pytest.importorskip("numpy")
    masked = numpy.ma.masked_array([1.5, 2.5], [True, False])
    assert values.encode(masked) == [None, 2.5]
    assert values.encode(masked[0]) is None
    with pytest.raises(MessageError):
        values.encode(numpy.ma.masked_array(numpy.array(["2024-01-01", "2024-01-02"], "M8[D]"), [False, True]))
