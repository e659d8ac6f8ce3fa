"""Encodes and decodes values that JSON does not have (docs/design/messages.md, "Values").

A message carries bytes as `{"$type": "blob", "base64": ".."}` and NaN and the infinities as `{"$type": "float", "value": "NaN"}`. A message
that you read keeps these tagged objects, so that you can write it again unchanged. `decode` converts them.
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
    """Converts tagged objects to bytes and floats, at every depth.

    Args:
        value: A part of a message that was read, such as `command.payload` or `result.data`.

    Returns:
        The same value with bytes and floats in place of tagged objects. Lists and dicts are copies. A dict that only resembles a tagged
        object is unchanged.
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
    """Converts a value to the types that a reader of a message receives: None, bool, int, float, str, list and dict.

    bytes, NaN and the infinities become tagged objects. Integers beyond 64 bits and Decimals become strings; dates and times become ISO 8601
    strings; numpy and pandas values, dataclasses and pydantic models become their contents.

    Raises:
        MessageError: A value has another type, a key is not a string, a string has a lone surrogate, or the nesting is too deep. The error
            text names the path, e.g. `value.a[3]`.
    """
    return _core.plain(value, "value")
