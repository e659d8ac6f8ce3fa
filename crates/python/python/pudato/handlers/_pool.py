"""The Python threads and the event loop that run the actions of handlers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pudato import _core
from pudato.handlers import _run
from pudato.handlers.own import Action, OwnHandler


class Pool:
    """Runs functions on its own threads, and coroutines on one event loop.

    Args:
        concurrency: The maximum number of functions, and of coroutines, that run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self.core = _core.Pool(concurrency)
        self.stopped_by: BaseException | None = None
        self._concurrency = concurrency
        self._actions: dict[tuple[str, str], Action] = {}
        self._threads: list[threading.Thread] = []

    def add(self, handler: OwnHandler) -> _core.OwnHandler:
        """Registers a handler, whose commands this pool then runs."""
        actions = list(handler.actions.values())
        for action in actions:
            self._actions[handler.service_type, action.name] = action
        described = [
            (one.name, list(one.aliases), one.effect, float(one.lease_max), _list(one.fields), one.is_coroutine)
            for one in actions
        ]
        return _core.OwnHandler(handler.service_type, described, self.core)

    def start(self) -> None:
        """Starts the threads that the actions need."""
        if any(not action.is_coroutine for action in self._actions.values()):
            self._more()
        if any(action.is_coroutine for action in self._actions.values()):
            self._start(lambda: asyncio.run(self._serve()), "pudato-loop")

    def close(self, timeout: float = 1.0) -> list[str]:
        """Stops taking commands. Returns the names of the threads that do not end within `timeout` seconds."""
        self.core.close()
        deadline = _now() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - _now()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _more(self) -> None:
        if self.core.begin():
            self._start(self._work, f"pudato-handler-{len(self._threads) + 1}")

    def _start(self, target: Any, name: str) -> None:
        # Daemon threads, so that a handler that never returns does not keep the program from exiting.
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        last: _core.Taken | None = None
        while (taken := self.core.take(last)) is not None:
            self._more()
            _run.run(self._actions[taken.service, taken.action], taken, self._stopped)
            last = taken

    def _stopped(self, error: BaseException) -> None:
        self.stopped_by = self.stopped_by or error

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()
        room = asyncio.Semaphore(self._concurrency)
        running: dict[int, asyncio.Task[None]] = {}

        async def work(taken: _core.Taken) -> None:
            try:
                async with room:
                    await _run.run_coroutine(self._actions[taken.service, taken.action], taken, self._stopped)
            finally:
                running.pop(taken.id, None)

        def heard() -> None:
            taken, cancelled, is_closed = self.core.take_tasks()
            for one in taken:
                running[one.id] = loop.create_task(work(one))
            for number in cancelled:
                if (task := running.get(number)) is not None:
                    task.cancel()
            if is_closed:
                closed.set()

        loop.add_reader(self.core.fileno(), heard)
        heard()
        await closed.wait()
        loop.remove_reader(self.core.fileno())
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)


def _list(fields: tuple[str, ...] | None) -> list[str] | None:
    return None if fields is None else list(fields)


def _now() -> float:
    from time import monotonic

    return monotonic()
