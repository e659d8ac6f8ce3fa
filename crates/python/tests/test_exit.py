"""A program exits cleanly, whatever its threads are doing; a signal ends a wait; a panic is an exception."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pudato import _core
from pudato.protocol import PudatoError

PACKAGE = str(Path(_core.__file__).parent.parent)
RECEIVE = """
import sys, threading, time
from pudato.config import Settings
from pudato.messaging import SQSConsumer, SNSPublisher
from pudato.protocol import Command

settings = Settings(data_dir=sys.argv[1])
consumer = SQSConsumer(settings)
consumer.receive_messages(settings.storage_queue_url, wait_time_seconds=0)

def receive():
    while True:
        consumer.receive_messages(settings.storage_queue_url)

threads = [threading.Thread(target=receive, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
"""


def program(code: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / ".pudato")],
        env={"PYTHONPATH": PACKAGE, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


SLOWLY = """
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.3)

sys.modules["slow"] = Slow()
sys.exit(7)
"""


@pytest.mark.parametrize("end", ["sys.exit(7)", "time.sleep(0.12); sys.exit(7)", SLOWLY])
def test_a_program_exits_with_its_code_while_daemon_threads_wait(tmp_path: Path, end: str) -> None:
    # Each wait asks Python for signals every 50 ms, even while the interpreter shuts down.
    for _ in range(3):
        ended = program(RECEIVE + end, tmp_path)
        out, errors = ended.communicate(timeout=60)
        assert (ended.returncode, errors) == (7, ""), (out, errors)


def test_an_exit_handler_may_still_publish(tmp_path: Path) -> None:
    code = """
    import atexit
    def last():
        command = Command(type="query", action="execute_sql", correlation_id="last")
        print(SNSPublisher(settings).publish_command(command)["MessageId"])
    atexit.register(last)
    """
    ended = program("import atexit\natexit.register(lambda: earlier())\n" + RECEIVE + textwrap.dedent(code) + "earlier = last", tmp_path)
    out, errors = ended.communicate(timeout=60)
    assert (ended.returncode, errors) == (0, "")
    assert len(out.split()) == 2, "a handler that was registered before pudato was imported runs last"


def test_ctrl_c_ends_a_wait_at_once(tmp_path: Path) -> None:
    code = RECEIVE.split("def receive")[0] + "print('waits', flush=True)\nconsumer.receive_messages(settings.storage_queue_url)"
    running = program(code, tmp_path)
    assert running.stdout is not None and running.stdout.readline() == "waits\n"
    time.sleep(0.2)
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - began < 10, "the receive itself would wait for 20 s"


@pytest.mark.skipif(not hasattr(_core, "panic_in_a_call"), reason="a build for release has no such function")
def test_except_exception_catches_a_panic() -> None:
    with pytest.raises(PudatoError, match="please report it: oh no"):
        _core.panic_in_a_call("oh no")
