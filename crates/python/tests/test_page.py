"""The specification's examples run unchanged: the code blocks, in order, on each fabric, and the shell lines in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulator import credentials, deploy

from pudato import _core

PAGE = Path(__file__).with_name("messaging-spec.md")
BINDINGS = """\
queue_url = Settings().storage_queue_url
registry_handler = RegistryHandler()
sqs_event = {"Records": [{"messageId": "m-1", "receiptHandle": "r", "body": result.model_dump_json()}]}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block_with(text: str) -> str:
    [found] = [block for block in blocks("python") if text in block]
    return found


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, str(PAGE), "exec"), names)


def bind(names: dict[str, Any], *bound: str) -> None:
    for line in BINDINGS.splitlines():
        if line.split(" = ")[0] in bound:
            run(line, names)


def run_the_page(names: dict[str, Any]) -> None:
    from pudato.config import Settings
    from pudato.messaging import SQSConsumer

    first, publishing = block_with("command = Command("), block_with("publisher = SNSPublisher")
    for block in (first, block_with("Result.success("), block_with("event = Event("), publishing):
        run(block, names)
    assert names["result"].status == "pending"

    run("from pudato.config import Settings", names)
    bind(names, "queue_url")
    run(block_with("consumer = SQSConsumer"), names)
    [received] = names["messages"]
    assert received.body == names["command"].model_dump_json()
    left = SQSConsumer(Settings()).receive_messages(names["queue_url"], wait_time_seconds=1)
    assert left == [], "the command was deleted"

    run(block_with("uuid.uuid4()"), names)
    assert len(names["correlation_id"]) == 36


def run_the_results_consumer(names: dict[str, Any]) -> None:
    from pudato.handlers.registry import RegistryHandler
    from pudato.protocol import Command, Result

    names["RegistryHandler"] = RegistryHandler
    bind(names, "registry_handler", "sqs_event")
    block = block_with("process_result(result, registry_handler)")
    run(block, names)
    assert names["outcome"]["action"] == "skipped", "it has no step"
    assert names["response"]["processed"] == 1

    registry = names["registry_handler"]

    def ask(action: str, /, **payload: Any) -> dict[str, Any]:
        answered = registry.handle(Command(type="registry", action=action, payload=payload))
        assert answered.status == "success", answered.errors
        return dict(answered.data or {})

    job = ask("create_job", pipeline="page")
    step = ask("add_step", job_id=job["job_id"], step_name="s", handler_type="storage", action="put_object")
    names["result"] = Result.success(
        correlation_id="req-124", data={}, duration_ms=3, job_id=job["job_id"], step_id=step["step_id"]
    )
    bind(names, "sqs_event")
    run(block, names)
    assert names["outcome"]["action"] == "updated"
    assert ask("get_step", step_id=step["step_id"])["status"] == "success"


def test_the_page_has_the_blocks_that_the_tests_run() -> None:
    assert len(blocks("python")) == 7, "a block that no test runs proves nothing"
    assert len(blocks("bash")) == 2


def test_the_page_runs_on_the_embedded_fabric() -> None:
    run_the_page({})


def test_the_page_runs_on_sns_and_sqs(emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    account = "000000000002"
    for name, value in {**credentials(account), **deploy(emulator, account)}.items():
        monkeypatch.setenv(name, value)
    run_the_page({})


def test_the_pages_results_consumer_skips_and_updates() -> None:
    pytest.importorskip("pudato.runtime.results_consumer")
    names: dict[str, Any] = {}
    run(block_with("Result.success("), names)
    run_the_results_consumer(names)


def test_the_page_is_clean_under_mypy_and_pyright(tmp_path: Path) -> None:
    pytest.importorskip("pudato.runtime.results_consumer")
    queue_url, registry_handler, sqs_event = BINDINGS.splitlines()
    code: list[str] = ["from pudato.handlers.registry import RegistryHandler", "from pudato.config import Settings"]
    for block in blocks("python"):
        code += [line for line in (queue_url,) if "SQSConsumer(settings)" in block]
        code += [line for line in (registry_handler, sqs_event) if "process_result" in block]
        code.append(block)
    page = tmp_path / "page.py"
    page.write_text("\n".join(code), encoding="utf-8")
    package = str(Path(_core.__file__).parent.parent)
    environment = {**os.environ, "MYPYPATH": package, "PYTHONPATH": package}
    # basedpyright includes the program; the package `pyright` would download it at run time.
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard", "reportMissingModuleSource": false}', encoding="utf-8")
    pyright = ["basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    for tool in (["mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(page)], pyright):
        checked = subprocess.run([sys.executable, "-m", *tool], capture_output=True, text=True, env=environment, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def start(line: str, folder: Path) -> subprocess.Popen[str]:
    [program, *arguments] = shlex.split(line)
    assert program == "python"
    package = str(Path(_core.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": package},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_with(text: str) -> str:
    [found] = [line for block in blocks("bash") for line in block.splitlines() if text in line and not line.startswith("#")]
    return found


def until(ready: Callable[[], bool], what: str, running: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_the_pages_shell_lines_run_in_an_empty_folder_and_end_with_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("pudato.runtime.local_runner")
    from pudato.config import Settings
    from pudato.handlers.registry import RegistryHandler
    from pudato.messaging import SNSPublisher
    from pudato.protocol import Command

    assert list(tmp_path.iterdir()) == []
    storage, results = (start(line_with(text), tmp_path) for text in ("local_runner", "run_local"))
    try:
        until(lambda: (tmp_path / ".pudato" / "registry.db").exists(), "the data folder", results)
        registry = RegistryHandler()

        def ask(action: str, /, **payload: Any) -> dict[str, Any]:
            answered = registry.handle(Command(type="registry", action=action, payload=payload))
            assert answered.status == "success", answered.errors
            return dict(answered.data or {})

        job = ask("create_job", pipeline="page")
        step = ask("add_step", job_id=job["job_id"], step_name="s", handler_type="storage", action="put_object")
        names: dict[str, Any] = {}
        run(block_with("command = Command("), names)
        command = names["command"].model_copy(update={"job_id": job["job_id"], "step_id": step["step_id"]})
        SNSPublisher(Settings()).publish_command(command)
        until(lambda: ask("get_step", step_id=step["step_id"])["status"] == "success", "the Result in the registry", results)
    finally:
        for running in (storage, results):
            running.send_signal(signal.SIGINT)
        ended = [running.communicate(timeout=60) for running in (storage, results)]
    assert [storage.returncode, results.returncode] == [0, 0], ended
    for _, errors in ended:
        assert "RuntimeWarning" not in errors and "Traceback" not in errors, errors
