"""`pudato.aio.AsyncClient`: the methods of the client as coroutines."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path

import pytest

import pudato
from pudato import _core
from pudato.aio import AsyncClient
from pudato.client import Client
from pudato.progress import Progress
from pudato.protocol import Command
from pudato.protocol.errors import CallTimeout


def _settings(tmp_path: Path) -> pudato.Settings:
    return pudato.Settings(variables={}, data_dir=tmp_path / ".pudato", query_isolation="none")


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    own = {"close", "aclose"}
    names = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")} - own
    others = {name for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction) if not name.startswith("_")} - own
    assert names == others and "query" in names
    for name in names:
        method, other = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(method) == inspect.signature(other), name
        assert inspect.iscoroutinefunction(other), name


def test_coroutines_run_concurrently_on_one_event_loop(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(_settings(tmp_path), serve=True) as client:
            answers = await asyncio.gather(*(client.query("SELECT ?::INTEGER AS n", [n]) for n in range(8)))
            assert [answer.rows for answer in answers] == [[(n,)] for n in range(8)]
            stored = await client.put(b"a\n1\n", "lake/a.csv", job_id="j", step_id="put")
            assert await client.get("lake/a.csv") == b"a\n1\n"
            assert (await client.lineage(stored.location)).location == stored.location
            assert await client.publish(Command(type="storage", action="head_object", payload={"container": "lake", "path": "a.csv"}))

    asyncio.run(main())


def test_a_new_event_loop_can_use_the_same_installation(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with pudato.serve(settings):
        for n in range(3):
            assert asyncio.run(AsyncClient(settings).query("SELECT 1")).row_count == 1, n


def test_the_event_loop_keeps_running_while_a_call_waits(tmp_path: Path) -> None:
    async def main() -> int:
        client = AsyncClient(_settings(tmp_path))
        await client.jobs()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(CallTimeout):
            await client.call("storage", "head_object", {"container": "lake", "path": "a"}, timeout=0.5)
        ticking.cancel()
        return ticks

    assert asyncio.run(main()) >= 5


def test_cancelling_a_call_cancels_its_task(tmp_path: Path) -> None:
    async def main() -> None:
        client = AsyncClient(_settings(tmp_path))
        await client.jobs()
        before = _core.running()
        calls = [
            asyncio.create_task(client.call("storage", "head_object", {"container": "lake", "path": "a"}, timeout=600))
            for _ in range(5)
        ]
        while _core.running() < before + 5:
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        end = time.monotonic() + 20
        while _core.running() > before and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert _core.running() == before

    asyncio.run(main())


def test_an_asyncio_timeout_cancels_a_call(tmp_path: Path) -> None:
    async def main() -> None:
        client = AsyncClient(_settings(tmp_path))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.call("storage", "head_object", {"container": "lake", "path": "a"})

    asyncio.run(main())


def test_progress_is_reported_on_the_event_loop(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("name: p\nsteps:\n  - {name: a, type: query, action: execute_sql, payload: {sql: SELECT 1}}\n")

    async def main() -> None:
        seen: list[tuple[str | None, str]] = []

        def told(progress: Progress) -> None:
            asyncio.get_running_loop()
            seen.append((progress.step, progress.state))

        async with AsyncClient(_settings(tmp_path), serve=True) as client:
            run = await client.run(file, told)
        assert run.succeeded
        assert [one for one in seen if one[1] != "pending"] == [(None, "job"), ("a", "sent"), ("a", "success")]

    asyncio.run(main())
