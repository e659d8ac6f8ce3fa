"""The local runner, as a program and as a class."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from _programs import environment, line_of, rest_of, runner, started
from _served import PATIENCE, Fabric, command, settings_of

from pudato import ConfigurationError
from pudato.handlers import OwnHandler, RegistryHandler
from pudato.runtime import LocalRunner

MINE = '''
import sys, threading, time
from pudato import Answer, DataReference, handler

mine = handler("mine")

@mine.action("profile", effect="read")
def profile(command):
    return Answer({"rows": 3}, inputs=[DataReference(ref_type="file", location=command.payload["location"])])

@mine.action("block")
def block(command, ctx):
    if ctx.attempt == 1 and command.payload.get("gate") is not None:
        open(command.payload["gate"], "w").close()
        threading.Event().wait()
    return {"attempt": ctx.attempt}

@mine.action("spin")
def spin(command, ctx):
    open(command.payload["gate"], "w").close()
    while True:
        pass

@mine.action("leak")
def leak(command):
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    return {}

@mine.action("leave")
def leave(command):
    sys.exit(command.payload["code"])
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_signal_drains_the_runner_which_exits_with_0(folder: Path, number: signal.Signals) -> None:
    with started(folder, runner("mine:mine")) as program:
        assert line_of(program).startswith(f"pudato runs mine on {folder}")
        fabric = Fabric(settings_of(folder))
        result = fabric.call(command("mine", "profile", {"location": "file:///a.csv"}))
        assert (result.data, result.handler) == ({"rows": 3}, "mine")
        program.send_signal(number)
        errors = rest_of(program)
    assert program.returncode == 0
    assert "RuntimeWarning" not in errors and "Traceback" not in errors


def test_a_built_in_service_runs_by_its_name(folder: Path) -> None:
    with started(folder, runner("storage", "--poll-interval", "0.5")) as program:
        assert line_of(program).startswith("pudato runs storage on ")
        put = command("storage", "put_object", {"container": "lake", "path": "a.txt", "data": "a"})
        assert Fabric(settings_of(folder)).call(put).status == "success"
        program.send_signal(signal.SIGTERM)
        assert "RuntimeWarning" not in rest_of(program)
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("storag", "did you mean storage?"),
        ("mine:mien", "mine has no 'mien'; did you mean mine?"),
        ("nothing:here", "there is no module 'nothing'"),
        ("mine:threading", "expected a handler made with pudato.handler"),
    ],
)
def test_an_unknown_handler_exits_with_2_and_suggests_the_closest_name(folder: Path, name: str, what: str) -> None:
    ended = subprocess.run(runner(name), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 2
    assert what in ended.stderr and "Traceback" not in ended.stderr
    assert not (folder / ".pudato").exists()


def test_an_installed_package_can_provide_a_handler_by_an_entry_point(folder: Path) -> None:
    about = folder / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pudato.handlers]\nprofiles = mine:mine\n")
    with started(folder, runner("profiles")) as program:
        assert line_of(program).startswith("pudato runs mine on ")
        program.send_signal(signal.SIGTERM)
        rest_of(program)
    assert program.returncode == 0


def test_an_invalid_setting_exits_with_3(folder: Path) -> None:
    ended = subprocess.run(
        runner("storage"), cwd=folder, env=environment(folder, {"PUDATO_CONCURRENCY": "many"}), capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 3
    assert "PUDATO_CONCURRENCY" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("action", ["block", "spin"])
def test_a_handler_that_never_returns_does_not_block_exit_and_its_command_is_redelivered(folder: Path, action: str) -> None:
    # A request that must not run twice becomes available when the lease of its killed owner expires.
    more = {"PUDATO_VISIBILITY_SECONDS": "3", "PUDATO_DRAIN_SECONDS": "1"}
    fabric = Fabric(settings_of(folder, visibility_seconds=3))
    gate = folder / "running"
    with started(folder, runner("mine:mine"), more) as program:
        line_of(program)
        sent = fabric.publish(command("mine", action, {"gate": str(gate)}))
        wait_for(gate)
        program.send_signal(signal.SIGTERM)
        errors = rest_of(program)
    assert program.returncode == 0
    assert f"waiting up to 1 s for 1 command: mine {action}" in errors
    assert "exiting while 1 thread(s) are still running: pudato-handler-1" in errors
    (folder / "mine.py").write_text(MINE.replace("threading.Event().wait()", "pass").replace("while True", "while False"))
    with started(folder, runner("mine:mine"), more) as program:
        line_of(program)
        result = fabric.result(sent)
    assert result.status == "success"
    # The command was released, so its attempt did not count.
    if action == "block":
        assert result.data == {"attempt": 1}


def test_threads_left_by_a_handler_do_not_block_exit(folder: Path) -> None:
    with started(folder, runner("mine:mine")) as program:
        line_of(program)
        assert Fabric(settings_of(folder)).call(command("mine", "leak")).status == "success"
        program.send_signal(signal.SIGTERM)
        assert "exiting while 1 thread(s)" in rest_of(program)
    assert program.returncode == 0


def test_a_handler_that_calls_exit_ends_the_runner_with_its_code(folder: Path) -> None:
    with started(folder, runner("mine:mine")) as program:
        line_of(program)
        Fabric(settings_of(folder)).publish(command("mine", "leave", {"code": 7}))
        errors = rest_of(program)
    assert program.returncode == 7
    assert "mine leave asked the program to stop: SystemExit: 7" in errors


def test_a_second_signal_ends_the_runner_at_once(folder: Path) -> None:
    gate = folder / "running"
    with started(folder, runner("mine:mine"), {"PUDATO_DRAIN_SECONDS": "600"}) as program:
        line_of(program)
        Fabric(settings_of(folder)).publish(command("mine", "block", {"gate": str(gate)}))
        wait_for(gate)
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None
        while "a second signal" not in program.stderr.readline():
            assert program.poll() is None
        program.send_signal(signal.SIGINT)
        program.wait(PATIENCE)
    assert program.returncode == 130


def test_a_queue_of_another_service_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with pytest.raises(ConfigurationError, match="the queue of storage is pudato-storage-queue, found 'pudato-query-queue'"):
        LocalRunner("storage", "pudato-query-queue", settings=settings)
    LocalRunner("storage", "http://localhost:4566/000000000000/pudato-storage-queue", 0.1, settings=settings)
    with pytest.raises(ValueError, match="poll_interval"):
        LocalRunner("storage", poll_interval=-1, settings=settings)


def test_a_runner_stopped_before_its_start_returns(tmp_path: Path) -> None:
    mine = OwnHandler("mine")
    mine.action("a", effect="read")(lambda command: {})
    stopped = LocalRunner(mine, settings=settings_of(tmp_path))
    stopped.stop()
    thread = threading.Thread(target=stopped.start)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_step_of_a_pipeline_may_name_a_python_handler(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text(
        "name: profiles\n"
        "steps:\n"
        "  - name: load\n"
        "    type: mine\n"
        "    action: profile\n"
        "    payload: {location: 'file:///lake/a.csv'}\n"
    )
    # The steps of a job are declared by commands to the registry.
    results = [sys.executable, "-c", "from pudato.runtime.results_consumer import run_local; run_local()"]
    registry = started(folder, runner("registry"))
    with registry as jobs, started(folder, runner("mine:mine")) as program, started(folder, results) as consumer:
        line_of(jobs)
        line_of(program)
        line = [sys.executable, "-m", "pudato", "run", "pipeline.yaml"]
        ran = subprocess.run(line, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        asked = command("registry", "get_lineage", {"location": "file:///lake/a.csv", "direction": "consumers"})
        lineage = RegistryHandler(settings=settings_of(folder)).handle(asked)
        assert [one["step_name"] for one in (lineage.data or {})["consumers"]] == ["load"]
        for one in (program, consumer, jobs):
            one.send_signal(signal.SIGINT)
            errors = rest_of(one)
            assert one.returncode == 0, errors
            assert "RuntimeWarning" not in errors and "Traceback" not in errors
