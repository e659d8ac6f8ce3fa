"""The service `storage`, without a queue."""

from __future__ import annotations

from typing import ClassVar

from pudato.handlers._built_in import BuiltIn

__all__ = ["StorageHandler"]


class StorageHandler(BuiltIn):
    """Answers the Commands of the service `storage`; docs/commands.md lists its actions.

    Args:
        settings: The settings; those of the environment by default.
    """

    service_type: ClassVar[str] = "storage"
