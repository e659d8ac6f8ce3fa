"""The command `pudato`, which runs in this Python process."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Runs the command with this process's arguments.

    Returns:
        The exit code: 0 success, 1 the operation failed, 2 wrong usage, 3 wrong configuration, 4 the fabric or a store cannot be
        reached, 5 no Result arrived in time, 130 interrupted.
    """
    # The command handles Ctrl-C itself. If Python handled it too, a traceback would follow a clean exit.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pudato import _core

    return _core.cli(["pudato", *sys.argv[1:]])
