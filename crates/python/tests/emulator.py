"""An AWS emulator for tests: ministack in a separate process, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

REGION = "us-east-1"
# The emulator treats an access key of 12 digits as a separate account.
ACCOUNT = "000000000001"
SERVICES = ("storage", "query", "transform", "registry")


@contextmanager
def ministack() -> Iterator[str]:
    """Starts an emulator, yields its endpoint, and stops it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log").open("wb")
        server = subprocess.Popen(
            [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}", "--keep-alive", "75"],
            env={**os.environ, "GATEWAY_PORT": str(port), "TMPDIR": folder},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(server, endpoint, Path(folder, "log"))
            yield endpoint
        finally:
            server.terminate()
            server.wait()
            log.close()


def _wait(server: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    raise RuntimeError(f"ministack does not start: {log.read_text(errors='replace')}")


def credentials(account: str = ACCOUNT) -> dict[str, str]:
    """The variables that point clients to the emulator, and nowhere else."""
    return {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def deploy(endpoint: str, account: str = ACCOUNT) -> dict[str, str]:
    """Creates the topics and queues of an installation. Returns the variables that name them."""
    boto3 = import_module("boto3")
    access = {"region_name": REGION, "endpoint_url": endpoint, "aws_access_key_id": account, "aws_secret_access_key": "test"}
    sns, sqs = boto3.client("sns", **access), boto3.client("sqs", **access)
    boto3.client("s3", **access).create_bucket(Bucket=f"claims-{account}")
    variables = {"AWS_ENDPOINT_URL": endpoint, "PUDATO_CLAIMS_CONTAINER": f"claims-{account}"}
    places = {service: f"pudato-{service}-commands" for service in SERVICES}
    for name, topic in {**places, "results": "pudato-results", "events": "pudato-events"}.items():
        arn = sns.create_topic(Name=topic)["TopicArn"]
        variables[f"PUDATO_{name.upper()}_TOPIC_ARN"] = arn
        reader = "history" if name == "events" else name
        url = sqs.create_queue(QueueName=f"pudato-{reader}-queue")["QueueUrl"]
        variables[f"PUDATO_{reader.upper()}_QUEUE_URL"] = url
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    return variables
