"""The service `transform`, without a queue."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from pudato.config import Settings
from pudato.handlers._built_in import BuiltIn

__all__ = ["TransformHandler"]


class TransformHandler(BuiltIn):
    """Handles the Commands of the service `transform`; docs/commands.md lists its actions.

    Args:
        project_dir: The dbt project; by default the one that the settings name.
        profiles_dir: The folder with dbt's profiles.
        target: dbt's target.
        settings: The settings; by default from the environment. Pass either settings or the other arguments.
    """

    service_type: ClassVar[str] = "transform"

    def __init__(
        self,
        project_dir: str | os.PathLike[str] | None = None,
        profiles_dir: str | os.PathLike[str] | None = None,
        target: str | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        named = {"dbt_project_dir": project_dir, "dbt_profiles_dir": profiles_dir, "dbt_target": target}
        given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if given and settings is not None:
            raise TypeError("settings: expected either settings, or project_dir, profiles_dir and target")
        super().__init__(Settings(**given) if given else settings)
