# SPDX-License-Identifier: Apache-2.0
"""The run of a test file: TAP on stdout."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from . import case, process, system
from .case import Test
from .daemon import Mcrd
from .process import end_all, run_command, start_process
from .result import Failure, Skip, note, wait_for
from .system import CLONE_NEWNET, KEEP, LONG, MCRD, MCRGEN, MCRSTAT, SANDBOX, SANITIZED, USER, call
from .topology import Net

_tests = []


def test(title, long=False, released=False, alone=False, again=True):
    """A test of this file. CONTRIBUTING.md says which are marked, and why.

    long: only with MCR_LONG=1. released: under a sanitizer only with MCR_LONG=1. alone: judges rates or times that a busy
    machine changes; where tests run side by side (MCR_SIDE_BY_SIDE=1) it is left to test_alone.py.
    again: whether it runs once more with tcpdump when it has failed.
    """
    def add(function):
        _tests.append(Test(function, title))
        _tests[-1].alone = alone
        _tests[-1].again = again
        _tests[-1].adds = not LONG and (long or (released and SANITIZED))
        return function

    return add


def _choose(alone):
    """The tests that are named by the arguments, else those that are to run here, and now."""
    if len(sys.argv) > 1:
        return [t for t in _tests if t.function.__name__ in sys.argv[1:]]
    side_by_side = not alone and os.environ.get("MCR_SIDE_BY_SIDE", "") not in ("", "0")
    mine = [t for t in _tests if t.alone or not alone]
    left = [t for t in mine if t.adds]
    elsewhere = [t for t in mine if t.alone and side_by_side and not t.adds]
    for why, some in (("MCR_LONG=1 (make check-all) adds", left), ("test_alone.py runs", elsewhere)):
        if some:
            note(f"{why} {', '.join(t.function.__name__ for t in some)}")
    return [t for t in mine if t not in left and t not in elsewhere]


def _run_one(t):
    """"ok", "skip: reason" or the failure."""
    case.present = t
    try:
        t.function()
        return True, ""
    except Skip as e:
        return True, f" # SKIP {e}"
    except Failure as e:
        return False, str(e)
    except Exception:
        return False, traceback.format_exc()
    finally:
        end_all()


def _tcpdump_again(t):
    """A failed test once more, only to look at its packets: capturing alters timing, so it is not done at first."""
    if USER == "root":
        note("--- no packets: tcpdump gives up groups, which a user namespace of one user does not permit")
        return
    if not shutil.which("tcpdump"):
        note("--- no packets: tcpdump is not installed")
        return
    captures = []
    again = Test(t.function, t.title)
    again.n_directories = 100
    real_enter = Mcrd.__enter__

    def enter(daemon):
        real_enter(daemon)
        packets = os.path.join(daemon.config.directory, f"{daemon.node.name}.pcap")
        with open(packets + ".log", "w+b") as f:
            p = start_process(["tcpdump", "-Z", "root", "-U", "-c", "2000", "-i", "any", "-w", packets], daemon.node,
                              stdout=f, stderr=subprocess.STDOUT)
            with contextlib.suppress(Failure):
                wait_for(lambda: b"listening on" in os.pread(f.fileno(), 4096, 0) or p.poll() is not None, 5)
        captures.append(packets)
        return daemon

    Mcrd.__enter__ = enter
    try:
        ok, why = _run_one(again)
    finally:
        Mcrd.__enter__ = real_enter
    note(f"--- again, with tcpdump in the relay: {'passed' if ok else why.splitlines()[-1] if why else 'failed'}")
    for packets in captures:
        with contextlib.suppress(Failure):
            _, text, _ = run_command(["tcpdump", "-n", "-e", "-v", "-c", "40", "-r", packets], check_status=False)
            note(text)


def _skip_all(reason):
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(0)


def _enter_namespaces():
    """Into a network namespace of our own, and as an ordinary user into a user namespace first."""
    if os.geteuid() != 0:
        if subprocess.run(["unshare", "-Urn", "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            _skip_all("not root, and user namespaces are not permitted (unshare -Urn)")
        sys.stdout.flush()
        os.execvp("unshare", ["unshare", "-Urn", sys.executable, *sys.argv])
    try:
        call("unshare", CLONE_NEWNET)
    except OSError as e:
        _skip_all(f"network namespaces are not permitted ({e.strerror})")
    system.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def _check_programs():
    for path in (MCRD, MCRSTAT, MCRGEN):
        if not os.access(path, os.X_OK):
            print(f"Bail out! {path} is not there: build it, or set MCRD, MCRSTAT and MCRGEN", flush=True)
            sys.exit(1)
    for name in ("ip", "unshare", "sleep"):
        if not shutil.which(name):
            _skip_all(f"{name} is not installed")


def _try_network():
    """Whether nodes and links can be made here at all."""
    try:
        with Net() as net:
            net.link(net.node("a"), "a0", None, net.node("b"), "b0", None)
            net.a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (Failure, OSError) as e:
        end_all()
        _skip_all(f"nodes and links cannot be made here: {e}")


@contextlib.contextmanager
def session(purpose=None):
    """All that a run needs: namespaces, guardian, temporary directory; gone at its end. purpose: of what is no test."""
    _enter_namespaces()
    _check_programs()
    guardian = process.begin()
    case.base = tempfile.mkdtemp(prefix="mcr-net-")
    case.present = purpose and Test(session, purpose)
    os.chmod(case.base, 0o755)
    guardian.tell("keep" if KEEP else "directory", case.base)
    # A signal ends the test in the ordinary way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        yield
    finally:
        end_all()
        if not KEEP:
            shutil.rmtree(case.base, ignore_errors=True)
        guardian.dismiss()


def main(alone=False):
    """Runs the tests of the calling file, or those whose function names are the arguments. alone: those marked so."""
    with session():
        print("TAP version 13", flush=True)
        _try_network()
        chosen = _choose(alone)
        failed = 0
        if not chosen:
            print("1..0 # SKIP nothing of it runs here", flush=True)
            return
        print(f"1..{len(chosen)}", flush=True)
        note(f"user={USER} sandbox={SANDBOX} kernel={os.uname().release}")
        if KEEP:
            note(f"directory={case.base}")
        for number, t in enumerate(chosen, 1):
            start = time.monotonic()
            ok, text = _run_one(t)
            seconds = time.monotonic() - start
            if ok:
                print(f"ok {number} - {t.title}{text or f' ({seconds:.1f} s)'}", flush=True)
                continue
            failed += 1
            print(f"not ok {number} - {t.title}", flush=True)
            note(text)
            t.print_artefacts()
            if t.again:
                _tcpdump_again(t)
            t.keep_artefacts()
    sys.exit(1 if failed else 0)
