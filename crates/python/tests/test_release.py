"""The release workflow cannot run here, but these tests read it: it is valid, pinned, and publishes what the documentation promises."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read(path: pathlib.Path) -> dict[str, Any]:
    found = YAML(typ="safe").load(path.read_text())
    assert isinstance(found, dict)
    return found


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_valid(path: pathlib.Path) -> None:
    # The checker includes the schema and needs no network.
    checks = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    checked = subprocess.run(checks, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_third_party_actions_are_pinned_and_have_minimal_permissions(path: pathlib.Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "permissions" in job
    for step in steps(workflow):
        uses = step.get("uses")
        assert uses is None or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses), uses
        if uses is not None and uses.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # Text from outsiders, such as a branch name, must not become part of a script.
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_scripts_are_valid_shell(path: pathlib.Path) -> None:
    for step in steps(read(path)):
        if "run" in step:
            checked = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True)
            assert checked.returncode == 0, checked.stderr


def test_every_command_that_the_release_runs_exists() -> None:
    workflow = ROOT / ".github/workflows/release.yml"
    known = (ROOT / "crates/xtask/src/main.rs").read_text()
    commands = re.findall(r"cargo xtask (\w+)", workflow.read_text())
    assert commands
    for command in commands:
        assert f'["{command}"]' in known, command
    for wanted in ("README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "crates/python/licenses/DuckDB.txt"):
        assert (ROOT / wanted).is_file()
