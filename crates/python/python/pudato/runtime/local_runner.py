"""Runs the handler of one service: `python -m pudato.runtime.local_runner --handler NAME`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pudato import _core
from pudato._fabric import opening
from pudato.config import Settings
from pudato.handlers._find import UnknownHandler, find
from pudato.runtime._serve import serve

if TYPE_CHECKING:
    from pudato.handlers._pool import Pool
    from pudato.handlers.own import OwnHandler

__all__ = ["LocalRunner", "main"]

# The exit codes of the command `pudato`.
FAILED, USAGE, CONFIGURATION, UNAVAILABLE = 1, 2, 3, 4


class LocalRunner:
    """Receives the commands of one service and handles them until it is stopped.

    Args:
        handler_type: The handler: a built-in service, a handler registered in this process, an entry point in the group
            `pudato.handlers`, or `module:attribute`.
        queue_url: The queue; by default the one that the settings name. On the embedded fabric, pass the name of the service's queue.
        poll_interval: Ignored; accepted for older programs. The runner waits for messages and does not poll.
        settings: The settings; by default from the environment.

    Raises:
        UnknownHandler: No handler has this name.
    """

    def __init__(
        self,
        handler_type: str | OwnHandler,
        queue_url: str | None = None,
        poll_interval: float = 1.0,
        *,
        settings: Settings | None = None,
    ) -> None:
        if not poll_interval >= 0:
            raise ValueError(f"poll_interval: expected seconds, 0 or more, found {poll_interval!r}")
        self.handler = find(handler_type) if isinstance(handler_type, str) else handler_type
        self.service = handler_type if self.handler is None else self.handler.service_type
        self.settings = _settings(settings, str(self.service), queue_url)
        self.left: list[str] = []
        self.stopped_by: BaseException | None = None
        self._serving: _core.Serving | None = None
        self._tell: Callable[[str], None] | None = None
        self._is_started = False
        self._is_stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Receives and handles commands until `stop`, Ctrl-C or SIGTERM, and then finishes those in flight.

        Commands that take longer than `PUDATO_DRAIN_SECONDS` are released for another attempt, and this attempt does not count.

        Raises:
            ConfigurationError: A setting cannot be used.
            UnavailableError: The fabric or a store cannot be reached.
        """
        _core.forward_logs(self.settings._core)
        with self._lock:
            if self._is_started:
                raise RuntimeError("start: this runner is running already; make another LocalRunner to run two")
            self._is_started = True
        try:
            self._run()
        finally:
            with self._lock:
                self._is_started = False

    def _run(self) -> None:
        serving, pool = self._open()
        with self._lock:
            if self._is_stopped:
                return
            self._serving = serving
        if pool is not None:
            pool.start()
        try:
            serve(serving, [str(self.service)], drain_seconds=self.settings.drain_seconds, tell=self._tell)
        finally:
            with self._lock:
                self._serving = None
            if pool is not None:
                self.left = pool.close()
                self.stopped_by = pool.stopped_by

    def stop(self) -> None:
        """Makes `start` finish the commands in flight and return. `stop` itself returns immediately. Call it from any thread."""
        with self._lock:
            self._is_stopped = True
            if self._serving is not None:
                self._serving.drain()

    def _open(self) -> tuple[_core.Serving, Pool | None]:
        if self.handler is None:
            return _core.Serving(opening(self.settings), []), None
        from pudato.handlers._pool import Pool

        pool = Pool(int(self.settings.concurrency))
        own = pool.add(self.handler)
        return _core.Serving(opening(self.settings), [own], pool.core), pool


def _settings(given: Settings | None, service: str, queue_url: str | None) -> Settings:
    """Returns the settings with this queue for the service."""
    settings = given if given is not None else Settings()
    if queue_url is None:
        return settings
    expected = f"{settings.prefix}-{service}-queue"
    name = queue_url.rstrip("/").replace(":", "/").rsplit("/", 1)[-1]
    if name != expected:
        raise _core.ConfigurationError(
            f"queue_url: the queue of {service} is {expected}, found {queue_url!r}; PUDATO_PREFIX changes its first part"
        )
    attribute = f"{service}_queue_url"
    known = dict(settings)
    if settings.is_local or attribute not in known or known[attribute] == queue_url:
        return settings
    if given is not None:
        raise _core.ConfigurationError(f"queue_url: the settings name a different queue for {service}: {known[attribute]}")
    more: dict[str, Any] = {attribute: queue_url}
    return Settings(**more)


def main(argv: list[str] | None = None) -> int:
    """Runs the handler of one service until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pudato.runtime.local_runner",
        description="Run the handler of one service until Ctrl-C or SIGTERM.",
    )
    parser.add_argument(
        "--handler",
        required=True,
        metavar="NAME",
        help="storage, query, transform, registry, an entry point in the group pudato.handlers, or module:attribute",
    )
    parser.add_argument("--queue-url", metavar="URL", help="the queue (default: from the settings)")
    parser.add_argument(
        "--poll-interval", type=float, default=1.0, metavar="SECONDS", help="ignored; accepted for older programs"
    )
    arguments = parser.parse_args(argv)
    try:
        runner = LocalRunner(arguments.handler, arguments.queue_url, arguments.poll_interval)
        _core.start_logs(runner.settings._core)
        # Show what handlers log, unless their module has configured logging.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    except UnknownHandler as error:
        return _failed(USAGE, f"--handler: {error}")
    except (TypeError, ValueError) as error:
        return _failed(USAGE, str(error))
    except _core.ConfigurationError as error:
        return _failed(CONFIGURATION, str(error))
    # Python lets a thread keep the GIL for this long while others wait for it, and each command waits for the GIL twice.
    sys.setswitchinterval(min(sys.getswitchinterval(), 0.001))
    runner._tell = lambda line: print(f"{line}; Ctrl-C stops it", flush=True)
    try:
        runner.start()
    except _core.ConfigurationError as error:
        return _failed(CONFIGURATION, str(error))
    except _core.UnavailableError as error:
        return _failed(UNAVAILABLE, str(error))
    return _code(runner.stopped_by)


def _code(stopped_by: BaseException | None) -> int:
    if not isinstance(stopped_by, SystemExit):
        return 0
    if stopped_by.code is None or isinstance(stopped_by.code, int):
        return stopped_by.code or 0
    return _failed(FAILED, str(stopped_by.code))


def _failed(code: int, why: str) -> int:
    print(f"pudato: {why}", file=sys.stderr)
    return code


def leave(code: int) -> None:
    """Exits the program, even if a handler never returns or has left threads running, which would otherwise keep it alive."""
    alive = [one for one in threading.enumerate() if one is not threading.main_thread() and one.name != "pudato-serving"]
    others = [one.name for one in alive if not one.daemon or one.name.startswith("pudato-")]
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if others:
        print(f"pudato: exiting while {len(others)} thread(s) are still running: {', '.join(others[:5])}", file=sys.stderr, flush=True)
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
