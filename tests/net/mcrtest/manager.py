# SPDX-License-Identifier: Apache-2.0
"""A service manager: what of systemd matters to a restart of mcrd: sd_notify(3), the descriptor store, sd_listen_fds(3)."""
import array
import contextlib
import fcntl
import os
import resource
import socket
import time

from . import case
from .daemon import Mcrd
from .process import child_of, end_process, start_process
from .result import equal, wait_for
from .system import MCRD

FIRST = 3  # SD_LISTEN_FDS_START
ABOVE = 1000  # where what is stored lies in this process, out of the way of what a start is handed


class Manager:
    """Keeps what it is sent until it is told otherwise. It reads only in listen(): mcrd must never wait for it."""

    def __init__(self, room=512):
        """room: messages that wait, as systemd sets it for the whole system; here it is that of the test's namespace."""
        with open("/proc/sys/net/unix/max_dgram_qlen", "w", encoding="ascii") as f:
            f.write(str(room))
        # It keeps many, and what it starts may have as many: LimitNOFILE of the unit.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.path = os.path.join(case.present.directory(), "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.store = []  # (name, descriptor)
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.clear()

    def clear(self):
        for _, fd in self.store:
            os.close(fd)
        self.store = []

    def put(self, name, fd):
        """Keeps a copy."""
        self.store.append((name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE)))

    def has(self, fd):
        same = os.fstat(fd)
        return any(os.path.samestat(same, os.fstat(x)) for _, x in self.store)

    def listen(self):
        """Reads all that was sent. True, for wait_for()."""
        while True:
            try:
                text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
            except BlockingIOError:
                return True
            fds = array.array("i")
            for _, kind, data in control:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data)
            said = dict(x.split("=", 1) for x in text.decode().splitlines())
            self.messages.append(said)
            if "FDSTORE" in said:
                for fd in fds:
                    if not self.has(fd):  # systemd keeps what it has under its first name
                        self.put(said["FDNAME"], fd)
            elif "FDSTOREREMOVE" in said:
                for name, fd in self.store:
                    if name == said["FDNAME"]:
                        os.close(fd)
                self.store = [x for x in self.store if x[0] != said["FDNAME"]]
            for fd in fds:
                os.close(fd)

    def names(self, kind):
        """Of what is in the store, those of a kind."""
        self.listen()
        return sorted(name for name, _ in self.store if name.startswith(kind + ","))

    def wait_names(self, kind, n):
        return wait_for(lambda: (x := self.names(kind)) and len(x) == n and x or n == 0 and not x, 5,
                        f"{n} of \"{kind}\" in the store: {self.store}")


@contextlib.contextmanager
def _taken(numbers):
    """None of these numbers is free, so that what Popen() opens for itself lies above them."""
    null = os.open(os.devnull, os.O_RDWR)
    taken = []
    for fd in numbers:
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            os.dup2(null, fd, inheritable=False)
            taken.append(fd)
    try:
        yield
    finally:
        for fd in {null, *taken}:
            os.close(fd)


class KeptMcrd(Mcrd):
    """mcrd under a manager."""

    def __init__(self, manager, *args, most=1024, **options):
        """most: descriptors that it is told are kept."""
        super().__init__(*args, **options)
        self.manager, self.most = manager, most

    def launch(self):
        fds = [fd for _, fd in self.manager.store]
        names = ":".join(name for name, _ in self.manager.store)

        def hand_over():
            os.environ["NOTIFY_SOCKET"], os.environ["FDSTORE"] = self.manager.path, str(self.most)
            if fds:
                os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(fds))
                os.environ["LISTEN_FDNAMES"] = names
            for i, fd in enumerate(fds):
                os.dup2(fd, FIRST + i)

        with self.log_to() as log, _taken(range(FIRST, FIRST + len(fds))):
            self.process = start_process(
                [*self.before, MCRD, f"--sandbox={self.sandbox}", *self.args, "--config", self.config.file], self.node,
                before=hand_over, pass_fds=range(FIRST, FIRST + len(fds)), stdout=log, stderr=log)

    def started(self):
        """How many starts the log tells of."""
        return len(self.logged("started"))

    def restart(self, number, status=None, what="relay", pause=0.):
        """Ends the process by a signal, or lets it end for its broker's sake, and starts the next one `pause` seconds
        after both are gone, as systemd does. Returns its line event=continued, if there is one."""
        self.manager.listen()
        n, seen = self.started(), len(self.log_text().splitlines())
        if what == "broker":
            os.kill(self.broker, number)
        else:
            self.signal(number)
        self._wait_end(status)
        time.sleep(pause)
        self.launch()
        wait_for(lambda: self.manager.listen() and self.started() > n, 20, "mcrd's event=started")
        self.find_broker()
        wait_for(self._has_stats, 5, "the statistics")
        self.manager.listen()
        lines = self.logged("continued", seen)
        return lines[-1] if lines else None

    def restart_killed(self, number, before, status):
        """The same with a start in between that ends by itself, with this status; `before` runs it."""
        self.manager.listen()
        self.signal(number)
        self._wait_end(None)
        self.before, kept = before, self.before
        self.launch()
        self.before = kept
        self._wait_end(status)
        n = self.started()
        self.launch()
        wait_for(lambda: self.manager.listen() and self.started() > n, 20, "mcrd's event=started")
        self.find_broker()
        wait_for(self._has_stats, 5, "the statistics")
        self.manager.listen()

    def _wait_end(self, status):
        """Of both processes."""
        ended = end_process(self.process, self.STOPPED_WITHIN)
        if status is not None:
            equal(ended, status, "mcrd's exit status")
        wait_for(lambda: not _runs(self.config.file), 5, "the broker's end")
        self.manager.listen()

    def find_broker(self):
        self.broker = wait_for(lambda: child_of(self.process.pid), 2, "the broker process")


def _runs(argument):
    """Whether some process has this argument; one that has ended has none."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if argument.encode() in f.read().split(b"\0"):
                return True
    return False
