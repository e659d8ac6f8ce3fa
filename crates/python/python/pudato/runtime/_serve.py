"""Runs services until a signal. The local runner and the results consumer share this code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pudato import _core

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    serving: _core.Serving,
    services: list[str],
    *,
    drain_seconds: str = "",
    tell: Callable[[str], None] | None = None,
) -> None:
    """Runs services until the first SIGINT or SIGTERM, or until `serving.drain()`; a second signal ends the program at once.

    Once a signal would drain the program, `tell` is called with a line that says what runs. Signal handlers are installed only on the main
    thread, and only for signals that have no other handler. Ctrl-C always drains.

    Raises:
        PudatoError: A role cannot start or continue.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            serving.run(services)
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            failed.append(error)

    # On a separate thread, so that this one can react to signals immediately.
    thread = threading.Thread(target=run, name="pudato-serving", daemon=True)
    with _signals(serving, drain_seconds):
        (tell or _log)(f"pudato runs {', '.join(services)} on {serving.data_dir()}")
        thread.start()
        while thread.is_alive():
            try:
                thread.join(0.5)
            except KeyboardInterrupt:
                if serving.is_draining():
                    raise
                serving.drain()
    if failed:
        raise failed[0]


def _log(line: str) -> None:
    logging.getLogger("pudato.runtime").info("%s", line)


@contextmanager
def _signals(serving: _core.Serving, drain_seconds: str) -> Iterator[None]:
    def hear(number: int, _: FrameType | None) -> None:
        if serving.is_draining():
            print("pudato: stopped immediately", file=sys.stderr, flush=True)
            os._exit(128 + number)
        print(f"pudato: {_finishing(serving, drain_seconds)}; a second signal stops immediately", file=sys.stderr, flush=True)
        serving.drain()

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finishing(serving: _core.Serving, seconds: str) -> str:
    commands = serving.in_hand()
    if not commands:
        return "stopping"
    named = ", ".join([*commands[:5], *(["..."] if len(commands) > 5 else [])])
    counted = "1 command" if len(commands) == 1 else f"{len(commands)} commands"
    return f"waiting up to {seconds} s for {counted}: {named}"
