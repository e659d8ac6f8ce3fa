"""`pudato.runtime.handle`: handles the messages of an event, without a queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _served import Fabric, command, settings_of

from pudato import Command, ConfigurationError, Retry, Unavailable
from pudato.handlers import Context, OwnHandler, register_handler_factory
from pudato.protocol.errors import HandlerError
from pudato.runtime import handle


@pytest.fixture
def fabric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fabric:
    """The fabric in the folder where the function runs."""
    for name in ("HANDLER_TYPE", "AWS_LAMBDA_FUNCTION_NAME", "PUDATO_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Fabric(settings_of(tmp_path))


Serve = Callable[[Callable[..., Any]], None]


@pytest.fixture
def serve(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Registers a function as the action `run` of the handler that receives the events."""

    def use(function: Callable[..., Any]) -> None:
        mine = OwnHandler("mine")
        mine.action("run", effect="keyed")(function)
        register_handler_factory("mine", lambda: mine)
        monkeypatch.setenv("HANDLER_TYPE", "mine")

    return use


def records(*commands: Command, **more: Any) -> dict[str, Any]:
    """An event of SQS."""
    return {
        "Records": [
            {"messageId": f"m-{number}", "receiptHandle": "r", "body": one.model_dump_json(), **more}
            for number, one in enumerate(commands)
        ]
    }


def test_the_default_handler_is_storage_and_its_results_are_published(fabric: Fabric) -> None:
    put = command("storage", "put_object", {"container": "lake", "path": "a.txt", "data": "a"})
    event = records(put)
    assert handle(event) == {
        "processed": 1,
        "results": [{"correlation_id": put.correlation_id, "status": "success"}],
        "batchItemFailures": [],
    }
    assert fabric.result(put.correlation_id).data is not None


def test_a_record_may_have_only_a_body_or_a_bare_message(fabric: Fabric) -> None:
    put = command("storage", "put_object", {"container": "lake", "path": "a.txt", "data": "a"})
    head = command("storage", "head_object", {"container": "lake", "path": "a.txt"})
    assert handle({"Records": [{"body": put.model_dump_json()}]})["processed"] == 1
    bare = json.dumps({"Message": head.model_dump_json()})
    answered = handle({"Records": [{"body": bare}]})
    assert answered["results"] == [{"correlation_id": head.correlation_id, "status": "success"}]


def test_a_python_handler_answers_and_its_error_results_are_answers(fabric: Fabric, serve: Serve) -> None:
    def run(command: Command) -> dict[str, Any]:
        if command.payload.get("fail"):
            raise HandlerError("payload.fail: it is set")
        return {"seen": command.payload}

    serve(run)
    ok, bad = command("mine", "run", {"a": 1}), command("mine", "run", {"fail": True})
    answered = handle(records(ok, bad))
    assert [one["status"] for one in answered["results"]] == ["success", "error"]
    assert (answered["processed"], answered["batchItemFailures"]) == (2, [])
    found = fabric.final([ok.correlation_id, bad.correlation_id])
    assert found[ok.correlation_id].data == {"seen": {"a": 1}}
    assert found[bad.correlation_id].errors == ["payload.fail: it is set"]


@pytest.mark.parametrize("outcome", [ValueError("token=abcdef"), Retry(5), SystemExit(1)], ids=lambda one: type(one).__name__)
def test_failed_messages_are_reported_and_the_others_are_done(fabric: Fabric, serve: Serve, outcome: BaseException) -> None:
    def run(command: Command) -> dict[str, Any]:
        if command.payload.get("fail"):
            raise outcome
        return {}

    serve(run)
    context = type("Context", (), {"get_remaining_time_in_millis": lambda self: 3_000})()
    ok, bad = command("mine", "run"), command("mine", "run", {"fail": True})
    answered = handle(records(ok, bad), context)
    assert answered["batchItemFailures"] == [{"itemIdentifier": "m-1"}]
    assert (answered["processed"], answered["results"]) == (1, [{"correlation_id": ok.correlation_id, "status": "success"}])


def test_unavailable_is_tried_again_within_the_time_and_then_reported(fabric: Fabric, serve: Serve) -> None:
    runs: list[int] = []

    def run(command: Command) -> None:
        runs.append(1)
        raise Unavailable("the server is down")

    serve(run)
    context = type("Context", (), {"get_remaining_time_in_millis": lambda self: 4_000})()
    answered = handle(records(command("mine", "run")), context)
    assert (answered["processed"], answered["batchItemFailures"]) == (0, [{"itemIdentifier": "m-0"}])
    assert runs


def test_at_the_last_attempt_a_message_is_dead_lettered_with_the_masked_last_line(fabric: Fabric, serve: Serve) -> None:
    def run(command: Command, ctx: Context) -> None:
        raise ValueError(f"attempt {ctx.attempt}: password=hunter22 is wrong")

    serve(run)
    sent = command("mine", "run")
    answered = handle(records(sent, attributes={"ApproximateReceiveCount": "6"}))
    assert answered["results"] == [{"correlation_id": sent.correlation_id, "status": "error"}]
    assert answered["batchItemFailures"] == []
    [error] = fabric.result(sent.correlation_id).errors
    assert error == "gave up after 6 attempts: ValueError: attempt 6: password=******** is wrong"
    assert [Command.model_validate_json(body).correlation_id for body in fabric.bodies("pudato-mine-dlq")] == [sent.correlation_id]


def test_a_body_that_is_not_a_command_is_dead_lettered(fabric: Fabric, serve: Serve) -> None:
    serve(lambda command: {})
    sent = command("mine", "run")
    event = records(sent)
    event["Records"].append({"messageId": "m-9", "body": '{"type": 1}'})
    answered = handle(event)
    assert [one["correlation_id"] for one in answered["results"]] == [sent.correlation_id]
    assert fabric.bodies("pudato-mine-dlq") == ['{"type": 1}']


def test_a_redelivered_message_runs_once_and_gets_the_same_answer(fabric: Fabric, serve: Serve) -> None:
    runs: list[int] = []

    def run(command: Command) -> dict[str, Any]:
        runs.append(1)
        return {"run": len(runs)}

    serve(run)
    event = records(command("mine", "run"))
    assert handle(event)["results"] == handle(event)["results"]
    assert runs == [1]


def test_coroutines_and_progress_also_work_in_an_event(fabric: Fabric, serve: Serve) -> None:
    async def run(command: Command, ctx: Context) -> dict[str, Any]:
        ctx.report({"done": 0.5})
        return {"done": 1}

    serve(run)
    sent = command("mine", "run")
    assert handle(records(sent))["processed"] == 1
    assert fabric.result(sent.correlation_id).data == {"done": 1}


def test_concurrent_events_do_not_mix(fabric: Fabric, serve: Serve) -> None:
    from concurrent.futures import ThreadPoolExecutor

    serve(lambda command: {"n": command.payload["n"]})

    def one(n: int) -> dict[str, Any]:
        return handle(records(command("mine", "run", {"n": n})))

    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(one, range(24)))
    assert all(one["processed"] == 1 and one["batchItemFailures"] == [] for one in answered)


def test_an_unknown_handler_or_event_fails_the_invocation(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="expected a list Records"):
        handle({"detail-type": "Scheduled Event"})
    monkeypatch.setenv("HANDLER_TYPE", "storag")
    with pytest.raises(ValueError, match="did you mean storage"):
        handle({"Records": []})


def test_a_lambda_refuses_settings_that_lose_data(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "storage")
    with pytest.raises(ConfigurationError, match="PUDATO_FABRIC: a Lambda has the fabric aws"):
        handle({"Records": []})


def test_results_go_to_the_results_consumer(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    from pudato import Result

    monkeypatch.setenv("HANDLER_TYPE", "results")
    answered = handle({"Records": [{"body": Result.success(correlation_id="c-1").model_dump_json()}]})
    assert answered["outcomes"] == [{"correlation_id": "c-1", "action": "skipped", "reason": "no_step_id"}]


def test_a_message_that_came_twice_in_one_event_is_handled_once_and_different_ones_need_ids_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDLER_TYPE", "registry")
    monkeypatch.setenv("PUDATO_DATA_DIR", str(tmp_path / ".pudato"))
    event = records(Command(type="registry", action="query_jobs"), Command(type="registry", action="query_jobs"))
    first, second = event["Records"]
    answer = handle({"Records": [first, first]})
    assert len(answer["results"]) == 1 and answer["batchItemFailures"] == []
    with pytest.raises(ConfigurationError, match="two records with different bodies have the messageId \"m-0\""):
        handle({"Records": [first, {**second, "messageId": "m-0"}]})
