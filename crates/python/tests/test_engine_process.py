"""DuckDB runs in a separate Python process, which the kernel restricts."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

import pytest
from command import PATIENCE, Process, children, run, serving, start, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="this system's kernel has no such restrictions")

# Tries everything that the restricted process must not be able to do. It prints a line for each attempt that succeeds.
PROBES = """
import os, socket, sys
_, _, path, version = sys.argv
{load}
code = core.engine_process(version)
def tries(what, act):
    try:
        act()
        print("could", what)
    except OSError:
        pass
tries("read a file", lambda: open({outside!r}).read())
tries("write a file", lambda: open({outside!r}, "w"))
tries("list a folder", lambda: os.listdir("/"))
tries("reach the network", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
tries("start a program", lambda: os.execv("/bin/true", ["true"]))
tries("read its own scratch folder", lambda: open({inside!r}).read())
print("done", code, flush=True)
os._exit(0)
"""


def answer(folder: pathlib.Path, sql: str) -> object:
    asked = run(folder, "call", "query", "execute_sql", f"sql={sql}")
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)["rows"]


def engine(up: Process) -> int:
    """Finds the engine process that the serving program has started."""
    found = children(up.pid)
    assert len(found) == 1, found
    return found[0]


def words(pid: int) -> list[str]:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def used(pid: int) -> int:
    """The CPU time of a process, in ticks."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[11])


def frame(kind: int, content: bytes) -> bytes:
    return struct.pack("<BI", kind, len(content)) + content


def setup(scratch: pathlib.Path) -> bytes:
    """The first message to the engine process."""
    lockdown = {
        "scratch": str(scratch),
        "spill": str(scratch),
        "memory_bytes": 1 << 30,
        "spill_bytes": 1 << 30,
        "threads": 1,
    }
    return frame(1, json.dumps({"place": "Memory", "namespace": "test", "lockdown": lockdown}).encode())


def sandbox(started: list[str], scratch: pathlib.Path) -> dict[str, object]:
    """Reads the restrictions that the engine process reports in its first answer."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen(started, stdin=theirs.fileno(), stderr=subprocess.PIPE, cwd="/", env={}) as process:
        theirs.close()
        ours.sendall(setup(scratch))
        with ours.makefile("rb") as answers:
            kind, length = struct.unpack("<BI", answers.read(5))
            ready = json.loads(answers.read(length))
        ours.shutdown(socket.SHUT_RDWR)
        process.communicate(timeout=PATIENCE)
    assert kind == 2
    found = ready["sandbox"]
    assert isinstance(found, dict)
    return found


@linux
def test_a_query_runs_in_a_separate_process_that_the_kernel_restricts(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path, SECRET_OF_THE_TEST="1") as up:
        assert answer(tmp_path, "SELECT 40 + 2") == [[42]]
        pid = engine(up)
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            status = (task / "status").read_text()
            held = dict(line.split(":", 1) for line in status.splitlines())
            assert held["NoNewPrivs"].strip() == "1"
            assert held["Seccomp"].strip() == "2", "a thread without the filter of system calls"
        assert "pudato-query-engine" in words(pid)
        inherited = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
        assert {one.partition("=")[0] for one in inherited if one} <= {"LD_LIBRARY_PATH", "LC_CTYPE"}


@linux
def test_killing_the_engine_process_fails_only_its_query(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path) as up:
        assert answer(tmp_path, "CREATE TABLE kept AS SELECT 7 AS a") is not None
        endless = "sql=SELECT count(*) FROM range(100000000000) a WHERE hash(range) = 1"
        with start(tmp_path, "call", "query", "execute_sql", endless, "timeout_seconds:=5") as call:

            def is_killed() -> bool:
                busy = [pid for pid in children(up.pid) if used(pid) > 30]
                for pid in busy:
                    os.kill(pid, signal.SIGKILL)
                return bool(busy)

            until("the query runs", is_killed)
            assert answer(tmp_path, "FROM kept") == [[7]], "others are answered by the next process"
            # The query runs again, this time until its deadline.
            out, error = call.communicate(timeout=PATIENCE)
        assert call.returncode == 1, out + error
        assert "deadline of 5 s" in out + error
        assert up.poll() is None, "the program itself lives on"


@linux
def test_the_engine_process_cannot_access_files_network_or_programs(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path) as up:
        assert answer(tmp_path, "SELECT 1") == [[1]]
        started = words(engine(up))
    code = started.index("-c") + 1
    load = "\n".join(line for line in started[code].splitlines() if line.startswith(("from", "loader", "core")))
    outside, scratch = tmp_path / "outside.txt", tmp_path / "scratch"
    scratch.mkdir()
    outside.write_text("secret")
    inside = scratch / "inside.txt"
    inside.write_text("its own")
    held = sandbox(started, scratch)
    started[code] = PROBES.format(load=load, outside=str(outside), inside=str(inside))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(setup(scratch))
        # It cannot report that it is ready, so it returns to Python after it has dropped its privileges.
        ours.shutdown(socket.SHUT_RD)
        probed = subprocess.run(
            started, stdin=theirs.fileno(), capture_output=True, text=True, cwd="/", env={}, timeout=PATIENCE
        )
    lines = probed.stdout.splitlines()
    assert held["calls"] == {"Ok": None}
    if held["files"] == {"Ok": None}:
        assert outside.read_text() == "secret"
    else:
        # The process reports that the kernel has no Landlock.
        files = ("could read a file", "could write a file", "could list a folder")
        lines = [line for line in lines if line not in files]
    assert lines == ["could read its own scratch folder", "done 70"], probed


@linux
def test_a_module_replaced_at_run_time_is_refused_with_advice(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path) as up:
        assert answer(tmp_path, "SELECT 1") == [[1]]
        started = words(engine(up))
    other = [*started[:-1], "0.0.1"]
    refused = subprocess.run(other, capture_output=True, text=True, cwd="/", env={}, timeout=PATIENCE)
    assert refused.returncode == 70
    assert "pudato 0.0.1 runs" in refused.stderr
    assert "restart the program" in refused.stderr
