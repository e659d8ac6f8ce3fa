"""The package's `pudato` command behaves like the Rust program."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from command import PATIENCE, arguments, children, ended, environment, is_running, run, serving, start, until

import pudato


def test_help_and_version_succeed_and_unknown_arguments_are_usage_errors(tmp_path: pathlib.Path) -> None:
    asked = run(tmp_path, "--version")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, f"pudato {pudato.__version__}\n", "")
    asked = run(tmp_path, "--help")
    assert asked.returncode == 0
    assert "Usage: pudato" in asked.stdout
    asked = run(tmp_path, "nonsense")
    assert asked.returncode == 2
    assert "Usage: pudato" in asked.stderr


def test_each_kind_of_failure_has_its_exit_code(tmp_path: pathlib.Path) -> None:
    nothing = run(tmp_path, "lineage", "lake/nothing.csv")
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("pudato: nothing is known")
    wrong = run(tmp_path, "status", PUDATO_VISIBILITY_SECONDS="soon")
    assert wrong.returncode == 3
    assert "PUDATO_VISIBILITY_SECONDS" in wrong.stderr
    late = run(tmp_path, "call", "storage", "list_objects", "container=lake", "--timeout", "1")
    assert late.returncode == 5
    for failed in (nothing, wrong, late):
        assert "Traceback" not in failed.stderr


def test_an_argument_that_is_not_valid_text_is_reported_as_an_error(tmp_path: pathlib.Path) -> None:
    asked = run(tmp_path, "run", b"\xff.yaml")
    assert asked.returncode == 2
    assert asked.stderr.startswith("pudato: ")
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_pudato_up_and_leaves_no_process_behind(tmp_path: pathlib.Path, by: signal.Signals) -> None:
    with serving(tmp_path) as up:
        assert run(tmp_path, "call", "query", "execute_sql", "sql=SELECT 1").returncode == 0
        engines = children(up.pid)
        assert engines
        code, error = ended(up, by)
    assert code == 0, error
    assert "pudato: stopping" in error
    assert "Traceback" not in error and "KeyboardInterrupt" not in error
    until("the engine ends", lambda: not any(is_running(engine) for engine in engines))


def test_ctrl_c_ends_a_waiting_command(tmp_path: pathlib.Path) -> None:
    with start(tmp_path, "call", "storage", "list_objects", "container=lake") as call:
        assert call.stderr is not None
        # It has published the Command and warns that no program would answer.
        line = call.stderr.readline()
        assert "waiting" in line, line
        code, error = ended(call, signal.SIGINT)
    assert code == 130
    assert "Traceback" not in error


@pytest.mark.parametrize("args", [("--help",), ("config",)])
def test_a_closed_output_pipe_is_not_an_error(tmp_path: pathlib.Path, args: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as closed:
        asked = subprocess.run(
            arguments(*args),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert (asked.returncode, asked.stderr) == (0, "")


def test_the_command_imports_only_what_it_needs(tmp_path: pathlib.Path) -> None:
    asks = """
import sys
sys.argv = ["pudato", "config"]
from pudato._cli import main
assert main() == 0
print(sorted({"pydantic", "pydantic_core", "boto3", "asyncio", "json"} & set(sys.modules)))
"""
    asked = subprocess.run(
        [sys.executable, "-c", asks],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines()[-1] == "[]"


def test_the_demo_answers_and_shows_the_lineage(tmp_path: pathlib.Path) -> None:
    # As in an environment with only the package installed.
    shown = run(tmp_path, "demo", PATH="/usr/bin:/bin")
    assert shown.returncode == 0, shown.stderr
    texas = next(line for line in shown.stdout.splitlines() if line.startswith("Texas"))
    assert texas.split() == ["Texas", "1494", "97", "7798739", "1990", "2002"]
    assert "raw/birdstrikes.csv  10,000 rows" in shown.stdout
    assert "Not using dbt" in shown.stdout
    again = run(tmp_path, "demo")
    assert again.returncode == 2
    assert "exists already" in again.stderr
