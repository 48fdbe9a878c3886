# SPDX-License-Identifier: MIT
"""A time limit that a busy host does not use up.

What a process waited for a CPU, though it could have run, does not count: neither behind other
processes of this host (run delay, the second number of /proc/PID/schedstat) nor behind other
guests of the machine below (steal, in /proc/stat). A machine that hangs still meets its limit;
FACTOR times the limit by the clock ends the wait whatever happened.
"""

import os
import pathlib
import time

FACTOR = 10
TICK = os.sysconf("SC_CLK_TCK")


def run_delay(pid):
    """Seconds that the slowest thread of a process, or of one below it, waited for a CPU."""
    longest = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            longest = max(longest, int((task / "schedstat").read_text().split()[1]) / 1e9)
            below = (task / "children").read_text().split()
        except (OSError, IndexError):
            continue  # it ended meanwhile, or the kernel keeps no such file
        longest = max([longest] + [run_delay(child) for child in below])
    return longest


def stolen():
    """Seconds that each CPU stood still for the machine below, on average."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(words[8]) / TICK / os.cpu_count() if len(words) > 8 else 0.0


class Patience:
    """`seconds` of time in which process `pid` (none: 0) could run."""

    def __init__(self, seconds, pid=0):
        self.seconds = seconds
        self.pid = pid
        self.start = time.monotonic()
        self.before = self.delay = run_delay(pid)
        self.stolen = stolen()

    def left(self):
        """Seconds; 0 when the patience is at its end."""
        passed = time.monotonic() - self.start
        self.delay = max(self.delay, run_delay(self.pid))  # stays when the process ends
        lost = self.delay - self.before + stolen() - self.stolen
        return max(0.0, min(self.seconds - passed + lost, FACTOR * self.seconds - passed))

    def waiting(self, wait):
        """Calls wait(seconds), which says whether it got what it waits for, until it did (True)
        or the patience is at its end (False)."""
        while not wait(left := self.left()):
            if not left:
                return False
        return True
