"""The reference page matches the docstrings, and no docstring is missing."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_the_reference_matches_the_docstrings() -> None:
    checks = [sys.executable, str(ROOT / "docs/reference.py"), "--check"]
    checked = subprocess.run(checks, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_every_class_and_function_in_the_reference_is_described() -> None:
    silent = []
    page = (ROOT / "docs/python-reference.md").read_text()
    for entry in page.split("\n### ")[1:]:
        title, _, rest = entry.partition("\n")
        described = rest.partition("```python")[2].partition("```")[2].strip()
        if not described or described.startswith(("#", "```")):
            silent.append(title)
    assert silent == [], "add a docstring to each of these"
