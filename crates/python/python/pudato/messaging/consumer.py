"""Consuming."""

from __future__ import annotations

from dataclasses import dataclass, field

from pudato import _core
from pudato._fabric import installation
from pudato.config import Settings

__all__ = ["Message", "SQSConsumer"]


@dataclass(frozen=True)
class Message:
    """A received message.

    Attributes:
        message_id: The fabric's id of this copy.
        body: The text, as it was received. If it was too large for the queue, it has been fetched from the object store.
        receipt_handle: The right to delete this delivery.
        attributes: The message attributes.
        attempt: The number of this delivery, from 1 on; None if the fabric does not count.
    """

    message_id: str
    body: str
    receipt_handle: str
    attributes: dict[str, str] = field(default_factory=dict)
    attempt: int | None = None


class SQSConsumer:
    """Receives messages from queues: SQS on AWS, or the embedded fabric.

    Args:
        settings: The settings; those of the environment by default.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else Settings()
        self._consumers: dict[str, _core.Consumer] = {}

    def receive_messages(self, queue_url: str, max_messages: int = 10, wait_time_seconds: float = 20) -> list[Message]:
        """Waits for messages and returns as soon as there are any; empty after `wait_time_seconds`.

        A message that is not deleted becomes visible again when its visibility timeout ends.

        Args:
            queue_url: The queue: its URL, or its name on the embedded fabric.
            max_messages: 1 to 10.
            wait_time_seconds: 0 to 20.
        """
        received = self._of(queue_url).receive(max_messages, round(wait_time_seconds * 1000))
        return [
            Message(one.message_id, one.body, one.receipt_handle, one.attributes, one.attempt)
            for one in received
        ]

    def delete_message(self, queue_url: str, receipt_handle: str) -> None:
        """Deletes a message, so that nobody receives it again."""
        self._of(queue_url).delete([receipt_handle])

    def _of(self, queue_url: str) -> _core.Consumer:
        found = self._consumers.get(queue_url)
        if found is None:
            found = self._consumers[queue_url] = installation(self.settings).consumer(queue_url)
        return found
