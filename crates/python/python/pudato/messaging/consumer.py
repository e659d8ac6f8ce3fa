"""Receiving messages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, TypeVar

from pudato import _core
from pudato._claim import ClaimBody
from pudato._fabric import installation
from pudato.config import Settings, get_settings
from pudato.messaging import _boto3
from pudato.messaging._session import connect
from pudato.protocol import Command, Event, Result

__all__ = ["Consumer", "Message", "SQSConsumer"]

_LOG = logging.getLogger(__name__)
_M = TypeVar("_M", Command, Result, Event)


class Message(dict[str, Any]):
    """A received message: a dict in boto3's form, with `Body`, `ReceiptHandle`, `MessageId` and `MessageAttributes`, which also has attributes."""

    _source: _core.Consumer | None = None
    _received: _core.Received | None = None

    @property
    def message_id(self) -> str:
        """The fabric's id for this copy of the message."""
        return str(self["MessageId"])

    @property
    def body(self) -> str:
        """The body. If it was too large for the queue, pudato has fetched it from the object store.

        Raises:
            RefusedError: The body was stored as an object, and the object is missing or invalid.
            UnavailableError: The body was stored as an object, and the store cannot be reached.
        """
        if self._received is None:
            return str(self["Body"])
        if self._received.error is not None:
            raise self._received.error
        body = str(self["Body"])
        return body if body == self._received.raw_body else ClaimBody(body)

    @property
    def raw_body(self) -> str:
        """The body as it arrived on the queue: a pointer, if the body was too large."""
        return self._received.raw_body if self._received is not None else str(self["Body"])

    @property
    def receipt_handle(self) -> str:
        """The handle that deletes, renews or releases this delivery."""
        return str(self["ReceiptHandle"])

    @property
    def attributes(self) -> dict[str, str]:
        """The message attributes."""
        if self._received is not None:
            return self._received.attributes
        return {name: value.get("StringValue", "") for name, value in self.get("MessageAttributes", {}).items()}

    @property
    def attempt(self) -> int | None:
        """The number of this delivery, starting at 1; None if the fabric does not count deliveries."""
        count = self.get("Attributes", {}).get("ApproximateReceiveCount")
        return None if count is None else int(count)

    def command(self) -> Command:
        """Reads the Command in the body.

        Raises:
            ValueError: The body is not a Command.
        """
        return Command.model_validate_json(self.body)

    def renew(self, seconds: float) -> None:
        """Hides the message from other consumers for `seconds` from now. On the embedded fabric, its receipt changes.

        Raises:
            RefusedError: Another consumer has received the message in the meantime.
            UnavailableError: The fabric cannot be reached.
        """
        self["ReceiptHandle"] = self._own("renew").renew(self.receipt_handle, round(seconds * 1000))

    def release(self, after: float = 0) -> None:
        """Makes the message visible again after `after` seconds, so that it can be received again.

        Raises:
            RefusedError: Another consumer has received the message in the meantime.
            UnavailableError: The fabric cannot be reached.
        """
        self._own("release").release(self.receipt_handle, round(after * 1000))

    def _own(self, what: str) -> _core.Consumer:
        if self._source is None:
            raise _core.PudatoError(f"{what}: this message was received by a boto3 client; use the client's change_message_visibility")
        return self._source


class SQSConsumer:
    """Receives messages from queues: SQS on AWS, or the embedded fabric.

    Args:
        settings: The settings; by default from the environment.
        session: A `boto3.Session`, which supplies the region and credentials. Temporary credentials are refreshed before they expire.
        endpoint_url: The endpoint of an emulator; by default the one in the settings, or the session's.
        client: A boto3 SQS client to make all calls with. It does not fetch bodies that were too large for the queue, and it raises boto3's
            exceptions.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        session: Any = None,
        endpoint_url: str | None = None,
        client: Any = None,
    ) -> None:
        self.settings, self._session = connect(settings, session, endpoint_url, client)
        self._client = client
        self._consumers: dict[str, _core.Consumer] = {}

    def receive_messages(self, queue_url: str, max_messages: int = 10, wait_time_seconds: float = 20) -> list[Message]:
        """Waits for messages and returns as soon as there are any, or an empty list after `wait_time_seconds`.

        A message that is not deleted becomes visible again when its visibility timeout ends.

        Args:
            queue_url: A queue of the settings: its URL, or its name.
            max_messages: 1 to 10.
            wait_time_seconds: 0 to 20.

        Raises:
            ValueError: A number is out of range.
            RefusedError: The queue does not belong to this installation.
            UnavailableError: The fabric cannot be reached.
        """
        if not 1 <= max_messages <= 10:
            raise ValueError(f"max_messages: expected 1 to 10, found {max_messages}")
        if not 0 <= wait_time_seconds <= 20:
            raise ValueError(f"wait_time_seconds: expected 0 to 20, found {wait_time_seconds}")
        if self._client is not None:
            return [Message(one) for one in _boto3.receive(self._client, queue_url, max_messages, wait_time_seconds)]
        source = self._of(queue_url)
        return [_message(source, one) for one in source.receive(max_messages, round(wait_time_seconds * 1000))]

    def delete_message(self, queue_url: str, receipt_handle: str) -> bool:
        """Deletes a message, so that nobody receives it again.

        Returns:
            False if another consumer has received the message in the meantime: the message then stays, and a warning is logged. SQS does not
            report this.

        Raises:
            RefusedError: The receipt does not belong to this queue.
            UnavailableError: The fabric cannot be reached.
        """
        if self._client is not None:
            self._client.delete_message(QueueUrl=queue_url, ReceiptHandle=receipt_handle)
            return True
        [(deleted, error)] = self._of(queue_url).delete([receipt_handle])
        if error is not None:
            raise error
        if deleted is False:
            _LOG.warning("%s: a message was not deleted, because another consumer has received it in the meantime", queue_url)
        return deleted is not False

    def _of(self, queue_url: str) -> _core.Consumer:
        found = self._consumers.get(queue_url)
        if found is None:
            found = self._consumers[queue_url] = installation(self.settings, self._session, calls=False).consumer(queue_url)
        return found


class Consumer:
    """The consumer for older programs: it returns messages as dicts and reads Commands, Results and Events from them.

    Args:
        client: A boto3 SQS client to make all calls with. By default the consumer receives from the fabric in the settings.
    """

    def __init__(self, client: Any = None) -> None:
        self._own = SQSConsumer(get_settings() if client is None else Settings(variables={}), client=client)

    def receive_messages(self, queue_url: str, max_messages: int = 10, wait_time_seconds: float = 20) -> list[dict[str, Any]]:
        """Waits for messages, as `SQSConsumer.receive_messages` does. Each is a dict in boto3's form."""
        return [*self._own.receive_messages(queue_url, max_messages, wait_time_seconds)]

    def delete_message(self, queue_url: str, receipt_handle: str) -> None:
        """Deletes a message, so that nobody receives it again."""
        self._own.delete_message(queue_url, receipt_handle)

    def poll_commands(self, queue_url: str, wait_time_seconds: float = 20) -> Iterator[tuple[Command, str]]:
        """Receives once, and yields each Command with its receipt.

        Raises:
            ValueError: A message is not a Command. It is raised after all the others have been yielded.
        """
        return self._poll(Command, queue_url, wait_time_seconds)

    def poll_results(self, queue_url: str, wait_time_seconds: float = 20) -> Iterator[tuple[Result, str]]:
        """Receives once, and yields each Result with its receipt; otherwise as `poll_commands`."""
        return self._poll(Result, queue_url, wait_time_seconds)

    def poll_events(self, queue_url: str, wait_time_seconds: float = 20) -> Iterator[tuple[Event, str]]:
        """Receives once, and yields each Event with its receipt; otherwise as `poll_commands`."""
        return self._poll(Event, queue_url, wait_time_seconds)

    def _poll(self, kind: type[_M], queue_url: str, wait_time_seconds: float) -> Iterator[tuple[_M, str]]:
        first: Exception | None = None
        for message in self._own.receive_messages(queue_url, 10, wait_time_seconds):
            try:
                read = kind.model_validate_json(message.body)
            except (ValueError, _core.PudatoError) as error:
                error.add_note(f"message {message.message_id} of {queue_url}; it stays on the queue")
                first = first or error
                continue
            yield read, message.receipt_handle
        if first is not None:
            raise first


def _message(source: _core.Consumer, received: _core.Received) -> Message:
    message = Message(
        MessageId=received.message_id,
        ReceiptHandle=received.receipt_handle,
        Body=received.raw_body if received.body is None else received.body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in received.attributes.items()
        },
    )
    if received.attempt is not None:
        message["Attributes"] = {"ApproximateReceiveCount": str(received.attempt)}
    message._source = source
    message._received = received
    return message
