"""A proxy that adds latency in front of an emulator on loopback, because AWS is milliseconds away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def slow_link(endpoint: str, round_trip_ms: float) -> Iterator[str]:
    """Yields an endpoint that forwards to `endpoint` and delays each direction by half of the round trip."""
    to = urlsplit(endpoint)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    places: list[int] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 20):
                await asyncio.sleep(round_trip_ms / 2_000)
                writer.write(chunk)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(to.hostname, to.port)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(carry(reader, back), carry(there, writer))

    async def serve() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        places.append(server.sockets[0].getsockname()[1])
        ready.set()

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{places[0]}"
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
