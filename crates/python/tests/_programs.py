"""Runs programs of the package as a user does, each in its own folder and environment."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pudato
from _served import PATIENCE


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program: the package and the folder, without the caller's settings."""
    package = str(Path(pudato.__file__).parent.parent)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": package, "PUDATO_DATA_DIR": str(folder / ".pudato"), **(more or {})}


def runner(name: str, *more: str) -> list[str]:
    """The command line of the local runner."""
    return [sys.executable, "-m", "pudato.runtime.local_runner", "--handler", name, *more]


@contextmanager
def started(folder: Path, line: list[str], more: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Starts a program and waits until it reports on stdout that it is running. At the end of the block, kills it if it is still running."""
    program = subprocess.Popen(
        line,
        cwd=folder,
        env=environment(folder, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
        for pipe in (program.stdout, program.stderr):
            if pipe is not None:
                pipe.close()
        program.wait()


def line_of(program: subprocess.Popen[str]) -> str:
    """Returns the next line of its stdout."""
    assert program.stdout is not None
    poll = select.poll()
    poll.register(program.stdout, select.POLLIN | select.POLLHUP)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        # Not `select.select`, which cannot handle descriptors of 1,024 or more.
        ready = poll.poll(200)
        if ready:
            return program.stdout.readline()
        assert program.poll() is None, f"it ended with {program.returncode}: {rest_of(program)}"
    raise AssertionError("it says nothing")


def rest_of(program: subprocess.Popen[str]) -> str:
    """Waits for the program to end and returns its stderr."""
    _, errors = program.communicate(timeout=PATIENCE)
    return errors
