"""A client that publishes commands, waits for Results, and reads data, files, lineage and jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from pudato._operations import Data, Direction, Operations, Place, new_command
from pudato._run import run
from pudato.config import Settings
from pudato.outcomes import CommandFailed, PipelineFailed, PipelineRun, StepRun, StoredObject, Waits
from pudato.protocol import Command, Result
from pudato.serving import serve as _serve

if TYPE_CHECKING:
    from pudato.answers import Answer
    from pudato.jobs import Job, Jobs, Trace
    from pudato.lineage import Lineage
    from pudato.progress import Progress

__all__ = ["Client", "CommandFailed", "PipelineFailed", "PipelineRun", "StepRun", "StoredObject", "Waits"]


class Client:
    """A client of one installation: the data folder on this machine, or SNS and SQS.

    You can share a client between threads. Ctrl-C interrupts every wait.

    Args:
        settings: The settings; by default from the environment.
        serve: Whether to run all handlers and the results consumer in this process until the client is closed, so that no `pudato up` is
            needed: `Client(serve=True).query("SELECT 42")`.

    Raises:
        ConfigurationError: A setting cannot be used.
        UnavailableError: The fabric or a store cannot be reached.
    """

    def __init__(self, settings: Settings | None = None, *, serve: bool = False) -> None:
        self.settings = settings if settings is not None else Settings()
        self._operations = Operations(self.settings)
        self._serving = _serve(self.settings) if serve else None

    def close(self) -> None:
        """Stops serving, if the client serves. You can still use the client."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def publish(self, command: Command) -> str:
        """Publishes a command and returns the id of its message without waiting for the Result.

        Raises:
            RefusedError: The fabric rejected it, or no worker would receive it.
            UnavailableError: The fabric cannot be reached.
        """
        return run(self._operations.publish(command))

    def publish_many(self, commands: Iterable[Command]) -> list[str]:
        """Publishes commands in as few calls as the fabric allows. Commands for the same service keep their order.

        Returns:
            The ids of their messages.

        Raises:
            RefusedError, UnavailableError: Some commands were not published; all others were. The error text gives the position of the first few.
        """
        return run(self._operations.publish_many(commands))

    @overload
    def call(
        self,
        command: Command,
        /,
        *,
        timeout: float = 60,
        on_progress: Callable[[Result], None] | None = None,
    ) -> Result: ...

    @overload
    def call(
        self,
        service: str,
        action: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float = 60,
        on_progress: Callable[[Result], None] | None = None,
        correlation_id: str | None = None,
        job_id: str | None = None,
        step_id: str | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Result: ...

    def call(
        self,
        service: str | Command,
        action: str | None = None,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float = 60,
        on_progress: Callable[[Result], None] | None = None,
        **ids: Any,
    ) -> Result:
        """Publishes a command and waits for its final Result.

        Args:
            service: The service, such as `storage`; or a whole Command, without action, payload or ids.
            action: The action (docs/commands.md).
            payload: The arguments of the action.
            timeout: How many seconds to wait.
            on_progress: Called in this thread with every `pending` Result that arrives before the final one.
            **ids: `correlation_id`, `job_id`, `step_id`, `idempotency_key`, and further `metadata`. Lineage is recorded only for commands with
                a `step_id`.

        Returns:
            The Result, even if its status is `error`.

        Raises:
            CallTimeout: No final Result arrived in time. The text says where the command is and which program is not running.
            RefusedError: The command was not published.
            UnavailableError: The fabric or the registry cannot be reached.
        """
        command = as_command(service, action, payload, ids)
        return run(self._operations.call(command, timeout, on_progress))

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        sources: Mapping[str, Place] | None = None,
        max_rows: int | None = None,
        into: Place | None = None,
        timeout: float = 60,
        on_progress: Callable[[Result], None] | None = None,
        job_id: str | None = None,
        step_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Runs one SQL statement on the warehouse and on files.

        Args:
            sql: The statement.
            parameters: Values for `?` and `$1`, or by name for `$name`. They are bound, never inserted into the SQL.
            sources: Objects that the SQL reads like tables, by name: `{"strikes": "lake/raw/strikes.csv"}`. To set options, pass a dict
                as described in docs/commands.md.
            max_rows: The maximum number of rows, up to 100,000, which is the default. If you do not set it, a longer answer issues a warning.
            into: The object to write the rows to, such as `"lake/out/a.parquet"`, instead of returning them.
            timeout: How many seconds to wait.
            on_progress: As in `call`.
            job_id, step_id, idempotency_key: As in `call`.

        Raises:
            CommandFailed: The query failed; its errors are in the text.
            CallTimeout, RefusedError, UnavailableError: As in `call`.
        """
        ids = {"job_id": job_id, "step_id": step_id, "idempotency_key": idempotency_key}
        return run(self._operations.query(sql, parameters, sources, max_rows, into, timeout, on_progress, ids))

    def put(
        self,
        data: Data,
        place: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        timeout: float = 60,
        job_id: str | None = None,
        step_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> StoredObject:
        """Stores a file or bytes as an object.

        Args:
            data: The path of a regular file, or bytes. A `str` is a path.
            place: `container/path`.
            content_type: The media type, such as `text/csv`.
            metadata: Strings to store with the object.
            overwrite: Whether to replace an existing object.
            timeout: How many seconds to wait.
            job_id, step_id, idempotency_key: As in `call`.

        Raises:
            RefusedError: The data is too large for a message (PUDATO_CLAIM_BYTES_MAX).
            OSError: The file cannot be read.
            CommandFailed: The object could not be stored.
            CallTimeout, UnavailableError: As in `call`.
        """
        ids = {"job_id": job_id, "step_id": step_id, "idempotency_key": idempotency_key}
        return run(self._operations.put(data, place, content_type, metadata, overwrite, timeout, ids))

    @overload
    def get(self, place: str, to: None = None, *, timeout: float = 60) -> bytes: ...

    @overload
    def get(self, place: str, to: str | os.PathLike[str], *, timeout: float = 60) -> Path: ...

    def get(self, place: str, to: str | os.PathLike[str] | None = None, *, timeout: float = 60) -> bytes | Path:
        """Gets an object.

        Args:
            place: `container/path`.
            to: A file to write. It appears only when it is complete.
            timeout: How many seconds to wait.

        Returns:
            The bytes, or the path of the file.

        Raises:
            RefusedError: The object is too large for a message (PUDATO_CLAIM_BYTES_MAX).
            CommandFailed: There is no such object, or it cannot be read.
            CallTimeout, UnavailableError: As in `call`.
        """
        return run(self._operations.get(place, to, timeout))

    def lineage(
        self,
        dataset: str,
        *,
        direction: Direction = "upstream",
        depth: int = 10,
        max_nodes: int = 500,
        as_of: datetime | str | None = None,
        environment: str | None = None,
        runs: Literal["latest", "all"] = "latest",
    ) -> Lineage:
        """What a dataset was made from, or what was made from it.

        Args:
            dataset: Its full location, or the end of it: `lake/raw/a.csv`, `warehouse.main.visits`.
            direction: `upstream` or `downstream`.
            depth: How many steps to follow, 1 to 100.
            max_nodes: The maximum number of datasets and steps, 1 to 10,000.
            as_of: Only Results up to this time: a `datetime` with a time zone, or RFC 3339.
            environment: Only jobs in this environment.
            runs: `latest` follows only the runs that produced the data that each step read; `all` follows every run.

        Returns:
            The graph. `bool(graph)` is False if pudato knows nothing about the dataset.

        Raises:
            RefusedError: The name matches several datasets.
            UnavailableError: The registry cannot be reached.
        """
        return run(self._operations.lineage(dataset, direction, depth, max_nodes, as_of, environment, runs))

    def trace(self, correlation_id: str) -> Trace:
        """Everything known about a correlation id: its Results, its Events, and where its messages are.

        Raises:
            UnavailableError: The registry or the fabric cannot be reached.
        """
        return run(self._operations.trace(correlation_id))

    def jobs(
        self,
        *,
        pipeline: str | None = None,
        environment: str | None = None,
        status: Literal["pending", "running", "success", "failed", "cancelled"] | None = None,
        limit: int = 20,
    ) -> Jobs:
        """Lists jobs, the newest first, without their steps.

        Args:
            pipeline: Only jobs of this pipeline.
            environment: Only jobs in this environment.
            status: Only jobs with this status.
            limit: The maximum number of jobs, 1 to 1,000.
        """
        return run(self._operations.jobs(pipeline, environment, status, limit))

    def job(self, job_id: str) -> Job:
        """A job with its steps.

        Raises:
            KeyError: There is no such job.
        """
        return run(self._operations.job(job_id))

    def run(
        self,
        file: str | os.PathLike[str],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        resume: str | None = None,
        from_step: str | None = None,
        allow_files_outside: bool = False,
        check: bool = True,
    ) -> PipelineRun:
        """Runs a pipeline as a job. A step starts when the steps that it needs have succeeded (docs/pipelines.md).

        Args:
            file: The pipeline file.
            on_progress: Called in this thread for every change; `pudato.progress.bar()` shows a bar.
            resume: The id of a job to continue; steps that succeeded are not repeated.
            from_step: Run only this step and the steps that need it.
            allow_files_outside: Whether the pipeline may read files outside its own folder.
            check: Whether to raise `PipelineFailed` if a step did not succeed.

        Raises:
            PipelineFailed: A step did not succeed. `error.run` has the outcome of every step.
            RefusedError: The file has errors, and the text lists each with its line; or the job cannot be created or found.
            UnavailableError: The fabric or the registry cannot be reached.
        """
        return run(self._operations.run(file, on_progress, resume, from_step, allow_files_outside, check))


def as_command(
    service: str | Command, action: str | None, payload: Mapping[str, Any] | None, ids: Mapping[str, Any]
) -> Command:
    """Returns the command that `call` publishes."""
    if isinstance(service, Command):
        if action is not None or payload is not None or ids:
            raise TypeError("call: a Command has its own action, payload and ids; pass either a Command or a service with these arguments")
        return service
    if action is None:
        raise TypeError("call: the action is missing: call(service, action, payload)")
    return new_command(service, action, payload, **ids)
