"""Bodies that were stored as claims."""

from __future__ import annotations

__all__ = ["ClaimBody"]


class ClaimBody(str):
    """The body of a message that was stored as a claim, because it is too large for a queue. The limits of claims hold for it."""

    __slots__ = ()
