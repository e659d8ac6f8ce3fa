"""`pudato.Client`: calls, queries, files, jobs and pipelines."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pudato
from pudato import Client, Command, CommandFailed, PipelineFailed, Result, Settings
from pudato.progress import Bar, Progress
from pudato.protocol.errors import MessageError, RefusedError


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A serving client, shared by the tests in this module that do not need their own."""
    settings = Settings(variables={}, data_dir=tmp_path_factory.mktemp("served") / ".pudato", query_isolation="none")
    with Client(settings, serve=True) as client:
        yield client


def _settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(variables={}, data_dir=tmp_path / ".pudato", query_isolation="none", **more)


def test_a_serving_client_needs_no_other_program(served: Client) -> None:
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


def test_a_failed_call_returns_its_result_and_a_failed_query_raises(served: Client) -> None:
    result = served.call("query", "execute_sql", {"sql": "SELECT no_such_column"})
    assert result.status == "error" and "no_such_column" in result.errors[0]
    with pytest.raises(CommandFailed, match="no_such_column") as raised:
        served.query("SELECT no_such_column")
    assert raised.value.result.status == "error"
    assert raised.value.errors == raised.value.result.errors


def test_the_same_idempotency_key_returns_the_first_answer(served: Client) -> None:
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


def test_publish_many_publishes_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    client = Client(_settings(tmp_path))
    commands = [
        Command(type="storage", action="head_object", payload={"container": "lake", "path": f"{n}"}) for n in range(50)
    ]
    ids = client.publish_many(commands)
    assert len(set(ids)) == 50
    unknown = Command(type="nobody", action="anything")
    with pytest.raises(RefusedError, match=r"1 of 3 commands were not published; all others were: \[1\] .*nobody"):
        client.publish_many([commands[0], unknown, commands[1]])
    with pytest.raises(RefusedError, match="nobody"):
        client.publish(unknown)


def test_put_and_get_keep_files_and_bytes_unchanged(served: Client, tmp_path: Path) -> None:
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


def test_data_too_large_for_a_message_is_refused_with_the_limit_and_a_remedy(tmp_path: Path) -> None:
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
        # Another program has written the object.
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


def test_only_an_answer_cut_off_by_the_default_limit_warns(served: Client) -> None:
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


def test_progress_is_reported_while_a_query_waits_for_the_warehouse(served: Client) -> None:
    served.query("CREATE TABLE IF NOT EXISTS held (a INTEGER)")
    warehouse = Path(served.settings.data_dir) / "warehouse.duckdb"
    program = f"import duckdb; held = duckdb.connect({str(warehouse)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    seen: list[Result] = []

    def told(result: Result) -> None:
        if not seen:
            holder.communicate("\n", timeout=60)
        seen.append(result)

    answer = served.query("SELECT count(*) FROM held", on_progress=told)
    assert answer.row_count == 1
    assert {result.status for result in seen} == {"pending"}
    assert seen[0].data is not None and "waits_for" in seen[0].data


def test_threads_share_a_client(served: Client) -> None:
    found: list[object] = []

    def ask(n: int) -> None:
        found.extend(served.query("SELECT ?::INTEGER", [n * 10 + k]).rows[0][0] for k in range(5))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(str(n * 10 + k) for n in range(6) for k in range(5))


def test_an_answer_may_be_larger_than_a_message(served: Client) -> None:
    sql = "SELECT i, repeat('x', 100) AS text FROM range(15000) t(i)"
    result = served.call("query", "execute_sql", {"sql": sql, "max_rows": 100_000})
    assert result.data is not None and result.data["row_count"] == 15_000
    assert len(result.model_dump_json()) > 1_048_576
    assert served.query(sql, max_rows=100_000).result.data == result.data


def test_a_step_id_that_another_command_has_is_a_warning(served: Client) -> None:
    served.query("SELECT 1", step_id="step-used-twice")
    with pytest.warns(pudato.NotRecorded, match="step-used-twice.*a step id is for one command"):
        served.query("SELECT 2", step_id="step-used-twice")


def test_wrong_arguments_are_named_with_what_was_expected(served: Client) -> None:
    with pytest.raises(TypeError, match="stepid: no such argument; did you mean step_id"):
        served.call("query", "execute_sql", {"sql": "SELECT 1"}, stepid="a")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="sources: expected a mapping of names to container/path"):
        served.query("FROM p", sources="lake/raw/a.csv")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout: expected a number of seconds, found 'x'"):
        served.query("SELECT 1", timeout="x")  # type: ignore[arg-type]
    assert str(served.lineage("lake/nothing.csv")).startswith("nothing is known about ")


def test_a_float_without_a_number_is_a_parameter_like_any_other(served: Client) -> None:
    nan, least = served.query("SELECT ? AS nan, ? AS least", [float("nan"), float("-inf")]).rows[0]
    assert nan != nan and least == float("-inf")
    assert served.query("SELECT $x::VARCHAR", {"x": 0.1}).rows == [("0.1",)]


def test_a_value_that_is_no_data_and_no_list_of_parameters_is_refused(served: Client) -> None:
    with pytest.raises(TypeError, match="data: expected the path of a file, or bytes, found int"):
        served.put(7, "lake/n")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="parameters: expected a list or a mapping, found b'ab'"):
        served.query("SELECT ?, ?", b"ab")


def test_a_failed_command_can_be_sent_to_another_process(served: Client) -> None:
    with pytest.raises(CommandFailed) as failed:
        served.query("SELECT nothing")
    again = pickle.loads(pickle.dumps(failed.value))
    assert (str(again), again.errors) == (str(failed.value), failed.value.errors)
