"""Converts values of types that JSON does not have (docs/design/messages.md, "Values").

The Rust serialiser handles None, bool, int, float, str, bytes, list, tuple and dict. It calls `simple` for everything else.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import uuid
from collections.abc import Mapping
from typing import Any, Final

UNKNOWN: Final = object()
"""What `simple` returns for a value that it cannot convert."""

_DAY: Final = 86_400 * 10**9


def simple(value: Any) -> Any:
    """Converts a value one step closer to JSON. Neither the result nor its items need to be JSON yet."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime.date | datetime.time):
        # pandas.NaT is also a datetime.
        return None if _is_missing(value) else value.isoformat()
    if isinstance(value, datetime.timedelta):
        return duration((value.days * 86_400 + value.seconds) * 10**9 + value.microseconds * 1_000 + _nanoseconds(value))
    if isinstance(value, decimal.Decimal | uuid.UUID | pathlib.PurePath):
        return str(value)
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _of_numpy(numpy, value)
    return None if _is_missing(value) else UNKNOWN


def _is_missing(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NaT or value is pandas.NA)


def _nanoseconds(value: datetime.timedelta) -> int:
    """The nanoseconds that pandas stores in addition to the microseconds."""
    found = getattr(value, "nanoseconds", 0)
    return found if isinstance(found, int) else 0


def _of_numpy(numpy: Any, value: Any) -> Any:
    kind = value.dtype.kind
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(value, masked.MaskedArray):
        if value is masked.masked:
            return None
        if kind in "Mm" and masked.is_masked(value):
            # Its times are texts below, which have no mask.
            return UNKNOWN
    if kind == "M":
        return _with_none(numpy, value, numpy.datetime_as_string(value))
    if kind == "m":
        if value.ndim == 0 and numpy.isnat(value):
            return None
        unit, _ = numpy.datetime_data(value.dtype)
        if unit in {"Y", "M", "generic"}:
            # These units have no fixed length in seconds.
            return UNKNOWN
        nanoseconds = value.astype("timedelta64[ns]")
        if not numpy.array_equal(nanoseconds.astype(value.dtype), value, equal_nan=True):
            return UNKNOWN
        durations = numpy.vectorize(duration, otypes=[object])(nanoseconds.astype("int64"))
        return _with_none(numpy, value, durations)
    if kind in "biufUSO" and value.dtype.char != "g":
        # A long double ("g") has more digits than a float.
        return value.item() if value.ndim == 0 else value.tolist()
    return UNKNOWN


def _with_none(numpy: Any, value: Any, texts: Any) -> Any:
    """The times as strings, with None for each NaT."""
    return numpy.where(numpy.isnat(value), None, texts.astype(object) if value.ndim else texts).tolist()


def duration(nanoseconds: int) -> str:
    """Formats an ISO 8601 duration as the query service formats an INTERVAL: each part has its own sign."""
    sign = "-" if nanoseconds < 0 else ""
    days, rest = divmod(abs(int(nanoseconds)), _DAY)
    seconds, fraction = divmod(rest, 10**9)
    text = f"P{sign}{days}D" if days else "P"
    if rest:
        text += "T"
        hours, minutes, seconds = seconds // 3_600, seconds // 60 % 60, seconds % 60
        text += f"{sign}{hours}H" if hours else ""
        text += f"{sign}{minutes}M" if minutes else ""
        if fraction:
            text += f"{sign}{seconds}.{fraction:09}".rstrip("0") + "S"
        elif seconds:
            text += f"{sign}{seconds}S"
    return text if len(text) > 1 else "PT0S"
