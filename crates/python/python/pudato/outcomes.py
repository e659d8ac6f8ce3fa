"""The outcomes of calls: stored objects, pipeline runs, failed commands."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from pudato.protocol import Result
from pudato.protocol.errors import PudatoError

__all__ = ["CommandFailed", "NotRecorded", "PipelineFailed", "PipelineRun", "StepRun", "StoredObject", "Waits"]


class Waits(UserWarning):
    """A call is waiting, and no program is running that would answer it."""


class NotRecorded(UserWarning):
    """The registry did not apply a Result to the step that its Command names, because the step belongs to another command."""


class CommandFailed(PudatoError):
    """A command was answered with an error.

    Attributes:
        result: The Result with the error.
        errors: The error texts in it.
    """

    def __init__(self, what: str, result: Result) -> None:
        super().__init__(f"{what}: " + "; ".join(result.errors))
        self.result = result
        self.errors = result.errors
        self._what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._what, self.result)


@dataclass(frozen=True)
class StoredObject:
    """An object that `put` has stored. `size` is in bytes; `location` is `file:///…` or `s3://…`."""

    container: str
    path: str
    size: int
    etag: str | None
    location: str


@dataclass(frozen=True)
class StepRun:
    """How a step of a pipeline ended. `status` is `success before`, `success`, `failed`, `skipped` or `timed out`."""

    name: str
    step_id: str
    status: str
    result: Result | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        """Whether the step succeeded, in this run or in an earlier run of the job."""
        return self.status in ("success", "success before")


@dataclass(frozen=True)
class PipelineRun:
    """How a pipeline ended. `steps` has the selected steps, in the order of the file."""

    job_id: str
    pipeline: str
    environment: str
    steps: list[StepRun]

    @property
    def succeeded(self) -> bool:
        """Whether all steps succeeded."""
        return all(step.succeeded for step in self.steps)

    def __getitem__(self, name: str) -> StepRun:
        """Returns the step with this name."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def _repr_html_(self) -> str:
        from pudato.jobs import _status, _table

        rows = (
            [
                escape(step.name),
                _status(step.status),
                "" if step.result is None else f"{step.result.duration_ms:,} ms",
                escape(step.error or ""),
            ]
            for step in self.steps
        )
        head = f"<p><b>{escape(self.job_id)}</b> {escape(self.pipeline)} {escape(self.environment)}</p>"
        return head + _table(["step", "status", "took", "error"], rows)


class PipelineFailed(PudatoError):
    """A pipeline ended, and at least one step did not succeed.

    Attributes:
        run: The outcome of every step.
    """

    def __init__(self, run: PipelineRun, file: str) -> None:
        wrong = [step for step in run.steps if not step.succeeded]
        lines = "".join(f"\n  {step.name}: {step.status}: {step.error or ''}" for step in wrong)
        super().__init__(
            f"{run.job_id}: {len(wrong)} of {len(run.steps)} steps did not succeed; "
            f"continue with run({file!r}, resume={run.job_id!r}){lines}"
        )
        self.run = run
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run, self._file)
