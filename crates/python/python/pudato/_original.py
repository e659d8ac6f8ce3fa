"""Support for `PUDATO_ENV`, which programs for the first pudato set."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["translated"]

_TOPICS = {
    "STORAGE": "storage-commands",
    "QUERY": "query-commands",
    "TRANSFORM": "transform-commands",
    "REGISTRY": "registry-commands",
    "RESULTS": "results",
    "EVENTS": "events",
}
_QUEUES = ("storage", "query", "transform", "registry", "results")
# The account id that LocalStack and compatible emulators use.
_ACCOUNT = "000000000000"


def translated(variables: Mapping[str, str]) -> dict[str, str]:
    """Replaces `PUDATO_ENV` with the variables that pudato reads. Variables that are already set keep their values.

    `aws` chooses the fabric on AWS. `local` means the emulator at `LOCALSTACK_ENDPOINT` or `AWS_ENDPOINT_URL`, with topics and queues of the
    usual names, or the embedded fabric if neither is set.

    Raises:
        ValueError: The value is neither.
    """
    found = dict(variables)
    env = found.pop("PUDATO_ENV", "")
    if not env:
        return found
    if env == "aws":
        return {"PUDATO_FABRIC": "aws", **found}
    if env != "local":
        raise ValueError(f"PUDATO_ENV: expected local or aws, found {env!r}; PUDATO_ENVIRONMENT names the environment")
    endpoint = found.get("AWS_ENDPOINT_URL") or found.get("LOCALSTACK_ENDPOINT")
    if not endpoint or found.get("PUDATO_FABRIC") == "embedded":
        return found
    prefix = found.get("PUDATO_PREFIX") or "pudato"
    region = found.get("AWS_REGION") or found.get("AWS_DEFAULT_REGION") or "us-east-1"
    usual = {"PUDATO_FABRIC": "aws"}
    for name, topic in _TOPICS.items():
        usual[f"PUDATO_{name}_TOPIC_ARN"] = f"arn:aws:sns:{region}:{_ACCOUNT}:{prefix}-{topic}"
    for name in _QUEUES:
        usual[f"PUDATO_{name.upper()}_QUEUE_URL"] = f"{endpoint.rstrip('/')}/{_ACCOUNT}/{prefix}-{name}-queue"
    return {**usual, **{name: value for name, value in found.items() if value}}
