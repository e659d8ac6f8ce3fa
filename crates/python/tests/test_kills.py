"""A runner with Python handlers is killed repeatedly while commands arrive: nothing is lost, and nothing is answered twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from _programs import line_of, runner, started
from _served import PATIENCE, Fabric, command, settings_of

KILLS = int(os.environ.get("PUDATO_TEST_KILLS", "5"))
COMMANDS = 300

HANDLER = '''
import asyncio, time
from pudato import handler

mine = handler("mine")

@mine.action("quick")
def quick(command):
    return {"n": command.payload["n"]}

@mine.action("slow", effect="keyed")
def slow(command):
    time.sleep(0.05)
    return {"n": command.payload["n"]}

@mine.action("wait", effect="read")
async def wait(command):
    await asyncio.sleep(0.05)
    return {"n": command.payload["n"]}
'''


def test_no_command_is_lost_or_answered_twice_however_often_the_runner_is_killed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANDLER)
    # Short, so that the commands of a killed runner are redelivered soon.
    more = {"PUDATO_VISIBILITY_SECONDS": "2"}
    fabric = Fabric(settings_of(tmp_path, visibility_seconds=2))
    chance = random.Random(KILLS)
    sent: dict[str, int] = {}

    def publish(count: int) -> None:
        for n in range(len(sent), min(len(sent) + count, COMMANDS)):
            one = command("mine", chance.choice(["quick", "slow", "wait"]), {"n": n})
            sent[fabric.publish(one)] = n

    for kill in range(KILLS):
        before = len(fabric.seen)
        with started(tmp_path, runner("mine:mine"), more) as program:
            # Most runners are killed at work; every fourth one while it starts or takes its first commands.
            if kill % 4 == 3:
                time.sleep(chance.uniform(0, 1))
            else:
                line_of(program)
                publish(-(-COMMANDS // (KILLS + 1)))
                until = time.monotonic() + PATIENCE
                while len(fabric.results(wait=0.1)) == before and time.monotonic() < until:
                    pass
                time.sleep(chance.uniform(0, 0.2))
            program.send_signal(signal.SIGKILL)
            program.wait(PATIENCE)
            assert program.returncode == -signal.SIGKILL
    publish(COMMANDS)
    with started(tmp_path, runner("mine:mine"), more) as program:
        line_of(program)
        fabric.final(list(sent))
        # A duplicate would arrive once the leases of the killed runners have expired.
        time.sleep(3)
        fabric.results()
        program.send_signal(signal.SIGTERM)
        program.wait(PATIENCE)
    assert program.returncode == 0
    finals = [one for one in fabric.seen if one.status != "pending"]
    assert Counter(one.correlation_id for one in finals) == Counter(sent.keys())
    assert {one.correlation_id: (one.data or {}).get("n") for one in finals} == sent
    assert fabric.bodies("pudato-mine-queue") == [] and fabric.bodies("pudato-mine-dlq") == []
