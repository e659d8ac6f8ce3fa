"""The example notebook runs from its first cell to its last."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import pudato

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_example_notebook_runs_and_shows_its_data_its_job_and_its_lineage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLES / "notebook.ipynb", tmp_path)
    shutil.copytree(EXAMPLES / "birdstrikes", tmp_path / "birdstrikes")
    # DuckDB runs in the kernel.
    monkeypatch.setenv("PUDATO_QUERY_ISOLATION", "none")
    monkeypatch.setenv("PYTHONPATH", str(Path(pudato.__file__).parents[1]))
    notebook: Any = nbformat.read(tmp_path / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    began = time.monotonic()
    client.execute()
    took = time.monotonic() - began
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [output.data for output in outputs if "data" in output]
    assert any("<table>" in data.get("text/html", "") for data in shown)
    assert any("<svg" in data.get("image/svg+xml", "") for data in shown)
    assert any("stage_strikes" in data.get("text/html", "") for data in shown)
    assert (tmp_path / ".pudato").is_dir()
    assert took < 100, f"{took:.1f} s"
