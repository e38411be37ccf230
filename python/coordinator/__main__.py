"""The command ``coordinator``, also as ``python -m coordinator``."""

from __future__ import annotations

import signal
import sys

from coordinator import _core

__all__ = ["main"]


def main() -> int:
    """Do what the command line asks for; the exit status is one of ``sysexits.h``."""
    # The command hears of Ctrl-C itself, and Python would only raise it once all is over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.run_command([sys.executable, "-m", "coordinator"], ["coordinator", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
