"""What every test of the Python package can rely on."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

# The wheels that charms under test are built with: built in seconds, with its assertions on.
os.environ.setdefault("COORDINATOR_WHEEL_PROFILE", "quick")

# Simulated units and stores write small files all the time: in memory nobody waits for a disk.
MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
    executable = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if executable and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# A runner in the background of a shell ignores Ctrl-C, and so would the programs that tests start
# and interrupt.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
