"""Python handlers on SNS and SQS: events without receipts, and a runner on a queue."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _programs import line_of, rest_of, runner, started
from _served import PATIENCE, command
from emulator import ACCOUNT, REGION, credentials

from pudato import Command, Result
from pudato.handlers import OwnHandler, register_handler_factory
from pudato.runtime import handle

Receive = Callable[[], list[Result]]


@pytest.fixture
def queue(emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, Receive, dict[str, str]]:
    """A service `mine` on the emulator: its queue, its topic, a receiver for Results, and the environment for programs."""
    import boto3  # type: ignore[import-untyped,unused-ignore]

    prefix = f"t{time.monotonic_ns():x}"[:20]
    topic_arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{prefix}"
    environment = {
        **credentials(),
        "AWS_ENDPOINT_URL": emulator,
        "PUDATO_FABRIC": "aws",
        "PUDATO_PREFIX": prefix,
        "PUDATO_RESULTS_TOPIC_ARN": f"{topic_arn}-results",
        "PUDATO_EVENTS_TOPIC_ARN": f"{topic_arn}-events",
        "REGISTRY_DATABASE_URL": f"sqlite:{tmp_path / 'registry.db'}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sns: Any = boto3.client("sns")
    sqs: Any = boto3.client("sqs")

    def arn(url: str) -> str:
        found: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return found

    def subscribed(topic: str, name: str) -> tuple[str, str]:
        dead = arn(sqs.create_queue(QueueName=f"{prefix}-{name}-dlq")["QueueUrl"])
        redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 6})
        url: str = sqs.create_queue(QueueName=f"{prefix}-{name}-queue", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        made: str = sns.create_topic(Name=f"{prefix}-{topic}")["TopicArn"]
        sns.subscribe(TopicArn=made, Protocol="sqs", Endpoint=arn(url), Attributes={"RawMessageDelivery": "true"})
        return url, made

    results, _ = subscribed("results", "results")
    sns.create_topic(Name=f"{prefix}-events")
    url, topic = subscribed("mine-commands", "mine")

    def receive() -> list[Result]:
        got = sqs.receive_message(QueueUrl=results, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        for one in got:
            sqs.delete_message(QueueUrl=results, ReceiptHandle=one["ReceiptHandle"])
        return [Result.model_validate_json(one["Body"]) for one in got]

    return url, topic, receive, environment


def answers(receive: Receive, count: int) -> list[Result]:
    found: list[Result] = []
    until = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < until, found
        found.extend(receive())
    return found


def test_an_event_without_receipts_is_handled_and_its_failures_are_reported(
    queue: tuple[str, str, Receive, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, receive, _ = queue
    mine = OwnHandler("mine")

    @mine.action("run", effect="read")
    def run(command: Command) -> dict[str, Any]:
        if command.payload.get("fail"):
            raise ValueError("no")
        return {"n": 1}

    register_handler_factory("mine", lambda: mine)
    monkeypatch.setenv("HANDLER_TYPE", "mine")
    ok, bad = command("mine", "run"), command("mine", "run", {"fail": True})
    records = [
        {"body": ok.model_dump_json()},
        {"messageId": "m-1", "body": bad.model_dump_json()},
        # Without a receipt pudato cannot move the message to the dead-letter queue, so Lambda keeps it.
        {"messageId": "m-2", "body": "no command"},
    ]
    answered = handle({"Records": records})
    assert answered["results"] == [{"correlation_id": ok.correlation_id, "status": "success"}]
    assert sorted(one["itemIdentifier"] for one in answered["batchItemFailures"]) == ["m-1", "m-2"]
    assert answered["processed"] == 1
    [result] = answers(receive, 1)
    assert (result.correlation_id, result.data, result.handler) == (ok.correlation_id, {"n": 1}, "mine")


def test_a_runner_receives_from_its_queue(queue: tuple[str, str, Receive, dict[str, str]], tmp_path: Path) -> None:
    import boto3  # type: ignore[import-untyped,unused-ignore]

    url, topic, receive, environment = queue
    (tmp_path / "mine.py").write_text(
        "from pudato import handler\n"
        "mine = handler('mine')\n"
        "@mine.action('run', effect='read')\n"
        "def run(command):\n"
        "    return {'n': command.payload['n']}\n"
    )
    with started(tmp_path, runner("mine:mine", "--queue-url", url), environment) as program:
        line_of(program)
        sns: Any = boto3.client("sns")
        for n in range(12):
            sns.publish(TopicArn=topic, Message=command("mine", "run", {"n": n}).model_dump_json())
        found = answers(receive, 12)
        program.send_signal(signal.SIGTERM)
        errors = rest_of(program)
    assert program.returncode == 0, errors
    assert sorted((one.data or {})["n"] for one in found) == list(range(12))
