"""Runs programs of the package as a user does: in a folder of their own, with an environment of their own."""

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
    """The environment of a program: the package, the folder, and nothing of the caller's settings."""
    package = str(Path(pudato.__file__).parent.parent)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": package, "PUDATO_DATA_DIR": str(folder / ".pudato"), **(more or {})}


def runner(name: str, *more: str) -> list[str]:
    """The command line of the local runner."""
    return [sys.executable, "-m", "pudato.runtime.local_runner", "--handler", name, *more]


@contextmanager
def started(folder: Path, line: list[str], more: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Starts a program, and waits until it says on stdout that it runs. It is killed at the end of the block if it has not ended."""
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
    """The next line of its stdout."""
    assert program.stdout is not None
    poll = select.poll()
    poll.register(program.stdout, select.POLLIN | select.POLLHUP)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        # Not `select.select`, which refuses descriptors from 1,024 on.
        ready = poll.poll(200)
        if ready:
            return program.stdout.readline()
        assert program.poll() is None, f"it ended with {program.returncode}: {rest_of(program)}"
    raise AssertionError("it says nothing")


def rest_of(program: subprocess.Popen[str]) -> str:
    """What a program that has ended, or ends soon, wrote on stderr."""
    _, errors = program.communicate(timeout=PATIENCE)
    return errors
