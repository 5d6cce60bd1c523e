# SPDX-License-Identifier: Apache-2.0
"""The test that runs, and what is left of it."""
import contextlib
import json
import os

from .result import note

present = None  # the test that runs
base = None  # the temporary directory of this test file


class Test:
    def __init__(self, function, title):
        self.function, self.title = function, title
        self.daemons, self.saved, self.n_directories = [], {}, 0
        self.tcpdump = None

    def directory(self):
        self.n_directories += 1
        path = os.path.join(base, f"{self.function.__name__}-{self.n_directories}")
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
        if self.tcpdump is not None:
            self.tcpdump.append(path)
        return path

    def last_stats(self, daemon):
        """Before a daemon is killed in a failed test."""
        with contextlib.suppress(Exception):
            self.saved[daemon] = json.dumps(daemon.stats())

    def print_artefacts(self):
        for d in self.daemons[-1:]:
            with contextlib.suppress(OSError):
                with open(d.config.file, encoding="utf-8") as f:
                    note("--- mcr.conf\n" + f.read())
            with contextlib.suppress(OSError):
                lines = d.log_text().splitlines()
                note("--- mcrd.log\n" + "\n".join(lines[-60:]))
            if d in self.saved:
                note("--- mcrstat --json\n" + self.saved[d])
