"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell starts programs in the background with Ctrl-C ignored, and the processes that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_OURS = ("PUDATO_", "AWS_", "REGISTRY_DATABASE", "LOCALSTACK_", "DUCKDB_", "DBT_", "OPENLINEAGE_", "HANDLER_TYPE")


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hides the environment and the folder of the person who runs the tests."""
    from pudato.config import get_settings

    for name in [name for name in os.environ if name.startswith(_OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """The endpoint of an emulator that all tests of a run share."""
    from emulator import ministack

    with ministack() as endpoint:
        yield endpoint
