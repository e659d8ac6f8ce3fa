"""Publishes and receives with a boto3 client instead of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pudato import _core
from pudato.protocol import Command, Event, Result

# What SNS accepts in one batch, regardless of the topic's own limit.
_ENTRIES_MAX = 10
_BYTES_MAX = 262_144

Outcome = tuple[str | None, Exception | None]


def attributes(message: Command | Result | Event) -> dict[str, dict[str, str]]:
    """Returns the attributes of a message as boto3 expects them. SNS rejects empty ones."""
    if isinstance(message, Command):
        values = {"type": message.type, "action": message.action}
    elif isinstance(message, Event):
        values = {"type": message.type}
    else:
        values = {"status": message.status, "handler": message.handler or ""}
    values["correlation_id"] = message.correlation_id
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items() if _travels(value)}


def _travels(value: str) -> bool:
    return bool(value) and len(value.encode()) <= 1_024 and value.isprintable()


def publish(client: Any, topic_arn: str, message: Command | Result | Event) -> dict[str, Any]:
    """Publishes one message. Returns boto3's response and raises its exceptions."""
    answer: dict[str, Any] = client.publish(
        TopicArn=topic_arn, Message=message.model_dump_json(), MessageAttributes=attributes(message)
    )
    return answer


def publish_all(client: Any, topic_arn: str, messages: Sequence[Command | Result | Event]) -> list[Outcome]:
    """Publishes messages in full batches. Returns an id or an exception for each message."""
    entries = [{"Message": one.model_dump_json(), "MessageAttributes": attributes(one)} for one in messages]
    outcomes: list[Outcome] = []
    for batch in _batches(entries):
        numbered = [{"Id": str(number), **entry} for number, entry in enumerate(batch)]
        try:
            answer = client.publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=numbered)
        except Exception as error:
            outcomes += [(None, error)] * len(batch)
            continue
        done: dict[str, Outcome] = {one["Id"]: (one["MessageId"], None) for one in answer.get("Successful", [])}
        for one in answer.get("Failed", []):
            kind = _core.RefusedError if one.get("SenderFault") else _core.UnavailableError
            done[one["Id"]] = (None, kind(f"{one.get('Code')}: {one.get('Message')}"))
        silence = _core.UnavailableError("publish: SNS reported no outcome")
        outcomes += [done.get(one["Id"], (None, silence)) for one in numbered]
    return outcomes


def _batches(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batches: list[list[dict[str, Any]]] = []
    total = 0
    for entry in entries:
        size = len(entry["Message"].encode()) + sum(
            len(name) + len("String") + len(value["StringValue"].encode()) for name, value in entry["MessageAttributes"].items()
        )
        total += size
        if batches and len(batches[-1]) < _ENTRIES_MAX and total <= _BYTES_MAX:
            batches[-1].append(entry)
        else:
            batches.append([entry])
            total = size
    return batches


def receive(client: Any, queue_url: str, max_messages: int, wait_time_seconds: float) -> list[dict[str, Any]]:
    """Receives messages as boto3 returns them."""
    answer = client.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=max_messages,
        WaitTimeSeconds=round(wait_time_seconds),
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )
    received: list[dict[str, Any]] = answer.get("Messages", [])
    return received
