"""Handlers that are Python functions: what they return or raise decides what happens to the command."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from _served import PATIENCE, Fabric, command, served, settings_of, started_runner

from pudato import Answer, Command, DataReference, Event, ExecutionRecord, Result, Retry, Unavailable
from pudato.handlers import BaseHandler, Context, Handler, OwnHandler, register_handler_factory
from pudato.handlers._find import own
from pudato.protocol.errors import HandlerError
from pudato.runtime import LocalRunner


def test_an_answer_becomes_a_result_with_its_lineage(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("copy", effect="keyed")
    def copy(command: Command) -> Answer:
        return Answer(
            {"rows": command.payload["rows"]},
            inputs=[DataReference(ref_type="file", location="file:///a.csv", format="csv")],
            outputs=[DataReference(ref_type="file", location="file:///b.csv")],
            executions=[ExecutionRecord(execution_type="python", details={"function": "copy"})],
            events=[("mine.copied", {"rows": 3})],
        )

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "copy", {"rows": 3}, job_id="j-1", step_id="s-1"))
        assert (result.status, result.data, result.errors) == ("success", {"rows": 3}, [])
        assert (result.handler, result.job_id, result.step_id) == ("mine", "j-1", "s-1")
        assert [one.location for one in result.inputs] == ["file:///a.csv"]
        assert [one.location for one in result.outputs] == ["file:///b.csv"]
        assert [one.execution_type for one in result.executions] == ["python", "command"]
        [event] = [Event.model_validate_json(body) for body in fabric.bodies("pudato-history-queue", wait=5)]
        assert (event.type, event.payload, event.source) == ("mine.copied", {"rows": 3}, "mine-handler")
        assert event.correlation_id == result.correlation_id


def test_an_action_may_also_return_a_dict_none_or_a_result(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("say", effect="read")
    def say(command: Command) -> Any:
        match command.payload["what"]:
            case "dict":
                return {"a": 1}
            case "result":
                return Result.success(correlation_id="another", data={"b": 2})
            case "error":
                return Result.error(correlation_id=command.correlation_id, errors=["no", "never"])
            case "list":
                return [1]
        return None

    with served(settings_of(tmp_path), mine) as fabric:
        ids = {what: fabric.publish(command("mine", "say", {"what": what})) for what in ("dict", "result", "error", "none", "list")}
        final = fabric.final(list(ids.values()))
        found = {what: final[one] for what, one in ids.items()}
    assert found["dict"].data == {"a": 1}
    assert found["result"].data == {"b": 2}
    assert (found["error"].status, found["error"].errors) == ("error", ["no", "never"])
    assert found["none"].status == "success" and not found["none"].data
    assert found["list"].errors == ["say returned a list; expected a dict, an Answer, a Result or None"]


def test_a_handler_error_is_final_and_keeps_its_details(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    runs: list[int] = []

    @mine.action("fail")
    def fail(command: Command, ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise HandlerError("payload.location: there is no such file", {"location": "a.csv"})

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "fail"))
    assert (result.status, result.errors) == ("error", ["payload.location: there is no such file"])
    assert result.data == {"location": "a.csv"}
    assert runs == [1]


def test_retry_runs_the_action_again_and_counts_the_attempt(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    attempts: list[int] = []

    @mine.action("try", effect="read")
    def attempt(command: Command, ctx: Context) -> dict[str, Any]:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise Retry(0, "not yet")
        if ctx.attempt == 2:
            return Retry(timedelta(milliseconds=1))  # type: ignore[return-value]
        return {"attempt": ctx.attempt}

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "try"))
    assert result.data == {"attempt": 3}
    assert attempts == [1, 2, 3]


def test_after_the_last_attempt_a_command_is_dead_lettered_with_its_reason(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("try", effect="read")
    def attempt(command: Command) -> None:
        raise Retry(0, "token=abcdef is not accepted")

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "try"))
        [dead] = fabric.bodies("pudato-mine-dlq", wait=1)
    assert result.errors == ["gave up after 6 attempts: token=******** is not accepted"]
    assert Command.model_validate_json(dead).correlation_id == result.correlation_id


def test_unavailable_waits_for_the_backend_and_counts_no_attempt(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    attempts: list[int] = []

    @mine.action("ask", effect="read")
    def ask(command: Command, ctx: Context) -> dict[str, Any]:
        attempts.append(ctx.attempt)
        if len(attempts) < 3:
            raise Unavailable("the server is down")
        return {"attempt": ctx.attempt}

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "ask"))
    assert result.data == {"attempt": 1}
    assert attempts == [1, 1, 1]


def test_functions_run_concurrently_up_to_the_limit(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    # The barrier opens only if all of them wait at the same time.
    together = threading.Barrier(8, timeout=PATIENCE)

    @mine.action("meet", effect="read")
    def meet(command: Command) -> None:
        together.wait()

    with served(settings_of(tmp_path, concurrency=8), mine) as fabric:
        ids = [fabric.publish(command("mine", "meet")) for _ in range(16)]
        final = fabric.final(ids)
    assert {final[one].status for one in ids} == {"success"}


def test_handler_coroutines_run_concurrently_on_one_event_loop(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    waiting: list[asyncio.Event] = []

    @mine.action("meet", effect="read")
    async def meet(command: Command, ctx: Context) -> dict[str, Any]:
        opened = asyncio.Event()
        waiting.append(opened)
        if len(waiting) == 8:
            for one in waiting:
                one.set()
        await opened.wait()
        return {"thread": threading.current_thread().name}

    with served(settings_of(tmp_path, concurrency=8), mine) as fabric:
        ids = [fabric.publish(command("mine", "meet")) for _ in range(8)]
        final = fabric.final(ids)
    assert {(final[one].data or {}).get("thread") for one in ids} == {"pudato-loop"}


def test_a_coroutine_that_exceeds_lease_max_is_cancelled_and_its_command_redelivered(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    ended: list[str] = []

    @mine.action("wait", effect="read", lease_max=1)
    async def wait(command: Command, ctx: Context) -> dict[str, Any]:
        if ctx.attempt > 1:
            return {"attempt": ctx.attempt}
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            ended.append("cancelled" if ctx.cancelled else "by itself")
            raise
        return {}

    with served(settings_of(tmp_path, visibility_seconds=4), mine) as fabric:
        result = fabric.call(command("mine", "wait"))
    assert result.data == {"attempt": 2}
    assert ended == ["cancelled"]


def test_a_function_that_exceeds_lease_max_sees_cancelled_and_its_answer_is_discarded(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    told = threading.Event()
    deadlines: list[datetime] = []

    @mine.action("wait", effect="read", lease_max=1)
    def wait(command: Command, ctx: Context) -> dict[str, Any]:
        if ctx.attempt > 1:
            return {"attempt": ctx.attempt}
        deadlines.append(ctx.deadline)
        until = time.monotonic() + PATIENCE
        while not ctx.cancelled and time.monotonic() < until:
            time.sleep(0.01)
        told.set()
        return {"attempt": "too late"}

    before = datetime.now(UTC)
    with served(settings_of(tmp_path, visibility_seconds=4), mine) as fabric:
        result = fabric.call(command("mine", "wait"))
        assert told.wait(PATIENCE)
        finals = [one for one in fabric.results() if one.status != "pending"]
    assert result.data == {"attempt": 2}
    assert len(finals) == 1
    assert before < deadlines[0] < datetime.now(UTC) + timedelta(seconds=1)


def test_progress_is_a_pending_result(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("work", effect="read")
    def work(command: Command, ctx: Context) -> dict[str, Any]:
        ctx.report({"done": 0.5})
        return {"done": 1}

    with served(settings_of(tmp_path), mine) as fabric:
        sent = command("mine", "work", step_id="s-1")
        fabric.call(sent)
        until = time.monotonic() + PATIENCE
        while not any(one.status == "pending" for one in fabric.results()) and time.monotonic() < until:
            pass
    [pending] = [one for one in fabric.seen if one.status == "pending"]
    assert (pending.data, pending.step_id, pending.handler) == ({"done": 0.5}, "s-1", "mine")


def test_the_same_request_runs_once_and_gets_the_same_answer(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    runs: list[str] = []

    @mine.action("send")
    def send(command: Command) -> dict[str, Any]:
        runs.append(command.correlation_id)
        return {"number": len(runs)}

    with served(settings_of(tmp_path), mine) as fabric:
        same = {"metadata": {"idempotency_key": "k-1"}}
        first = fabric.call(command("mine", "send", **same))
        again = fabric.call(command("mine", "send", **same))
    assert (first.data, again.data) == ({"number": 1}, {"number": 1})
    assert runs == [first.correlation_id]


def test_an_unknown_field_or_action_raises_an_error_that_names_it(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("profile", effect="read", fields=["location"], aliases=["describe"])
    def profile(command: Command) -> dict[str, Any]:
        return {}

    with served(settings_of(tmp_path), mine) as fabric:
        field = fabric.call(command("mine", "profile", {"loction": "a.csv"}))
        action = fabric.call(command("mine", "profil"))
        alias = fabric.call(command("mine", "describe", {"location": "a.csv"}))
    [error] = field.errors
    assert error.startswith("payload.loction: profile has no such field; did you mean location?")
    assert action.errors == ['action: expected one of profile, found "profil"']
    assert alias.status == "success"


def test_an_answer_that_cannot_be_serialised_is_a_final_error(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("say")
    def say(command: Command) -> dict[str, Any]:
        return {"what": object()}

    with served(settings_of(tmp_path), mine) as fabric:
        result = fabric.call(command("mine", "say"))
    assert result.status == "error"
    assert result.errors[0].startswith("the answer of say: ")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_that_cannot_be_serialised_does_not_end_its_thread(tmp_path: Path) -> None:
    mine = OwnHandler("mine")

    @mine.action("fail", effect="read")
    def fail(command: Command, ctx: Context) -> dict[str, Any]:
        if ctx.attempt > 1:
            return {}
        match command.payload["how"]:
            case "surrogate":
                raise Retry(0, "\ud800")
            case "details":
                raise HandlerError("no", {"what": object()})
            case "mute":
                raise HandlerError("", Mute())
        raise Mute

    hows = ["surrogate", "details", "mute", "class"]
    with served(settings_of(tmp_path, concurrency=1), mine) as fabric:
        ids = {how: fabric.publish(command("mine", "fail", {"how": how})) for how in hows}
        final = fabric.final(list(ids.values()))
    found = {how: final[one] for how, one in ids.items()}
    assert found["surrogate"].status == found["class"].status == "success"
    assert found["details"].errors[0] == "no" and found["details"].errors[1].startswith("the details of the error cannot be serialised: ")
    assert found["mute"].status == "error"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=lambda one: type(one).__name__)
def test_an_exit_stops_the_program_and_releases_the_command_without_an_attempt(tmp_path: Path, error: BaseException) -> None:
    mine = OwnHandler("mine")

    @mine.action("leave")
    def leave(command: Command) -> None:
        raise error

    settings = settings_of(tmp_path)
    runner, thread = started_runner(settings, mine)
    sent = Fabric(settings).publish(command("mine", "leave"))
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"the runner goes on: {runner.stopped_by!r}"
    assert runner.stopped_by is error

    @mine.action("leave")
    def stay(command: Command, ctx: Context) -> dict[str, Any]:
        return {"attempt": ctx.attempt}

    with served(settings, mine) as fabric:
        assert fabric.result(sent).data == {"attempt": 1}


class Old(BaseHandler):
    """A handler as a class."""

    service_type = "old"

    def supported_actions(self) -> list[str]:
        return ["ok", "broken", "later"]

    def _handle(self, command: Command) -> Result:
        if command.action == "broken":
            raise ValueError("no such thing")
        if command.action == "later":
            return self._pending(command, {"task": "t-1"})
        return self._success(command, {"seen": command.payload})


def test_a_handler_class_turns_every_exception_into_a_final_error(tmp_path: Path) -> None:
    register_handler_factory("old", Old)
    assert isinstance(Old(), Handler)
    with served(settings_of(tmp_path), "old") as fabric:
        ok = fabric.call(command("old", "ok", {"a": 1}))
        broken = fabric.call(command("old", "broken"))
        later = fabric.publish(command("old", "later"))
        until = time.monotonic() + PATIENCE
        while not any(one.correlation_id == later for one in fabric.results()) and time.monotonic() < until:
            pass
    assert (ok.status, ok.data) == ("success", {"seen": {"a": 1}})
    assert (broken.status, broken.errors) == ("error", ["no such thing"])
    [pending] = [one for one in fabric.seen if one.correlation_id == later]
    assert (pending.status, pending.data) == ("pending", {"task": "t-1"})


def test_a_handler_class_measures_its_time_rejects_unknown_actions_and_makes_events() -> None:
    old = Old()
    sent = command("old", "ok", job_id="j-1", step_id="s-1")
    assert (old.handle(sent).handler, old.handle(sent).step_id) == ("old", "s-1")
    assert old.handle(command("old", "none")).errors == ["Unsupported action: none"]
    event = old.create_event("old.done", sent, {"a": 1})
    assert (event.source, event.correlation_id, event.payload) == ("old", sent.correlation_id, {"a": 1})


def test_a_handler_also_runs_without_a_queue() -> None:
    mine = OwnHandler("mine")

    @mine.action("double", effect="read")
    async def double(command: Command) -> dict[str, Any]:
        return {"twice": 2 * command.payload["number"]}

    assert mine.handle(command("mine", "double", {"number": 2})).data == {"twice": 4}
    assert mine.handle(command("mine", "halve")).errors == ["action: expected one of double, found 'halve'"]


def test_an_invalid_handler_or_action_raises_where_it_is_defined() -> None:
    mine = OwnHandler("mine")
    with pytest.raises(ValueError, match="expected 'read', 'keyed' or 'once', found 'never'"):
        mine.action("a", effect="never")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected a function of \(command\) or \(command, ctx\)"):
        mine.action("a")(lambda: None)
    for wrong in (-1, 43_201, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"after: expected 0 to 43200 seconds, found {wrong}"):
            Retry(wrong)
    with pytest.raises(TypeError, match="expected a handler made with pudato.handler"):
        own(object(), "mine")
    with pytest.raises(ValueError, match="mine: it has no actions"):
        LocalRunner(mine, settings=settings_of(Path("unused"))).start()


def test_a_function_that_blocks_the_interpreter_longer_than_a_lease_loses_no_command(tmp_path: Path) -> None:
    import ctypes

    mine = OwnHandler("mine")
    attempts: list[int] = []

    @mine.action("hold", effect="read")
    def hold(command: Command, ctx: Context) -> dict[str, Any]:
        attempts.append(ctx.attempt)
        # A PyDLL call keeps the GIL, so no other Python code runs in the meantime.
        ctypes.PyDLL(None).sleep(5)
        return {}

    with served(settings_of(tmp_path, visibility_seconds=2), mine) as fabric:
        result = fabric.call(command("mine", "hold"))
        time.sleep(2.5)
        finals = [one for one in fabric.results() if one.status != "pending"]
    assert (result.status, len(finals)) == ("success", 1)
    assert attempts == [1]


def test_worker_logs_reach_python_logging_with_the_command_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine = OwnHandler("mine")

    @mine.action("try", effect="read")
    def attempt(command: Command, ctx: Context) -> dict[str, Any]:
        if ctx.attempt == 1:
            raise ValueError("password=hunter22 is wrong")
        return {}

    # The first retry comes within 5 seconds.
    with caplog.at_level("INFO"), served(settings_of(tmp_path), mine) as fabric:
        sent = command("mine", "try", job_id="j-1", step_id="s-1")
        fabric.call(sent)
    [failed] = [one for one in caplog.records if one.getMessage().startswith("the command failed; it will be redelivered")]
    assert failed.name.startswith("pudato.engine.") and failed.levelname == "WARNING"
    ids = {name: getattr(failed, name) for name in ("correlation_id", "job_id", "step_id", "attempt")}
    assert ids == {"correlation_id": sent.correlation_id, "job_id": "j-1", "step_id": "s-1", "attempt": 1}
    [traceback] = [one for one in caplog.records if one.name == "pudato.handlers.mine"]
    assert "ValueError: password=********" in traceback.getMessage() and "Traceback" in traceback.getMessage()
    assert "hunter22" not in caplog.text


def test_a_handler_without_a_queue_checks_as_one_on_a_queue_does() -> None:
    own = OwnHandler("checked")

    @own.action("go", fields=["x"])
    async def go(command: Command) -> dict[str, Any]:
        return {"x": command.payload["x"]}

    async def in_a_loop() -> Result:
        return own.handle(Command(type="checked", action="go", payload={"x": 1}))

    assert asyncio.run(in_a_loop()).data == {"x": 1}
    assert "payload.y" in own.handle(Command(type="checked", action="go", payload={"y": 1})).errors[0]
    assert "type: expected 'checked'" in own.handle(Command(type="other", action="go", payload={"x": 1})).errors[0]


def test_the_wish_for_another_attempt_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Retry(5, "busy")))
    assert (again.after, again.why) == (5, "busy")
