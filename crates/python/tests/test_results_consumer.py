"""The results consumer writes Results as steps and lineage: one at a time, from events, and from the queue."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from _programs import environment, started
from _served import PATIENCE, Fabric, command, settings_of

from pudato import ConfigurationError
from pudato.handlers import RegistryHandler, create_memory_registry_handler
from pudato.protocol import Command, DataReference, ExecutionRecord, Result
from pudato.runtime import results_consumer
from pudato.runtime.results_consumer import handle, process_result, run_local


@pytest.fixture
def registry() -> RegistryHandler:
    return create_memory_registry_handler()


@pytest.fixture
def step(registry: RegistryHandler) -> tuple[str, str]:
    """Creates a job with a step and returns their ids."""
    job = ask(registry, "create_job", pipeline="monthly")["job_id"]
    added = ask(registry, "add_step", job_id=job, step_name="load", handler_type="storage", action="get_object")
    return job, added["step_id"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: RegistryHandler) -> RegistryHandler:
    """Makes this registry the one that `handle` writes to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results_consumer, "_create_registry_handler", lambda: registry)
    return registry


def ask(registry: RegistryHandler, action: str, /, **payload: Any) -> dict[str, Any]:
    result = registry.handle(command("registry", action, payload))
    assert result.status == "success", result.errors
    return result.data or {}


def test_a_result_without_a_step_is_skipped(registry: RegistryHandler) -> None:
    outcome = process_result(Result.success(correlation_id="c-1"), registry)
    assert outcome == {"correlation_id": "c-1", "action": "skipped", "reason": "no_step_id"}


def test_a_result_updates_its_step(registry: RegistryHandler, step: tuple[str, str]) -> None:
    job_id, step_id = step
    result = Result.success(
        correlation_id="c-1",
        job_id=job_id,
        step_id=step_id,
        duration_ms=150,
        inputs=[DataReference(ref_type="file", location="s3://bucket/in.csv", format="csv", metadata={"rows": 100})],
        outputs=[DataReference(ref_type="table", location="main.out")],
        executions=[ExecutionRecord(execution_type="sql", details={"statements": ["INSERT INTO main.out"]})],
    )
    expected = {"correlation_id": "c-1", "step_id": step_id, "action": "updated", "status": "success"}
    assert process_result(result, registry) == expected
    # Writing the same Result again changes nothing and is not an error.
    assert process_result(result, registry) == expected
    found = ask(registry, "get_step", step_id=step_id)
    assert (found["status"], found["duration_ms"]) == ("success", 150)
    assert [one["location"] for one in found["inputs"] + found["outputs"]] == ["s3://bucket/in.csv", "main.out"]
    assert found["executions"][0]["details"]["statements"] == ["INSERT INTO main.out"]
    made = ask(registry, "get_lineage", location="main.out", direction="producers")
    assert [one["step_name"] for one in made["producers"]] == ["load"]


def test_an_error_result_fails_its_step(registry: RegistryHandler, step: tuple[str, str]) -> None:
    job_id, step_id = step
    failed = Result.error(correlation_id="c-1", errors=["timeout", "again"], job_id=job_id, step_id=step_id)
    assert process_result(failed, registry)["status"] == "success"
    found = ask(registry, "get_step", step_id=step_id)
    assert found["status"] == "failed" and "timeout" in found["error"] and "again" in found["error"]


def test_a_result_of_another_service_does_not_change_the_step(registry: RegistryHandler, step: tuple[str, str]) -> None:
    job_id, step_id = step
    foreign = Result.success(correlation_id="c-1", handler="query", job_id=job_id, step_id=step_id)
    outcome = process_result(foreign, registry)
    assert outcome["status"] == "error" and "does not match the step" in outcome["errors"][0]
    assert ask(registry, "get_step", step_id=step_id)["status"] == "pending"


class Recorder:
    """A registry handler of another class."""

    service_type = "registry"

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def supported_actions(self) -> list[str]:
        return ["update_step"]

    def handle(self, command: Command) -> Result:
        self.commands.append(command)
        return Result.error(correlation_id=command.correlation_id, errors=["no such step"])


def test_a_registry_of_another_class_receives_a_command() -> None:
    other = Recorder()
    failed = Result.error(correlation_id="c-1", errors=["a", "b"], step_id="s-1", duration_ms=5)
    outcome = process_result(failed, other)
    assert outcome == {"correlation_id": "c-1", "step_id": "s-1", "action": "updated", "status": "error", "errors": ["no such step"]}
    [sent] = other.commands
    assert sent.payload == {"step_id": "s-1", "status": "failed", "duration_ms": 5, "error": "a; b"}
    assert process_result(Result.success(correlation_id="c-2"), other)["action"] == "skipped"
    assert len(other.commands) == 1


def test_an_event_writes_all_its_results(here: RegistryHandler, step: tuple[str, str]) -> None:
    job_id, step_id = step
    tracked = Result.success(correlation_id="c-1", job_id=job_id, step_id=step_id, outputs=[DataReference(ref_type="table", location="main.out")])
    bodies = [
        tracked.model_dump_json(),
        json.dumps({"Message": Result.success(correlation_id="c-2", step_id=step_id, job_id=job_id).model_dump_json()}),
        Result.success(correlation_id="c-3").model_dump_json(),
    ]
    response = handle({"Records": [{"body": body} for body in bodies]})
    assert (response["processed"], response["batchItemFailures"]) == (3, [])
    assert [(one["correlation_id"], one["action"]) for one in response["outcomes"]] == [("c-1", "updated"), ("c-2", "updated"), ("c-3", "skipped")]
    assert ask(here, "get_step", step_id=step_id)["status"] == "success"


def test_a_body_that_is_not_a_result_is_dead_lettered_and_the_others_are_written(here: RegistryHandler, tmp_path: Path) -> None:
    response = handle({"Records": [{"messageId": "m-1", "body": "no"}, {"messageId": "m-2", "body": Result.success(correlation_id="c-2").model_dump_json()}]})
    assert [one["correlation_id"] for one in response["outcomes"]] == ["c-2"]
    assert response["batchItemFailures"] == []
    assert Fabric(settings_of(tmp_path)).bodies("pudato-results-dlq") == ["no"]


def test_a_result_that_cannot_be_written_is_reported_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Recorder):
        def handle(self, command: Command) -> Result:
            raise ConnectionError("the database is down")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results_consumer, "_create_registry_handler", Broken)
    body = Result.success(correlation_id="c-1", step_id="s-1").model_dump_json()
    response = handle({"Records": [{"messageId": "m-1", "body": body}]})
    assert response == {"processed": 0, "outcomes": [], "batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_an_event_that_is_not_from_sqs_fails_as_a_whole(here: RegistryHandler) -> None:
    with pytest.raises(ConfigurationError, match="event: expected records of SQS"):
        handle({"detail": 1})


def test_by_default_results_go_to_the_registry_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = Result.success(correlation_id="c-1", step_id="s-1", handler="mine")
    assert handle({"Records": [{"body": result.model_dump_json()}]})["outcomes"][0]["status"] == "success"
    found = ask(RegistryHandler(settings=settings_of(tmp_path)), "get_step", step_id="s-1")
    assert found["found"] is True and found["status"] == "success"


def test_the_results_queue_is_consumed_until_ctrl_c(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "from pudato.runtime.results_consumer import run_local; run_local()"]
    settings = settings_of(tmp_path)
    with started(tmp_path, line) as program:
        fabric = Fabric(settings)
        fabric.publisher.publish_result(Result.success(correlation_id="c-1", step_id="s-1", handler="mine"))
        registry = RegistryHandler(settings=settings)
        until = time.monotonic() + PATIENCE
        while not ask(registry, "get_step", step_id="s-1")["found"]:
            assert time.monotonic() < until and program.poll() is None
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, errors
    assert "Traceback" not in errors and "RuntimeWarning" not in errors


def test_invalid_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="poll_interval"):
        run_local(poll_interval=-1)
    with pytest.raises(ValueError, match="max_messages"):
        run_local(max_messages=0)


def test_a_missing_queue_is_named(tmp_path: Path) -> None:
    import subprocess

    line = [sys.executable, "-c", "from pudato.runtime.results_consumer import run_local; run_local()"]
    more = {"PUDATO_FABRIC": "aws", "PUDATO_RESULTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:000000000000:pudato-results", "AWS_REGION": "eu-west-1"}
    more["REGISTRY_DATABASE_URL"] = f"sqlite:{tmp_path / 'registry.db'}"
    ended = subprocess.run(line, cwd=tmp_path, env=environment(tmp_path, more), capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode != 0 and "PUDATO_RESULTS_QUEUE_URL" in ended.stderr
