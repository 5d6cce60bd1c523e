# SPDX-License-Identifier: Apache-2.0
"""Clocks for mcrd alone (witness.c). The machine's are never set."""
import os
import struct
import time

from . import case
from .result import Skip
from .system import MCRD

WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(MCRD), "../tests/net/witness.so"))


class Clock:
    """before: what runs mcrd, or mcrstat, by these clocks."""

    def __init__(self):
        if not os.access(WITNESS, os.R_OK):
            raise Skip("tests/net/witness.so is not built")
        self.path = os.path.join(case.present.directory(), "clock")
        self.ahead = self.gone = 0
        self._write()
        self.before = ["env", f"LD_PRELOAD={WITNESS}", f"MCR_CLOCK={self.path}",
                       f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"]

    def set(self, ahead):
        """Sets the wall clock, ahead of the machine's by so many seconds."""
        self.ahead = ahead
        self._write()

    def leave_out(self, seconds):
        """By all clocks so much time has gone by, in which nothing has happened."""
        self.gone += seconds
        self._write()

    def now(self):
        """What the wall clock shows, in seconds since the epoch."""
        return time.time() + self.ahead + self.gone

    def _write(self):
        """In place: mcrd has mapped the file."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, struct.pack("=2q", int(self.ahead * 1000000000), int(self.gone * 1000000000)))
        os.close(fd)
        os.chmod(self.path, 0o644)
