"""The registry, which stores jobs, their steps and all Results, and derives lineage from them."""

from __future__ import annotations

from typing import Any, ClassVar

from pudato import _core
from pudato._fabric import opening
from pudato.backends.registry import InMemoryRegistryBackend, PostgreSQLRegistryBackend, RegistryBackend
from pudato.config import Settings
from pudato.handlers._built_in import BuiltIn
from pudato.protocol import Command, Result

__all__ = ["RegistryHandler", "create_memory_registry_handler"]


class RegistryHandler(BuiltIn):
    """Handles the Commands of the service `registry`.

    Args:
        backend: The registry's store; by default the one that the settings name.
        settings: The settings; by default from the environment.
    """

    service_type: ClassVar[str] = "registry"

    def __init__(
        self,
        backend: InMemoryRegistryBackend | PostgreSQLRegistryBackend | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(settings)
        if backend is not None and not isinstance(backend, RegistryBackend):
            raise TypeError(f"backend: expected InMemoryRegistryBackend or PostgreSQLRegistryBackend, found {backend!r}")
        self._store: _core.Registry | None = None if backend is None else backend._registry
        self._is_own = backend is None

    def handle(self, command: Command) -> Result:
        """Runs a Command without a queue and returns its Result.

        In addition to the service's answer, a job has `started_at` (when its first step started, or else when the job was created), and a step
        in a lineage has the `logic_version` of its job.

        Raises:
            UnavailableError: The registry cannot be reached.
        """
        result = super().handle(command)
        if result.status == "success" and result.data:
            if command.action in ("get_job", "update_job", "create_job"):
                self._add_start(result.data)
            elif command.action == "get_lineage":
                self._add_versions(result.data)
        return result

    def _add_start(self, job: dict[str, Any]) -> None:
        job_id = job.get("job_id")
        if job_id is None or "started_at" in job:
            return
        job["started_at"] = None
        if job["status"] != "pending":
            steps = self._ask("get_job_steps", job_id=job_id).get("steps", [])
            started = [step["started_at"] for step in steps if step.get("started_at")]
            job["started_at"] = min(started, default=job["created_at"])

    def _add_versions(self, lineage: dict[str, Any]) -> None:
        versions: dict[str, Any] = {}
        for step in [*lineage.get("producers", ()), *lineage.get("consumers", ())]:
            job_id = step.get("job_id")
            if job_id is not None and job_id not in versions:
                versions[job_id] = self._ask("get_job", job_id=job_id).get("logic_version")
            step.setdefault("logic_version", versions.get(job_id) if job_id is not None else None)

    def _ask(self, action: str, **payload: Any) -> dict[str, Any]:
        return super().handle(Command(type="registry", action=action, payload=payload)).data or {}

    def _registry(self) -> _core.Registry:
        if self._store is None:
            settings = self._settings if self._settings is not None else Settings()
            self._store = _core.Registry(opening(settings))
        return self._store

    def _open(self) -> _core.Service:
        return _core.Service.registry(self._registry())

    def _apply(self, result: Result) -> str:
        """Writes a Result as the results consumer does. Returns the outcome."""
        return self._registry().apply(result.model_dump_json().encode())


def create_memory_registry_handler() -> RegistryHandler:
    """Creates a registry in memory, which lives as long as the handler."""
    return RegistryHandler(InMemoryRegistryBackend())
