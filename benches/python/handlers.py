"""Measures Python handlers on the embedded fabric: `PYTHONPATH=target/python python benches/python/handlers.py [COMMANDS]`.

Each figure is one line of JSON on stdout:

- `python.handler_per_s`: commands per second with a handler that does nothing, 16 at once;
- `python.handler_rust_per_s`: the same with a handler in Rust, in this process;
- `python.handler_vs_rust`: the first divided by the second;
- `python.noop_beside_busy_per_s`: the first, while four other handlers keep the interpreter busy;
- `python.leases_lost_beside_busy`: commands that were delivered twice during that time, with leases of two seconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pudato import Command, Settings, _core
from pudato.handlers import Context, OwnHandler
from pudato.handlers._pool import Pool
from pudato.messaging import SNSPublisher

ROUNDS = 3
BUSY = 4
stop = threading.Event()
deliveries: list[int] = []

mine = OwnHandler("mine")
busy = OwnHandler("busy")


@mine.action("noop", effect="read")
def noop(command: Command) -> dict[str, int]:
    return {}


@busy.action("spin", effect="read")
def spin(command: Command, ctx: Context) -> dict[str, int]:
    deliveries.append(ctx.attempt)
    number = 0
    while not stop.is_set():
        for _ in range(10_000):
            number += 1
    return {}


def rate(commands: int, python: bool, beside: int = 0) -> float:
    """Commands per second, from the first Result to the last."""
    with TemporaryDirectory() as folder:
        settings = Settings(variables={}, data_dir=Path(folder) / ".pudato", visibility_seconds=2, log="error")
        pool = Pool(16 + beside)
        handlers = [pool.add(mine) if python else _core.OwnHandler.idle("mine")]
        services = ["mine"]
        if beside:
            handlers.append(pool.add(busy))
            services.append("busy")
        serving = _core.Serving(settings._core, handlers, pool.core)
        publisher = SNSPublisher(settings)
        publisher.publish_many([Command(type="mine", action="noop") for _ in range(commands)])
        publisher.publish_many([Command(type="busy", action="spin") for _ in range(beside)])
        stop.clear()
        pool.start()
        first = threading.Thread(target=serving.run, args=(["busy"],))
        if beside:
            # Start the busy handlers first.
            first.start()
            while len(deliveries) < beside:
                time.sleep(0.01)
        thread = threading.Thread(target=serving.run, args=(["mine"],))
        thread.start()
        taken = measure(serving, commands)
        stop.set()
        serving.drain()
        thread.join()
        if beside:
            first.join()
        pool.close()
        return taken


def measure(serving: _core.Serving, commands: int) -> float:
    done, began, at_first = 0, 0.0, 0
    while done < commands:
        time.sleep(0.02)
        done = serving.counts("pudato-results-queue")[0]
        if done and not began:
            began, at_first = time.monotonic(), done
    return (commands - at_first) / (time.monotonic() - began)


def main() -> None:
    commands = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    sys.setswitchinterval(0.001)
    figures = {"python.handler_per_s": 0.0, "python.handler_rust_per_s": 0.0}
    for _ in range(ROUNDS):
        figures["python.handler_per_s"] = max(figures["python.handler_per_s"], rate(commands, python=True))
        figures["python.handler_rust_per_s"] = max(figures["python.handler_rust_per_s"], rate(commands, python=False))
    figures["python.handler_vs_rust"] = figures["python.handler_per_s"] / figures["python.handler_rust_per_s"]
    figures["python.noop_beside_busy_per_s"] = rate(commands, python=True, beside=BUSY)
    figures["python.leases_lost_beside_busy"] = len(deliveries) - BUSY
    units = {"per_s": "1/s", "rust": "ratio"}
    for name, value in figures.items():
        unit = next((unit for end, unit in units.items() if name.endswith(end)), "")
        print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


if __name__ == "__main__":
    main()
