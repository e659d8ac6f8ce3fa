"""The service `transform`, without a queue."""

from __future__ import annotations

from typing import ClassVar

from pudato.handlers._built_in import BuiltIn

__all__ = ["TransformHandler"]


class TransformHandler(BuiltIn):
    """Answers the Commands of the service `transform`; docs/commands.md lists its actions.

    Args:
        settings: The settings; those of the environment by default.
    """

    service_type: ClassVar[str] = "transform"
