"""Runs a server for as long as somebody holds its lifeline; a program of its own.

    supervisor.py LIFELINE RUBBISH COMMAND...

Whoever needs the server holds a shared flock on the file LIFELINE. The kernel drops it when that
process ends, however it ends: then the server is killed and the directory RUBBISH is removed.
Prints the server's process id, and goes to the background.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading


def main() -> int:
    """Run the command of the command line until it ends, or its users do."""
    lifeline, rubbish, *command = sys.argv[1:]
    # Nobody's child: a server that several processes share outlives the one that started it.
    if os.fork():
        return 0
    # A Ctrl-C at the terminal is for the tests; the server goes when its users have gone.
    os.setsid()
    # Without setpriv, a killed supervisor would leave the server running for ever.
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=sys.stderr)
    print(server.pid, flush=True)
    unwanted = threading.Event()
    arguments = (lifeline, server, unwanted)
    threading.Thread(target=_end_with_users, args=arguments, daemon=True).start()
    server.wait()
    if unwanted.is_set():
        shutil.rmtree(rubbish, ignore_errors=True)
    return 0


def _end_with_users(
    lifeline: str, server: subprocess.Popen[bytes], unwanted: threading.Event
) -> None:
    descriptor = os.open(lifeline, os.O_RDWR)
    # Granted when nobody holds it any more.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unwanted.set()
    server.kill()


if __name__ == "__main__":
    sys.exit(main())
