"""A second SQLite or DuckDB in the same process cannot break pudato's locks."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pudato
from pudato import Client, _core
from pudato.config import Settings
from pudato.handlers.registry import RegistryHandler
from pudato.messaging import SNSPublisher
from pudato.protocol import Command
from pudato.protocol.errors import CallTimeout, RefusedError

READ = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM topic').fetchone()[0])"

OPEN = """
import sys
from pudato.config import Settings
from pudato.handlers.registry import RegistryHandler
from pudato.messaging import SNSPublisher, SQSConsumer
from pudato.protocol import Command
settings = Settings(data_dir=sys.argv[1])
"""
PUBLISH = "SNSPublisher(settings).publish_command(Command(type='storage', action='list_objects', correlation_id=sys.argv[2]))"


def locks(path: Path) -> int:
    """Asks the system how many locks this process holds on a file."""
    found = path.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    lines = Path("/proc/locks").read_text().splitlines()
    return sum(1 for line in lines if f" {os.getpid()} {place} " in line and "POSIX" in line)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path / ".pudato")
    SNSPublisher(settings).publish_command(Command(type="storage", action="list_objects", correlation_id="first"))
    return settings


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not show its locks")
@pytest.mark.parametrize("name", ["fabric.db", "registry.db"])
def test_python_cannot_open_a_database_that_pudato_has_open_and_its_locks_stay(settings: Settings, name: str) -> None:
    database = Path(settings.data_dir, name)
    held = locks(Path(f"{database}-shm"))
    assert held > 0
    link = database.with_name("link")
    link.symlink_to(database)
    for opening in (
        lambda: sqlite3.connect(database),
        lambda: sqlite3.connect(os.fsencode(database)),
        lambda: sqlite3.connect(f"file:{database}?mode=ro", uri=True),
        lambda: sqlite3.connect(link),
        lambda: open(database, "rb"),
        lambda: os.open(f"{database}-shm", os.O_RDONLY),
        lambda: Path(f"{database}-wal").read_bytes(),
    ):
        with pytest.raises(RefusedError, match="loses its locks.*backup"):
            opening()
    assert locks(Path(f"{database}-shm")) == held


def test_a_copy_can_be_read_with_any_library(settings: Settings, tmp_path: Path) -> None:
    folder = pudato.backup(tmp_path / "copy", settings)
    with sqlite3.connect(folder / "fabric.db") as copy:
        assert copy.execute("SELECT count(*) FROM message").fetchone() == (1,)
    with sqlite3.connect(folder / "registry.db") as copy:
        assert copy.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_another_process_reads_the_database_itself(settings: Settings) -> None:
    database = Path(settings.data_dir, "fabric.db")
    read = subprocess.run([sys.executable, "-c", READ, str(database)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    assert int(read.stdout) > 0
    SNSPublisher(settings).publish_command(Command(type="storage", action="list_objects"))


def test_other_databases_and_files_open_normally(settings: Settings, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "fabric.db") as other:
        other.execute("CREATE TABLE t (a)")
    with sqlite3.connect(":memory:") as other:
        other.execute("CREATE TABLE t (a)")
    assert (tmp_path / "fabric.db").read_bytes()


def test_a_program_that_lost_its_locks_loses_no_message_to_another_program_of_pudato(settings: Settings) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(_core.__file__).parent.parent)}

    def run(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", OPEN + code, settings.data_dir, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    libc = ctypes.CDLL(None)
    for end in ("", "-shm"):
        # Like a library that bundles its own SQLite, which Python's audit hooks do not see.
        handle = libc.open(os.fsencode(f"{Path(settings.data_dir, 'fabric.db')}{end}"), os.O_RDONLY)
        libc.close(handle)
    for name in ("other", "another"):
        run(PUBLISH, name)
        SNSPublisher(settings).publish_command(Command(type="storage", action="list_objects", correlation_id=f"after {name}"))
    read = run("print(sorted(m.command().correlation_id for m in SQSConsumer(settings).receive_messages('pudato-storage-queue')))")
    assert read == "['after another', 'after other', 'another', 'first', 'other']"


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_a_command_waits_until_python_duckdb_closes_the_warehouse_and_nothing_is_lost(tmp_path: Path, isolation: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    settings = Settings(data_dir=tmp_path / ".pudato", query_isolation=isolation)
    with Client(settings, serve=True) as client:

        def sql(text: str, timeout: float) -> list[list[object]]:
            answered = client.call("query", "execute_sql", {"sql": text}, timeout=timeout)
            assert answered.status == "success" and answered.data is not None, answered.errors
            return list(answered.data["rows"])

        sql("CREATE TABLE first AS SELECT 1 AS a", 60)
        with duckdb.connect(str(tmp_path / ".pudato" / "warehouse.duckdb")) as theirs:
            theirs.execute("CREATE TABLE second AS SELECT 2 AS a")
            with pytest.raises(CallTimeout):
                sql("CREATE TABLE third AS SELECT 3 AS a", 4)
        both = "SELECT a FROM first UNION ALL SELECT a FROM second UNION ALL SELECT a FROM third ORDER BY a"
        until = time.monotonic() + 90
        while client.call("query", "execute_sql", {"sql": both}, timeout=90).status != "success" and time.monotonic() < until:
            time.sleep(0.2)
        assert sql(both, 60) == [[1], [2], [3]]


def test_a_handler_that_opens_the_registry_itself_guards_it(tmp_path: Path) -> None:
    registry = RegistryHandler()
    assert registry.handle(Command(type="registry", action="create_job", payload={"pipeline": "p"})).status == "success"
    with pytest.raises(RefusedError, match="loses its locks"):
        sqlite3.connect(tmp_path / ".pudato" / "registry.db")
    with sqlite3.connect(":memory:") as other:
        other.execute("CREATE TABLE t (a)")
