"""Turns the codec's errors into pydantic's `ValidationError`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import LiteralString

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

_STEP = re.compile(r"\[(\d+)\]|[^.\[\]]+")


def refused(title: str, validate: Callable[[str], object], text: str | None, field: str, reason: str) -> ValidationError:
    """Makes the error for a message that pudato rejects.

    Args:
        title: The name of the model.
        validate: Validates a text with pydantic alone, to find further errors.
        text: The JSON of the message without its envelope; None if it could not be found.
        field: The first invalid field, e.g. `inputs[0].ref_type`; `body` for the text as a whole.
        reason: What was expected there, and what was found.
    """
    loc = tuple(int(step[1]) if step[1] else step[0] for step in _STEP.finditer(field))
    others = [] if text is None or field == "body" else _others(validate, text)
    same = next((error for error in others if error.get("loc") == loc), None)
    if same is None:
        first = _detail("json_invalid" if field == "body" else "value_error", reason, loc, text)
    else:
        first = _detail(_type(same), reason, loc, same["input"])
    rest = [error for error in others if error is not same]
    return ValidationError.from_exception_data(title, [first, *rest], "json")


def _others(validate: Callable[[str], object], text: str) -> list[InitErrorDetails]:
    """The errors that pydantic finds. It checks every field, but does not know all rules."""
    try:
        validate(text)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [_detail(one["type"], one["msg"], one["loc"], one["input"]) for one in found]
    return []


def _type(error: InitErrorDetails) -> str:
    kind = error["type"]
    return kind if isinstance(kind, str) else kind.type


def _detail(kind: str, message: str, loc: tuple[int | str, ...], value: object) -> InitErrorDetails:
    return {"type": PydanticCustomError(_literal(kind), _literal(message)), "loc": loc, "input": value}


def _literal(text: str) -> LiteralString:
    # The text is not a template: without a context, pydantic substitutes nothing.
    return text  # pyright: ignore[reportReturnType]
