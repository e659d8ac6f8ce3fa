"""How much longer the package takes to start than Python alone: medians of 20 alternating pairs.

Each figure is one line of JSON on stdout. Run it with a release build of the package.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PAIRS = 20

BARE = "pass"
# Each figure with its code and its target in ms.
MEASURED = {
    "python.import_ms": ("import pudato", 25.0),
    "python.help_ms": ("import sys; sys.argv = ['pudato', '--help']; from pudato._cli import main; sys.exit(main())", 60.0),
}


def took(code: str, folder: str) -> float:
    """How long a new Python process takes to run this code, in ms."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (code, target) in MEASURED.items():
            # Run once to fill the disk cache.
            took(code, folder)
            beyond = [took(code, folder) - took(BARE, folder) for _ in range(PAIRS)]
            value = statistics.median(beyond)
            print(json.dumps({"name": name, "value": round(value, 2), "unit": "ms"}), flush=True)
            print(f"{name}: on top of plain Python; the target is at most {target:.0f} ms", file=sys.stderr)


if __name__ == "__main__":
    main()
