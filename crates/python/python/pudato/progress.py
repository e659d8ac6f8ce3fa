"""The progress of a pipeline, as data or as a bar on a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TextIO

__all__ = ["Bar", "Progress", "bar"]

_WIDTH = 24
_ENDS = {"success before", "success", "failed", "skipped", "timed out"}


@dataclass(frozen=True)
class Progress:
    """A change in the state of a pipeline.

    Attributes:
        job_id: The job.
        pipeline: The name of the pipeline.
        steps: The number of selected steps: all of them, unless `from_step` selects some.
        step: The step, or None for the job as a whole.
        state: `job` (the job has an id), `sent`, `pending` (the step reports progress), or how the step ended: `success before`, `success`,
            `failed`, `skipped`, `timed out`.
        text: The step's progress report, or why it did not succeed.
        data: The data of the step's report, such as `done` and `total`.
        duration_ms: How long the step ran.
    """

    job_id: str | None
    pipeline: str
    steps: int
    step: str | None
    state: str
    text: str = ""
    data: dict[str, Any] | None = None
    duration_ms: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the step has ended."""
        return self.state in _ENDS

    @classmethod
    def _of(cls, told: dict[str, Any]) -> Progress:
        more = told.pop("more") or {}
        text = more.get("text") or more.get("error") or ""
        return cls(**told, text=text, data=more.get("data"), duration_ms=more.get("duration_ms"))


def bar(file: TextIO | None = None) -> Callable[[Progress], None]:
    """Returns a callback that shows progress as a bar: `Client.run(..., on_progress=pudato.progress.bar())`.

    If tqdm is installed, the callback uses its bar for terminals and notebooks; otherwise it prints plain text.

    Args:
        file: Where to write; `sys.stderr` by default.
    """
    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ImportError:
        return Bar(file)
    return _Tqdm(tqdm, file)


class Bar:
    """A plain-text progress bar. On a terminal and in a notebook it updates one line; elsewhere it prints a line for each step."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file if file is not None else sys.stderr
        self._changes = self._file.isatty() or _in_notebook()
        self._ended = 0
        self._running: dict[str, str] = {}
        self._width = 0
        self._began = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        name = progress.step
        if name is not None:
            if progress.has_ended:
                self._ended += 1
                self._running.pop(name, None)
            else:
                self._running[name] = progress.text
        if self._changes:
            self._draw(progress)
        elif progress.has_ended:
            took = "" if progress.duration_ms is None else f" in {progress.duration_ms:,} ms"
            why = f": {progress.text}" if progress.text else ""
            print(f"{name}  {progress.state}{took}{why}", file=self._file, flush=True)

    def _draw(self, progress: Progress) -> None:
        full = _WIDTH * self._ended // max(progress.steps, 1)
        doing = ", ".join(f"{name} {text}".rstrip() for name, text in self._running.items())
        line = (
            f"{progress.pipeline} |{'█' * full}{'·' * (_WIDTH - full)}| {self._ended}/{progress.steps} "
            f"{time.monotonic() - self._began:.1f} s {doing}"
        ).rstrip()[:110]
        pad = " " * max(0, self._width - len(line))
        self._width = len(line)
        end = "\n" if self._ended == progress.steps else ""
        print(f"\r{line}{pad}", end=end, file=self._file, flush=True)


class _Tqdm:
    def __init__(self, tqdm: Any, file: TextIO | None) -> None:
        self._tqdm = tqdm
        self._file = file
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._tqdm(total=progress.steps, desc=progress.pipeline, unit="step", file=self._file)
        if progress.has_ended:
            self._bar.update(1)
        if progress.step is not None:
            self._bar.set_postfix_str(f"{progress.step} {progress.text or progress.state}")
        if self._bar.n >= progress.steps:
            self._bar.close()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
