# SPDX-License-Identifier: Apache-2.0
"""What the tests of reloads, watching, commands and interfaces have in common: streams that are judged datagram by
datagram, leaks, and what a process holds.

Run as a program it is the receiver of Streams: reloadtest.py GROUP:PORT:STREAM..., until SIGTERM.
"""
import collections
import contextlib
import hashlib
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import mcrtest as t

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
SO_MEMINFO = 55  # linux/sock_diag.h; the ninth number is what was dropped
PACKET_IGNORE_OUTGOING = 23
MAGIC = 0x6d637267  # src/gen/payload.h

def rate(datagrams_per_second):
    return datagrams_per_second // 5 if t.SANITIZED else datagrams_per_second


# --- streams, datagram by datagram -----------------------------------------------------------------------------------


class Run:
    """Numbers that came one after the other without a gap, and when the first and the last of them did (ns)."""

    def __init__(self, first, last, first_ns, last_ns):
        self.first, self.last, self.first_ns, self.last_ns = first, last, first_ns, last_ns

    def overlaps(self, begin_ns, end_ns):
        return self.first_ns < end_ns and self.last_ns > begin_ns

    def __repr__(self):
        return f"{self.first}..{self.last}"


class Streams:
    """Receives mcrgen's streams in a process of its own. For each (group, port, stream), runs() is all that came,
    in the order in which it came: a loss, a repetition or a changed order ends a run."""

    def __init__(self, node, *wanted, interface="d0"):
        reader, writer = os.pipe()
        self.wanted = wanted
        self.process = t.start_process(
            [sys.executable, os.path.abspath(__file__), str(writer), interface,
             *(f"{g}:{p}:{s}" for g, p, s in wanted)], node, stdout=subprocess.PIPE, text=True, pass_fds=[writer])
        os.close(writer)
        with os.fdopen(reader, "r") as ready:
            t.equal(ready.readline(), "ready\n", "the receiver of the streams")

    def finish(self):
        """Takes what has come; {(group, port): [Run]} for what was wanted."""
        self.process.send_signal(signal.SIGTERM)
        try:
            out, _ = self.process.communicate(timeout=20)
        finally:
            t.kill_process(self.process)
        t.equal(self.process.returncode, 0, "exit status of the receiver of the streams")
        result = {}
        for (group, port, stream), found in zip(self.wanted, json.loads(out)):
            t.equal(found["drops"], 0, f"dropped by the test's own receiver of {group}:{port}: too slow a machine")
            t.equal(found["foreign"], 0, f"datagrams at {group}:{port} that are not of stream {stream}")
            result[group, port] = [Run(*x) for x in found["runs"]]
        return result


def exactly_once(what, runs, sent, times=None):
    """Whether the runs, of one receiver or of several, are 0..sent-1, each number once; in at most so many runs."""
    runs, expected = sorted(runs, key=lambda x: (x.first, x.last)), 0
    for r in runs:
        t.check(r.first >= expected, f"{what}: {r.first}..{min(r.last, expected - 1)} came twice ({runs[:200]})")
        t.check(r.first <= expected, f"{what}: {expected}..{r.first - 1} did not come ({runs[:200]})")
        expected = r.last + 1
    t.equal(expected, sent, f"{what}: all of them")
    if times is not None:
        t.check(len(runs) <= times, f"{what}: it changed its place {len(runs) - 1} times, not {times - 1}: reordered?")


def _receive(sockets):
    """The process of Streams."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    poll = select.epoll()
    for s in sockets:
        poll.register(s["socket"], select.EPOLLIN)
    by_fd = {s["socket"].fileno(): s for s in sockets}
    header = struct.Struct("!IIQ")
    stamp = struct.Struct("=qq")
    while True:
        ready = poll.poll(0 if stopping else 0.1)
        if not ready and stopping:
            return
        for fd, _ in ready:
            s = by_fd[fd]
            receive, runs, wanted = s["socket"].recvmsg, s["runs"], s["stream"]
            for _ in range(512):
                try:
                    data, extra, _, _ = receive(16, 64)
                except BlockingIOError:
                    break
                if len(data) < 16:
                    s["foreign"] += 1
                    continue
                magic, stream, seq = header.unpack(data)
                if magic != MAGIC or stream != wanted:
                    s["foreign"] += 1
                    continue
                seconds, ns = stamp.unpack(extra[0][2])
                at = seconds * 1000000000 + ns
                last = runs[-1] if runs else None
                if last and seq == last[1] + 1:
                    last[1], last[3] = seq, at
                else:
                    runs.append([seq, seq, at, at])


def _receiver(ready_fd, interface, *wanted):
    sockets = []
    for word in wanted:
        group, port, stream = word.split(":")
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        except OSError:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.bind((group, int(port)))
        if t.is_group(group):
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack(
                "=4s4si", socket.inet_aton(group), b"\0" * 4, socket.if_nametoindex(interface)))
        s.setblocking(False)
        sockets.append({"socket": s, "stream": int(stream), "runs": [], "foreign": 0})
    os.write(int(ready_fd), b"ready\n")
    os.close(int(ready_fd))
    _receive(sockets)
    print(json.dumps([{"runs": s["runs"], "foreign": s["foreign"], "drops": struct.unpack(
        "=9I", s["socket"].getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8]} for s in sockets]))


class Sending:
    """mcrgen send without an end, until finish()."""

    def __init__(self, node, group, port, stream, pps, interface="s0", **options):
        self.process = t.start_sending(node, interface, group, port, rate=pps, stream=stream,
                                       **{"size": 200, **options})

    def finish(self):
        """How many datagrams it has sent."""
        self.process.send_signal(signal.SIGINT)
        return t.finish_sending(self.process)["sent"]


@contextlib.contextmanager
def undisturbed(source, destination, group, port, out_group, out_port, pps=5000, stream=1, **options):
    """A stream of a rule that nothing in the block may disturb: every datagram comes once and in its order."""
    received = Streams(destination, (out_group, out_port, stream))
    sending = Sending(source, group, port, stream, rate(pps), **options)
    yield
    sent = sending.finish()
    exactly_once("the stream that is to be left alone", wait_quiet(received)[out_group, out_port], sent, 1)


def wait_quiet(received):
    """What has been sent is there within a moment; the relay holds nothing back."""
    time.sleep(0.1)
    return received.finish()


class Leaks:
    """Everything in UDP that comes in by an interface and does not go to one of the allowed (group, port)."""

    def __init__(self, node, allowed, interface="d0"):
        self.socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        code = [(0x28, 0, 0, 12), (0x15, 0, -1, 0x0800), (0x30, 0, 0, 23), (0x15, 0, -1, 17)]
        for group, port in sorted(allowed):
            address, = struct.unpack("!I", socket.inet_aton(group))
            # ld [30]; jeq address else over; ldh [36]; jeq port: drop
            code += [(0x20, 0, 0, 30), (0x15, 0, 2, address), (0x28, 0, 0, 36), (0x15, -1, 0, port)]
        code += [(0x06, 0, 0, 0xffff), (0x06, 0, 0, 0)]
        # -1 is the last instruction: drop. Conditional jumps reach 255 instructions.
        drop = len(code) - 1
        code = [(a, drop - i - 1 if jt < 0 else jt, drop - i - 1 if jf < 0 else jf, k)
                for i, (a, jt, jf, k) in enumerate(code)]
        t.attach_filter(self.socket, code)
        self.socket.setsockopt(t.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        with node.inside():
            self.socket.bind((interface, t.ETH_P_ALL))

    def found(self):
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(t.Frame(self.socket.recv(2048), None, False, True))
        return frames

    def none(self):
        t.equal(self.found(), [], "datagrams to places that no rule names")


# --- the daemon ------------------------------------------------------------------------------------------------------


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def fields(line):
    """key=value and key="quoted value" of a log line."""
    return {k: bytes(v[1:-1], "ascii").decode("unicode_escape") if v.startswith('"') else v
            for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)}


class Log:
    """The daemon's log from here on, without reading it anew each time."""

    def __init__(self, d):
        self.path = d.config.log
        self.offset = os.path.getsize(self.path)
        self.rest = b""

    def events(self, *names):
        """What has been logged of these since the last time, as dictionaries."""
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            text = f.read()
        self.offset += len(text)
        *lines, self.rest = (self.rest + text).split(b"\n")
        found = [fields(x.decode(errors="replace")) for x in lines]
        return [x for x in found if x.get("event") in names]


def reload(d, log=None, seconds=20):
    """SIGHUP; the fields of the one record that answers it."""
    log = log or Log(d)
    d.signal(signal.SIGHUP)

    def answer():
        t.check(d.process.poll() is None, f"mcrd has ended, status {d.process.poll()}")
        return log.events("reload")

    return t.wait_for(answer, seconds, "the answer to SIGHUP")[0]


def accepted(d, rules=None, log=None, seconds=20):
    """Writes these rules and reloads: it must be taken. Returns the record."""
    if rules is not None:
        d.config.rules = rules
        d.config.write()
    record = reload(d, log, seconds)
    t.equal(record["result"], "accepted", f"the reload ({record.get('reason')})")
    t.equal(record["sha256"], sha256_of(d.config.file), "the digest in the record")
    return record


def refused(d, *patterns, log=None, seconds=20):
    """Reloads: it must be refused for a reason that says this. Returns the record."""
    record = reload(d, log, seconds)
    t.equal(record["result"], "refused", "the reload")
    for pattern in patterns:
        t.check(re.search(pattern, record["reason"]), f"the reason is {record['reason']!r}, not {pattern!r}")
    return record


def states(d):
    s = d.stats()
    return {r["name"]: r["state"] for r in s["rules"]}, {i["name"]: i["state"] for i in s["interfaces"]}


def wait_state(d, rules=None, interfaces=None, seconds=1.0):
    """Waits until these rules and interfaces have these states."""
    def there():
        have_rules, have_interfaces = states(d)
        return all(have_rules.get(k) == v for k, v in (rules or {}).items()) and all(
            have_interfaces.get(k) == v for k, v in (interfaces or {}).items())

    try:
        t.wait_for(there, seconds)
    except t.Failure:
        raise t.Failure(f"within {seconds} s the states are {states(d)}, not {rules or {}}, "
                        f"{interfaces or {}}") from None


def wait_config(d, state, seconds=5.0, **more):
    """Waits until mcrstat tells this state of the file (and these other values). Returns the object "config"."""
    wanted = {"state": state, **more}

    def there():
        c = d.stats()["config"]
        return all(c[k] == v for k, v in wanted.items()) and c

    try:
        return t.wait_for(there, seconds)
    except t.Failure:
        raise t.Failure(f"within {seconds} s config is {d.stats()['config']}, not {wanted}") from None


# --- what a process holds --------------------------------------------------------------------------------------------


def descriptors(pid):
    """{number: what it is}"""
    found = {}
    for n in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(n)] = os.readlink(f"/proc/{pid}/fd/{n}")
    return found


def mappings(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        return f.read().splitlines()


def resident_kib(pid):
    return int(t.process_status(pid)["VmRSS"].split()[0])


def joined(node):
    """Every membership and every source-specific one, as the kernel tells; timers left out."""
    groups, interface = collections.Counter(), None
    for words in (x.split() for x in node.read_proc("igmp").splitlines()[1:]):
        if ":" in words:
            interface = words[1]
        else:
            groups[interface, words[0], words[1]] += 1
    return groups, sorted(node.read_proc("mcfilter").splitlines()[1:])


def holds(d):
    """All that a refused reload must leave as it is."""
    # Kind, protocol, interface; those that are bound to none are of the pool, whatever ring they had.
    packet = collections.Counter(("3", "none", "0") if x.split()[4] == "0" else tuple(x.split()[2:5])
                                 for x in d.node.read_proc("packet").splitlines()[1:])
    return {"relay": descriptors(d.process.pid), "broker": descriptors(d.broker), "memberships": joined(d.node),
            "packet sockets": packet, "files": sorted(os.listdir(os.path.dirname(d.config.stats_file)))}


def same_holds(d, before, seconds=2):
    """Whether it holds the same now; news of the file, which are looked at meanwhile, hold something for a moment."""
    now = {}

    def same():
        now.update(holds(d))
        return now == before

    try:
        t.wait_for(same, seconds)
    except t.Failure:
        for what, value in before.items():
            if now[what] == value:
                continue
            if isinstance(value, dict):
                gone = {k: v for k, v in value.items() if now[what].get(k) != v}
                new = {k: v for k, v in now[what].items() if value.get(k) != v}
                raise t.Failure(f"{what}: new {new}, gone {gone}") from None
            t.equal(now[what], value, what)


_LIMITS = {resource.RLIMIT_NOFILE: "Max open files", resource.RLIMIT_AS: "Max address space"}


def set_soft_limit(pid, limit, value):
    """prlimit(2) needs the same ids or CAP_SYS_RESOURCE, which root in a container may not have: so with its ids.
    Returns what it was."""
    status = t.process_status(pid)
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        line = next(x for x in f if x.startswith(_LIMITS[limit]))
    soft, hard = (resource.RLIM_INFINITY if x == "unlimited" else int(x) for x in line[26:].split()[:2])
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            uid, gid = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
            if (uid, gid) != (os.getuid(), os.getgid()):
                os.setgroups([])
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            resource.prlimit(pid, limit, (value, hard))
            os._exit(0)
        os._exit(1)
    t.equal(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0, f"exit status of prlimit on {pid}")
    return soft


@contextlib.contextmanager
def limited(pid, limit, value):
    """A soft limit of another process."""
    before = set_soft_limit(pid, limit, value)
    try:
        yield
    finally:
        if t.process_status(pid):
            set_soft_limit(pid, limit, before)


def wait_idle(pid, ms=20):
    """Waits until a process has slept for that long: the broker is done with what followed its answer (a probe)."""
    def slept():
        before = t.process_status(pid)
        time.sleep(ms / 1000)
        now = t.process_status(pid)
        t.check(before and now, f"process {pid} has ended")
        return now["State"].startswith("S") and all(now[k] == before[k] for k in (
            "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))

    t.wait_for(slept, 5, "the process sleeps")


def virtual_bytes(pid):
    return int(t.process_status(pid)["VmSize"].split()[0]) << 10


if __name__ == "__main__":
    _receiver(*sys.argv[1:])
