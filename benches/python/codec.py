"""Reading and writing messages in Python, compared with pydantic models with the same fields.

Both run alternately in one process, so that they see the same load; the result is the median of the rounds' ratios. Run it with a release build of the
package: `python benches/python/codec.py`. Each figure is one line of JSON on stdout.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from statistics import median
from time import process_time_ns
from typing import Any

from pydantic import BaseModel, Field

from pudato.protocol import Command

ROUNDS = 31
ROUND_NS = 5_000_000


class Peer(BaseModel):
    type: str
    action: str
    payload: dict[str, Any] = Field(default_factory=dict)
    correlation_id: str
    job_id: str | None = None
    step_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: str


def bodies() -> tuple[str, str]:
    """A Command of about 0.5 KB, and one of about 11 KB with 1,000 keys."""
    about = {"correlation_id": "5c1f0f4e-6f0b-4f2e-9a51-000000000001", "timestamp": "2026-11-23T10:15:30.123456+00:00"}
    about |= {"job_id": "job-0123456789ab", "step_id": "step-0123456789ab"}
    small = {"container": "data-lake", "path": "raw/2026/11/birdstrikes.csv", "data": "id,when,what\r\n" * 10, "if_none_match": True}
    metadata = {"source": "ingestion", "user": "nightly", "attempt": 1}
    large = {f"k{number}": number for number in range(1_000)}

    def text(payload: dict[str, Any]) -> str:
        return Command(type="storage", action="put_object", payload=payload, metadata=metadata, **about).to_json()

    return text(small), text(large)


def read(model: Any, body: bytes) -> Callable[[], object]:
    validate = model.model_validate_json

    def one() -> object:
        message = validate(body)
        return (
            message.type,
            message.action,
            message.payload,
            message.correlation_id,
            message.job_id,
            message.step_id,
            message.metadata,
            message.timestamp,
        )

    return one


def run(work: Callable[[], object], times: int) -> int:
    start = process_time_ns()
    for _ in range(times):
        work()
    return process_time_ns() - start


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """How many times longer pudato takes."""
    times = 1
    while run(theirs, times) < ROUND_NS:
        times *= 2
    run(ours, times)
    ratios, of_ours, of_theirs = [], [], []
    for turn in range(ROUNDS):
        if turn % 2:
            first, second = run(ours, times), run(theirs, times)
        else:
            second, first = run(theirs, times), run(ours, times)
        ratios.append(first / second)
        of_ours.append(first / times / 1_000)
        of_theirs.append(second / times / 1_000)
    print(f"{median(of_ours):8.2f} us, pydantic {median(of_theirs):8.2f} us", file=sys.stderr)
    return median(ratios)


def figure(name: str, value: float) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": "ratio"}), flush=True)


def main() -> None:
    gc.disable()
    small, large = bodies()
    print(f"bytes: {len(small)} and {len(large)}", file=sys.stderr)
    figure("python.decode_small_ratio", ratio(read(Command, small.encode()), read(Peer, small.encode())))
    figure("python.decode_large_ratio", ratio(read(Command, large.encode()), read(Peer, large.encode())))
    encodes = []
    for body in (small, large):
        ours, theirs = Command.model_validate_json(body), Peer.model_validate_json(body)
        assert ours.model_dump_json() == theirs.model_dump_json() == body
        encodes.append(ratio(ours.model_dump_json, theirs.model_dump_json))
    figure("python.encode_ratio", max(encodes))


if __name__ == "__main__":
    main()
