"""Serves a handler during a test and reads the Results that it publishes from their queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pudato import Command, Result, Settings
from pudato.handlers.own import OwnHandler
from pudato.messaging import SNSPublisher, SQSConsumer
from pudato.runtime.local_runner import LocalRunner

PATIENCE = 120.0
"""Seconds after which a test gives up. A passing test never waits this long."""


def settings_of(tmp_path: Path, **given: Any) -> Settings:
    """Settings of an embedded installation in its own folder, regardless of the environment."""
    return Settings(variables={}, data_dir=tmp_path / ".pudato", **given)


class Fabric:
    """The embedded fabric of a test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.publisher = SNSPublisher(settings)
        self.consumer = SQSConsumer(settings)
        self.seen: list[Result] = []

    def publish(self, command: Command) -> str:
        """Publishes a Command. Returns its correlation id."""
        self.publisher.publish_command(command)
        return command.correlation_id

    def results(self, wait: float = 0.5) -> list[Result]:
        """Returns the Results so far, the oldest first. Waits up to `wait` seconds for more."""
        queue = self.settings.results_queue_url
        for message in self.consumer.receive_messages(queue, wait_time_seconds=wait):
            self.seen.append(Result.model_validate_json(message.body or ""))
            self.consumer.delete_message(queue, message.receipt_handle)
        return self.seen

    def result(self, correlation_id: str) -> Result:
        """Waits for the final Result of a Command."""
        return self.final([correlation_id])[correlation_id]

    def final(self, ids: list[str]) -> dict[str, Result]:
        """Waits for the final Results of Commands."""
        wanted = set(ids)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = {one.correlation_id: one for one in self.results() if one.status != "pending"}
            if wanted <= found.keys():
                return found
        raise AssertionError(f"no Result for {wanted - {one.correlation_id for one in self.seen}}")

    def call(self, command: Command) -> Result:
        """Publishes a Command and waits for its final Result."""
        return self.result(self.publish(command))

    def bodies(self, queue: str, wait: float = 0) -> list[str]:
        """Receives the visible messages of a queue. They are then hidden for the visibility timeout."""
        found: list[str] = []
        while messages := self.consumer.receive_messages(queue, wait_time_seconds=wait):
            found.extend(message.body or "" for message in messages)
        return found


@contextmanager
def served(settings: Settings, handler: OwnHandler | str) -> Iterator[Fabric]:
    """Runs a handler until the end of the block, then drains it."""
    runner, thread = started_runner(settings, handler)
    try:
        yield Fabric(settings)
    finally:
        runner.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the runner does not stop"


def started_runner(settings: Settings, handler: OwnHandler | str) -> tuple[LocalRunner, threading.Thread]:
    """Starts a runner on a thread and waits until it has declared its topic and queue."""
    runner = LocalRunner(handler, settings=settings)
    thread = threading.Thread(target=runner.start, name="runner", daemon=True)
    thread.start()
    until = time.monotonic() + PATIENCE
    while runner._serving is None:
        assert thread.is_alive() and time.monotonic() < until, "the runner does not start"
        time.sleep(0.01)
    return runner, thread


def command(service: str, action: str, payload: dict[str, Any] | None = None, **more: Any) -> Command:
    """A Command with a payload."""
    return Command(type=service, action=action, payload=payload or {}, **more)
