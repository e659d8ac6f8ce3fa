"""Message bodies that were stored as claims."""

from __future__ import annotations

__all__ = ["ClaimBody"]


class ClaimBody(str):
    """A message body that was stored as a claim because it was too large for a queue. The limits for claims apply to it."""

    __slots__ = ()
