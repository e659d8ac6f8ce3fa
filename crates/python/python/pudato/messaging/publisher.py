"""Publishing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from pudato import _core
from pudato._fabric import installation
from pudato.config import Settings
from pudato.protocol import Command, Event, Result

__all__ = ["Published", "SNSPublisher"]


class Published(TypedDict):
    """What `publish` returns: the fabric's id of the message."""

    MessageId: str


class SNSPublisher:
    """Publishes Commands, Results and Events: to SNS on AWS, or to the embedded fabric.

    Args:
        settings: The settings; those of the environment by default.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else Settings()

    def publish_command(self, command: Command, topic_arn: str | None = None) -> Published:
        """Publishes a Command to the topic of its service, or to `topic_arn`.

        Raises:
            RefusedError: The fabric does not take it.
            UnavailableError: The fabric cannot be reached.
        """
        return self._one("command", command, topic_arn or self._commands(command.type))

    def publish_result(self, result: Result, topic_arn: str | None = None) -> Published:
        """Publishes a Result to the topic of Results, or to `topic_arn`."""
        return self._one("result", result, topic_arn or self.settings.results_topic_arn)

    def publish_event(self, event: Event, topic_arn: str | None = None) -> Published:
        """Publishes an Event to the topic of Events, or to `topic_arn`."""
        return self._one("event", event, topic_arn or self.settings.events_topic_arn)

    def publish_many(self, messages: Iterable[Command | Result | Event], topic_arn: str | None = None) -> list[Published]:
        """Publishes many messages in as few calls as the fabric allows, in their order for each topic."""
        messages = list(messages)
        published: list[Published | None] = [None] * len(messages)
        groups: dict[tuple[str, str], list[int]] = {}
        for at, message in enumerate(messages):
            groups.setdefault(self._place(message, topic_arn), []).append(at)
        for (kind, topic), places in groups.items():
            bodies = [messages[at].model_dump_json() for at in places]
            for at, one in zip(places, installation(self.settings).publish(kind, topic, bodies), strict=True):
                published[at] = _published(one)
        return [one for one in published if one is not None]

    def _place(self, message: Command | Result | Event, topic_arn: str | None) -> tuple[str, str]:
        if isinstance(message, Command):
            return "command", topic_arn or self._commands(message.type)
        if isinstance(message, Result):
            return "result", topic_arn or self.settings.results_topic_arn
        return "event", topic_arn or self.settings.events_topic_arn

    def _commands(self, service: str) -> str:
        named = getattr(self.settings, f"{service}_topic_arn", None)
        return named or f"{self.settings.prefix}-{service}-commands"

    def _one(self, kind: str, message: Command | Result | Event, topic: str) -> Published:
        [one] = installation(self.settings).publish(kind, topic, [message.model_dump_json()])
        return _published(one)


def _published(one: tuple[str | None, str | None]) -> Published:
    message_id, error = one
    if message_id is None:
        raise _core.RefusedError(error)
    return {"MessageId": message_id}
