#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proof by attack: the live relay and the live broker are made to try what they must not (inject.c).

Each attack is also made with --sandbox=off, where it must get through to the kernel, and where it needs no right,
succeed: so that what is refused is refused by the sandbox, and not because the attack is wrong.
"""
import contextlib
import errno
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]
INGRESS_FD = 16384  # SANDBOX_INGRESS_FD
INJECT = os.environ.get("INJECT", os.path.join(os.path.dirname(t.MCRD), "../tests/net/inject"))

PROT_READ, PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 4, 1, 2, 0x10, 0x20
SOCK_PACKET, ETH_P_ALL = 10, socket.htons(3)
AT_FDCWD = -100
ENOSYS = -errno.ENOSYS
KILLED = "killed SIGSYS"


# --- injection -------------------------------------------------------------------------------------------------------


def inject_all(pid, calls, memory=b"", pointers=(), read=0):
    """What the process gets for each of the calls, and then `read` bytes of the memory: see inject()."""
    if not os.access(INJECT, os.X_OK):
        raise t.Skip("tests/net/inject is not built")
    argv = [INJECT, "--memory", memory.hex(), *(f"--pointer={at}={to}" for at, to in pointers), f"--read={read}", "--", pid]
    for i, call in enumerate(calls):
        argv += [","] * (i > 0) + list(call)
    # Not start_process(): whoever traces must not be ended half way.
    p = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False)
    if p.returncode == 77 or "PTRACE_SEIZE: Operation not permitted" in p.stderr:
        raise t.Skip(p.stderr.strip())
    t.check(p.returncode == 0 and p.stdout, f"{argv}: {p.stderr}")
    lines = p.stdout.splitlines()
    left = bytes.fromhex(lines.pop().split()[1]) if lines[-1].startswith("memory ") else b""
    return [int(x.split()[1]) if x.startswith("result ") else x for x in lines], left


def inject(pid, call, *arguments, memory=b"", pointers=()):
    """What the process gets for the call: a number, or "killed SIGSYS", "forked", "executed"."""
    return inject_all(pid, [(call, *arguments)], memory, pointers)[0][0]


def unsigned(number):
    return number & (1 << 64) - 1


def text(value):
    return value.encode() + b"\0"


class Sockets:
    """The descriptors of a process of mcrd, by what they are."""

    def __init__(self, d, pid):
        inodes = {}
        for name in os.listdir(f"/proc/{pid}/fd"):
            kind, _, inode = os.readlink(f"/proc/{pid}/fd/{name}").partition(":")
            if kind == "socket":
                inodes[inode.strip("[]")] = int(name)

        def find(table, column, wanted=lambda words: True):
            words = (line.split() for line in d.node.read_proc(table).splitlines()[1:])
            return [inodes[w[column]] for w in words if w[column] in inodes and wanted(w)]

        # Every packet socket, and the index of the interface that it is bound to; 0: none.
        self.packet = {inodes[w[8]]: int(w[4]) for w in (x.split() for x in d.node.read_proc("packet").splitlines()[1:])
                       if w[8] in inodes}
        self.ring = next(iter(find("packet", 8, lambda w: w[3] == "0003")), None)
        self.egress = next(iter(find("packet", 8, lambda w: w[3] == "0000" and w[4] != "0")), None)
        self.netlink = next(iter(find("netlink", 9, lambda w: w[1] == "0")), None)
        # Outputs that are no frames, by family; raw ones have their protocol in the place of a port.
        self.outputs = {(table, kind): fd for table in ("raw", "raw6", "udp", "udp6")
                        for kind, port in (("ip", 255), ("udp", 17), ("socket", OUT_PORT))
                        for fd in find(table, 9, lambda w, p=port: w[1].endswith(f":{p:04X}") and w[3] == "01")}
        # SOCK_SEQPACKET is 5.
        self.handover = next(iter(find("unix", 6, lambda w: w[4] == "0005")), None)


class Attack:
    """One call; arguments that are functions get the attacked."""

    def __init__(self, call, *arguments, memory=b"", pointers=(), works=False, name=None):
        self.call, self.arguments, self.memory, self.pointers = call, arguments, memory, pointers
        self.works = works  # with no sandbox, without any right
        self.name = name or call

    def make(self, victim):
        values = [a(victim) if callable(a) else a for a in self.arguments]
        memory = self.memory(victim) if callable(self.memory) else self.memory
        values = [unsigned(v) if isinstance(v, int) else v for v in values]
        return inject(victim.pid, self.call, *values, memory=memory, pointers=self.pointers)


class Victim:
    def __init__(self, d, who):
        self.d, self.who = d, who
        self.pid = d.process.pid if who == "relay" else d.broker
        self.other = d.broker if who == "relay" else d.process.pid
        self.sockets = Sockets(d, self.pid)

    def mapping(self, name):
        """Where a file of this name is mapped, and its size."""
        with open(f"/proc/{self.pid}/maps", encoding="ascii") as f:
            for line in f:
                if name in line:
                    start, end = (int(x, 16) for x in line.split()[0].split("-"))
                    return start, end - start
        raise t.Failure(f"{name} is not mapped")


def needs_sandbox():
    if t.SANDBOX != "enforce":
        raise t.Skip(f"MCR_SANDBOX is {t.SANDBOX}")


def forwards(net, payload=b"still alive"):
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, payload))
    capture.wait_payload(payload)


def killed_relay(d):
    """Ends with it, as it must."""
    t.equal(t.end_process(d.process, 10), -signal.SIGSYS, "the relay's end")
    t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
    d.stop = lambda: None


def survives_broker(net, d):
    """The broker has ended: forwarding goes on, a reload answers why not, and the state is visible."""
    t.wait_for(lambda: t.process_status(d.broker) is None and d.logged("broker"), 5, "the broker's end is noticed")
    forwards(net)
    t.check("result=refused" in (answer := d.reload()) and "broker" in answer, answer)
    t.equal(d.stats()["broker"], "gone", "broker")
    forwards(net, b"and again")
    d.broker_expected = False


# --- attacks ---------------------------------------------------------------------------------------------------------

PASSWD = text("/etc/passwd")
LOCAL = struct.pack("=H2s4s8x", socket.AF_INET, struct.pack("!H", 9), socket.inet_aton("127.0.0.1"))


def frame_back(_):
    """A frame behind a virtio_net_hdr, and at 4096 the address of in0, a source's interface."""
    frame = bytes(10) + t.datagram("239.255.9.9", 9999, b"the way back")
    return frame


def to_in0(victim):
    return struct.pack("=H2siHBB8s", socket.AF_PACKET, b"\x08\x00", index_of(victim.d.node, "in0"), 0, 0, 6,
                       t.group_mac("239.255.9.9") + b"\0\0")


def with_address(victim):
    return frame_back(victim).ljust(4096, b"\0") + to_in0(victim)


def message(victim):
    """struct msghdr with that address at 4096, struct iovec at 64, the frame at 128."""
    frame = frame_back(victim)
    header = struct.pack("=QI4xQQQQi4x", 0, 20, 0, 1, 0, 0, 0)
    memory = header.ljust(64, b"\0") + struct.pack("=QQ", 0, len(frame)).ljust(64, b"\0") + frame
    return memory.ljust(4096, b"\0") + to_in0(victim)


def vector(victim):
    frame = frame_back(victim)
    return struct.pack("=QQ", 0, len(frame)).ljust(128, b"\0") + frame


FRAME_BYTES = len(frame_back(None))

SEND_TO = Attack("sendto", lambda v: v.sockets.egress, "@0", FRAME_BYTES, 0, "@4096", 20, memory=with_address,
                 works=True, name="sendto with an address")
SEND_MESSAGE = Attack("sendmsg", lambda v: v.sockets.egress, "@0", 0, memory=message,
                      pointers=((0, 4096), (16, 64), (64, 128)), works=True, name="sendmsg with an address")
WRITE_BACK = Attack("write", lambda v: v.sockets.ring, "@0", FRAME_BYTES, memory=frame_back, works=True,
                    name="write on an ingress socket")
WRITEV_BACK = Attack("writev", lambda v: v.sockets.ring, "@0", 1, memory=vector, pointers=((0, 128),), works=True,
                     name="writev on an ingress socket")

# RTM_GETLINK with NLM_F_REQUEST | NLM_F_DUMP, and struct ifinfomsg.
GET_LINKS = struct.pack("=IHHII16x", 32, 18, 0x301, 1, 0)

# Whatever process it is in.
KILLS_BOTH = [
    Attack("execve", "@0", 0, 0, memory=text("/bin/true"), works=True),
    Attack("execveat", AT_FDCWD, "@0", 0, 0, 0, memory=text("/bin/true"), works=True),
    Attack("fork", works=True),
    Attack("vfork", works=True),
    Attack("clone", signal.SIGCHLD, 0, 0, 0, 0, works=True),
    Attack("clone3", "@0", 88, memory=bytes(32) + struct.pack("=Q", signal.SIGCHLD), works=True),
    Attack("mprotect", lambda v: v.mapping("[stack]")[0], 4096, PROT_READ | PROT_WRITE | PROT_EXEC, works=True,
           name="mprotect to PROT_EXEC"),
    Attack("ptrace", 16, lambda v: v.other, 0, 0, name="ptrace of the other process"),
    Attack("process_vm_readv", lambda v: v.other, "@0", 1, "@16", 1, 0, memory=struct.pack("=QQQQ", 0, 8, 0, 8),
           pointers=((0, 64), (16, 64))),
    Attack("process_vm_writev", lambda v: v.other, "@0", 1, "@16", 1, 0, memory=struct.pack("=QQQQ", 0, 8, 0, 8),
           pointers=((0, 64), (16, 64))),
    Attack("kill", lambda v: v.pid, 0, works=True),
    Attack("tkill", lambda v: v.pid, 0, works=True),
    Attack("pidfd_open", lambda v: v.pid, 0, works=True),
    Attack("pidfd_getfd", 0, 0, 0),
    Attack("prlimit64", 0, 7, 0, "@0", works=True),
    Attack("setuid", 0),
    Attack("setgroups", 0, 0),
    Attack("capset", "@0", "@64", memory=struct.pack("=II", 0x20080522, 0), works=True),
    Attack("setns", 0, 0),
    Attack("unshare", 0x40000000, name="unshare the network"),
    Attack("chroot", "@0", memory=text("/")),
    Attack("mount", "@0", "@0", "@0", 0, 0, memory=text("/tmp")),
    Attack("personality", 0xffffffff, works=True),
    Attack("bpf", 0, "@0", 64),
    Attack("perf_event_open", "@0", 0, -1, -1, 0),
    Attack("io_uring_setup", 1, "@0"),
    Attack("userfaultfd", 0),
    Attack("keyctl", 0, 0xfffffffd, 0),
    Attack("listen", lambda v: v.sockets.handover, 1),
    Attack("accept", lambda v: v.sockets.handover, 0, 0),
]

KILLS_RELAY = KILLS_BOTH + [
    Attack("open", "@0", os.O_RDONLY, memory=PASSWD, works=True),
    Attack("openat", AT_FDCWD, "@0", os.O_RDONLY, memory=PASSWD, works=True),
    Attack("openat2", AT_FDCWD, "@0", "@64", 24, memory=PASSWD, works=True),
    Attack("creat", "@0", 0o600, memory=text("/tmp/mcr-attack")),
    Attack("socket", socket.AF_INET, socket.SOCK_DGRAM, 0, works=True, name="socket of UDP"),
    Attack("socket", socket.AF_INET, socket.SOCK_STREAM, 0, works=True, name="socket of TCP"),
    Attack("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0, works=True, name="socket of AF_UNIX"),
    Attack("socket", socket.AF_PACKET, socket.SOCK_RAW, 0, name="packet socket"),
    Attack("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, "@0", works=True),
    Attack("bind", lambda v: v.sockets.egress, "@0", 20, memory=to_in0, works=True,
           name="bind of an output to the source's interface"),
    Attack("connect", lambda v: v.sockets.handover, "@0", 16, memory=LOCAL),
    SEND_TO, SEND_MESSAGE,
    Attack("sendmmsg", lambda v: v.sockets.egress, "@0", 0, 0, works=True),
    Attack("pwritev", lambda v: v.sockets.egress, "@0", 0, 0, 0),
    Attack("pwrite64", 2, "@0", 0, 0, works=True),
    Attack("sendfile", lambda v: v.sockets.egress, 0, 0, 0),
    Attack("splice", 0, 0, 1, 0, 0, 0),
    Attack("vmsplice", 1, 0, 0, 0),
    WRITE_BACK, WRITEV_BACK,
    Attack("writev", lambda v: (1 << 32) + INGRESS_FD, "@0", 1, name="writev on a descriptor beyond 32 bits"),
    Attack("write", lambda v: v.sockets.netlink, "@0", 32, memory=GET_LINKS, works=True, name="a question to rtnetlink"),
    Attack("dup", lambda v: v.sockets.ring, works=True, name="dup of an ingress socket"),
    Attack("dup2", lambda v: v.sockets.ring, 100, works=True, name="dup2 of an ingress socket"),
    Attack("dup3", lambda v: v.sockets.ring, 100, 0, works=True, name="dup3 of an ingress socket"),
    Attack("memfd_create", "@0", 0, memory=text("x"), works=True),
    Attack("rename", "@0", "@64", memory=text("/tmp/a").ljust(64, b"\0") + text("/tmp/b")),
    Attack("unlink", "@0", memory=lambda v: text(v.d.config.stats_file), works=True, name="unlink of the statistics"),
    Attack("truncate", "@0", 0, memory=lambda v: text(v.d.config.log)),
    Attack("ftruncate", 0, 0),
    Attack("fallocate", 0, 0, 0, 4096),
    Attack("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, works=True,
           name="mmap with PROT_EXEC"),
    Attack("mprotect", lambda v: v.mapping("mcr-table")[0], 4096, PROT_READ | PROT_WRITE,
           name="mprotect of the table to PROT_WRITE"),
]

# SOL_PACKET 263: PACKET_RX_RING 5, PACKET_FANOUT 18. SOL_SOCKET 1: SO_ATTACH_FILTER 26, SO_DETACH_FILTER 27, SO_MARK 36.
REFUSED_RELAY = [
    Attack("fcntl", lambda v: v.sockets.ring, 0, 0, works=True, name="F_DUPFD of an ingress socket to a low number"),
    Attack("fcntl", lambda v: v.sockets.ring, 1030, 0, works=True, name="F_DUPFD_CLOEXEC to a low number"),
    Attack("fcntl", lambda v: v.sockets.ring, 1030, INGRESS_FD - 1, works=True, name="F_DUPFD_CLOEXEC one too low"),
    Attack("fcntl", lambda v: v.sockets.handover, 6, "@0", memory=bytes(32), works=True, name="F_SETLK, kernel memory"),
    Attack("fcntl", lambda v: v.sockets.ring, 4, 0, works=True, name="F_SETFL"),
    Attack("fcntl", lambda v: v.sockets.ring, 8, lambda v: v.pid, works=True, name="F_SETOWN"),
    Attack("setsockopt", lambda v: v.sockets.ring, 1, 27, "@0", 4, works=True, name="SO_DETACH_FILTER"),
    Attack("setsockopt", lambda v: v.sockets.ring, 1, 8, "@0", 4, works=True, name="SO_RCVBUF"),
    Attack("setsockopt", lambda v: v.sockets.ring, 263, 18, "@0", 4, name="PACKET_FANOUT"),
    Attack("setsockopt", lambda v: v.sockets.ring, 263, 5, "@0", 16, name="PACKET_RX_RING"),
    Attack("setsockopt", lambda v: v.sockets.egress, 1, 25, "@0", 4, memory=b"in0\0", name="SO_BINDTODEVICE"),
    Attack("setsockopt", lambda v: v.sockets.egress, 1, 36, "@0", 4, name="SO_MARK"),
    Attack("getsockopt", lambda v: v.sockets.handover, 1, 17, "@0", "@64", memory=bytes(64) + b"\x0c",
           works=True, name="SO_PEERCRED"),
    Attack("ioctl", lambda v: v.sockets.egress, 0x8933, "@0", memory=b"in0\0", works=True, name="SIOCGIFINDEX"),
    Attack("ioctl", lambda v: v.sockets.egress, 0x8914, "@0", memory=b"in0\0", name="SIOCSIFFLAGS"),
    Attack("ioctl", 0, 0x5412, "@0", name="TIOCSTI"),
    Attack("lseek", 2, 0, os.SEEK_SET, works=True, name="lseek to the log's first record"),
    Attack("lseek", 2, 0, os.SEEK_CUR, works=True, name="lseek by SEEK_CUR"),
    Attack("lseek", 2, 1 << 32, os.SEEK_END, works=True, name="lseek beyond the end, by more than 32 bits"),
    Attack("mmap", 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, works=True, name="mmap of memory that cannot be written"),
    Attack("mmap", 1 << 32, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, works=True,
           name="mmap with MAP_FIXED"),
    Attack("mremap", lambda v: v.mapping("[stack]")[0], 4096, 4096, 0, works=True, name="mremap in its place"),
    Attack("epoll_create1", 0, works=True, name="epoll_create1 without EPOLL_CLOEXEC"),
    Attack("prctl", 4, 1, 0, 0, 0, works=True, name="PR_SET_DUMPABLE"),
    Attack("prctl", 22, 2, "@0", 0, 0, name="PR_SET_SECCOMP"),
    Attack("seccomp", 1, 0, "@0"),
    Attack("inotify_add_watch", 0, "@0", 2, memory=text("/")),
    Attack("shmget", 0, 4096, 0o1600, works=False),
    Attack("mq_open", "@0", 0o100, 0o600, 0, memory=text("mcr-attack")),
    Attack("mkdir", "@0", 0o700, memory=text("/proc/x")),
    Attack("symlink", "@0", "@64", memory=text("/etc").ljust(64, b"\0") + text("/proc/x")),
    Attack("link", "@0", "@64", memory=PASSWD.ljust(64, b"\0") + text("/proc/x")),
    Attack("chmod", "@0", 0o777, memory=text("/proc")),
    Attack("fstat", 2, "@0", works=True),
    Attack("getpid", works=True),
]


@t.test("the relay is killed for what only an attacker would ask for")
def relay_is_killed():
    needs_sandbox()
    with t.line() as net:
        for attack in KILLS_RELAY:
            with t.Mcrd(net.relay, RULE) as d:
                t.equal(attack.make(Victim(d, "relay")), KILLED, f"the relay, {attack.name}")
                killed_relay(d)
        t.note(f"{len(KILLS_RELAY)} attacks")


@t.test("the relay gets ENOSYS for everything else, and forwards on")
def relay_is_refused():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        victim = Victim(d, "relay")
        for attack in REFUSED_RELAY:
            t.equal(attack.make(victim), ENOSYS, f"the relay, {attack.name}")
        # A question of the C library, and what is allowed: the injection works.
        t.equal(inject(victim.pid, "sysinfo", "@0"), -errno.EPERM, "sysinfo")
        t.equal(inject(victim.pid, "close", 1000), -errno.EBADF, "close")
        moved = inject(victim.pid, "fcntl", victim.sockets.ring, 1030, INGRESS_FD)
        t.check(moved > INGRESS_FD, f"F_DUPFD_CLOEXEC as the relay does it: {moved}")
        t.equal(inject(victim.pid, "close", moved), 0, "close")
        forwards(net)
        d.account({"r": 1})


def gets_through(result, attack, who):
    t.check(result not in (KILLED, ENOSYS), f"{who} without a sandbox, {attack.name}: {result}")
    if attack.works:
        t.check(not isinstance(result, int) or result >= 0, f"{who} without a sandbox, {attack.name}: {result}")


def make_all(net, attacks, who):
    """In one daemon, until one ends it."""
    left = list(attacks)
    while left:
        with t.Mcrd(net.relay, RULE, sandbox="off") as d:
            while left and d.process.poll() is None and t.process_status(d.broker):
                attack = left.pop(0)
                gets_through(attack.make(Victim(d, who)), attack, f"the {who}")
                # What it has left behind may be anything.
                if attack.works:
                    break
            t.kill_process(d.process)
            t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
            d.stop = lambda: None


def not_sanitized():
    """These test the attacks, not the program, and take half a minute each under a sanitizer."""
    if t.SANITIZED:
        raise t.Skip("the attacks are tried with the other build")


@t.test("the same attacks on a relay without a sandbox get through", long=True)
def relay_without():
    not_sanitized()
    with t.line() as net:
        make_all(net, KILLS_RELAY + REFUSED_RELAY, "relay")


@t.test("the way back: nothing reaches the source's side; without a sandbox it does")
def way_back():
    attacks = (SEND_TO, SEND_MESSAGE, WRITE_BACK, WRITEV_BACK)
    with t.line() as net:
        for mode in ("enforce", "off"):
            if mode == "enforce" and t.SANDBOX != "enforce":
                continue
            for attack in attacks:
                with t.Mcrd(net.relay, RULE, sandbox=mode) as d:
                    back = t.Capture(net.src, "s0")
                    result = attack.make(Victim(d, "relay"))
                    if mode == "off":
                        t.equal(result, FRAME_BYTES, attack.name)
                        back.wait_payload(b"the way back")
                        continue
                    t.equal(result, KILLED, attack.name)
                    killed_relay(d)
                    # A fence: what comes now would have come after it.
                    t.RawSender(net.relay, "in0").send(t.datagram("239.255.9.9", 9999, b"fence"))
                    back.wait_payload(b"fence")
                    t.equal([f for f in back.udp() if f.payload == b"the way back"], [], "frames at the source's side")


@t.test("what the log has stays, even if standard error does not append; without a sandbox it is replaced")
def log_stays():
    with t.line() as net:
        for mode in ("enforce", "off"):
            if mode == "enforce" and t.SANDBOX != "enforce":
                continue
            config = t.Config(RULE)
            before = ["/bin/sh", "-c", f'exec "$@" 2>{config.log}', "starter"]
            with t.Mcrd(net.relay, config, sandbox=mode, before=before) as d:
                pid, forged, kept = d.process.pid, b"level=notice forged", d.log_text()
                result = inject(pid, "lseek", 2, 0, os.SEEK_SET)
                t.equal(inject(pid, "write", 2, "@0", len(forged), memory=forged), len(forged), "write")
                t.equal(result, ENOSYS if mode == "enforce" else 0, "lseek")
                t.equal(d.log_text().startswith(kept), mode == "enforce", "the first records are still there")


@t.test("the table is sealed: not even root can write it")
def table_is_sealed():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        start, size = Victim(d, "relay").mapping("mcr-table")
        try:
            fd = os.open(f"/proc/{d.process.pid}/map_files/{start:x}-{start + size:x}", os.O_RDWR)
        except PermissionError:
            raise t.Skip("map_files needs the root of the machine") from None
        with contextlib.closing(os.fdopen(fd, "r+b", buffering=0)) as f:
            t.check(f.read(8) != b"", "it can be read")
            for name, write in (("pwrite", lambda: os.pwrite(fd, b"changed", 0)), ("ftruncate", lambda: f.truncate(0)),
                                ("mmap", lambda: mmap.mmap(fd, 0, mmap.MAP_SHARED))):
                try:
                    write()
                    raise t.Failure(f"{name} of the table")
                except PermissionError:
                    pass
        forwards(net)


@t.test("the relay's network and root are empty, where it was started with the right to leave them")
def isolation():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        pid = d.process.pid

        def network(of):
            return os.readlink(f"/proc/{of}/ns/net")

        t.check(network(pid) != network(d.broker) == network(net.relay.holder.pid), "network namespaces")
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as f:
            t.equal([line.split(":")[0].strip() for line in f.readlines()[2:] if "lo:" not in line], [], "interfaces")
        t.check(os.readlink(f"/proc/{pid}/root").endswith("(deleted)"), os.readlink(f"/proc/{pid}/root"))
        t.equal(os.listdir(f"/proc/{pid}/root/"), [], "files in its root")
        forwards(net)


HOST, HOST6, IN6 = "198.18.2.1", "2001:db8:2::2", "ff15::4d:1"


@t.test("what a relay that was taken over can send by a raw IP output, a raw UDP one and a socket")
def forge():
    needs_sandbox()
    rules = [t.rule(f"r{i}", group, PORT, [t.to_host(host, 6001, source="preserve"),
                                           t.to_host(host, 6002, source_port="preserve"), t.to_host(host, OUT_PORT)])
             for i, (group, host) in enumerate(((IN, HOST), (IN6, HOST6)))]
    # A TCP segment between two others, and UDP from a port to a port that no rule has.
    segment, datagram = b"forged segment".ljust(20), t.udp("0.0.0.0", "0.0.0.0", b"forged", 7777, source_port=7776)
    forged = {"": t.ipv4("198.19.7.7", "198.19.9.9", segment, protocol=6),
              "6": t.ipv6("2001:db8:7::7", "2001:db8:9::9", segment, following=6)}
    own = {"": ("198.18.2.2", HOST), "6": ("2001:db8:2::1", HOST6)}
    others = {"": ("198.19.7.7", "198.19.9.9"), "6": ("2001:db8:7::7", "2001:db8:9::9")}

    def seen(capture, what):
        """Source, destination and protocol of the packets with these bytes, and whether they went to d0."""
        for f in capture.poll():
            ip = f.data[14:]
            if not f.outgoing and what in f.data and f.kind in (0x0800, 0x86dd):
                at, size, family, proto = (12, 4, socket.AF_INET, 9) if f.kind == 0x0800 else (8, 16, socket.AF_INET6, 6)
                ends = (socket.inet_ntop(family, ip[i:i + size]) for i in (at, at + size))
                yield (*ends, ip[proto], f.to == d0)

    with t.line6() as net, t.Mcrd(net.relay, rules) as d:
        victim, d0 = Victim(d, "relay"), t.mac(net, "dst", "d0")

        def write(kind, family, memory):
            capture = t.Capture(net.dst, "d0")
            fd = victim.sockets.outputs[("udp" if kind == "socket" else "raw") + family, kind]
            n = inject(victim.pid, "write", fd, "@0", len(memory), memory=memory)
            if n == -errno.ECONNREFUSED:  # the ICMP error of the one before
                n = inject(victim.pid, "write", fd, "@0", len(memory), memory=memory)
            t.equal(n, len(memory), f"write by {kind}{family}")
            return list(t.wait_for(lambda: list(seen(capture, b"forged")), 5, f"what left by {kind}{family}"))

        for family, packet in forged.items():
            # Raw IP: any header, to the next hop of the output's address alone.
            t.equal(write("ip", family, packet), [(*others[family], 6, True)], "raw IP")
            # Raw UDP: the same bytes, or a datagram of other ports, behind the kernel's own IP header.
            t.equal(write("udp", family, packet), [(*own[family], 17, True)], "raw UDP, a packet")
            t.equal(write("udp", family, datagram), [(*own[family], 17, True)], "raw UDP, a datagram")
            # A socket: payload.
            t.equal(write("socket", family, packet), [(*own[family], 17, True)], "socket")


# --- the broker ------------------------------------------------------------------------------------------------------

REFUSED_BROKER = [
    Attack("open", "@0", os.O_RDONLY, memory=PASSWD, works=True),
    Attack("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, works=True,
           name="mmap with PROT_EXEC"),
    Attack("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0, works=True, name="socket of AF_UNIX"),
    Attack("socket", socket.AF_INET, socket.SOCK_STREAM, 0, works=True, name="socket of TCP"),
    Attack("socket", socket.AF_INET6, socket.SOCK_STREAM, 0, works=True, name="socket of TCP over IPv6"),
    Attack("socket", socket.AF_INET, socket.SOCK_RAW, 1, works=True, name="raw socket that receives ICMP"),
    Attack("socket", socket.AF_INET, SOCK_PACKET, ETH_P_ALL, works=True, name="packet socket by SOCK_PACKET"),
    Attack("socket", socket.AF_INET, SOCK_PACKET, socket.IPPROTO_UDP, works=True, name="SOCK_PACKET as if it were UDP"),
    Attack("socket", socket.AF_INET, SOCK_PACKET, socket.IPPROTO_RAW, works=True, name="SOCK_PACKET as if it were raw"),
    Attack("socket", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, name="socket of ping"),
    Attack("socket", socket.AF_INET, socket.SOCK_DGRAM, 136, name="socket of UDP-Lite"),
    Attack("socket", socket.AF_PACKET, socket.SOCK_DGRAM, 0, works=True, name="cooked packet socket"),
    Attack("socket", socket.AF_NETLINK, socket.SOCK_DGRAM, 0, works=True, name="netlink of another type"),
    Attack("memfd_create", "@0", 4, memory=text("x"), name="memfd_create of huge pages"),
    Attack("fallocate", 2, 3, 0, 1, works=True, name="fallocate that makes a hole"),
    Attack("fchmod", 2, 0o4755, name="fchmod to set-user-ID"),
    Attack("socket", socket.AF_PACKET, socket.SOCK_RAW, 0x0300, works=True, name="packet socket that receives at once"),
    Attack("socket", socket.AF_NETLINK, socket.SOCK_RAW, 9, name="netlink of another kind"),
    Attack("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, "@0", works=True),
    Attack("sendto", lambda v: v.sockets.handover, "@0", 1, 0, "@64", 16, memory=bytes(64) + LOCAL,
           name="sendto an Internet address"),
    Attack("setsockopt", lambda v: v.sockets.ring, 1, 27, "@0", 4, works=True, name="SO_DETACH_FILTER"),
    Attack("setsockopt", lambda v: v.sockets.egress, 1, 36, "@0", 4, name="SO_MARK"),
    Attack("fcntl", lambda v: v.sockets.ring, 0, 0, works=True, name="F_DUPFD"),
    Attack("dup", 0, works=True),
    Attack("ioctl", lambda v: v.sockets.egress, 0x8914, "@0", memory=b"in0\0", name="SIOCSIFFLAGS"),
    Attack("mkdir", "@0", 0o700, memory=text("/proc/x")),
    Attack("symlink", "@0", "@64", memory=text("/etc").ljust(64, b"\0") + text("/proc/x")),
    Attack("chmod", "@0", 0o777, memory=text("/proc")),
    Attack("prctl", 4, 1, 0, 0, 0, works=True, name="PR_SET_DUMPABLE"),
]

O_WRITE = os.O_WRONLY | os.O_CREAT


def file_attacks(d):
    """What Landlock refuses: name, call, arguments, memory."""
    beside = os.path.join(d.config.directory, "beside")
    relay = f"/proc/{d.process.pid}"
    return [
        ("a file of the system", "openat", (AT_FDCWD, "@0", os.O_RDONLY), PASSWD),
        ("the root directory", "openat", (AT_FDCWD, "@0", os.O_RDONLY | os.O_DIRECTORY), text("/")),
        ("listing the config directory", "openat", (AT_FDCWD, "@0", os.O_RDONLY | os.O_DIRECTORY),
         text(d.config.directory)),
        ("writing into the config directory", "openat", (AT_FDCWD, "@0", O_WRITE, 0o600), text(beside)),
        ("the config file for writing", "openat", (AT_FDCWD, "@0", os.O_WRONLY), text(d.config.file)),
        ("the relay's memory", "openat", (AT_FDCWD, "@0", os.O_RDONLY), text(relay + "/mem")),
        ("the relay's environment", "openat", (AT_FDCWD, "@0", os.O_RDONLY), text(relay + "/environ")),
        ("replacing the config file", "rename", ("@0", "@2048"),
         text(beside + ".there").ljust(2048, b"\0") + text(d.config.file)),
        ("removing the config file", "unlink", ("@0",), text(d.config.file)),
    ]


@t.test("the broker is killed for what only an attacker would ask for; forwarding goes on")
def broker_is_killed():
    needs_sandbox()
    with t.line() as net:
        for i, attack in enumerate(KILLS_BOTH):
            with t.Mcrd(net.relay, RULE) as d:
                t.equal(attack.make(Victim(d, "broker")), KILLED, f"the broker, {attack.name}")
                if i < 2:
                    survives_broker(net, d)
                else:
                    t.wait_for(lambda: d.stats()["broker"] == "gone", 5, "the broker's end is noticed")
                    d.broker_expected = False


@t.test("the broker gets ENOSYS for everything else, and serves on")
def broker_is_refused():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        victim = Victim(d, "broker")
        for attack in REFUSED_BROKER:
            t.equal(attack.make(victim), ENOSYS, f"the broker, {attack.name}")
        t.check("result=accepted" in (answer := d.reload()), answer)
        forwards(net)


@t.test("Landlock keeps the broker away from all other files")
def broker_files():
    needs_sandbox()
    if t.landlock_abi() == 0:
        raise t.Skip("this kernel has no Landlock")
    with t.line() as net:
        for args in ((), ("--without=landlock",)):
            with t.Mcrd(net.relay, RULE, args) as d:
                # What the user of mcrd could do.
                with open(os.path.join(d.config.directory, "beside.there"), "w", encoding="ascii") as f:
                    f.write("version = 1;")
                for path in (d.config.directory, d.config.file, f.name):
                    os.chown(path, t.pwd.getpwnam(t.USER).pw_uid, -1)
                for name, call, arguments, memory in file_attacks(d):
                    result = inject(d.broker, call, *(unsigned(a) if isinstance(a, int) else a for a in arguments),
                                    memory=memory)
                    if not args:
                        t.equal(result, -errno.EACCES, name)
                    elif "relay" not in name:  # its memory is not dumpable
                        t.check(result >= 0, f"{name}, without Landlock: {result}")
                if args:
                    continue
                fd = inject(d.broker, "openat", unsigned(AT_FDCWD), "@0", os.O_RDONLY, memory=text(d.config.file))
                t.check(fd >= 0, f"the config file: {fd}")
                t.check("result=accepted" in (answer := d.reload()), answer)
                forwards(net)


@t.test("the same attacks on a broker without a sandbox get through", long=True)
def broker_without():
    not_sanitized()
    with t.line() as net:
        make_all(net, KILLS_BOTH + REFUSED_BROKER, "broker")


# --- requests --------------------------------------------------------------------------------------------------------

LOAD, LINKS, PROBE, OFFER, ADOPTED, REJECTED, CONFIRM, RETURNED, SWAPPED = 2, 3, 4, 8, 11, 12, 14, 15, 16


def request(kind, serial=1, n_fds=0):
    return struct.pack("=IIII", kind, serial, n_fds, 0)


def message_size():
    """struct handover_message of handover.h; that a right request is answered shows that it is still so long."""
    return 16 + 80 + 1024


def ask(victim, data):
    return inject(victim.pid, "write", victim.sockets.handover, "@0", len(data), memory=data)


@t.test("a relay that asks the broker for nonsense: the broker ends, forwarding goes on")
def nonsense():
    size = message_size()
    cases = {
        "garbage": bytes(range(1, 256)) * 3,
        "one byte": b"\x02",
        "nothing": b"",
        "garbage of the right length": b"\xa5" * size,
        "a request that is short by one": request(LOAD).ljust(size, b"\0")[:-1],
        "a request that is long by one": request(LOAD).ljust(size + 1, b"\0"),
        "type 0": request(0).ljust(size, b"\0"),
        "an unknown type": request(99).ljust(size, b"\0"),
        "what only the broker says": request(OFFER).ljust(size, b"\0"),
        "a verdict that is not due": request(ADOPTED).ljust(size, b"\0"),
        "the return from no trial": request(RETURNED).ljust(size, b"\0"),
        "descriptors that did not come": request(LOAD, n_fds=1).ljust(size, b"\0"),
    }
    with t.line() as net:
        for i, (name, data) in enumerate(cases.items()):
            with t.Mcrd(net.relay, RULE) as d:
                t.equal(ask(Victim(d, "relay"), data), len(data), name)
                t.wait_for(lambda: t.process_status(d.broker) is None, 5, f"the broker's end after {name}")
                # The latter where the relay itself has just asked for something.
                reasons = ("bogus message", "asks again before it is answered")
                t.check(any(r in x for x in d.logged("relay") for r in reasons), f"{name}: {d.log_text()}")
                if i % 4 == 0:
                    survives_broker(net, d)
                d.broker_expected = False
        # A right one, so that it was not the asking: its answer is what the relay does not expect.
        with t.Mcrd(net.relay, RULE) as d:
            t.equal(ask(Victim(d, "relay"), request(PROBE, 4711).ljust(size, b"\0")), size, "a probe")
            t.wait_for(lambda: any("unexpected message" in x for x in d.logged("broker")), 5, "its answer")
            t.check(t.process_status(d.broker) is not None, "the broker has ended")


@t.test("a relay that confirms when its trial is over, or none is on: refused, no record says confirmed; what the trial opened is closed")
def confirms():
    group = "239.255.0.9"
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        d.config.rules = [*RULE, t.rule("tried", group, 5009, [t.to_group("239.255.1.9", 6009)])]
        d.config.top["trial"] = {"seconds": 1}
        d.config.write()
        t.check("trial_s=1" in d.reload(), "the trial")
        t.check(group in t.memberships(net.relay, "in0"), "the group is joined")
        victim = Victim(d, "relay")
        d.signal(signal.SIGSTOP)
        t.wait_for(lambda: any("has not gone back" in x for x in d.logged("returned")), 10, "the broker's own end of the trial")
        t.check(group not in t.memberships(net.relay, "in0"), "the group is left")
        d.signal(signal.SIGCONT)
        t.wait_for(lambda: len(d.logged("returned")) == 2, 5, "the return")
        time.sleep(t.SLOWNESS)  # the relay asks for the links and the file, too
        for i in range(3):
            t.equal(ask_and_take(victim, CONFIRM, 100 + i)[0], [REFUSED], "the answer to CONFIRM")
        t.equal(d.logged("confirmed"), [], "records that confirm")
        t.check(group not in t.memberships(net.relay, "in0"), "the group is joined again")


@t.test("a relay that makes the broker end: what is open for a time only is closed before")
def temporary_opening():
    group, until = "239.255.0.9", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    rules = [*RULE, {**t.rule("brief", group, 5009, [t.to_group("239.255.1.9", 6009)]), "active_until": until}]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        t.check(group in t.memberships(net.relay, "in0"), "the group is joined")
        permanent = t.memberships(net.relay, "in0") - {group}
        data = request(99).ljust(message_size(), b"\0")
        t.equal(ask(Victim(d, "relay"), data), len(data), "a message of an unknown type")
        t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
        t.equal(t.memberships(net.relay, "in0"), permanent, "groups")
        survives_broker(net, d)


@t.test("a relay that hands the broker a descriptor: it cannot, and without a sandbox the broker ends")
def descriptor():
    size = message_size()

    # struct msghdr, iovec at 64, control at 96 (SOL_SOCKET, SCM_RIGHTS, descriptor 2), the request at 128.
    def hand(victim, n_fds):
        memory = struct.pack("=QI4xQQQQi4x", 0, 0, 0, 1, 0, 24, 0).ljust(64, b"\0")
        memory += struct.pack("=QQ", 0, size).ljust(32, b"\0") + struct.pack("=Qiii4x", 20, 1, 1, 2).ljust(32, b"\0")
        memory += request(LOAD, n_fds=n_fds).ljust(size, b"\0")
        return inject(victim.pid, "sendmsg", victim.sockets.handover, "@0", 0, memory=memory,
                      pointers=((16, 64), (32, 96), (64, 128)))

    with t.line() as net:
        for n_fds in (0, 1):
            if t.SANDBOX == "enforce":
                with t.Mcrd(net.relay, RULE) as d:
                    t.equal(hand(Victim(d, "relay"), n_fds), KILLED, "sendmsg with a descriptor")
                    killed_relay(d)
            with t.Mcrd(net.relay, RULE, sandbox="off") as d:
                t.equal(hand(Victim(d, "relay"), n_fds), size, "sendmsg with a descriptor, without a sandbox")
                survives_broker(net, d)
                t.check(any("bogus message" in x for x in d.logged("relay")), d.log_text())


@t.test("a relay that does not wait for the answer: the broker ends, forwarding goes on")
def flood():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        victim = Victim(d, "relay")
        os.kill(d.broker, signal.SIGSTOP)
        for serial in range(1, 21):
            t.equal(ask(victim, request(LOAD, serial).ljust(message_size(), b"\0")), message_size(), "a request")
        os.kill(d.broker, signal.SIGCONT)
        survives_broker(net, d)
        t.check(any("asks again before it is answered" in x for x in d.logged("relay")), d.log_text())


@t.test("the broker dies of an attack while it loads: the running rules stay")
def broker_dies_loading():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        os.kill(d.broker, signal.SIGSTOP)
        d.signal(signal.SIGHUP)
        t.wait_for(lambda: d.logged("reload_asked"), 5, "the signal")
        os.kill(d.broker, signal.SIGKILL)
        t.wait_for(lambda: d.logged("reload"), 5, "the verdict")
        t.check("result=refused" in d.logged("reload")[0], d.logged("reload")[0])
        survives_broker(net, d)


@contextlib.contextmanager
def offering(d, rules):
    """The relay is stopped, and the broker waits for its verdict on these rules."""
    os.kill(d.broker, signal.SIGSTOP)
    d.config.rules = rules
    d.config.write()
    d.signal(signal.SIGHUP)
    t.wait_for(lambda: d.logged("reload_asked"), 5, "the signal")
    with hostile(d):
        os.kill(d.broker, signal.SIGCONT)
        t.wait_for(lambda: os.path.exists(d.config.stats_file + ".new") and t.waits_in(d.broker, "poll"), 10,
                   "the wait for a verdict")
        yield


@t.test("the broker dies once it has offered a table: it is not taken over, the running rules stay")
def broker_dies_offering():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        with offering(d, [t.rule("r", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)])]):
            os.kill(d.broker, signal.SIGKILL)
            t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
        (line,) = t.wait_for(lambda: d.logged("reload"), 5, "the record")
        t.check("process=relay" in line and "result=refused generation=1 " in line, line)
        survives_broker(net, d)


@t.test("the broker dies once a table runs, before it has recorded it: the relay does")
def broker_dies_recording():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        with offering(d, RULE + [t.rule("new", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)])]):
            os.kill(d.broker, signal.SIGSTOP)
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        t.wait_for(lambda: (sender.send(t.datagram("239.255.0.2", PORT, b"by the new rule")), capture.udp())[1], 5,
                   "the new rule")
        t.equal(d.logged("reload"), [], "records so far")
        os.kill(d.broker, signal.SIGKILL)
        (line,) = t.wait_for(lambda: d.logged("reload"), 5, "the record")
        t.check("process=relay" in line and "result=accepted generation=2 " in line, line)
        forwards(net)
        t.check("result=refused" in (answer := d.reload()) and "broker" in answer, answer)
        # Nobody publishes the new table's statistics: they must not be taken for those of now.
        status, _, err = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file], check_status=False)
        t.check(status != 0 and "was not replaced" in err, f"mcrstat: {status} {err}")
        d.signal(signal.SIGTERM)
        t.equal(t.end_process(d.process, d.STOPPED_WITHIN), 0, "mcrd's exit status")
        d.stop = lambda: None


# --- the relay makes valid requests, with hostile intent --------------------------------------------------------------

ENXIO, EDESTADDRREQ = -errno.ENXIO, -errno.EDESTADDRREQ
REFUSED, UNCHANGED, COMMIT, POOL = 6, 7, 10, 13
ANSWERS = 12  # messages that are waited for: OFFER, three of POOL, four of SOCKETS, COMMIT or REFUSED, and some more


def ask_and_take(victim, kind, serial, body=b"", most=ANSWERS):
    """Sends a request and takes what the broker answers away from the relay's own code. Returns the kinds of answers and
    the descriptors that came with them, which stay open in the relay. kind None: the relay itself has asked."""
    size, kinds, fds = message_size(), [], []
    calls = [("write", victim.sockets.handover, "@0", size)] if kind else []
    # struct msghdr at 4096, its iovec at 4160 (the message at 2048), its control data at 4224; struct pollfd at 4800.
    header = struct.pack("=QI4xQQQQi4x", 0, 0, 0, 1, 0, 272, 0)
    memory = (request(kind or 0, serial).ljust(96, b"\0") + body).ljust(4096, b"\0") + header.ljust(64, b"\0")
    memory = (memory + struct.pack("=QQ", 0, size)).ljust(4800, b"\0") + struct.pack("=ihh", victim.sockets.handover, 1, 0)
    pointers = ((4096 + 16, 4160), (4096 + 32, 4224), (4160, 2048))
    for _ in range(most):
        calls += [("poll", "@4800", 1, 5000 * t.SLOWNESS), ("recvmsg", victim.sockets.handover, "@4096", 0)]
        results, left = inject_all(victim.pid, calls, memory, pointers, 4900)
        t.check(results[-1] == size, f"{results} after {kinds}")
        kinds.append(struct.unpack_from("=I", left, 2048)[0])
        (length,) = struct.unpack_from("=Q", left, 4096 + 40)
        fds += [struct.unpack_from("=i", left, 4224 + 16 + 4 * i)[0] for i in range((length - 16) // 4)] if length else []
        calls = []
        if kinds[-1] in (REFUSED, UNCHANGED, COMMIT):
            return kinds, fds
    raise t.Failure(f"no end of the answers: {kinds}")


@contextlib.contextmanager
def hostile(d):
    """The relay, whose own code does not run meanwhile: what it is told is the attacker's."""
    os.kill(d.process.pid, signal.SIGSTOP)
    try:
        yield Victim(d, "relay")
    finally:
        if d.process.poll() is None:
            os.kill(d.process.pid, signal.SIGCONT)


def finish(d):
    """Nothing that a relay that was taken over does afterwards is of interest."""
    t.kill_process(d.process)
    t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
    d.stop = lambda: None


def index_of(node, name):
    return int(node.run("ip", "-o", "link", "show", "dev", name)[1].split(":")[0])


def sends_back(d, victim):
    """Frames into in0 by whatever is there, as far as the relay's own filter allows it. Returns what each try got."""
    index = index_of(d.node, "in0")
    return {fd: inject(victim.pid, "writev", fd, "@0", 1, memory=vector(victim), pointers=((0, 128),))
            for fd, bound in Sockets(d, victim.pid).packet.items() if bound == index and fd < INGRESS_FD}


@t.test("the relay asks for its own ring anew, by each name that it may have: no way back comes with it")
def way_back_on_request():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        back = t.Capture(net.src, "s0")
        with hostile(d) as victim:
            before = set(os.listdir(f"/proc/{victim.pid}/fd"))
            offers = 0
            for ring in range(1, 7):
                kinds, _ = ask_and_take(victim, LINKS, 100 + ring, struct.pack("=Q", ring))
                if COMMIT in kinds:
                    offers += 1
                    t.equal(ask(victim, request(REJECTED, 100 + ring).ljust(message_size(), b"\0")), message_size(), "verdict")
                    inject_all(victim.pid, [("poll", "@0", 1, 5000 * t.SLOWNESS)],
                               struct.pack("=ihh", victim.sockets.handover, 1, 0))
            t.check(offers > 0, "the broker has never offered another ring")
            tried = sends_back(d, victim)
            new = set(os.listdir(f"/proc/{victim.pid}/fd")) - before
            low = [fd for fd, bound in Sockets(d, victim.pid).packet.items() if str(fd) in new]
        t.equal(tried, {}, "sockets of the source's interface that may be written to")
        t.equal(low, [], "packet sockets that came")
        t.RawSender(net.relay, "in0").send(t.datagram("239.255.9.9", 9999, b"fence"))
        back.wait_payload(b"fence")
        t.equal([f for f in back.udp() if f.payload == b"the way back"], [], "frames at the source's side")
        finish(d)


def stopped_at_start(d):
    """Starts a daemon whose relay has asked for its first table, and waits for it, stopped. False: it was too quick."""
    d.launch()
    d.broker = t.wait_for(lambda: t.child_of(d.process.pid), 10, "the broker process")
    end = time.monotonic() + 20 * t.SLOWNESS
    while (t.process_status(d.process.pid) or {}).get("Seccomp") != "2":
        t.check(time.monotonic() < end, "the relay's filter")
    os.kill(d.broker, signal.SIGSTOP)
    t.wait_for(lambda: t.waits_in(d.process.pid, "epoll"), 10, "the relay waits for its table")
    os.kill(d.process.pid, signal.SIGSTOP)
    # The log may say later what the relay has got by then.
    return not Sockets(d, d.process.pid).packet and not d.logged("started")


@t.test("a relay that is taken over by the first packets: the sockets for rings do not come a second time")
def pool_again():
    needs_sandbox()
    with t.line() as net:
        for _ in range(10):
            d = t.Mcrd(net.relay, RULE)
            if stopped_at_start(d):
                break
            os.kill(d.broker, signal.SIGCONT)  # what is stopped does not end
            finish(d)
        else:
            raise t.Failure("the relay has always got its table")
        back = t.Capture(net.src, "s0")
        victim = Victim(d, "relay")
        os.kill(d.broker, signal.SIGCONT)
        # What its own code would move out of reach of write. It sees packets before it tells its verdict.
        kinds, fds = ask_and_take(victim, None, 1)
        t.check(POOL in kinds and kinds[-1] == COMMIT, f"the first table: {kinds}")
        inject_all(victim.pid, [("close", fd) for fd in fds])
        t.equal(ask_and_take(victim, REJECTED, 1)[0], [REFUSED], "the answer to a verdict")
        with contextlib.suppress(t.Failure):
            t.wait_for(lambda: t.process_status(d.broker) is None, 2, "the broker's end")
        if t.process_status(d.broker) is not None:
            kinds, _ = ask_and_take(victim, LOAD, 2)
            t.equal(sends_back(d, victim), {}, f"what was written into in0, after {kinds}")
            t.equal([f for f in back.udp() if f.payload == b"the way back"], [], "frames at the source's side")
            raise t.Failure(f"the broker serves a relay whose start it has refused: {kinds}")
        finish(d)


@t.test("the relay keeps every ring that it is offered: their memory is bounded, and comes back")
def rings_on_request():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        mapped, refused, offers = [], 0, 0
        with hostile(d) as victim:
            pool = [fd for fd in Sockets(d, victim.pid).packet if fd >= INGRESS_FD]
            for i in range(16):
                d.config.top["ring_mib"] = 4 + i % 2
                d.config.write()
                kinds, _ = ask_and_take(victim, LOAD, 100 + i)
                if kinds[-1] == REFUSED:
                    refused += 1
                    continue
                offers += 1
                for fd in pool:
                    at = inject(victim.pid, "mmap", 0, (4 + i % 2) << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                    if at > 0:
                        mapped.append((at, (4 + i % 2) << 20))
                # It gives nothing back; the broker says that the load is refused, which is taken, too.
                kinds, _ = ask_and_take(victim, REJECTED, 100 + i)
                t.equal(kinds, [REFUSED], "the broker's answer to a verdict")
            in0 = index_of(d.node, "in0")
            t.equal(list(Sockets(d, d.broker).packet.values()).count(in0), 1, "rings of in0")
            t.check(0 < offers < len(pool) <= 16, f"{offers} of {len(pool)} rings")
            t.equal(refused, 16 - offers, "loads that were refused")
            t.check(any("ring_withheld" in x for x in d.log_text().splitlines()), d.log_text())
            # Given back, each is used again.
            inject_all(victim.pid, [("munmap", at, size) for at, size in mapped])
            d.config.top["ring_mib"] = 5
            d.config.write()
            t.equal(ask_and_take(victim, LOAD, 200)[0][-1], COMMIT, "a load once the memory is back")
        finish(d)


def many_outputs(n, port):
    """Rules with n outputs, each of which has a socket of its own."""
    outputs = [t.to_group(f"239.255.{2 + i // 250}.{i % 250}", port, mode="socket") for i in range(n)]
    return [t.rule(f"r{i}", IN, PORT + i // 64, outputs[i:i + 64]) for i in range(0, n, 64)]


@t.test("the relay keeps every descriptor that it is offered: after 4,096 nothing is offered")
def descriptors_on_request():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        d.config.rules = many_outputs(250, OUT_PORT)
        d.config.write()
        kept = loads = 0
        with hostile(d) as victim:
            while True:
                kinds, fds = ask_and_take(victim, LOAD, 100 + loads)
                if kinds[-1] != COMMIT:
                    break
                t.check(len(fds) > 250, f"{len(fds)} descriptors")
                kept, loads = kept + len(fds), loads + 1
                t.check(kept < 5000, f"{kept} descriptors")
                t.equal(ask_and_take(victim, REJECTED, 99 + loads)[0], [REFUSED], "the answer to a verdict")
            t.equal(kinds, [REFUSED], "the answer to a load too many")
            t.check(4096 <= kept, f"{kept} descriptors")
        t.check("process=broker" in d.logged("offers_end")[0], d.log_text())
        t.check("have kept them: restart mcrd" in d.logged("reload")[-1], d.logged("reload")[-1])
        finish(d)


@t.test("a relay that gives no verdict, and one that does not read: after a minute the broker ends, what it sent is revoked", long=True)
def silence():
    needs_sandbox()
    with t.line() as net, t.line() as other, t.Mcrd(net.relay, RULE) as silent, t.Mcrd(other.relay, RULE) as deaf:
        with hostile(silent) as victim, hostile(deaf) as deaf_victim:
            began = time.monotonic()
            # More messages than the pair of sockets holds.
            deaf.config.rules = many_outputs(7000, OUT_PORT)
            silent.config.rules = many_outputs(1, OUT_PORT)
            for d in (deaf, silent):
                d.config.write()
            ask(deaf_victim, request(LOAD, 100).ljust(message_size(), b"\0"))
            t.equal(ask_and_take(victim, LOAD, 100)[0][-1], COMMIT, "the load")
            packet, fd = b"by an output that is not in force", Sockets(silent, victim.pid).outputs["udp", "socket"]
            t.equal(inject(victim.pid, "write", fd, "@0", len(packet), memory=packet), len(packet), "write")
            for d, why in ((silent, "gives no verdict"), (deaf, "cannot be handed over")):
                t.wait_for(lambda: t.process_status(d.broker) is None, 75, "the broker's end")
                t.check(time.monotonic() - began > 55, "it did not wait")
                (line,) = d.logged("reload")
                t.check("process=broker" in line and "result=refused generation=1 " in line and why in line, line)
            t.equal(inject(victim.pid, "write", fd, "@0", len(packet), memory=packet), EDESTADDRREQ, "write")
        finish(silent)
        finish(deaf)


@t.test("the relay keeps outputs that the file has dropped: nothing leaves by them any more")
def dropped_outputs():
    needs_sandbox()
    outputs = [t.to_group(OUT, OUT_PORT), t.to_group("239.255.1.2", OUT_PORT, mode="socket"),
               t.to_group("239.255.1.3", OUT_PORT, mode="socket", source="preserve"),
               t.to_group("239.255.1.5", OUT_PORT, mode="socket", source_port="preserve")]
    with t.line() as net, t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
        with hostile(d) as victim:
            fds = [int(x) for x in os.listdir(f"/proc/{victim.pid}/fd") if 2 < int(x) < INGRESS_FD
                   and int(x) != victim.sockets.handover and os.readlink(f"/proc/{victim.pid}/fd/{x}").startswith("socket:")]
            t.equal(len(fds), 5, "a frame's socket, its transmit ring, a UDP socket and two raw ones")

            def write_all():
                packet = t.ipv4("198.18.2.2", "239.255.1.3", bytes(20))
                return sorted(inject(victim.pid, "write", fd, "@0", len(packet), memory=packet) for fd in fds)

            # The transmit ring sends what lies in it, nothing; the frame's socket wants a virtio_net_hdr.
            t.check(max(write_all()) > 0, "before, some of it is sent")
            d.config.rules = [t.rule("other", "239.255.0.2", PORT, [t.to_group("239.255.1.4", OUT_PORT, mode="socket")])]
            d.config.write()
            t.equal(ask_and_take(victim, LOAD, 100)[0][-1], COMMIT, "the load")
            t.equal(ask(victim, request(ADOPTED, 100).ljust(message_size(), b"\0")), message_size(), "the verdict")
            t.wait_for(lambda: d.logged("reload"), 5, "the record")
            t.wait_for(lambda: write_all() == sorted([ENXIO] * 2 + [EDESTADDRREQ] * 3), 5,
                       "what the broker has taken back")
        finish(d)


@t.test("the record is the broker's: a relay that forges the asker, and says nothing, changes no verdict in it")
def record():
    needs_sandbox()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        asker = struct.pack("=IIII", 1, 0, 1000, 0)
        with hostile(d) as victim:
            d.config.rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], note="changed")]
            d.config.write()
            t.equal(ask_and_take(victim, LOAD, 100, asker)[0][-1], COMMIT, "the load")
            ask_and_take(victim, REJECTED, 100)
            (line,) = d.logged("reload")
            t.check("process=broker" in line and "result=refused" in line and " pid=1 uid=0 " in line, line)
            t.check("generation=1 " in line, line)
            t.equal(ask_and_take(victim, LOAD, 101, asker)[0][-1], COMMIT, "the load")
            t.equal(ask(victim, request(ADOPTED, 101).ljust(message_size(), b"\0")), message_size(), "the verdict")
            line = t.wait_for(lambda: d.logged("reload")[1:], 5, "the second record")[0]
            t.check("process=broker" in line and "result=accepted generation=2 " in line, line)
        finish(d)


@t.test("a relay that asks for the same load without end: each is in the log, and the record does not grow with them")
def many_loads():
    needs_sandbox()
    config = t.Config(RULE)
    config.top["audit_file"] = audit = os.path.join(config.directory, "audit", "log")
    config.write()
    with t.line() as net, t.Mcrd(net.relay, config) as d:
        with hostile(d) as victim:
            d.config.write("nonsense")
            for i in range(150):
                asker = struct.pack("=IIII", 1 + i, i, i, 0)  # the relay may name another one each time
                t.equal(ask_and_take(victim, LOAD, 100 + i, asker)[0][-1], REFUSED, "the load")
        t.equal(len(d.logged("reload")), 150, "lines of the log")
        with open(audit, encoding="utf-8") as f:
            lines = f.read().splitlines()
        t.check(20 <= len(lines) <= 22, f"{len(lines)} records")
        finish(d)
        with open(audit, encoding="utf-8") as f:
            last = f.read().splitlines()[-1]
        t.check(" event=loads_summed refused=130 accepted=0 " in last, last)
        t.run_command([t.MCRD, "--history", "--verify", "--from", audit])


@t.test("a relay that is offered a table and gives no verdict: the load is in the record, what it got is revoked")
def no_verdict():
    needs_sandbox()
    with t.line() as net:
        # What is in force, as the service manager has been told, cannot be rejected, nor come into force twice.
        for verdicts, why in (([request(ADOPTED, 99)], "gives no verdict"),
                              ([request(SWAPPED, 100), request(REJECTED, 100)], "gives no verdict"),
                              ([request(SWAPPED, 100), request(SWAPPED, 100)], "gives no verdict"),
                              ([], "was stopped meanwhile")):
            with t.Mcrd(net.relay, RULE) as d:
                with hostile(d) as victim:
                    d.config.rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, mode="socket")])]
                    d.config.write()
                    kinds, _ = ask_and_take(victim, LOAD, 100, struct.pack("=IIII", 1, 0, 1000, 0))
                    t.equal(kinds[-1], COMMIT, "the load")
                    packet, fd = b"by an output that is not in force", Sockets(d, victim.pid).outputs["udp", "socket"]
                    t.equal(inject(victim.pid, "write", fd, "@0", len(packet), memory=packet), len(packet), "write")
                    for verdict in verdicts:
                        t.equal(ask(victim, verdict.ljust(message_size(), b"\0")), message_size(), "the verdict")
                    if verdicts:
                        t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
                        t.equal(inject(victim.pid, "write", fd, "@0", len(packet), memory=packet), EDESTADDRREQ, "write")
                    else:
                        t.kill_process(d.process)
                    (line,) = t.wait_for(lambda: d.logged("reload"), 5, "the record")
                    t.check("process=broker" in line and "result=refused generation=1 " in line and why in line, line)
                    if verdicts:
                        finish(d)
                    d.stop = lambda: None


# Reads what it is given a page at a time, 200 a second.
SLOW_READER = """
import os, sys, time
pipe = os.open(sys.argv[1], os.O_RDONLY)
with open(sys.argv[2], "ab", buffering=0) as log:
    while data := os.read(pipe, 4096):
        log.write(data)
        time.sleep(0.005)
"""


@t.test("a relay that keeps standard error full: the broker's record is there all the same")
def record_in_flood():
    needs_sandbox()
    config = t.Config(RULE)
    reader = os.path.join(config.directory, "reader.py")
    with open(reader, "w", encoding="ascii") as f:
        f.write(SLOW_READER)
    pipe = os.path.join(config.directory, "pipe")
    os.mkfifo(pipe)
    t.start_process([sys.executable, reader, pipe, config.log])
    before = ["/bin/sh", "-c", f'exec "$@" 2>{pipe}', "starter"]
    with t.line() as net, t.Mcrd(net.relay, config, before=before) as d:
        with hostile(d) as victim:
            config.rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], note="changed")]
            config.write()
            t.equal(ask_and_take(victim, LOAD, 100)[0][-1], COMMIT, "the load")
            # The pipe holds 64 KiB: full before the verdict, and for half a second after it.
            flood, size = ("write", 2, "@2048", 4096), message_size()
            memory = request(ADOPTED, 100).ljust(2048, b"\0") + b"no record\n".rjust(4096, b".")
            results, _ = inject_all(victim.pid, [flood] * 20 + [("write", victim.sockets.handover, "@0", size)] + [flood] * 100,
                                    memory)
            t.equal(results, [4096] * 20 + [size] + [4096] * 100, "writes")
        finish(d)
        found = t.wait_for(lambda: [x for x in d.log_text().splitlines() if "event=reload result=accepted" in x], 5, "the record")
        t.check("process=broker" in found[0] and "generation=2 " in found[0], found)


# --- what the starter had open ---------------------------------------------------------------------------------------


def links(pid):
    return {int(n): os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}


@t.test("what the starter had open is closed: a secret, standard input and output; standard error is kept")
def inherited():
    with t.line() as net:
        config = t.Config(RULE)
        secret = os.path.join(config.directory, "secret")
        with open(secret, "w", encoding="ascii") as f:
            os.chmod(secret, 0o600)
            f.write("only root may read this")
        before = ["/bin/bash", "-c", f'exec "$@" <{secret} 77<{secret} 1000<{secret}', "starter"]
        # The twin: another program can read it.
        for fd in (0, 77, 1000):
            t.equal(t.run_command([*before, "cat", f"/dev/fd/{fd}"])[1], "only root may read this", f"descriptor {fd}")
        for mode in {t.SANDBOX, "off"}:
            with t.Mcrd(net.relay, config, sandbox=mode, before=before) as d:
                for who, pid in (("relay", d.process.pid), ("broker", d.broker)):
                    t.equal([n for n, to in links(pid).items() if to == secret], [], f"secrets of the {who}")
                    t.equal([to for to in links(pid).values() if "mcr-filter" in to or "landlock" in to], [],
                            f"what the sandbox of the {who} was made of")
                    t.equal([links(pid)[n] for n in range(3)], ["/dev/null", "/dev/null", d.config.log], f"the {who}")
                if mode == "off":
                    t.equal(inject(d.process.pid, "read", 77, "@0", 8), -errno.EBADF, "read")
                    t.equal(inject(d.process.pid, "read", 0, "@0", 8), 0, "read of standard input")
                forwards(net)


@t.test("no socket takes the number of a standard descriptor that was closed")
def closed():
    with t.line() as net:
        d = t.Mcrd(net.relay, RULE, before=["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "starter"])
        d.launch()
        try:
            t.wait_for(d._has_stats, 20, "the statistics")
            d.broker = t.child_of(d.process.pid)
            for pid in (d.process.pid, d.broker):
                t.equal([links(pid)[n] for n in range(3)], ["/dev/null"] * 3, "standard descriptors")
            forwards(net)
        finally:
            d.signal(signal.SIGTERM)
            t.equal(t.end_process(d.process, 10), 0, "the exit status")


# --- modes -----------------------------------------------------------------------------------------------------------


@t.test("the main scenario in each mode, which is in force by what kernel and statistics say")
def modes():
    rules = RULE + [t.rule("s", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT, mode="socket")])]
    for mode, args in (("enforce", ()), ("enforce", ("--without=landlock",)), ("log", ()), ("off", ())):
        if mode == "enforce" and t.SANDBOX != "enforce":
            continue
        with t.line() as net, t.Mcrd(net.relay, rules[:1], args, sandbox=mode) as d:
            named = any("feature=landlock" in x for x in d.logged("feature_missing"))
            t.equal(named, mode == "enforce" and d.landlock() == 0, "a missing Landlock is named in the log")
            t.check(f" seccomp={mode} landlock={d.landlock()} " in d.logged("started")[0], d.logged("started")[0])
            forwards(net)
            d.config.write("rules = (")
            t.check("result=refused" in (answer := d.reload()), answer)
            d.config.rules = rules
            d.config.write()
            t.check("result=accepted" in (answer := d.reload()), answer)
            capture = t.Capture(net.dst, "d0")
            t.send(net.src, "s0", "239.255.0.2", PORT, count=1000, rate=20000)
            capture.wait(1000, "239.255.1.2", OUT_PORT)
            d.account({"r": 1, "s": 1000})


if __name__ == "__main__":
    t.main()
