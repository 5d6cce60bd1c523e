# SPDX-License-Identifier: Apache-2.0
"""What the tests run, as whom, and the system calls that Python 3.11 lacks."""
import ctypes
import grp
import os
import pwd
import re
import signal


def _program(variable, name):
    """MCRD and its like, else the built program, wherever below the build directory the test runs."""
    if os.environ.get(variable):
        return os.path.abspath(os.environ[variable])
    places = [os.path.join(os.environ["top_builddir"], "src")] if os.environ.get("top_builddir") else []
    for place in places + ["src", "../../src"]:
        if os.access(os.path.join(place, name), os.X_OK):
            return os.path.abspath(os.path.join(place, name))
    return os.path.abspath(os.path.join("../../src", name))


MCRD = _program("MCRD", "mcrd")
MCRSTAT = _program("MCRSTAT", "mcrstat")
MCRGEN = _program("MCRGEN", "mcrgen")


def _sanitized():
    try:
        with open(MCRD, "rb") as f:
            return b"__asan_init" in f.read()
    except OSError:
        return False


# Such a build is some times slower, and keeps what was freed for a while.
SANITIZED = _sanitized()
SANDBOX = os.environ.get("MCR_SANDBOX", "enforce")
LONG = os.environ.get("MCR_LONG", "") not in ("", "0")  # also what is slow and rarely finds anything (make check-all)
KEEP = os.environ.get("MCR_KEEP", "") not in ("", "0")  # leave the temporary directory in place

# On an emulated machine: whatever waits, waits so many times longer, and what is sent is sent so much slower.
SLOWNESS = float(os.environ.get("MCR_TEST_SLOWNESS") or 1)
KERNEL = tuple(int(x) for x in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
SUPER_FRAMES = KERNEL >= (6, 4)  # mcrd takes them

CAP_NET_RAW = 1 << 13
LANDLOCK_KNOWN = 7  # the newest ABI that mcrd knows
SYS_LANDLOCK_CREATE_RULESET = 444  # on every architecture
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24

_libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def die_with_parent():
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def drop_from_bounding_set(capability):
    """For start_process(before=...): the program cannot have this capability."""
    call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)


def landlock_abi():
    """What this kernel has, 0: none."""
    return max(0, _libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


# The namespace that the test has made for itself; set by run.main().
home = -1


def _may_become_nobody():
    """Not in a user namespace that maps one user alone."""
    try:
        with open("/proc/self/setgroups", encoding="ascii") as f:
            if f.read().strip() == "deny":
                return False
        uid = pwd.getpwnam("nobody").pw_uid
        with open("/proc/self/uid_map", encoding="ascii") as f:
            return any(int(a) <= uid < int(a) + int(n) for a, _, n in (x.split() for x in f))
    except (OSError, KeyError):
        return False


# Whom mcrd becomes.
USER, GROUP = "root", "root"
if _may_become_nobody():
    USER, GROUP = "nobody", grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
