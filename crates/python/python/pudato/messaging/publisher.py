"""Publishing messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, TypeVar

from pudato import _core
from pudato._fabric import installation
from pudato.config import Settings, get_settings
from pudato.messaging import _boto3
from pudato.messaging._session import connect
from pudato.protocol import Command, Event, Result

__all__ = ["PublishError", "Published", "Publisher", "SNSPublisher"]

_M = TypeVar("_M", Command, Result, Event)
_SERVICES = ("storage", "query", "transform", "registry")


class Published(TypedDict):
    """What `publish` returns: the fabric's id for the message."""

    MessageId: str


class PublishError(_core.PudatoError):
    """Some messages of a `publish_many` were not published; the others were.

    Attributes:
        failed: The exception for each message that was not published, by its index in the list. After a `RefusedError`, the message was
            not sent. After an `UnavailableError`, it may have been sent, so publishing it again may duplicate it.
        published: The outcome of each message, in the order of the list; None for those that failed.
    """

    def __init__(self, text: str, failed: dict[int, Exception], published: list[Published | None]) -> None:
        super().__init__(text)
        self.failed = failed
        self.published = published

    def __reduce__(self) -> tuple[Any, ...]:
        return PublishError, (str(self), self.failed, self.published)


class SNSPublisher:
    """Publishes Commands, Results and Events: to SNS on AWS, or to the embedded fabric.

    A message that is too large for its topic is stored as an object, and a pointer to it is published instead.

    Args:
        settings: The settings; by default from the environment.
        session: A `boto3.Session`, which supplies the region and credentials. Temporary credentials are refreshed before they expire.
        endpoint_url: The endpoint of an emulator; by default the one in the settings, or the session's.
        client: A boto3 SNS client to make all calls with. It does not store large messages as objects, and it raises boto3's exceptions.
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

    def publish_command(self, command: Command, topic_arn: str | None = None) -> Published:
        """Publishes a Command to the topic of its service, or to `topic_arn`.

        Args:
            command: The Command.
            topic_arn: A topic in the settings: its ARN or its name.

        Returns:
            The fabric's id for the message, which is durable by then.

        Raises:
            RefusedError: The topic does not belong to this installation, or rejects the message.
            UnavailableError: The fabric cannot be reached.
        """
        return self._one(_checked(command, Command), topic_arn)

    def publish_result(self, result: Result, topic_arn: str | None = None) -> Published:
        """Publishes a Result to the results topic, or to `topic_arn`; otherwise like `publish_command`."""
        return self._one(_checked(result, Result), topic_arn)

    def publish_event(self, event: Event, topic_arn: str | None = None) -> Published:
        """Publishes an Event to the events topic, or to `topic_arn`; otherwise like `publish_command`."""
        return self._one(_checked(event, Event), topic_arn)

    def publish_many(self, messages: Iterable[Command | Result | Event], topic_arn: str | None = None) -> list[Published]:
        """Publishes many messages in as few calls as the fabric allows, several at a time.

        On the embedded fabric, the messages of a topic keep their order.

        Args:
            messages: Commands, Results and Events. Each goes to its own topic, unless you set `topic_arn`.
            topic_arn: A topic in the settings: its ARN or its name.

        Returns:
            The fabric's id for each message, in the order of `messages`.

        Raises:
            PublishError: Some messages were not published. The error names them and has the ids of the others.
        """
        messages = list(messages)
        groups: dict[tuple[str, str], list[int]] = {}
        published: list[Published | None] = [None] * len(messages)
        failed: dict[int, Exception] = {}
        for at, message in enumerate(messages):
            place = self._place(message, topic_arn)
            try:
                message.model_dump_json()
            except (_core.MessageError, ValueError) as unwritable:
                failed[at] = unwritable
            else:
                groups.setdefault(place, []).append(at)
        for (kind, topic), places in groups.items():
            for at, (message_id, error) in zip(places, self._send(kind, topic, [messages[at] for at in places]), strict=True):
                if message_id is not None:
                    published[at] = {"MessageId": message_id}
                else:
                    failed[at] = error if error is not None else _core.UnavailableError("publish: the fabric reported no outcome")
        if failed:
            raise PublishError(_summary(messages, failed), failed, published)
        return [one for one in published if one is not None]

    def _one(self, message: Command | Result | Event, topic_arn: str | None) -> Published:
        kind, topic = self._place(message, topic_arn)
        if self._client is not None:
            return {"MessageId": _boto3.publish(self._client, _as_arn(topic), message)["MessageId"]}
        core = installation(self.settings, self._session, calls=False)
        [(message_id, error)] = core.publish(kind, topic, [message.model_dump_json()])
        if message_id is None:
            raise error if error is not None else _core.UnavailableError("publish: the fabric reported no outcome")
        return {"MessageId": message_id}

    def _send(self, kind: str, topic: str, messages: list[Command | Result | Event]) -> list[_boto3.Outcome]:
        try:
            if self._client is not None:
                return _boto3.publish_all(self._client, _as_arn(topic), messages)
            bodies = [message.model_dump_json() for message in messages]
            return [*installation(self.settings, self._session, calls=False).publish(kind, topic, bodies)]
        except (_core.RefusedError, _core.UnavailableError) as error:
            return [(None, error)] * len(messages)

    def _place(self, message: Command | Result | Event, topic_arn: str | None) -> tuple[str, str]:
        if isinstance(message, Command):
            return "command", self._commands(message.type) if topic_arn is None else topic_arn
        if isinstance(message, Result):
            return "result", self.settings.results_topic_arn if topic_arn is None else topic_arn
        if isinstance(message, Event):
            return "event", self.settings.events_topic_arn if topic_arn is None else topic_arn
        raise TypeError(f"expected a Command, Result or Event, found {type(message).__name__}")

    def _commands(self, service: str) -> str:
        if service in _SERVICES:
            return str(getattr(self.settings, f"{service}_topic_arn"))
        return f"{self.settings.prefix}-{service}-commands"


class Publisher:
    """The publisher for older programs: the topic is the first argument, and the return values have boto3's form.

    Args:
        client: A boto3 SNS client to make all calls with. By default the publisher uses the fabric in the settings.
    """

    def __init__(self, client: Any = None) -> None:
        self._client = client
        self._own = SNSPublisher(get_settings()) if client is None else None

    def publish_command(self, topic_arn: str, command: Command) -> dict[str, Any]:
        """Publishes a Command. Returns a dict with `MessageId`."""
        return self._publish(topic_arn, _checked(command, Command))

    def publish_result(self, topic_arn: str, result: Result) -> dict[str, Any]:
        """Publishes a Result. Returns a dict with `MessageId`."""
        return self._publish(topic_arn, _checked(result, Result))

    def publish_event(self, topic_arn: str, event: Event) -> dict[str, Any]:
        """Publishes an Event. Returns a dict with `MessageId`."""
        return self._publish(topic_arn, _checked(event, Event))

    def _publish(self, topic_arn: str, message: Command | Result | Event) -> dict[str, Any]:
        if self._own is None:
            return _boto3.publish(self._client, topic_arn, message)
        return {**self._own._one(message, topic_arn), "ResponseMetadata": {"HTTPStatusCode": 200}}


def _checked(message: _M, kind: type[_M]) -> _M:
    if not isinstance(message, kind):
        raise TypeError(f"expected a {kind.__name__}, found {type(message).__name__}")
    return message


def _as_arn(topic: str) -> str:
    if not topic.startswith("arn:"):
        raise _core.RefusedError(f"topic_arn: a boto3 client needs an ARN, found {topic!r}; pass the ARN or set the topic's PUDATO_..._TOPIC_ARN")
    return topic


def _summary(messages: list[Command | Result | Event], failed: dict[int, Exception]) -> str:
    shown = [f"message {at} ({messages[at].correlation_id}): {error}" for at, error in list(failed.items())[:5]]
    rest = len(failed) - len(shown)
    more = f"; and {rest} more" if rest else ""
    return f"{len(failed)} of {len(messages)} messages were not published: {'; '.join(shown)}{more}"
