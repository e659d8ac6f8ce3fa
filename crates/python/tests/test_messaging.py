"""Publishing and receiving on both fabrics, and through boto3 clients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from emulator import ACCOUNT, REGION, credentials, deploy

from pudato.config import Settings, get_settings
from pudato.messaging import Consumer, Message, Publisher, PublishError, SNSPublisher, SQSConsumer, Topics
from pudato.protocol import Command, Event, Result
from pudato.protocol.errors import ConfigurationError, PudatoError, RefusedError

QUEUE = "pudato-storage-queue"


def command(number: int = 1, **payload: Any) -> Command:
    return Command(type="storage", action="put_object", payload=payload or {"number": number}, correlation_id=f"c-{number}")


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / ".pudato")


@pytest.fixture(scope="session")
def deployed(emulator: str) -> dict[str, str]:
    return {**credentials(), **deploy(emulator)}


@pytest.fixture
def aws(deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for name, value in deployed.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    empty(settings)
    yield settings


@pytest.fixture(params=["embedded", "aws"])
def settings(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(request.param)
    return found


def empty(settings: Settings) -> None:
    consumer = SQSConsumer(settings)
    for queue in (settings.storage_queue_url, settings.results_queue_url, settings.history_queue_url):
        while messages := consumer.receive_messages(queue, wait_time_seconds=0):
            for message in messages:
                consumer.delete_message(queue, message.receipt_handle)


def receive(settings: Settings, queue: str, count: int) -> list[Message]:
    """Receives and deletes this many messages, and checks that there are no more."""
    consumer = SQSConsumer(settings)
    received: list[Message] = []
    until = time.monotonic() + 60
    while len(received) < count and time.monotonic() < until:
        for message in consumer.receive_messages(queue, wait_time_seconds=1):
            received.append(message)
            assert consumer.delete_message(queue, message.receipt_handle)
    assert len(received) == count
    return received


def test_a_published_message_is_received_with_its_attributes(settings: Settings) -> None:
    publisher, consumer = SNSPublisher(settings), SQSConsumer(settings)
    sent = publisher.publish_command(command(), topic_arn=settings.storage_topic_arn)
    assert sent["MessageId"]
    publisher.publish_result(Result.success(correlation_id="c-1", handler="storage"))
    publisher.publish_event(Event(type="storage.object_created", correlation_id="c-1"))
    [message] = consumer.receive_messages(settings.storage_queue_url)
    assert Command.model_validate_json(message.body) == command().model_copy(update={"timestamp": message.command().timestamp})
    assert message.attributes == {"type": "storage", "action": "put_object", "correlation_id": "c-1"}
    assert (message["Body"], message["MessageId"], message["ReceiptHandle"]) == (
        message.body,
        message.message_id,
        message.receipt_handle,
    )
    assert message.attempt == 1
    assert consumer.delete_message(settings.storage_queue_url, message.receipt_handle)
    [result] = receive(settings, settings.results_queue_url, 1)
    assert result.attributes == {"status": "success", "handler": "storage", "correlation_id": "c-1"}
    [event] = receive(settings, settings.history_queue_url, 1)
    assert event.attributes == {"type": "storage.object_created", "correlation_id": "c-1"}


def test_a_message_over_the_limit_is_stored_and_fetched(settings: Settings) -> None:
    big = command(data="x" * 1_500_000)
    SNSPublisher(settings).publish_command(big)
    [message] = receive(settings, settings.storage_queue_url, 1)
    assert message.command().payload == big.payload
    assert "S3Pointer" in message.raw_body and len(message.raw_body) < 1_000


def test_a_missing_claim_fails_only_its_own_message(embedded: Settings, tmp_path: Path) -> None:
    publisher = SNSPublisher(embedded)
    publisher.publish_many([command(1), command(2, data="x" * 1_500_000), command(3)])
    [claim] = [path for path in (tmp_path / ".pudato").rglob("claims/*/*") if path.is_file() and not path.name.startswith(".")]
    claim.unlink()
    one, two, three = SQSConsumer(embedded).receive_messages(QUEUE)
    assert (one.command().correlation_id, three.command().correlation_id) == ("c-1", "c-3")
    with pytest.raises(RefusedError, match="claim"):
        _ = two.body
    assert "S3Pointer" in two["Body"]


@pytest.mark.parametrize("place", ["arn:aws:sns:us-east-1:999999999999:pudato-storage-commands", ""])
def test_a_topic_of_another_installation_is_refused_by_name(settings: Settings, place: str) -> None:
    with pytest.raises(RefusedError, match="topic_arn: expected .*found"):
        SNSPublisher(settings).publish_command(command(), topic_arn=place)
    assert SQSConsumer(settings).receive_messages(settings.storage_queue_url, wait_time_seconds=0) == []


@pytest.mark.parametrize("place", ["https://sqs.us-east-1.amazonaws.com/999999999999/pudato-storage-queue", ""])
def test_a_queue_of_another_installation_is_refused_by_name(settings: Settings, place: str) -> None:
    with pytest.raises(RefusedError, match="queue_url: expected .*found"):
        SQSConsumer(settings).receive_messages(place, wait_time_seconds=0)


def test_a_name_alone_is_a_topic_or_queue_of_this_installation(settings: Settings) -> None:
    SNSPublisher(settings).publish_command(command(), topic_arn="pudato-storage-commands")
    receive(settings, QUEUE, 1)
    with pytest.raises(RefusedError, match="pudato-nobody-commands"):
        SNSPublisher(settings).publish_command(command(), topic_arn="pudato-nobody-commands")


def test_a_topic_without_its_setting_names_the_setting(aws: Settings) -> None:
    lacking = aws._with(query_topic_arn="")
    with pytest.raises(RefusedError, match="set PUDATO_QUERY_TOPIC_ARN"):
        SNSPublisher(lacking).publish_command(Command(type="query", action="execute_sql"))


def test_many_messages_go_to_their_topics_and_come_back_in_order(settings: Settings) -> None:
    messages: list[Command | Result | Event] = [
        *(command(number) for number in range(95)),
        Result.success(correlation_id="r"),
        Event(type="a.b", correlation_id="e"),
    ]
    published = SNSPublisher(settings).publish_many(messages)
    assert len({one["MessageId"] for one in published}) == len(messages)
    found = [message.command().correlation_id for message in receive(settings, settings.storage_queue_url, 95)]
    expected = [f"c-{number}" for number in range(95)]
    assert found == expected if settings.fabric == "embedded" else sorted(found) == sorted(expected)
    receive(settings, settings.results_queue_url, 1)
    receive(settings, settings.history_queue_url, 1)


def test_batches_of_large_messages_are_limited_by_bytes(settings: Settings) -> None:
    messages = [command(number, data="x" * 200_000) for number in range(12)]
    assert len(SNSPublisher(settings).publish_many(messages)) == 12
    receive(settings, settings.storage_queue_url, 12)


def test_one_error_names_the_messages_that_failed_and_has_the_ids_of_the_others(settings: Settings) -> None:
    other = Command(type="nobody", action="run", correlation_id="lost")
    with pytest.raises(PublishError, match=r"1 of 3 messages were not published: message 1 \(lost\)") as raised:
        SNSPublisher(settings).publish_many([command(1), other, command(2)])
    assert list(raised.value.failed) == [1]
    assert isinstance(raised.value.failed[1], RefusedError)
    first, second, third = raised.value.published
    assert first and third and second is None
    receive(settings, settings.storage_queue_url, 2)


def test_an_invalid_message_raises_before_anything_is_sent(embedded: Settings) -> None:
    publisher = SNSPublisher(embedded)
    with pytest.raises(TypeError, match="expected a Command, found Result"):
        publisher.publish_command(Result.success(correlation_id="c"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="found dict"):
        publisher.publish_many([command(), {}])  # type: ignore[list-item]
    assert SQSConsumer(embedded).receive_messages(QUEUE, wait_time_seconds=0) == []


def test_a_receipt_settles_one_delivery(embedded: Settings) -> None:
    consumer = SQSConsumer(embedded)
    SNSPublisher(embedded).publish_command(command())
    [first] = consumer.receive_messages(QUEUE)
    old = first.receipt_handle
    first.renew(30)
    assert consumer.receive_messages(QUEUE, wait_time_seconds=0) == []
    first.release()
    [second] = consumer.receive_messages(QUEUE)
    assert second.attempt == 2
    assert not consumer.delete_message(QUEUE, old), "another delivery has it now"
    assert consumer.delete_message(QUEUE, second.receipt_handle)
    with pytest.raises(RefusedError, match="receipt"):
        consumer.delete_message(QUEUE, "nonsense")


@pytest.mark.parametrize(("limits", "name"), [({"max_messages": 11}, "max_messages"), ({"wait_time_seconds": 21}, "wait_time_seconds")])
def test_receive_limits_are_checked_and_named(embedded: Settings, limits: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        SQSConsumer(embedded).receive_messages(QUEUE, **limits)


def test_a_program_may_change_its_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        monkeypatch.chdir(folder)
        SNSPublisher(Settings()).publish_command(command())
        assert (folder / ".pudato" / "fabric.db").exists(), "not that of the settings before, which have the same values"
    monkeypatch.chdir(here)
    settings = Settings()
    monkeypatch.chdir(there)
    assert len(SQSConsumer(settings).receive_messages(QUEUE)) == 1
    SNSPublisher(settings).publish_command(command(2))
    monkeypatch.chdir(here)
    [message] = SQSConsumer(Settings()).receive_messages(QUEUE)
    assert message.command().correlation_id == "c-2"


def test_threads_share_one_publisher(embedded: Settings) -> None:
    publisher = SNSPublisher(embedded)
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda number: publisher.publish_command(command(number))["MessageId"], range(80)))
    assert len(set(sent)) == 80
    receive(embedded, QUEUE, 80)


def test_the_older_publisher_and_consumer_use_the_fabric_in_the_settings(tmp_path: Path) -> None:
    publisher, consumer = Publisher(), Consumer()
    topic = Topics.for_service("storage")
    assert topic == Topics.storage_commands()
    assert topic.name == "pudato-storage-commands"
    assert publisher.publish_command(topic.arn, command())["MessageId"]
    publisher.publish_result(Topics.results().arn, Result.success(correlation_id="c-1"))
    publisher.publish_event(Topics.events().arn, Event(type="a.b", correlation_id="c-1"))
    settings = get_settings()
    [(found, receipt)] = consumer.poll_commands(settings.storage_queue_url)
    assert found.correlation_id == "c-1"
    consumer.delete_message(settings.storage_queue_url, receipt)
    [(result, _)] = consumer.poll_results(settings.results_queue_url)
    assert result.status == "success"
    [(event, _)] = consumer.poll_events(settings.history_queue_url)
    assert event.type == "a.b"
    with pytest.raises(ValueError, match="expected one of storage"):
        Topics.for_service("nobody")


def clients(endpoint: str | None = None) -> tuple[Any, Any]:
    boto3 = pytest.importorskip("boto3")
    access = {"region_name": REGION, "aws_access_key_id": ACCOUNT, "aws_secret_access_key": "test", "endpoint_url": endpoint}
    return boto3.client("sns", **access), boto3.client("sqs", **access)


def test_boto3_clients_make_all_calls_so_moto_can_mock_them() -> None:
    moto = pytest.importorskip("moto")
    with moto.mock_aws():
        sns, sqs = clients()
        arn = sns.create_topic(Name="t")["TopicArn"]
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
        publisher, consumer = Publisher(client=sns), Consumer(client=sqs)
        assert publisher.publish_command(arn, command(1))["ResponseMetadata"]["HTTPStatusCode"] == 200
        many = SNSPublisher(client=sns).publish_many([command(number) for number in range(2, 26)], topic_arn=arn)
        assert len(many) == 24
        found: list[str] = []
        while len(found) < 25:
            for message, receipt in consumer.poll_commands(url, wait_time_seconds=0):
                found.append(message.correlation_id)
                consumer.delete_message(url, receipt)
        assert sorted(found) == sorted(f"c-{number}" for number in range(1, 26))
        assert SQSConsumer(client=sqs).receive_messages(url, wait_time_seconds=0) == []
        with pytest.raises(RefusedError, match="needs an ARN"):
            SNSPublisher(client=sns).publish_command(command())


def test_a_message_that_cannot_be_read_does_not_hide_the_others(deployed: dict[str, str]) -> None:
    _, sqs = clients(deployed["AWS_ENDPOINT_URL"])
    url = sqs.create_queue(QueueName="mixed")["QueueUrl"]
    for body in (command(1).model_dump_json(), json.dumps({"type": "storage"}), command(2).model_dump_json()):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    polled = Consumer(client=sqs).poll_commands(url)
    found = {next(polled)[0].correlation_id, next(polled)[0].correlation_id}
    assert found == {"c-1", "c-2"}
    with pytest.raises((ValueError, PudatoError), match="action"):
        next(polled)


def session(deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A boto3 session, in an environment without credentials or a region."""
    boto3 = pytest.importorskip("boto3")
    for name, value in deployed.items():
        if not name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return boto3.Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="test", region_name=REGION)


def test_a_session_supplies_region_and_credentials(deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    own, endpoint = session(deployed, monkeypatch), deployed["AWS_ENDPOINT_URL"]
    publisher = SNSPublisher(session=own, endpoint_url=endpoint)
    publisher.publish_command(command())
    consumer = SQSConsumer(session=own, endpoint_url=endpoint)
    [message] = consumer.receive_messages(consumer.settings.storage_queue_url)
    consumer.delete_message(consumer.settings.storage_queue_url, message.receipt_handle)
    with pytest.raises(PudatoError):
        # A new installation, which no earlier test has opened with credentials.
        SNSPublisher(Settings(aws_endpoint_url=endpoint, concurrency=3)).publish_command(command())


def test_temporary_credentials_are_refreshed_before_they_expire(
    deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    from pudato.messaging import _session

    session(deployed, monkeypatch)
    monkeypatch.setattr(_session, "_ASK_AGAIN_SECONDS", 0.1)
    asked: list[float] = []

    def fresh() -> dict[str, str]:
        asked.append(time.monotonic())
        # They expire so soon that botocore fetches new ones every time.
        ends = datetime.now(UTC) + timedelta(minutes=5)
        return {"access_key": ACCOUNT, "secret_key": "test", "token": f"t{len(asked)}", "expiry_time": ends.isoformat()}

    core = pytest.importorskip("botocore.session").Session()
    refreshable = pytest.importorskip("botocore.credentials").RefreshableCredentials
    core._credentials = refreshable.create_from_metadata(fresh(), fresh, "test")
    own = pytest.importorskip("boto3").Session(botocore_session=core, region_name=REGION)
    publisher = SNSPublisher(session=own, endpoint_url=deployed["AWS_ENDPOINT_URL"])
    publisher.publish_command(command())
    before, until = len(asked), time.monotonic() + 30
    while len(asked) < before + 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(asked) >= before + 3
    publisher.publish_command(command())


def test_a_session_on_the_embedded_fabric_or_with_a_client_is_refused(embedded: Settings) -> None:
    own = pytest.importorskip("boto3").Session(region_name=REGION)
    with pytest.raises(ConfigurationError, match="session: PUDATO_FABRIC is embedded"):
        SNSPublisher(embedded, session=own)
    with pytest.raises(ConfigurationError, match="pass only one of the two"):
        SQSConsumer(embedded, session=own, client=object())


def test_a_message_that_cannot_be_written_is_named_and_the_others_are_published(tmp_path: Path) -> None:
    settings = Settings(variables={}, data_dir=tmp_path / ".pudato")
    bad = Command(type="query", action="a", payload={"x": object()})
    with pytest.raises(PublishError, match=r"payload\.x") as raised:
        SNSPublisher(settings).publish_many([Command(type="storage", action="a"), bad, Command(type="query", action="b")])
    assert list(raised.value.failed) == [1]
    assert [one is not None for one in raised.value.published] == [True, False, True]
