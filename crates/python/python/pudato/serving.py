"""Runs handlers and the results consumer in this process."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from types import TracebackType

# Exit handlers run in reverse order. Importing `_run` first makes it cancel tasks only after the exit handler here has drained the handlers.
from pudato import _core, _run
from pudato._registry import with_registry
from pudato.config import Settings

__all__ = ["Serving", "serve"]


def serve(settings: Settings | None = None, *, services: Sequence[str] | None = None) -> Serving:
    """Runs handlers and the results consumer in this process, as `pudato up` does in its own.

    Use it in a `with` statement, or keep the returned object and call `stop`. It stops by itself when the process exits.

    Args:
        settings: The settings; by default from the environment.
        services: The services to handle, such as `["storage", "query"]`; by default all that have a queue.

    Raises:
        ConfigurationError: A setting is missing, or a service does not exist.
        UnavailableError: The fabric or a store cannot be reached.
    """
    return Serving(settings if settings is not None else Settings(), services)


class Serving:
    """Handlers and the results consumer that run in this process until `stop`."""

    def __init__(self, settings: Settings, services: Sequence[str] | None = None) -> None:
        opened = with_registry(settings)
        self._key = (id(opened), None if services is None else tuple(sorted(services)))
        self._is_stopped = False
        with _lock:
            running = _running.get(self._key)
            if running is None or running.ended():
                running = _running[self._key] = _Running(opened.serve(services and list(services)))
            running.users += 1
            _run.have_served.add(id(opened))
            self._running = running

    @property
    def is_running(self) -> bool:
        """Whether the handlers are running. If one fails, all stop, and `stop` raises the reason."""
        return not self._is_stopped and not self._running.ended()

    def stop(self) -> None:
        """Finishes the commands in flight, for at most PUDATO_DRAIN_SECONDS, and stops, unless another `serve` in this process uses the same
        handlers."""
        with _lock:
            if self._is_stopped:
                return
            self._is_stopped = True
            self._running.users -= 1
            if self._running.users > 0:
                return
            _running.pop(self._key, None)
        self._running.stop()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Running:
    """A serving task, shared by every `serve` with the same settings and services."""

    def __init__(self, task: _core.Task) -> None:
        self._task = task
        self._is_done = False
        self.users = 0
        told, self._is_done = task.wait()
        if self._is_done and not told:
            task.result()

    def ended(self) -> bool:
        if not self._is_done:
            self._is_done = self._task.news()[1]
        return self._is_done

    def stop(self) -> None:
        self._task.cancel()
        while not self._is_done:
            self._is_done = self._task.wait()[1]
        self._task.result()


_lock = threading.Lock()
_running: dict[tuple[int, tuple[str, ...] | None], _Running] = {}


@atexit.register
def _at_exit() -> None:
    with _lock:
        left = list(_running.values())
        _running.clear()
    for running in left:
        running.stop()
