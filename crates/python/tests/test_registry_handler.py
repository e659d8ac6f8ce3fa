"""The registry without a queue: jobs, steps and lineage through Commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _served import command, settings_of

from pudato.backends.registry import InMemoryRegistryBackend, PostgreSQLRegistryBackend
from pudato.backends.storage import S3Backend
from pudato.handlers import RegistryHandler, StorageHandler, create_duckdb_handler, create_memory_registry_handler
from pudato.handlers.query import QueryHandler
from pudato.protocol import Result


@pytest.fixture(params=["memory", "settings"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryHandler]:
    if request.param == "memory":
        yield create_memory_registry_handler()
    else:
        yield RegistryHandler(settings=settings_of(tmp_path))


def ask(registry: RegistryHandler, action: str, /, **payload: Any) -> dict[str, Any]:
    """Runs a Command that must succeed and returns its data."""
    result = registry.handle(command("registry", action, payload))
    assert result.status == "success", result.errors
    return result.data or {}


def step(registry: RegistryHandler, **more: Any) -> tuple[str, str]:
    """Creates a job with a step and returns their ids."""
    job = ask(registry, "create_job", pipeline="monthly", logic_version="v1", environment="dev")
    added = ask(registry, "add_step", job_id=job["job_id"], step_name="load", handler_type="storage", action="get_object", **more)
    return job["job_id"], added["step_id"]


def test_a_job_is_created_found_and_moves_through_its_states(registry: RegistryHandler) -> None:
    job = ask(registry, "create_job", pipeline="monthly", environment="dev", namespace="me", request={"year": 2025})
    assert (job["pipeline"], job["namespace"], job["status"]) == ("monthly", "me", "pending")
    ask(registry, "update_job", job_id=job["job_id"], status="running")
    running = ask(registry, "get_job", job_id=job["job_id"])
    assert running["found"] is True and running["status"] == "running" and running["started_at"] is not None
    ask(registry, "update_job", job_id=job["job_id"], status="success")
    done = ask(registry, "get_job", job_id=job["job_id"])
    assert done["status"] == "success" and done["completed_at"] is not None
    assert ask(registry, "get_job", job_id="none")["found"] is False


def test_jobs_are_found_by_pipeline_and_environment(registry: RegistryHandler) -> None:
    for pipeline, environment in [("a", "dev"), ("a", "prod"), ("b", "dev")]:
        ask(registry, "create_job", pipeline=pipeline, environment=environment)
    assert ask(registry, "query_jobs", pipeline="a")["count"] == 2
    assert ask(registry, "query_jobs", environment="dev")["count"] == 2
    assert ask(registry, "query_jobs", pipeline="b", environment="prod")["count"] == 0


def test_a_step_keeps_its_updated_fields(registry: RegistryHandler) -> None:
    job_id, step_id = step(registry)
    ask(
        registry,
        "update_step",
        step_id=step_id,
        status="success",
        duration_ms=1500,
        inputs=[{"ref_type": "table", "location": "raw.a"}, {"ref_type": "table", "location": "raw.b"}],
        outputs=[{"ref_type": "table", "location": "main.c"}],
        executions=[{"execution_type": "sql", "details": {"statements": ["SELECT 1"]}}],
    )
    found = ask(registry, "get_step", step_id=step_id)
    assert (found["found"], found["status"], found["duration_ms"]) == (True, "success", 1500)
    assert [len(found[name]) for name in ("inputs", "outputs", "executions")] == [2, 1, 1]
    assert ask(registry, "get_job_steps", job_id=job_id)["count"] == 1


def test_lineage_names_the_producers_and_consumers_of_a_dataset(registry: RegistryHandler) -> None:
    _, step_id = step(registry)
    table = {"ref_type": "table", "location": "main.orders"}
    ask(registry, "update_step", step_id=step_id, status="success", outputs=[table])
    _, reader = step(registry)
    ask(registry, "update_step", step_id=reader, status="success", inputs=[table])
    made = ask(registry, "get_lineage", location="main.orders", direction="producers")
    assert [(one["step_name"], one["logic_version"]) for one in made["producers"]] == [("load", "v1")]
    read = ask(registry, "get_lineage", location="main.orders", direction="consumers")
    assert [one["step_id"] for one in read["consumers"]] == [reader]


def test_an_invalid_registry_command_returns_an_error_result(registry: RegistryHandler) -> None:
    assert "create_job" in registry.supported_actions() and registry.service_type == "registry"
    for sent, what in [
        (command("registry", "create_jobs"), "action: expected one of create_job"),
        (command("registry", "create_job"), "payload.pipeline: required"),
        (command("registry", "get_job", {"job": "1"}), "payload.job: get_job has no such field; did you mean job_id?"),
        (command("storage", "get_object"), "type: expected \"registry\""),
    ]:
        result = registry.handle(sent)
        assert result.status == "error" and result.errors[0].startswith(what), result.errors
        assert result.correlation_id == sent.correlation_id


def test_two_in_memory_registries_are_independent() -> None:
    one, other = create_memory_registry_handler(), RegistryHandler(InMemoryRegistryBackend())
    ask(one, "create_job", pipeline="a")
    assert ask(other, "query_jobs", pipeline="a")["count"] == 0


def test_a_registry_is_given_as_a_backend_or_a_url() -> None:
    with pytest.raises(TypeError, match="expected InMemoryRegistryBackend or PostgreSQLRegistryBackend"):
        RegistryHandler("postgres://localhost/x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="url: expected postgres://"):
        PostgreSQLRegistryBackend(object())  # type: ignore[arg-type]


def test_storage_and_query_also_run_without_a_queue(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    storage = StorageHandler(settings=settings)
    put = storage.handle(command("storage", "put_object", {"container": "lake", "path": "a.csv", "data": "n\n1\n2\n"}))
    assert put.status == "success" and [one.ref_type for one in put.outputs] == ["file"]
    query = QueryHandler(settings=settings)
    sql = {"sql": "SELECT sum(n) AS total FROM a", "sources": {"a": {"container": "lake", "path": "a.csv"}}}
    answer = query.handle(command("query", "execute_sql", sql))
    assert answer.status == "success", answer.errors
    assert (answer.data or {})["rows"] == [[3]]


def test_a_duckdb_handler_has_its_own_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def ran(query: QueryHandler, sql: str) -> Result:
        return query.handle(command("query", "execute_sql", {"sql": sql}))

    assert (ran(create_duckdb_handler(), "SELECT 1 AS n").data or {})["rows"] == [[1]]
    query = create_duckdb_handler(tmp_path / "a.duckdb")
    ran(query, "CREATE TABLE t AS SELECT 1 AS n")
    assert (ran(query, "SELECT count(*) AS n FROM t").data or {})["rows"] == [[1]]
    assert (tmp_path / "a.duckdb").exists()
    assert not (tmp_path / ".pudato" / "warehouse.duckdb").exists()
    with pytest.raises(ValueError, match="read_only: expected False"):
        create_duckdb_handler(read_only=True)


def test_objects_are_stored_through_a_boto3_client(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3  # type: ignore[import-untyped,unused-ignore]
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="lake")
        storage = StorageHandler(S3Backend(client))

        def ran(action: str, **payload: Any) -> Result:
            return storage.handle(command("storage", action, {"container": "lake", **payload}, step_id="s-1"))

        put = ran("put_object", path="a.txt", data="ä", metadata={"a": "b"}, content_type="text/plain")
        assert (put.status, put.step_id, put.outputs[0].location) == ("success", "s-1", "s3://lake/a.txt")
        got = ran("get_object", path="a.txt")
        assert got.data is not None and (got.data["data"], got.data["size"], got.data["metadata"]) == ("ä", 2, {"a": "b"})
        assert [one.location for one in got.inputs] == ["s3://lake/a.txt"]
        assert ran("put_object", path="b", data_base64="/w==").status == "success"
        assert (ran("get_object", path="b").data or {})["data_base64"] == "/w=="
        page = ran("list_objects", max_keys=1).data or {}
        assert [one["path"] for one in page["objects"]] == ["a.txt"] and page["truncated"] is True
        rest = ran("list_objects", continuation_token=page["continuation_token"]).data or {}
        assert [one["path"] for one in rest["objects"]] == ["b"] and rest["truncated"] is False
        assert (ran("head_object", path="a.txt").data or {})["content_type"] == "text/plain"
        assert [(ran("delete_object", path="a.txt").data or {})["deleted"] for _ in range(2)] == [True, False]
        assert ran("get_object", path="a.txt").errors[0].startswith("s3://lake/a.txt: NoSuchKey")
        assert ran("put_object", path="a.txt").errors == ["payload.data: required, expected a string (or data_base64); it is missing"]
        assert ran("get_object").errors == ["payload.path: required, expected a string; it is missing"]
        assert ran("copy_object").errors[0].startswith("action: expected one of put_object")
    with pytest.raises(TypeError, match=r"expected boto3.client\('s3'\)"):
        S3Backend(object())
