"""`Lineage`: what a dataset was made from, as data and as a drawing."""

from __future__ import annotations

import time
import xml.etree.ElementTree
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pudato import Client, Settings
from pudato.lineage import Lineage


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = Settings(variables={}, data_dir=tmp_path_factory.mktemp("lineage") / ".pudato", query_isolation="none")
    with Client(settings, serve=True) as client:
        client.put(b"a,b\n1,x\n2,y\n", "lake/raw.csv", job_id="job", step_id="put")
        sources = {"raw": "lake/raw.csv"}
        client.query("FROM raw WHERE a > 1", sources=sources, into="lake/out.parquet", job_id="job", step_id="<filter>")
        for n in range(14):
            client.query("FROM raw", sources=sources, into=f"lake/copy-{n}.csv", job_id="job", step_id=f"copy-{n}")
        end = time.monotonic() + 20
        while len(client.lineage("lake/raw.csv", direction="downstream").steps) < 15 and time.monotonic() < end:
            time.sleep(0.02)
        yield client


def test_the_graph_has_datasets_steps_and_edges_in_the_direction_of_the_data(client: Client) -> None:
    lineage = client.lineage("lake/out.parquet")
    assert [dataset.location.rsplit("/", 1)[1] for dataset in lineage.datasets] == ["out.parquet", "raw.csv"]
    assert [step.step_id for step in lineage.steps] == ["<filter>", "put"]
    assert (lineage.datasets[0].row_count, lineage.datasets[1].row_count) == (1, 2)
    out, raw = (dataset.id for dataset in lineage.datasets)
    filtered, put = (step.id for step in lineage.steps)
    assert {(edge.source, edge.target) for edge in lineage.edges} == {(put, raw), (raw, filtered), (filtered, out)}
    assert lineage.truncated is None and lineage
    assert client.lineage("lake/out.parquet", depth=1).truncated == "depth"


def test_the_tree_is_the_one_the_command_prints_with_hints_for_python(client: Client) -> None:
    text = str(client.lineage("lake/out.parquet"))
    first, second, third, fourth = text.split("\n")
    assert first.startswith("file:///") and first.endswith("out.parquet  1 row")
    assert second.startswith("└─ [<filter>] query execute_sql success 20")
    assert third.startswith("   └─ file:///") and third.endswith("raw.csv  2 rows")
    assert fourth.startswith("      └─ [put] storage put_object success 20")
    downstream = client.lineage("lake/raw.csv", direction="downstream")
    assert "more are not drawn; use full=True to draw them" in str(downstream)
    assert "not drawn" not in downstream.tree(full=True)
    assert "increase depth to see it" in str(client.lineage("lake/out.parquet", depth=1))


def test_the_drawing_is_svg_that_a_parser_accepts_with_names_escaped(client: Client) -> None:
    lineage = client.lineage("lake/out.parquet")
    root = xml.etree.ElementTree.fromstring(lineage._repr_svg_())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<filter>" in texts
    assert "<filter>" not in lineage._repr_html_() and "<svg" in lineage._repr_html_()
    assert lineage.mermaid().startswith("flowchart LR\n")


def test_as_of_leaves_out_later_results(client: Client) -> None:
    def steps(as_of: datetime | str) -> int:
        return len(client.lineage("lake/out.parquet", as_of=as_of).steps)

    now = datetime.now(UTC)
    assert steps(now) == 2
    assert steps(now - timedelta(days=1)) == 0
    assert steps("2020-01-01T00:00:00Z") == 0
    with pytest.raises(ValueError, match="as_of: expected a time with a time zone"):
        steps(datetime(2026, 1, 1))


def test_the_lineage_of_an_unknown_dataset_is_false_and_errors_name_the_wrong_argument(client: Client) -> None:
    nothing = client.lineage("lake/none.csv")
    assert isinstance(nothing, Lineage) and not nothing
    wrongs: list[dict[str, Any]] = [{"direction": "sideways"}, {"runs": "some"}, {"depth": 0}, {"max_nodes": 10_001}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            client.lineage("lake/out.parquet", **wrong)
