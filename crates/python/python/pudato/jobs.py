"""Jobs, their steps, and the trace of a correlation id."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pudato.protocol import DataReference, Event, ExecutionRecord, Result

__all__ = ["Job", "JobStep", "Jobs", "Message", "Trace"]


class JobStep(BaseModel):
    """A step of a job, which is one command. Times are in RFC 3339."""

    model_config = ConfigDict(defer_build=True)
    step_id: str
    job_id: str | None = None
    step_name: str | None = None
    handler_type: str | None = None
    action: str | None = None
    correlation_id: str | None = None
    status: str
    inputs: list[DataReference] = Field(default_factory=list)
    outputs: list[DataReference] = Field(default_factory=list)
    executions: list[ExecutionRecord] = Field(default_factory=list)
    error: str | None = None
    duration_ms: int | None = None
    started_at: str | None = None
    completed_at: str | None = None
    metadata: Any = None


class Job(BaseModel):
    """A job. `Client.job` fills in `steps`; in a list of jobs it is empty. Times are in RFC 3339."""

    model_config = ConfigDict(defer_build=True)
    job_id: str
    pipeline: str | None = None
    environment: str | None = None
    namespace: str | None = None
    logic_version: str | None = None
    status: str
    expected_steps: int | None = None
    undeclared_steps: int = 0
    request: Any = None
    parameters: Any = None
    dag_run_id: str | None = None
    error: str | None = None
    created_at: str
    completed_at: str | None = None
    metadata: Any = None
    steps: list[JobStep] = Field(default_factory=list)

    def _repr_html_(self) -> str:
        error = f"<br>{escape(self.error)}" if self.error else ""
        head = (
            f"<p><b>{escape(self.job_id)}</b> {escape(self.pipeline or '')} {escape(self.environment or '')} "
            f"{_status(self.status)}, created {escape(_time(self.created_at))} UTC{error}</p>"
        )
        rows = (
            [
                escape(step.step_name or step.step_id),
                escape(f"{step.handler_type or ''} {step.action or ''}"),
                _status(step.status),
                "" if step.duration_ms is None else f"{step.duration_ms:,} ms",
                str(len(step.inputs)),
                str(len(step.outputs)),
                escape(step.error or ""),
            ]
            for step in self.steps
        )
        return head + (_table(["step", "action", "status", "took", "read", "wrote", "error"], rows) if self.steps else "")


class Jobs(list[Job]):
    """A list of jobs, the newest first. A notebook shows it as a table."""

    def _repr_html_(self) -> str:
        rows = (
            [
                escape(job.job_id),
                escape(job.pipeline or ""),
                escape(job.environment or ""),
                _status(job.status),
                escape(_time(job.created_at)),
            ]
            for job in self
        )
        return _table(["job", "pipeline", "environment", "status", "created (UTC)"], rows)


class Message(BaseModel):
    """A message on a queue. `state` says what it is waiting for."""

    model_config = ConfigDict(defer_build=True)
    queue: str
    message_id: str
    receive_count: int
    sent_at: str
    state: str


class Trace(BaseModel):
    """Everything known about a correlation id.

    `waiting` lists its messages on queues. It is None if the queues cannot be searched, as on SQS. `in_hand` describes which programs on
    this machine are processing it. `applied` says for each Result whether the registry applied it to the step that it names.
    """

    model_config = ConfigDict(defer_build=True)
    correlation_id: str
    results: list[Result]
    applied: list[bool]
    events: list[Event]
    waiting: list[Message] | None
    in_hand: list[str]

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self.results or self.events or self.waiting or self.in_hand)

    def _lines(self) -> list[tuple[str, str, str]]:
        lines = []
        for result in self.results:
            for execution in result.executions:
                details = execution.details
                if execution.execution_type == "command":
                    what = f"{details.get('type', '?')} {details.get('action', '?')}, attempt {details.get('attempt', '?')}"
                    lines.append((str(details.get("sent_at", "")), "command", what))
            step = f", step {result.step_id}" if result.step_id else ""
            errors = f": {'; '.join(result.errors)}" if result.errors else ""
            lines.append((result.timestamp, "result", f"{result.status} after {result.duration_ms:,} ms{step}{errors}"))
        lines += [(event.timestamp, "event", event.type) for event in self.events]
        lines += [(message.sent_at, "message", message.state) for message in self.waiting or []]
        lines += [("", "message", text) for text in self.in_hand]
        return sorted(lines, key=lambda line: line[0])

    def __str__(self) -> str:
        lines = [f"{_time(at):19}  {what:7}  {details}" for at, what, details in self._lines()]
        return "\n".join(lines) if lines else f"nothing is known about {self.correlation_id}"

    def _repr_html_(self) -> str:
        rows = ([escape(_time(at)), what, escape(details)] for at, what, details in self._lines())
        return _table(["time (UTC)", "what", "details"], rows)


def _time(at: str) -> str:
    return at[:19].replace("T", " ")


def _status(status: str) -> str:
    colour = {"success": "#15803d", "failed": "#b91c1c"}.get(status, "#475569")
    return f'<span style="color: {colour}">{escape(status)}</span>'


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Builds a table from cells that already contain HTML."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
