"""Values that JSON does not have, inside of messages (docs/design/messages.md, "Values").

A message carries bytes as `{"$type": "blob", "base64": ".."}` and NaN and the infinities as `{"$type": "float", "value": "NaN"}`. Reading a
message leaves these as they are, so that what was read is what was written. `decode` turns them back.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from pudato import _core

__all__ = ["decode", "encode"]

_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def decode(value: Any) -> Any:
    """Turns tagged objects back into bytes and floats, at every depth.

    Args:
        value: A part of a message that was read, such as `command.payload` or `result.data`.

    Returns:
        The same value with bytes and floats in place of tagged objects. Lists and dicts are copies; a dict that only resembles a tagged
        object is kept as it is.
    """
    if isinstance(value, dict):
        if "$type" in value:
            found = _untagged(value)
            if found is not None:
                return found
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def _untagged(value: dict[Any, Any]) -> bytes | float | None:
    match value:
        case {"$type": "blob", "base64": str(text)} if len(value) == 2:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                return None
        case {"$type": "float", "value": str(name)} if len(value) == 2:
            return _FLOATS.get(name)
        case _:
            return None


def encode(value: Any) -> Any:
    """Turns a value into what a reader of a message gets: None, bool, int, float, str, list and dict.

    bytes, NaN and the infinities become tagged objects. Integers beyond 64 bits and Decimals become texts; dates and times become ISO 8601
    texts; numpy, pandas, dataclasses and pydantic models become what is in them.

    Raises:
        MessageError: A value of another type, a key that is not a text, a text with a lone surrogate, or nesting that is too deep. The text
            names the place, e.g. `value.a[3]`.
    """
    return _core.plain(value, "value")
