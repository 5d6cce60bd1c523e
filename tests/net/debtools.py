# SPDX-License-Identifier: Apache-2.0
"""debtools: programs of Debian packages, without installing them: no service of theirs starts on this machine."""
import fcntl
import os
import shutil
import subprocess
import sys

DIRECTORY = os.path.abspath("tests/tools")  # below the build directory
SECONDS = 120


def _fetch(package, where):
    """The package's files, below `where`. Whether that worked."""
    def run(*argv):
        return subprocess.run(argv, cwd=DIRECTORY, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS, check=False).returncode == 0

    try:
        if not run("apt-get", "-q", "download", package) and not (
                os.geteuid() == 0 and run("apt-get", "-q", "update") and run("apt-get", "-q", "download", package)):
            return False
        deb = [f for f in os.listdir(DIRECTORY) if f.startswith(package + "_") and f.endswith(".deb")]
        done = bool(deb) and run("dpkg-deb", "-x", deb[0], where + ".new")
        for f in deb:
            os.unlink(os.path.join(DIRECTORY, f))
        if done:
            os.rename(where + ".new", where)
        return done
    except (OSError, subprocess.TimeoutExpired) as e:
        print(f"# {package}: {e}", file=sys.stderr)
        return False


def program(name, package):
    """The path of a program, from PATH or from its Debian package; None where neither can be had. Needs the network,
    so call it before mcrtest.main()."""
    found = shutil.which(name)
    if found:
        return found
    where = os.path.join(DIRECTORY, package)
    os.makedirs(DIRECTORY, exist_ok=True)
    with open(os.path.join(DIRECTORY, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(where) and not (shutil.which("apt-get") and _fetch(package, where)):
            return None
    path = os.path.join(where, "usr/bin", name)
    return path if os.access(path, os.X_OK) else None
