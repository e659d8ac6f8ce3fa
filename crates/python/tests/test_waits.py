"""Waits in the client: missing programs, Ctrl-C, other threads, and process exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import pudato
from pudato import Client, Settings, serve
from pudato.outcomes import Waits
from pudato.protocol.errors import CallTimeout


def _settings(tmp_path: Path) -> Settings:
    return Settings(variables={}, data_dir=tmp_path / ".pudato", query_isolation="none")


def test_without_a_worker_a_call_warns_and_its_timeout_names_the_missing_program(tmp_path: Path) -> None:
    client = Client(_settings(tmp_path))
    with pytest.warns(Waits, match="no worker of the service query runs"):
        with pytest.raises(CallTimeout, match="no worker of the service query runs on .*start `pudato up`"):
            client.query("SELECT 1", timeout=1.5)


def test_serving_starts_before_the_first_call_and_stops_with_its_last_user(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with serve(settings) as first:
        with serve(settings, services=None) as second:
            assert first.is_running and second.is_running
        assert first.is_running
        assert Client(settings).query("SELECT 1").rows == [(1,)]
    assert not first.is_running
    with pytest.raises(Exception, match="expected one of"):
        serve(settings, services=["no-such-service"])


def test_other_threads_run_while_a_call_waits(tmp_path: Path) -> None:
    client = Client(_settings(tmp_path))
    counts: list[int] = []
    is_over = threading.Event()

    def count() -> None:
        n = 0
        while not is_over.is_set():
            n += 1
        counts.append(n)

    counting = threading.Thread(target=count)
    counting.start()
    with pytest.raises(CallTimeout):
        client.call("storage", "head_object", {"container": "lake", "path": "a"}, timeout=0.8)
    is_over.set()
    counting.join()
    # If the wait held the GIL, the count would stay near zero. Even a slow machine counts this far in 0.8 s.
    assert counts[0] > 50_000


WAITS = {
    "call": "client.call('storage', 'head_object', {'container': 'lake', 'path': 'a'}, timeout=60)",
    "query": "client.query('SELECT 1', timeout=60)",
    "put": "client.put(b'', 'lake/a', timeout=60)",
    "get": "client.get('lake/a', timeout=60)",
    "run": "client.run('p.yaml')",
    "async": "asyncio.run(AsyncClient().call('storage', 'head_object', {'container': 'lake', 'path': 'a'}))",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_interrupts_every_wait_at_once(tmp_path: Path, wait: str) -> None:
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - {name: a, type: query, action: execute_sql, payload: {sql: SELECT 1}}\n")
    program = f"""
        import asyncio, time, warnings
        from pudato import Client
        from pudato.aio import AsyncClient
        warnings.simplefilter("ignore")
        client = Client()
        client.trace("warm")
        print("ready", flush=True)
        try:
            {WAITS[wait]}
        except KeyboardInterrupt:
            print(f"interrupted {{time.time()}}", flush=True)
    """
    process = _start(tmp_path, program)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    word, at = rest.split()
    assert word == "interrupted"
    assert float(at) - sent < 1.0, f"{float(at) - sent:.3f} s"


def test_ctrl_c_interrupts_a_call_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    program = """
        import time, warnings
        from pudato import Client
        warnings.simplefilter("ignore")
        client = Client()
        client.trace("warm")
        for _ in range(10):
            try:
                print("ready", flush=True)
                client.call("storage", "head_object", {"container": "lake", "path": "a"}, timeout=60)
            except KeyboardInterrupt:
                print(time.time(), flush=True)
    """
    process = _start(tmp_path, program)
    assert process.stdout is not None
    took = []
    for _ in range(10):
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        took.append(float(process.stdout.readline()) - sent)
    process.communicate(timeout=60)
    # A busy machine may delay some of them, but not all.
    assert min(took) < 0.1, took


def test_a_process_exits_cleanly_while_calls_are_in_flight(tmp_path: Path) -> None:
    program = """
        import threading, time, warnings
        from pudato import Client, _core
        warnings.simplefilter("ignore")
        client = Client()

        def call():
            client.call("storage", "head_object", {"container": "lake", "path": "a"})

        for _ in range(8):
            threading.Thread(target=call, daemon=True).start()
        while _core.running() < 8:
            time.sleep(0.001)
    """
    for _ in range(20):
        process = _start(tmp_path, program)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, f"{process.returncode}: {errors}"
        assert errors == ""


def test_a_serving_process_needs_one_line_and_exits_cleanly(tmp_path: Path) -> None:
    program = """
        import pudato
        client = pudato.Client(serve=True)
        ids = client.publish_many(
            pudato.Command(type="storage", action="put_object", payload={"container": "lake", "path": f"{n}", "data": "x"})
            for n in range(20)
        )
        print(client.query("SELECT 42 AS answer").rows)
    """
    process = _start(tmp_path, program)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "[(42,)]\n", "")


def _start(folder: Path, program: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PUDATO_", "AWS_"))}
    environment["PUDATO_QUERY_ISOLATION"] = "none"
    environment["PYTHONPATH"] = str(Path(pudato.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
