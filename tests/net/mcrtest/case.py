# SPDX-License-Identifier: Apache-2.0
"""The test that runs, and what is left of it."""
import contextlib
import json
import os
import shutil
import sys
import tempfile

from .result import note

present = None  # the test that runs
base = None  # the temporary directory of this test file


def _special(directory, names):
    """What is neither file nor directory, such as a FIFO."""
    paths = {n: os.path.join(directory, n) for n in names}
    return [n for n, p in paths.items() if not (os.path.isfile(p) or os.path.isdir(p))]


class Test:
    def __init__(self, function, title):
        self.function, self.title = function, title
        self.daemons, self.saved, self.n_directories = [], {}, 0

    def directory(self):
        self.n_directories += 1
        path = os.path.join(base, f"{self.function.__name__}-{self.n_directories}")
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
        return path

    def last_stats(self, daemon):
        """Before a daemon is killed in a failed test."""
        with contextlib.suppress(Exception):
            self.saved[daemon] = json.dumps(daemon.stats())

    def keep_artefacts(self):
        """Copies what the test has left to where it outlives the test's directory, and says where."""
        to = os.environ.get("MCR_ARTEFACTS") or tempfile.gettempdir()
        try:
            os.makedirs(to, exist_ok=True)
            to = tempfile.mkdtemp(prefix=f"{os.path.basename(sys.argv[0])[:-3]}-{self.function.__name__}-", dir=to)
        except OSError:  # made by another user
            to = tempfile.mkdtemp(prefix="mcr-failed-")
        for name in sorted(os.listdir(base)):
            if name.rpartition("-")[0] == self.function.__name__:
                with contextlib.suppress(OSError):
                    shutil.copytree(os.path.join(base, name), os.path.join(to, name), symlinks=True, ignore=_special)
        note(f"--- kept: {to}")

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
