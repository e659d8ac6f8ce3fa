"""The client on SNS and SQS, against an emulator."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest
from emulator import credentials, deploy

import pudato
from pudato import Client, Settings
from pudato.aio import AsyncClient
from pudato.protocol import Command
from pudato.protocol.errors import CallTimeout

_accounts = count(101)


@pytest.fixture
def aws(emulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of a program on AWS, whose registry is a file.

    Each test has its own account, because for a while the emulator still delivers messages to receivers that have gone.
    """
    account = f"{next(_accounts):012}"
    own = {
        **credentials(account),
        **deploy(emulator, account),
        "PUDATO_DATA_DIR": str(tmp_path / ".pudato"),
        "PUDATO_QUERY_ISOLATION": "none",
        "REGISTRY_DATABASE_URL": f"sqlite:{tmp_path / 'registry.db'}",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return own


def _reply_queues(environment: dict[str, str]) -> list[str]:
    sqs = import_module("boto3").client("sqs", endpoint_url=environment["AWS_ENDPOINT_URL"])
    urls: list[str] = sqs.list_queues(QueueNamePrefix="pudato-reply-").get("QueueUrls", [])
    return urls


def _until_there_are(count: int, environment: dict[str, str]) -> None:
    end = time.monotonic() + 30
    while len(_reply_queues(environment)) != count and time.monotonic() < end:
        time.sleep(0.05)
    assert len(_reply_queues(environment)) == count


def test_a_serving_client_works_on_sns_and_sqs(aws: dict[str, str]) -> None:
    with Client(serve=True) as client:
        assert client.query("SELECT 6 * ? AS answer", [7]).rows == [(42,)]
        # Larger than an SQS message, so that it is stored as a claim.
        assert client.query("SELECT repeat('x', 2_000_000) AS x").rows == [("x" * 2_000_000,)]
        ids = client.publish_many(
            Command(type="registry", action="query_jobs", correlation_id=f"many-{n}") for n in range(25)
        )
        assert len(set(ids)) == 25


def test_a_call_leaves_no_queue_behind_however_it_ends(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("PUDATO_REPLIES", "queue")
    caller = Settings()
    client = Client(caller)
    with pudato.serve(settings):
        assert client.query("SELECT 1").rows == [(1,)]
        assert client.call("query", "execute_sql", {"sql": "SELECT nothing"}).status == "error"
    assert _reply_queues(aws) == []
    with pytest.raises(CallTimeout):
        client.query("SELECT 1", timeout=0.5)
    assert _reply_queues(aws) == []

    async def main() -> None:
        call = asyncio.create_task(AsyncClient(caller).query("SELECT 1"))
        await asyncio.to_thread(_until_there_are, 1, aws)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    _until_there_are(0, aws)


def test_a_caller_whose_replies_arrive_on_a_queue_can_read_jobs_and_lineage(
    aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings()
    with Client(settings, serve=True) as client:
        made = client.call("registry", "create_job", {"pipeline": "asked"})
        assert made.data is not None
        monkeypatch.setenv("PUDATO_REPLIES", "queue")
        assert Client(Settings()).job(made.data["job_id"]).pipeline == "asked"
