"""Runs the command of the package as a user does: in a separate process, on a separate folder."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pudato

# The longest wait. It is generous for slow machines; a passing test never waits this long.
PATIENCE = 600.0

Process = subprocess.Popen[str]


def environment(folder: pathlib.Path, **more: str) -> dict[str, str]:
    """The environment of a process with its data in `folder`, without the caller's settings."""
    own = ("PUDATO_", "AWS_", "DBT_", "OPENLINEAGE_", "DUCKDB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    # Import the same package as this process, from any folder.
    package = os.path.dirname(os.path.dirname(os.path.abspath(pudato.__file__)))
    own_settings = {"PUDATO_DATA_DIR": str(folder / "data"), "PUDATO_VISIBILITY_SECONDS": "2"}
    return {**kept, "PYTHONPATH": package, **own_settings, **more}


def arguments(*args: str | bytes) -> list[str | bytes]:
    """The command with these arguments."""
    return [sys.executable, "-m", "pudato", *args]


def start(folder: pathlib.Path, *args: str | bytes, **more: str) -> Process:
    """Starts the command in `folder`."""
    return subprocess.Popen(
        arguments(*args),
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: pathlib.Path, *args: str | bytes, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in `folder` and waits for it to end."""
    with start(folder, *args, **more) as process:
        out, error = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def until(what: str, holds: Callable[[], bool]) -> None:
    """Waits until `holds()`."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


@contextmanager
def serving(folder: pathlib.Path, **more: str) -> Iterator[Process]:
    """Runs `pudato up`. At the end of the block, kills it if it is still running."""
    process = start(folder, "up", **more)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("pudato runs"), line
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: Process, by: signal.Signals) -> tuple[int, str]:
    """Sends a signal. Returns the exit code and stderr."""
    process.send_signal(by)
    _, error = process.communicate(timeout=PATIENCE)
    return process.returncode, error


def children(pid: int) -> list[int]:
    """Returns the child processes of `pid`."""
    found: list[int] = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found.extend(int(child) for child in (task / "children").read_text().split())
    return found


def is_running(pid: int) -> bool:
    """Whether the process is still running."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
