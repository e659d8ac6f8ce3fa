"""Measures `publish_many` against boto3 on an emulator of AWS: 1,000 small Commands, alternating in one run.

    python benches/python/publish.py [--messages 1000] [--rounds 5] [--round-trip-ms 0]

With `--round-trip-ms`, the emulator has the latency of AWS. Without it, every variant mostly waits for the emulator's own work, which is the
same for all. It needs the package `pudato`, boto3 and ministack, and prints a line of JSON for each ratio on stdout, from the medians of the rounds:
`python.publish_vs_boto3` against `publish`, one call for each message, and `python.publish_vs_boto3_batch` against `publish_batch` of ten.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/python/tests"))

from slow_link import slow_link

from emulator import REGION, credentials, deploy, ministack

boto3 = import_module("boto3")
TARGETS = {"python.publish_vs_boto3": 5.0, "python.publish_vs_boto3_batch": 1.5}


def ways(endpoint: str, count: int) -> dict[str, Callable[[], None]]:
    """The variants. Each publishes this many Commands, from objects to acknowledged messages."""
    from pudato.messaging import SNSPublisher
    from pudato.protocol import Command

    commands = [Command(type="storage", action="head_object", payload={"container": "c", "path": f"p/{n}"}) for n in range(count)]
    publisher = SNSPublisher()
    topic = publisher.settings.storage_topic_arn
    sns = boto3.client("sns", region_name=REGION, endpoint_url=endpoint)

    def entry(command: Command) -> dict[str, object]:
        values = {"type": command.type, "action": command.action, "correlation_id": command.correlation_id}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
        return {"Message": command.model_dump_json(), "MessageAttributes": attributes}

    def many() -> None:
        publisher.publish_many(commands)

    def one_by_one() -> None:
        for command in commands:
            sns.publish(TopicArn=topic, **entry(command))

    def batches() -> None:
        for at in range(0, count, 10):
            entries = [{"Id": str(n), **entry(command)} for n, command in enumerate(commands[at : at + 10])]
            answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
            if answer.get("Failed"):
                raise RuntimeError(answer["Failed"])

    return {"publish_many": many, "publish": one_by_one, "publish_batch": batches}


def purge(endpoint: str, queue_url: str) -> None:
    boto3.client("sqs", region_name=REGION, endpoint_url=endpoint).purge_queue(QueueUrl=queue_url)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-trip-ms", type=float, default=0.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ministack() as near, slow_link(near, given.round_trip_ms) as far:
        endpoint = far if given.round_trip_ms else near
        os.chdir(folder)
        os.environ.update({**credentials(), **deploy(near), "AWS_ENDPOINT_URL": endpoint})
        all_ways = ways(endpoint, given.messages)
        seconds: dict[str, list[float]] = {name: [] for name in all_ways}
        for round_ in range(given.rounds + 1):
            for name, way in all_ways.items():
                purge(near, os.environ["PUDATO_STORAGE_QUEUE_URL"])
                began = time.perf_counter()
                way()
                took = time.perf_counter() - began
                # The first round only opens connections.
                if round_ > 0:
                    seconds[name].append(took)
        os.chdir("/")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        "python.publish_vs_boto3": medians["publish"] / medians["publish_many"],
        "python.publish_vs_boto3_batch": medians["publish_batch"] / medians["publish_many"],
    }
    seconds_of = {name: round(value, 3) for name, value in medians.items()}
    print(f"{given.messages} messages, round trip {given.round_trip_ms} ms, median seconds: {seconds_of}", file=sys.stderr)
    for name, ratio in ratios.items():
        print(json.dumps({"name": name, "value": round(ratio, 2), "unit": "ratio"}), flush=True)
        print(f"{name}: the target is at least {TARGETS[name]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
