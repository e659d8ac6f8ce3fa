"""The command `pudato`: the same as the program of that name, in the same process as this Python."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Runs the command with the arguments of this process.

    Returns:
        The exit code: 0 success, 1 the operation failed, 2 wrong usage, 3 wrong configuration, 4 the fabric or a store cannot be
        reached, 5 no Result came in time, 130 interrupted.
    """
    # The command handles Ctrl-C itself. With Python's own handler both would act, and a traceback would follow a clean end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pudato import _core

    return _core.cli(["pudato", *sys.argv[1:]])
