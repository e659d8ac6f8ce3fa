"""The operations of both clients, written once as generators that `pudato._run` drives."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pudato import _core
from pudato._claim import ClaimBody
from pudato._fabric import installation
from pudato._registry import with_registry
from pudato._run import Steps, Told, Waiting
from pudato.config import Settings
from pudato.outcomes import CommandFailed, NotRecorded, PipelineFailed, PipelineRun, StepRun, StoredObject, Waits
from pudato.protocol import Command, Result
from pudato.protocol.errors import RefusedError, UnavailableError

if TYPE_CHECKING:
    from pudato.answers import Answer
    from pudato.jobs import Job, Jobs, Trace
    from pudato.lineage import Lineage
    from pudato.progress import Progress

__all__ = ["Data", "Direction", "Operations", "Place", "new_command"]

Place: TypeAlias = str | Mapping[str, Any]
Data: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
Direction: TypeAlias = Literal["upstream", "downstream"]
MAX_ROWS = 100_000


class Operations:
    """Opens the installation of the settings and runs operations on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._core = installation(settings)

    @property
    def _full(self) -> _core.Installation:
        return with_registry(self._settings)

    def publish(self, command: Command) -> Steps[str]:
        sent = yield Waiting(self._core.publish_commands([_text(command)]))
        [(message_id, why, is_refused)] = sent
        if message_id is None:
            raise (RefusedError if is_refused else UnavailableError)(why)
        return str(message_id)

    def publish_many(self, commands: Iterable[Command]) -> Steps[list[str]]:
        texts = [_text(command) for command in commands]
        sent: list[tuple[str | None, str | None, bool]] = yield Waiting(self._core.publish_commands(texts))
        wrong = [(n, why) for n, (message_id, why, _) in enumerate(sent) if message_id is None]
        if wrong:
            first = "; ".join(f"[{n}] {why}" for n, why in wrong[:3])
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            is_refused = any(refused for _, _, refused in sent)
            raise (RefusedError if is_refused else UnavailableError)(
                f"{len(wrong)} of {len(texts)} commands were not published; all others were: {first}{more}"
            )
        return [message_id for message_id, _, _ in sent if message_id is not None]

    def call(
        self,
        command: Command,
        timeout: float,
        on_progress: Callable[[Result], None] | None = None,
    ) -> Steps[Result]:
        text = yield Waiting(self._core.call(_text(command), _ms(timeout)), _told(on_progress))
        return Result.model_validate_json(ClaimBody(text))

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None,
        sources: Mapping[str, Place] | None,
        max_rows: int | None,
        into: Place | None,
        timeout: float,
        on_progress: Callable[[Result], None] | None,
        ids: Mapping[str, Any],
    ) -> Steps[Answer]:
        from pudato.answers import Answer

        payload: dict[str, Any] = {"sql": sql}
        if isinstance(parameters, (str, bytes, bytearray)):
            raise TypeError(f"parameters: expected a list or a mapping, found {parameters!r}; put a single value in a list")
        if parameters is not None:
            payload["parameters"] = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
        if sources is not None and not isinstance(sources, Mapping):
            raise TypeError(f"sources: expected a mapping of names to container/path, such as {{'permits': 'lake/raw/permits.csv'}}, found {sources!r}")
        if sources:
            payload["sources"] = {name: _place(place, f"sources[{name!r}]") for name, place in sources.items()}
        if into is not None:
            payload["into"] = _place(into, "into")
        else:
            payload["max_rows"] = MAX_ROWS if max_rows is None else max_rows
        command = new_command("query", "execute_sql", payload, **ids)
        made = yield Waiting(self._core.query(_text(command), _ms(timeout)), _told(on_progress))
        if isinstance(made, str):
            raise CommandFailed("query", Result.model_validate_json(ClaimBody(made)))
        answer = Answer(made)
        if answer.truncated and max_rows is None:
            text = f"the answer has only the first {answer.row_count:,} rows; set max_rows, or write all rows to an object with into="
            warnings.warn(text, stacklevel=4)
        return answer

    def put(
        self,
        data: Data,
        place: str,
        content_type: str | None,
        metadata: Mapping[str, str] | None,
        overwrite: bool,
        timeout: float,
        ids: Mapping[str, Any],
    ) -> Steps[StoredObject]:
        payload = _place(place, "place")
        if content_type is not None:
            payload["content_type"] = content_type
        if metadata:
            payload["metadata"] = dict(metadata)
        if not overwrite:
            payload["if_none_match"] = "*"
        command = new_command("storage", "put_object", payload, **ids)
        if not isinstance(data, (str, os.PathLike, bytes, bytearray, memoryview)):
            raise TypeError(f"data: expected the path of a file, or bytes, found {type(data).__name__}")
        source = os.fspath(data) if isinstance(data, (str, os.PathLike)) else bytes(data)
        text = yield Waiting(self._core.put(_text(command), source, _ms(timeout)), _told(None))
        result = Result.model_validate_json(ClaimBody(text))
        if result.status != "success" or result.data is None:
            raise CommandFailed(f"put {place}", result)
        made = result.data
        return StoredObject(payload["container"], payload["path"], made["size"], made["etag"], made["location"])

    def get(self, place: str, to: str | os.PathLike[str] | None, timeout: float) -> Steps[bytes | Path]:
        payload = _place(place, "place")
        command = new_command("storage", "get_object", payload)
        content, text = yield Waiting(self._core.get(_text(command), _ms(timeout)), _told(None))
        if content is None:
            failed = CommandFailed(f"get {place}", Result.model_validate_json(ClaimBody(text)))
            yield from self._explain(place, payload, timeout, failed)
            raise failed
        if to is None:
            return bytes(content)
        path = Path(to)
        part = path.with_name(f".{path.name}.part-{os.getpid()}-{threading.get_ident()}")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _explain(self, place: str, payload: dict[str, Any], timeout: float, failed: CommandFailed) -> Steps[None]:
        """Raises a more helpful error if the object is too large for a message."""
        head = yield from self.call(new_command("storage", "head_object", payload), timeout)
        size = (head.data or {}).get("size") if head.status == "success" else None
        most = self._core.message_bytes_max()
        # Binary data travels as base64, which is larger.
        if isinstance(size, int) and size * 4 // 3 > most - 4_096:
            raise RefusedError(
                f"get {place}: {size:,} bytes, but a message can carry at most {most:,}: raise PUDATO_CLAIM_BYTES_MAX here and for the "
                "workers, or read the object at its location yourself"
            ) from failed

    def lineage(
        self,
        dataset: str,
        direction: Direction,
        depth: int,
        max_nodes: int,
        as_of: Any,
        environment: str | None,
        runs: Literal["latest", "all"],
    ) -> Steps[Lineage]:
        from pudato.lineage import Lineage

        _one_of("direction", direction, ("upstream", "downstream"))
        _one_of("runs", runs, ("latest", "all"))
        _within("depth", depth, 1, 100)
        _within("max_nodes", max_nodes, 1, 10_000)
        task = self._full.lineage(
            dataset,
            downstream=direction == "downstream",
            depth=depth,
            max_nodes=max_nodes,
            as_of=_instant(as_of),
            environment=environment,
            all_runs=runs == "all",
        )
        return Lineage((yield Waiting(task)), direction)

    def trace(self, correlation_id: str) -> Steps[Trace]:
        from pudato.jobs import Trace

        found = json.loads((yield Waiting(self._full.trace(correlation_id))))
        found["in_hand"] = [held["state"] for held in found["in_hand"]]
        return Trace.model_validate(found)

    def jobs(self, pipeline: str | None, environment: str | None, status: str | None, limit: int) -> Steps[Jobs]:
        from pudato.jobs import Job, Jobs

        _within("limit", limit, 1, 1_000)
        task = self._full.jobs(pipeline=pipeline, environment=environment, status=status, limit=limit)
        return Jobs(Job.model_validate(job) for job in json.loads((yield Waiting(task))))

    def job(self, job_id: str) -> Steps[Job]:
        from pudato.jobs import Job

        text = yield Waiting(self._full.job(job_id))
        if text is None:
            raise KeyError(f"there is no job {job_id!r}; jobs() lists the latest jobs")
        found = json.loads(text)
        return Job.model_validate({**found["job"], "steps": found["steps"]})

    def run(
        self,
        file: str | os.PathLike[str],
        on_progress: Callable[[Progress], None] | None,
        resume: str | None,
        from_step: str | None,
        allow_files_outside: bool,
        check: bool,
    ) -> Steps[PipelineRun]:
        from pudato.progress import Progress

        def told(kind: str, text: str) -> None:
            if kind == "waiting":
                _warn(text)
            elif on_progress is not None:
                on_progress(Progress._of(json.loads(text)))

        path = os.fspath(file)
        task = self._full.run(path, resume=resume, from_step=from_step, allow_files_outside=allow_files_outside)
        found = json.loads((yield Waiting(task, told)))
        steps = [
            StepRun(
                step["name"],
                step["step_id"],
                step["status"],
                None if step["result"] is None else Result.model_validate(step["result"]),
                step["error"],
            )
            for step in found.pop("steps")
        ]
        run = PipelineRun(**found, steps=steps)
        if check and not run.succeeded:
            raise PipelineFailed(run, path)
        return run


_IDS = ("correlation_id", "job_id", "step_id", "idempotency_key", "metadata")


def new_command(
    service: str,
    action: str,
    payload: Mapping[str, Any] | None = None,
    *,
    correlation_id: str | None = None,
    job_id: str | None = None,
    step_id: str | None = None,
    idempotency_key: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Command:
    """Makes a Command from the arguments of a call."""
    for name in unknown:
        near = get_close_matches(name, _IDS, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise TypeError(f"{name}: no such argument; {meant}expected some of {', '.join(_IDS)}")
    own = dict(metadata or {})
    if idempotency_key is not None:
        own["idempotency_key"] = idempotency_key
    given = {} if correlation_id is None else {"correlation_id": correlation_id}
    return Command(
        type=service, action=action, payload=dict(payload or {}), job_id=job_id, step_id=step_id, metadata=own, **given
    )


def _text(command: Command) -> bytes:
    return command.model_dump_json().encode()


def _ms(timeout: float) -> int:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout: expected a number of seconds, found {timeout!r}")
    if not 0 <= timeout <= 14 * 86_400:
        raise ValueError(f"timeout: expected seconds from 0 to {14 * 86_400}, found {timeout!r}")
    return round(timeout * 1_000)


def _place(place: Place, name: str) -> dict[str, Any]:
    if isinstance(place, Mapping):
        return dict(place)
    container, slash, path = place.partition("/")
    if not (container and slash and path):
        raise ValueError(f"{name}: expected container/path, found {place!r}")
    return {"container": container, "path": path}


def _instant(at: Any) -> str | None:
    from datetime import datetime

    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError("as_of: expected a time with a time zone, such as datetime.now(UTC)")
        return at.isoformat()
    return None if at is None else str(at)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected {' or '.join(known)}, found {value!r}")


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name}: expected a number from {least} to {most:,}, found {value}")


def _told(on_progress: Callable[[Result], None] | None) -> Told:
    def told(kind: str, text: str) -> None:
        if kind == "waiting":
            _warn(text)
        elif kind == "unrecorded":
            warnings.warn(text, NotRecorded, stacklevel=2)
        elif on_progress is not None:
            on_progress(Result.model_validate_json(ClaimBody(text)))

    return told


def _warn(text: str) -> None:
    warnings.warn(f"{text}; waiting", Waits, stacklevel=2)
