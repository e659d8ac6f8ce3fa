"""Lineage: what a dataset was made from, or what was made from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import cached_property
from typing import Any, Literal

from pudato import _core

__all__ = ["Dataset", "Edge", "Lineage", "Step"]


@dataclass(frozen=True)
class Dataset:
    """A file or a table.

    Attributes:
        id: Unique within the graph.
        location: The full location.
        namespace: The system that stores it.
        name: Its name there.
        last_run: The last step that wrote it.
        row_count: The number of rows, if a step reported it.
        rows_changed: The number of rows that its last writer inserted, updated or deleted.
    """

    id: str
    location: str
    namespace: str
    name: str
    last_run: str | None
    row_count: int | None
    rows_changed: int | None


@dataclass(frozen=True)
class Step:
    """A step that read or wrote datasets.

    Attributes:
        id: Unique within the graph.
        step_id: The id in the registry.
        job_id: Its job.
        step_name: Its name in the pipeline.
        pipeline: The pipeline of the job.
        handler: The service.
        action: The action.
        status: `success`, `failed`, ...
        completed_at: When it ended, in RFC 3339.
    """

    id: str
    step_id: str
    job_id: str | None
    step_name: str | None
    pipeline: str | None
    handler: str | None
    action: str | None
    status: str
    completed_at: str | None


@dataclass(frozen=True)
class Edge:
    """A flow of data from a dataset to a step that read it, or from a step to a dataset that it wrote.

    Attributes:
        source: The id of the node that the data came from.
        target: The id of the node that the data went to.
        step: The step that read or wrote the dataset.
        row_count: The number of rows in the dataset, as last reported by the step.
        rows_changed: The number of rows that the step last inserted, updated or deleted.
        last_run: The time of the latest Result that reports this edge, in RFC 3339.
        count: The number of Results that report this edge.
    """

    source: str
    target: str
    step: str
    row_count: int | None
    rows_changed: int | None
    last_run: str
    count: int


_OF_EDGE = ("step", "row_count", "rows_changed", "last_run", "count")


class Lineage:
    """A graph of datasets and steps. A notebook shows it as a drawing; `str` returns the tree that `pudato lineage` prints."""

    def __init__(self, core: _core.Graph, direction: Literal["upstream", "downstream"]) -> None:
        self._core = core
        self.direction = direction

    @cached_property
    def _json(self) -> dict[str, Any]:
        graph: dict[str, Any] = json.loads(self._core.json())
        return graph

    @property
    def location(self) -> str:
        """The full location of the dataset that you asked for."""
        return str(self._json["location"])

    @cached_property
    def nodes(self) -> list[Dataset | Step]:
        """The datasets and steps, starting with the dataset that you asked for."""
        return [_node(node) for node in self._json["nodes"]]

    @property
    def datasets(self) -> list[Dataset]:
        """The datasets among the nodes."""
        return [node for node in self.nodes if isinstance(node, Dataset)]

    @property
    def steps(self) -> list[Step]:
        """The steps among the nodes."""
        return [node for node in self.nodes if isinstance(node, Step)]

    @cached_property
    def edges(self) -> list[Edge]:
        """The edges, in the direction of the data flow."""
        return [
            Edge(source=edge["from"], target=edge["to"], **{name: edge[name] for name in _OF_EDGE})
            for edge in self._json["edges"]
        ]

    @property
    def truncated(self) -> str | None:
        """The limit that cut the graph off, `depth` or `max_nodes`; None if it is complete."""
        why = self._json["truncated"]
        return why if isinstance(why, str) else None

    def __bool__(self) -> bool:
        """Whether any step is known to have read or written the dataset."""
        return bool(self.edges) or any(node.id != "dataset:0" for node in self.nodes)

    def tree(self, *, full: bool = False) -> str:
        """Returns the graph as a text tree. A node with many neighbours shows only some of them unless `full` is set."""
        return self._core.tree(full)

    def svg(self, *, full: bool = False) -> str:
        """Returns the graph as SVG."""
        return self._core.svg(full)

    def mermaid(self, *, full: bool = False) -> str:
        """Returns the graph as a Mermaid diagram for a Markdown page."""
        return self._core.mermaid(full)

    def __str__(self) -> str:
        if not self:
            return f"nothing is known about {self.location}"
        return self.tree().rstrip("\n")

    def __repr__(self) -> str:
        return f"<Lineage {self.direction} of {self.location}: {len(self.datasets)} datasets, {len(self.steps)} steps>"

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return f'<div style="overflow: auto">{self.svg()}</div>'


def _node(node: dict[str, Any]) -> Dataset | Step:
    kind: type[Dataset] | type[Step] = Dataset if node["kind"] == "dataset" else Step
    fields: dict[str, Any] = {field.name: node.get(field.name) for field in fields_of(kind)}
    return kind(**fields)
