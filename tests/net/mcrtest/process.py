# SPDX-License-Identifier: Apache-2.0
"""Processes: started in a node, and ended with the test, whatever ends that."""
import contextlib
import os
import shutil
import signal
import subprocess

from .result import Failure
from .system import CLONE_NEWNET, SLOWNESS, call, die_with_parent


class Guardian:
    """A process of its own session that ends what the test has started, should the test die.

    It is told of each process and of the temporary directory through a pipe that only the test holds open; the end of
    the pipe is the end of the test, whatever ended it. (PR_SET_PDEATHSIG alone is not enough: a process that changes
    its user, as mcrd does, loses it.) Processes are held by pidfd, so that no other can ever be meant.
    """

    def __init__(self):
        reader, self.pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            try:
                self._watch(reader)
            finally:
                os._exit(0)
        os.close(reader)

    def _watch(self, reader):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        processes, directories = {}, set()
        for line in os.fdopen(reader, "r"):
            what, _, value = line.rstrip("\n").partition(" ")
            if what == "process":
                with contextlib.suppress(OSError):
                    processes[value] = os.pidfd_open(int(value))
            elif what == "ended" and value in processes:
                os.close(processes.pop(value))
            elif what == "directory":
                directories.add(value)
            elif what == "keep":
                directories.discard(value)
        for fd in processes.values():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)

    def tell(self, what, value):
        os.write(self.pipe, f"{what} {value}\n".encode())

    def dismiss(self):
        os.close(self.pipe)
        os.waitpid(self.pid, 0)


_guardian = None
_processes = set()  # Popen objects that are to be ended


def begin():
    """Before anything else."""
    global _guardian
    _guardian = Guardian()
    return _guardian


def start_process(argv, node=None, before=None, **options):
    """subprocess.Popen inside a node. before(), if given, runs in the child before the program."""

    def prepare():
        die_with_parent()
        if node is not None:
            call("setns", node.fd, CLONE_NEWNET)
        if before is not None:
            before()

    # One thread only, and prepare() calls nothing that could wait.
    p = subprocess.Popen(argv, preexec_fn=prepare, **{"stdin": subprocess.DEVNULL, **options})
    _guardian.tell("process", p.pid)
    _processes.add(p)
    return p


def end_process(p, seconds=5):
    """Waits for a process that is about to end; kills it when it does not. Returns its status."""
    try:
        p.wait(seconds * SLOWNESS)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
    if p in _processes:
        _processes.discard(p)
        _guardian.tell("ended", p.pid)
    return p.returncode


def kill_process(p):
    if p.poll() is None:
        p.kill()
    end_process(p)


def run_command(argv, node=None, check_status=True, seconds=20):
    """Runs a short command to its end. Returns (status, stdout, stderr)."""
    p = start_process([str(a) for a in argv], node, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = p.communicate(timeout=seconds * SLOWNESS)
    except subprocess.TimeoutExpired:
        kill_process(p)
        raise Failure(f"{' '.join(map(str, argv))}: not done within {seconds} s") from None
    end_process(p)
    if check_status and p.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit status {p.returncode}: {err.strip() or out.strip()}")
    return p.returncode, out, err


def end_all():
    for p in list(_processes):
        kill_process(p)


def process_status(pid):
    """/proc/PID/status, or None when there is no such process or it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            fields = dict(x.split(":", 1) for x in f.read().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = {k: v.strip() for k, v in fields.items()}
    return None if fields["State"].startswith(("Z", "X")) else fields


# Of x86-64. The C library makes the second of each pair of the first where it knows how.
WAITING = {"poll": ("7", "271"), "epoll": ("232", "281"), "recvmsg": ("47",)}


def waits_in(pid, call):
    """Whether the process is in this one of WAITING."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
        return f.read().split()[0] in WAITING[call]


def child_of(parent):
    for name in os.listdir("/proc"):
        status = process_status(name) if name.isdigit() else None
        if status and status["PPid"] == str(parent):
            return int(name)
    return None
