# SPDX-License-Identifier: Apache-2.0
"""Each call fails once: the page that fault.c and noalloc.c read, and which errors a call can give."""
import collections
import errno
import mmap
import os
import re
import struct

import mcrtest as t

BUILT = os.path.join(os.path.dirname(t.MCRD), "../tests/net")
TOOL = os.path.abspath(os.path.join(BUILT, "fault"))
NOALLOC = os.path.abspath(os.path.join(BUILT, "noalloc.so"))
RELAY, BROKER = 0, 1
WHO = ("relay", "broker")
SIZE = 4096
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 23, 24, 47

# The errors of the man pages that the kernel of a host in trouble gives: no memory, no descriptors, no room, no right,
# no device, interrupted. Left out is what only a wrong argument gives (EBADF, EFAULT, EINVAL, ENOTSOCK), but where mcrd
# asks whether the kernel knows something.
MEMORY, DESCRIPTORS = "ENOMEM", "EMFILE ENFILE"
CAN_FAIL = {
    "bind": "EADDRINUSE EADDRNOTAVAIL EACCES ENOMEM",  # ENODEV: as of ioctl
    "brk": MEMORY,
    "capget": "EPERM",
    "capset": "EPERM",
    "chdir": "EACCES ENOMEM ENOENT",
    "chroot": "EPERM ENOMEM",
    "clock_nanosleep": "EINTR",
    "clone": "EAGAIN ENOMEM EPERM",
    "clone3": "EAGAIN ENOMEM EPERM",
    "close": "EINTR",
    "close@file": "EIO EINTR ENOSPC",
    "close_range": "ENOSYS ENOMEM",
    "connect": "EADDRNOTAVAIL ENETUNREACH EACCES EAGAIN ECONNREFUSED ENOENT",
    "dup2": "EMFILE EINTR",
    "epoll_create1": f"{DESCRIPTORS} {MEMORY}",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_pwait": "EINTR",
    "epoll_wait": "EINTR",
    "execve": "ENOMEM EACCES ENOENT EAGAIN",
    "fallocate": "ENOSPC EIO EINTR EOPNOTSUPP",
    "fchdir": "EACCES",
    "fchmod": "EIO EROFS EPERM",
    "fchown": "EIO EROFS EPERM",
    "fchownat": "EIO EROFS EPERM",
    "fcntl": "EMFILE EAGAIN ENOLCK EPERM",
    "flock": "EINTR ENOLCK",
    "fstat": "ENOMEM EIO",
    "fstatfs": "EIO ENOMEM",
    "fsync": "EIO ENOSPC",
    "ftruncate": "EIO ENOSPC EINTR",
    "futex": "EINTR EAGAIN",
    "getcwd": "ENOENT ENOMEM",
    "getdents64": "EIO ENOENT",
    "getrandom": "EAGAIN EINTR",
    "getsockopt": "ENOBUFS ENOPROTOOPT",
    "inotify_add_watch": "ENOSPC ENOMEM EACCES ENOENT",
    "inotify_init1": f"{DESCRIPTORS} {MEMORY}",
    "inotify_rm_watch": "EINVAL",
    "ioctl": "ENOMEM",  # ENODEV is told of an interface that has gone: so it is taken
    "landlock_add_rule": "ENOMEM EPERM",
    "landlock_create_ruleset": "ENOSYS EOPNOTSUPP ENOMEM EMFILE",
    "landlock_restrict_self": "E2BIG EPERM ENOMEM",
    "lseek": "EINVAL ESPIPE",
    "madvise": "ENOMEM EAGAIN",
    "memfd_create": f"{DESCRIPTORS} {MEMORY}",
    "mkdir": "EACCES ENOSPC EROFS EDQUOT",
    "mkdirat": "EACCES ENOSPC EROFS EDQUOT",
    "mmap": "ENOMEM EAGAIN EPERM ENFILE",
    "mount": "EPERM ENOMEM EACCES",
    "mprotect": "ENOMEM EACCES",
    "mremap": "ENOMEM EAGAIN",
    "newfstatat": "ENOMEM EIO EACCES ENOENT",
    "openat": "EACCES EMFILE ENFILE ENOMEM ENOENT EINTR EIO ELOOP",
    "pipe2": DESCRIPTORS,
    "pivot_root": "EPERM EBUSY",
    "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM",
    "prctl": "EPERM EINVAL",
    "pread64": "EINTR EIO",
    "prlimit64": "EPERM EINVAL",
    "pwrite64": "EIO ENOSPC EINTR",
    "read@file": "EINTR EIO",
    "read@other": "EINTR EAGAIN",
    "read@socket": "EINTR EAGAIN ENETDOWN ENOMEM",
    "readlink": "EIO EACCES ENOMEM",
    "readlinkat": "EIO EACCES ENOMEM",
    "recvfrom": "EINTR ENOMEM EAGAIN",
    "recvmsg": "EINTR ENOBUFS ENOMEM EAGAIN",
    "recvmsg@socket:broker": "EINTR ENOBUFS ENOMEM",  # they wait; glibc ends the process for EAGAIN
    "rename": "ENOSPC EIO EACCES EROFS",
    "renameat": "ENOSPC EIO EACCES EROFS",
    "renameat2": "ENOSPC EIO EACCES EROFS",
    "rmdir": "EBUSY EACCES ENOENT",
    "seccomp": "EINVAL ENOMEM EACCES EFAULT",
    "sendmsg": "EAGAIN ENOBUFS ENOMEM EINTR ETOOMANYREFS",
    "sendto": "EAGAIN ENOBUFS ENOMEM EINTR",
    "setgroups": "EPERM ENOMEM",
    "setns": "EPERM ENOMEM",
    "setresgid": "EPERM",
    "setresuid": "EPERM EAGAIN",
    "setsockopt": "ENOMEM ENOBUFS EPERM ENOPROTOOPT ENODEV EADDRINUSE",
    "signalfd4": f"{DESCRIPTORS} {MEMORY}",
    "socket": f"{DESCRIPTORS} ENOBUFS {MEMORY} EACCES EAFNOSUPPORT",
    "socketpair": f"{DESCRIPTORS} {MEMORY}",
    "timerfd_create": f"{DESCRIPTORS} {MEMORY}",
    "umount2": "EPERM EBUSY",
    "unlink": "EIO EROFS EACCES ENOENT",
    "unlinkat": "EIO EROFS EACCES ENOENT",
    "unshare": "EPERM ENOMEM ENOSPC",
    "write@file": "ENOSPC EIO EDQUOT EINTR",
    "write@memfd": "ENOMEM ENOSPC EINTR",
    "write@other": "EAGAIN EINTR EIO",
    "write@pipe": "EAGAIN EINTR EPIPE",
    "write@socket": "ENOBUFS ENOMEM EAGAIN EINTR",
    "write@socket:broker": "ENOBUFS ENOMEM EINTR",  # EAGAIN: the relay has not read for long (test_attack.py)
    "writev": "ENOBUFS EAGAIN ENETDOWN EPERM EMSGSIZE",
}
# munmap(2) fails for a part of a mapping alone.
CANNOT_FAIL = set("""
    alarm arch_prctl clock_gettime exit exit_group getegid geteuid getgid getpid getppid getuid rseq rt_sigaction
    rt_sigprocmask rt_sigreturn setitimer set_robust_list set_tid_address setfsgid setfsuid setsid uname umask getsockname sysinfo
    gettid access faccessat2 restart_syscall tgkill munmap
""".split())
# How often they are made depends on the traffic and on the time; the first ones stand for all.
BY_TRAFFIC = {"epoll_wait", "epoll_pwait", "epoll_ctl", "writev", "clock_nanosleep", "poll", "write", "read", "getsockopt"}
MOST_BY_TRAFFIC = 24

Fault = collections.namedtuple("Fault", "kind who call nth error of", defaults=("",))  # of: kind of descriptor


def describe(f):
    if f.kind == "call":
        return f"{WHO[f.who]}: {f.call} number {f.nth} gives {f.error}"
    return f"{WHO[f.who]}: {'allocation' if f.kind == 'alloc' else 'allocation of a library'} number {f.nth} fails"


class Page:
    """struct fault_page of fault.h."""

    def __init__(self):
        directory = t.case.present.directory()
        self.armed = 0
        self.path, self.log = os.path.join(directory, "page"), os.path.join(directory, "calls")
        with open(self.path, "wb") as f:
            f.truncate(SIZE)
        open(self.log, "w", encoding="ascii").close()
        with open(self.path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), SIZE)

    def command(self, allocations):
        """What runs mcrd."""
        return [TOOL, self.path, self.log, NOALLOC if allocations else ""]

    def _put(self, offset, form, *values):
        struct.pack_into("=" + form, self.memory, offset, *values)

    def _get(self, offset, form):
        return struct.unpack_from("=" + form, self.memory, offset)

    def arm(self, fault=None, log=False):
        """From now on; none: nothing fails. With log, all calls are logged."""
        self._put(4, "4I", 0, 0, 0, int(log))
        self._put(56, "2I", 0, 0)
        self._put(68, "I", 0)
        if fault and fault.kind == "call":
            self._put(24, "32s", fault.call.encode())
            self._put(352, "8s", fault.of.encode())
            self._put(4, "3I", fault.who, fault.nth, getattr(errno, fault.error))
        elif fault:
            self._put(68, "I", int(fault.kind == "library"))
            self._put(56, "2I", fault.who, fault.nth)
        self._put(96, "256s", b"")
        self._put(88, "2I", 0, 0)
        self.epoch, = self._get(0, "I")
        self.epoch += 1
        if fault:
            self.armed = self.epoch
        self._put(0, "I", self.epoch)

    def arm_nothing_more(self):
        """What has not failed by now does not; the epoch goes on."""
        self._put(8, "I", 0)
        self._put(60, "I", 0)

    def count(self, inside):
        """Which allocations are counted."""
        self._put(68, "I", int(inside))

    def hit(self):
        """Whether the fault that was armed last has come."""
        return self.armed in (*self._get(20, "I"), *self._get(64, "I"))

    def living(self):
        return self._get(72, "2q")

    def seen(self):
        return self._get(88, "2I")

    def where(self):
        return self._get(96, "256s")[0].rstrip(b"\0").decode(errors="replace")

    def ended(self, who):
        """Wait status, or None."""
        status = self._get(360 + 4 * who, "i")[0]
        return status - 1 if status > 0 else None

    def began(self, who):
        return self._get(360 + 4 * who, "i")[0] != 0

    def calls(self):
        """[(who, name, nth, kind of descriptor, [argument, ...])] of this epoch."""
        found = []
        with open(self.log, encoding="ascii") as f:
            for line in f:
                epoch, who, name, nth, _, kind, *args = line.split()
                if int(epoch) == self.epoch:
                    found.append((int(who), name, int(nth), kind, [int(x, 16) for x in args]))
        return found


def cannot_trace():
    page = Page()
    return t.run_command([*page.command(False), "true"], check_status=False)[0] != 0


def only_tells(name, args):
    """Of prctl(2), which is called for each capability: what fails for an unknown one alone, and most of the drops. And
    leaving a group, which fails for one that was not joined alone."""
    return name == "setsockopt" and args[1] in (0, 41) and args[2] in (45, 47) or name == "prctl" and (args[0] in (PR_CAPBSET_READ, PR_CAP_AMBIENT) or
                                args[0] == PR_CAPBSET_DROP and args[1] not in (0, 13, 31))


def plan(calls):
    """Every fault of these calls: each once with each error that it can give."""
    faults, unknown = [], set()
    for who, name, nth, kind, args in calls:
        row = next((x for x in (f"{name}@{kind}:{WHO[who]}", f"{name}@{kind}", name) if x in CAN_FAIL), None)
        if name in CANNOT_FAIL or only_tells(name, args) or name in BY_TRAFFIC and nth > MOST_BY_TRAFFIC:
            continue
        if row is None:
            unknown.add(f"{name}@{kind}")
        else:
            faults += [Fault("call", who, name, nth, e, kind if "@" in row else "") for e in CAN_FAIL[row].split()]
    t.equal(sorted(unknown), [], "calls of which faults.py does not know which errors they can give")
    return faults


def plan_allocations(seen, kind):
    return [Fault(kind, who, "", nth, "ENOMEM") for who in (RELAY, BROKER) for nth in range(1, seen[who] + 1)]


def errors(lines):
    """Lines of the log that say that something has failed: events, and errors in the file as --check prints them."""
    return [x for x in lines if re.search(r"level=(error|warning) ", x) or x and not x.startswith("level=")]
