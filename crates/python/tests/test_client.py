"""`pudato.Client`: calls, queries, files, lineage, jobs and pipelines; waits that can be interrupted; exits that do not abort."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pudato
from pudato import Client, Command, CommandFailed, PipelineFailed, Result, Settings, serve
from pudato.client import Waits
from pudato.progress import Bar, Progress
from pudato.protocol.errors import CallTimeout, MessageError, RefusedError


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client that serves, for all tests of this module that do not need one of their own."""
    settings = Settings(environment={}, data_dir=tmp_path_factory.mktemp("served") / ".pudato", query_isolation="none")
    with Client(settings, serve=True) as client:
        yield client


def _settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(environment={}, data_dir=tmp_path / ".pudato", query_isolation="none", **more)


def test_a_client_that_serves_answers_without_any_other_program(served: Client) -> None:
    result = served.call("query", "execute_sql", {"sql": "SELECT 6 * $n AS answer", "parameters": {"n": 7}})
    assert result.status == "success"
    assert result.data is not None and result.data["rows"] == [[42]]
    assert served.query("SELECT 6 * ? AS answer", [7]).rows == [(42,)]


def test_a_call_takes_a_whole_command_and_keeps_its_ids(served: Client) -> None:
    command = Command(type="registry", action="create_job", payload={"pipeline": "p"}, correlation_id="of-a-command", job_id="j")
    result = served.call(command)
    assert (result.status, result.correlation_id, result.job_id) == ("success", "of-a-command", "j")
    with pytest.raises(TypeError, match="either a Command or a service"):
        served.call(command, "create_job")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="the action is missing"):
        served.call("registry")  # type: ignore[call-overload]


def test_a_call_that_fails_returns_its_result_and_a_query_that_fails_raises_it(served: Client) -> None:
    result = served.call("query", "execute_sql", {"sql": "SELECT no_such_column"})
    assert result.status == "error" and "no_such_column" in result.errors[0]
    with pytest.raises(CommandFailed, match="no_such_column") as raised:
        served.query("SELECT no_such_column")
    assert raised.value.result.status == "error"
    assert raised.value.errors == raised.value.result.errors


def test_the_same_idempotency_key_gets_the_first_answer_again(served: Client) -> None:
    def created() -> Result:
        return served.call("registry", "create_job", {"pipeline": "once"}, job_id="once", idempotency_key="k-1")

    first, second = created(), created()
    assert first.data is not None and second.data is not None
    assert first.data["job_id"] == second.data["job_id"]
    assert first.correlation_id != second.correlation_id


def test_a_published_command_is_handled_and_can_be_followed(served: Client) -> None:
    command = Command(type="storage", action="put_object", payload={"container": "lake", "path": "followed.csv", "data": "a\n1\n"})
    assert served.publish(command)
    trace = served.trace(command.correlation_id)
    end = time.monotonic() + 20
    while not (trace.results and trace.events) and time.monotonic() < end:
        time.sleep(0.02)
        trace = served.trace(command.correlation_id)
    assert [result.status for result in trace.results] == ["success"]
    assert [event.type for event in trace.events] == ["storage.object_created"]
    assert trace.applied == [True]
    assert "storage put_object" in str(trace) and "storage.object_created" in trace._repr_html_()
    nothing = served.trace("never-sent")
    assert not nothing and str(nothing) == "nothing is known about never-sent"


def test_many_commands_are_published_at_once_and_those_that_cannot_be_are_named(tmp_path: Path) -> None:
    client = Client(_settings(tmp_path))
    commands = [
        Command(type="storage", action="head_object", payload={"container": "lake", "path": f"{n}"}) for n in range(50)
    ]
    ids = client.publish_many(commands)
    assert len(set(ids)) == 50
    unknown = Command(type="nobody", action="anything")
    with pytest.raises(RefusedError, match=r"1 of 3 commands were not published, all others were: \[1\] .*nobody"):
        client.publish_many([commands[0], unknown, commands[1]])
    with pytest.raises(RefusedError, match="nobody"):
        client.publish(unknown)


def test_files_and_bytes_go_in_and_come_out_unchanged(served: Client, tmp_path: Path) -> None:
    text, raw = "a,b\n1,é\n".encode(), bytes(range(256)) * 40
    file = tmp_path / "in.csv"
    file.write_bytes(text)
    stored = served.put(file, "lake/raw/in.csv", content_type="text/csv")
    assert (stored.container, stored.path, stored.size) == ("lake", "raw/in.csv", len(text))
    assert stored.location.startswith("file:///")
    assert served.put(raw, "lake/raw/in.bin").size == len(raw)
    assert served.get("lake/raw/in.csv") == text
    assert served.get("lake/raw/in.bin") == raw
    to = served.get("lake/raw/in.bin", tmp_path / "out.bin")
    assert to == tmp_path / "out.bin" and to.read_bytes() == raw
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.bin"]
    with pytest.raises(CommandFailed, match="put lake/raw/in.csv"):
        served.put(b"", "lake/raw/in.csv", overwrite=False)
    with pytest.raises(CommandFailed, match="get lake/none"):
        served.get("lake/none")
    with pytest.raises(FileNotFoundError):
        served.put(tmp_path / "none", "lake/none")
    with pytest.raises(ValueError, match="place: expected container/path"):
        served.put(b"", "lake")


def test_what_is_larger_than_a_message_is_refused_by_name_with_the_limit_and_the_remedy(tmp_path: Path) -> None:
    settings = _settings(tmp_path, claim_bytes_max=100_000)
    with Client(settings, serve=True) as client:
        large = tmp_path / "large.bin"
        large.write_bytes(b"\xff" * 90_000)
        remedy = r"100,000.*PUDATO_CLAIM_BYTES_MAX"
        with pytest.raises(RefusedError, match=r"large\.bin: 90,000 bytes.*" + remedy):
            client.put(large, "lake/large.bin")
        large.write_bytes(b"\xff" * 200_000)
        with pytest.raises(RefusedError, match=r"large\.bin: 200,000 bytes.*" + remedy):
            client.put(large, "lake/large.bin")
        with pytest.raises(RefusedError, match="the data: 120,000 bytes.*" + remedy):
            client.put(b"x" * 120_000, "lake/large.bin")
        # Somebody else put it there.
        folder = Path(client.put(b"", "lake/small").location.removeprefix("file://")).parent
        large.rename(folder / "large.bin")
        with pytest.raises(RefusedError, match=r"get lake/large\.bin: 200,000 bytes.*" + remedy):
            client.get("lake/large.bin")


def test_a_query_reads_objects_and_writes_one(served: Client) -> None:
    served.put(b"name,count\nowl,2\nkite,3\n", "lake/birds.csv")
    answer = served.query("SELECT sum(count) AS all FROM birds", sources={"birds": "lake/birds.csv"})
    assert answer.rows in ([(5,)], [("5",)])
    made = served.query("FROM birds", sources={"birds": "lake/birds.csv"}, into="lake/birds.parquet")
    assert made.row_count == 2 and made.location is not None and made.location.endswith("birds.parquet")
    assert made.scan().collect().rows() == [("owl", 2), ("kite", 3)]
    with pytest.raises(ValueError, match="use scan"):
        made.to_polars()


def test_an_answer_cut_off_by_the_default_limit_warns_and_one_by_a_given_limit_does_not(served: Client) -> None:
    with pytest.warns(UserWarning, match="only the first 100,000 rows"):
        answer = served.query("FROM range(100001)")
    assert answer.truncated and answer.row_count == 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert served.query("FROM range(11)", max_rows=10).truncated


def test_jobs_and_their_steps_can_be_listed_and_shown(served: Client) -> None:
    made = served.call("registry", "create_job", {"pipeline": "shown <b>", "environment": "dev"})
    assert made.data is not None
    job_id = made.data["job_id"]
    served.query("SELECT 1", job_id=job_id, step_id="shown-step")
    jobs = served.jobs(pipeline="shown <b>")
    assert [job.job_id for job in jobs] == [job_id]
    assert "shown &lt;b&gt;" in jobs._repr_html_()
    end = time.monotonic() + 20
    while not (job := served.job(job_id)).steps and time.monotonic() < end:
        time.sleep(0.02)
    assert [(step.step_id, step.status) for step in job.steps] == [("shown-step", "success")]
    assert "execute_sql" in job._repr_html_()
    with pytest.raises(KeyError, match="no-such-job"):
        served.job("no-such-job")
    with pytest.raises(MessageError, match="expected pending, running"):
        served.jobs(status="done")  # type: ignore[arg-type]


PIPELINE = """
name: small
environment: dev
steps:
  - {name: put, type: storage, action: put_object, payload: {container: lake, path: small.csv, data: {file: small.csv}}}
  - name: load
    needs: [put]
    type: query
    action: execute_sql
    payload: {sql: CREATE OR REPLACE TABLE small AS FROM s, sources: {s: {container: lake, path: small.csv}}}
  - {name: ask, needs: [load], type: query, action: execute_sql, payload: {sql: SELECT %s FROM small}}
"""


def test_a_pipeline_runs_with_progress_and_continues_where_it_failed(served: Client, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    (tmp_path / "small.csv").write_text("a\n1\n2\n")
    file.write_text(PIPELINE % "b")
    with pytest.raises(PipelineFailed, match=r"1 of 3 steps did not succeed; continue with run\(.*resume='job-") as raised:
        served.run(file)
    failed = raised.value.run
    assert [step.status for step in failed.steps] == ["success", "success", "failed"]
    file.write_text(PIPELINE % "sum(a)::BIGINT")
    seen: list[Progress] = []
    run = served.run(file, seen.append, resume=failed.job_id)
    assert [step.status for step in run.steps] == ["success before", "success before", "success"]
    result = run["ask"].result
    assert result is not None and result.data is not None and result.data["rows"] == [[3]]
    assert {progress.job_id for progress in seen} == {failed.job_id}
    assert [progress.state for progress in seen if progress.step == "ask" and progress.state != "pending"] == ["sent", "success"]
    assert "ask" in run._repr_html_()
    with pytest.raises(RefusedError, match=r"small\.yaml:1: .*nam"):
        file.write_text("nam: x\n")
        served.run(file)
    with pytest.raises(MessageError, match="expected one of put, load, ask"):
        file.write_text(PIPELINE % "1")
        served.run(file, from_step="store")


def test_a_bar_is_one_line_on_a_terminal_and_a_line_for_each_step_elsewhere() -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def told(file: io.StringIO) -> str:
        bar = Bar(file)
        one = Progress("job-1", "p", 2, None, "job")
        for progress in (
            one,
            Progress("job-1", "p", 2, "a", "sent"),
            Progress("job-1", "p", 2, "a", "pending", "4 of 9"),
            Progress("job-1", "p", 2, "a", "success", duration_ms=1_500),
            Progress("job-1", "p", 2, "b", "failed", "no such table"),
        ):
            bar(progress)
        return file.getvalue()

    assert told(io.StringIO()) == "a  success in 1,500 ms\nb  failed: no such table\n"
    line = told(Terminal())
    assert line.count("\n") == 1 and "a 4 of 9" in line and "| 1/2" in line and "█" * 24 in line


def test_without_a_worker_a_call_warns_and_its_timeout_says_who_is_missing(tmp_path: Path) -> None:
    client = Client(_settings(tmp_path))
    with pytest.warns(Waits, match="no worker of the service query runs"):
        with pytest.raises(CallTimeout, match="no worker of the service query runs on .*start `pudato up`"):
            client.query("SELECT 1", timeout=1.5)


def test_serving_begins_before_the_first_call_and_ends_with_the_last_that_needs_it(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with serve(settings) as first:
        with serve(settings, services=None) as second:
            assert first.is_running and second.is_running
        assert first.is_running
        assert Client(settings).query("SELECT 1").rows == [(1,)]
    assert not first.is_running
    with pytest.raises(Exception, match="expected one of"):
        serve(settings, services=["no-such-service"])


def test_other_threads_run_while_a_thread_waits(tmp_path: Path) -> None:
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
    # One that held the GIL would leave almost nothing; a slow machine still counts this far in 0.8 s.
    assert counts[0] > 50_000


def test_an_exception_in_a_progress_callback_ends_the_call(served: Client, tmp_path: Path) -> None:
    (tmp_path / "small.csv").write_text("a\n1\n")
    file = tmp_path / "small.yaml"
    file.write_text(PIPELINE % "1")

    class Enough(Exception):
        pass

    def stop(progress: Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        served.run(file, stop)


WAITS = {
    "call": "client.call('storage', 'head_object', {'container': 'lake', 'path': 'a'}, timeout=60)",
    "query": "client.query('SELECT 1', timeout=60)",
    "put": "client.put(b'', 'lake/a', timeout=60)",
    "get": "client.get('lake/a', timeout=60)",
    "run": "client.run('p.yaml')",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_interrupts_every_wait_at_once(tmp_path: Path, wait: str) -> None:
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - {name: a, type: query, action: execute_sql, payload: {sql: SELECT 1}}\n")
    program = f"""
        import sys, time, warnings
        from pudato import Client
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
    # 100 ms is the promise; a busy machine may start the process late.
    assert float(at) - sent < 1.0, f"{float(at) - sent:.3f} s"


def test_a_process_exits_in_peace_while_calls_are_in_flight(tmp_path: Path) -> None:
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


def test_a_process_that_serves_needs_one_line_and_exits_in_peace(tmp_path: Path) -> None:
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
