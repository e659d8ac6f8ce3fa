"""Runs operations that wait, either on a thread or on an event loop.

An operation is written once, as a generator that yields Rust tasks and receives their results. `run` waits for each task in the calling
thread; `arun` awaits it on the running event loop. Both pass what a task reports before it ends to the callback that was yielded with the
task, in the same thread.
"""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pudato import _core, _fabric

__all__ = ["Steps", "Waiting", "arun", "run"]

R = TypeVar("R")
Told: TypeAlias = Callable[[str, str], None]


class Waiting(NamedTuple):
    """A task to wait for, and a callback for the kind and the text of each report."""

    task: _core.Task
    told: Told | None = None


Steps: TypeAlias = Generator[Waiting, Any, R]


def run(steps: Steps[R]) -> R:
    """Runs an operation in this thread. Ctrl-C cancels it."""
    try:
        waiting = next(steps)
        while True:
            try:
                value = _wait(waiting)
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = steps.send(value)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        steps.close()


async def arun(steps: Steps[R]) -> R:
    """Runs an operation on the running event loop. Cancelling it cancels the task that it waits for."""
    try:
        waiting = next(steps)
        while True:
            try:
                value = await _await(waiting)
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = steps.send(value)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        steps.close()


def _wait(waiting: Waiting) -> Any:
    task, told = waiting
    try:
        while True:
            news, is_done = task.wait()
            if told is not None:
                for kind, text in news:
                    told(kind, text)
            if is_done:
                return task.result()
    finally:
        task.cancel()


async def _await(waiting: Waiting) -> Any:
    task, told = waiting
    desk = _Desk.of(asyncio.get_running_loop())
    try:
        with desk.watch(task) as has_news:
            while True:
                await has_news.wait()
                has_news.clear()
                news, is_done = task.news()
                if told is not None:
                    for kind, text in news:
                        told(kind, text)
                if is_done:
                    return task.result()
    finally:
        task.cancel()


class _Desk:
    """Wakes an event loop's coroutines when their tasks have news."""

    _all: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bell = _core.Bell()
        self._watched: dict[int, asyncio.Event] = {}
        self._last = 0
        loop.add_reader(self._bell.fileno(), self._rung)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Desk:
        desk = cls._all.get(loop)
        if desk is None:
            desk = cls._all[loop] = cls(loop)
        return desk

    def watch(self, task: _core.Task) -> _Watch:
        self._last += 1
        return _Watch(self, task, self._last)

    def begin(self, token: int, task: _core.Task) -> asyncio.Event:
        has_news = self._watched[token] = asyncio.Event()
        task.ring(self._bell, token)
        return has_news

    def end(self, token: int) -> None:
        del self._watched[token]

    def _rung(self) -> None:
        for token in self._bell.tokens():
            has_news = self._watched.get(token)
            if has_news is not None:
                has_news.set()


class _Watch:
    def __init__(self, desk: _Desk, task: _core.Task, token: int) -> None:
        self._desk = desk
        self._task = task
        self._token = token

    def __enter__(self) -> asyncio.Event:
        return self._desk.begin(self._token, self._task)

    def __exit__(self, *_: object) -> None:
        self._desk.end(self._token)


have_served: set[int] = set()
"""The `id`s of the installations that served in this process, and which therefore record their calls themselves."""


@atexit.register
def _at_exit() -> None:
    # Give cancelled calls time to withdraw their commands and delete their reply queues.
    _core.finish(2_000)
    for opened in list(_fabric._opened.values()):
        if id(opened) not in have_served:
            opened.record_calls()
