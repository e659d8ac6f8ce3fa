"""A process may fork before it uses pudato, but not after, because threads and locks stay with the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from pudato.config import Settings
from pudato.messaging import SNSPublisher, SQSConsumer
from pudato.protocol import Command, PudatoError

QUEUE = "pudato-storage-queue"


def publish(data_dir: str, correlation_id: str) -> str:
    command = Command(type="storage", action="list_objects", correlation_id=correlation_id)
    return SNSPublisher(Settings(data_dir=data_dir)).publish_command(command)["MessageId"]


def received(data_dir: str) -> set[str]:
    messages = SQSConsumer(Settings(data_dir=data_dir)).receive_messages(QUEUE, wait_time_seconds=0)
    return {message.command().correlation_id for message in messages}


def in_a_fork(work: Callable[[], None]) -> str:
    """Returns what `work` reports in a forked child, or `hangs`."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        said = "returned"
        try:
            work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said or "hangs"


def test_a_child_forked_before_the_first_use_works(tmp_path: Path) -> None:
    # A new process, because earlier tests have used pudato in this one.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(fork_before, (str(tmp_path / ".pudato"),)) == "returned"


def fork_before(data_dir: str) -> str:
    return in_a_fork(lambda: None if publish(data_dir, "child") else None)


def test_a_child_forked_after_the_first_use_raises_and_the_parent_keeps_working(tmp_path: Path) -> None:
    data_dir = str(tmp_path / ".pudato")
    publish(data_dir, "parent")
    said = in_a_fork(lambda: print(publish(data_dir, "child")))
    assert said.startswith("PudatoError: pudato was used before this process was forked"), said
    assert "spawn" in said
    publish(data_dir, "parent again")
    assert received(data_dir) == {"parent", "parent again"}


def test_a_child_that_exits_normally_does_not_disturb_the_parents_databases(tmp_path: Path) -> None:
    data_dir = str(tmp_path / ".pudato")
    publish(data_dir, "parent")
    child = os.fork()
    if child == 0:
        # The child drops its copies of all objects, including their connections.
        import gc

        from pudato import _fabric

        signal.alarm(20)
        _fabric._opened.clear()
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    publish(data_dir, "parent again")
    assert received(data_dir) == {"parent", "parent again"}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_and_forkserver_processes_work(tmp_path: Path, method: str) -> None:
    data_dir = str(tmp_path / ".pudato")
    publish(data_dir, "parent")
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.starmap(publish, [(data_dir, "one"), (data_dir, "two")])
    assert received(data_dir) == {"parent", "one", "two"}


def test_a_pool_that_forks_raises_in_its_workers(tmp_path: Path) -> None:
    data_dir = str(tmp_path / ".pudato")
    publish(data_dir, "parent")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        with pytest.raises(PudatoError, match="forked"):
            pool.submit(publish, data_dir, "child").result(timeout=60)


def test_a_pool_that_spawns_works(tmp_path: Path) -> None:
    data_dir = str(tmp_path / ".pudato")
    publish(data_dir, "parent")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert all(pool.map(publish, [data_dir] * 4, [f"c-{number}" for number in range(4)]))
    assert received(data_dir) == {"parent", "c-0", "c-1", "c-2", "c-3"}


def test_settings_travel_to_a_spawned_process(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ".pudato", prefix="acme")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(topic_of, (settings,)) == "acme-storage-commands"


def topic_of(settings: Settings) -> str:
    return settings.storage_topic_arn
