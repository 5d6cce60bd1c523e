# SPDX-License-Identifier: Apache-2.0
"""What test_faults.py makes fail: mcrd under a manager and under the tool, beside a stream that nothing may disturb."""
import collections
import contextlib
import json
import os
import re
import signal
import socket
import struct
import time

import faults as f
import mcrtest as t
import reloadtest as r

PORT, OUT_PORT, PPS = 5000, 6000, 500
KEPT, KEPT_OUT = "239.255.0.1", "239.255.1.1"

RULES = [t.rule("kept", KEPT, PORT, [t.to_group(KEPT_OUT, OUT_PORT)])]
A = RULES + [t.rule("a", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT, "out1"),
                                               t.to_host("198.18.20.1", 7000, "out0", mode="socket")], "in1")]
B = RULES + [t.rule("b", "239.255.0.3", PORT, [t.to_group("239.255.1.3", OUT_PORT, "out1", mode="socket"),
                                               t.to_host("198.18.20.1", 7001, "out0", source="preserve")],
                    sources=["198.18.10.1"]),
             t.rule_of("unicast", [t.to_group("239.255.1.4", OUT_PORT)], "in0", address="198.18.10.2", port=PORT)]


class Stream:
    """The unchanged rule's, judged datagram by datagram in this process."""

    def __init__(self, net):
        self.socket = net.dst0.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, r.SO_RCVBUFFORCE, 16 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"d0")
        self.socket.bind((KEPT_OUT, OUT_PORT))
        with net.dst0.inside():
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack(
                "=4s4si", socket.inet_aton(KEPT_OUT), b"\0" * 4, socket.if_nametoindex("d0")))
        self.socket.setblocking(False)
        self.source = t.start_sending(net.src0, "s0", KEPT, PORT, seconds=36000, rate=PPS, size=64)
        self.expected = None  # the first one is any
        self.lost = self.twice = 0

    def _take(self):
        """Takes what has come; when the last of it was sent (ns)."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                seq, sent = struct.unpack_from("!QQ", self.socket.recv(2048), 8)
                if self.expected is None or seq > self.expected:
                    self.lost += 0 if self.expected is None else seq - self.expected
                elif seq < self.expected:
                    self.twice += 1
                    continue
                self.expected = seq + 1
        return sent

    def forget(self):
        """What comes next is the first one."""
        self._take()
        self.expected, self.lost, self.twice = None, 0, 0

    def goes_on(self, lost=0, twice=0):
        """Waits for what is sent from now on; what came before must be whole, but for so many."""
        now = time.time_ns()
        t.wait_for(lambda: self._take() >= now, 5, "the unchanged stream goes on")
        found = self.lost, self.twice
        self.lost = self.twice = 0
        t.check(found[0] <= lost and found[1] <= twice,
                f"the unchanged stream: {found[0]} lost, {found[1]} twice, allowed are {lost} and {twice}")
        return found[0]

    def close(self):
        t.kill_process(self.source)
        self.socket.close()


class Bench:
    """mcrd under a manager and under the tool, and the stream."""

    def __init__(self, kept=True):
        self.kept = kept  # whether a manager keeps its descriptors
        self.may_die = False  # of a signal, in a library that does not check its allocations

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.net = self.stack.enter_context(t.star(2, 2))
            self.manager = self.stack.enter_context(t.Manager())
            self.page = f.Page()
            self.fresh()
            self.stream = Stream(self.net)
            self.stack.callback(self.stream.close)
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        if self.d.process and self.d.process.poll() is None:
            t.case.present.last_stats(self.d)
            t.kill_process(self.d.process)
        self.stack.close()

    def fresh(self, rules=None):
        """A daemon that was never started."""
        self.manager.listen()  # what the one before has sent last
        self.manager.clear()
        config = t.Config(rules or A)
        config.top["audit_file"] = os.path.join(config.directory, "audit", "records")
        config.write()
        open(config.log, "ab").close()
        if self.kept:
            self.d = t.KeptMcrd(self.manager, self.net.relay, config)
        else:
            self.d = t.Mcrd(self.net.relay, config)

    def launch(self, allocations=False):
        self.n_unsent = 0
        os.environ["MCR_NOALLOC"] = self.page.path
        self.d.before = self.page.command(allocations)
        self.seen = len(self.log())
        self.d.launch()

    def log(self):
        return self.d.log_text().splitlines()

    def wait_started(self):
        """"started", or how it has ended: its exit status and its errors."""
        def look():
            self.manager.listen()
            if self.d._has_stats():  # that it has started may be what could not be logged
                return "started"
            return self.d.process.poll() is not None and "ended"

        what = t.wait_for(look, 60, "a start or an end")
        if what == "started":
            self.d.broker = t.wait_for(lambda: t.child_of(self.d.process.pid), 2, "the broker process")
        return what

    def judge_end(self, allowed=(1,)):
        """It has ended by itself: by a documented status, both of it, with a message."""
        status = wait_end(self.d)
        t.check(status in allowed or (self.may_die and status < 0), f"mcrd ended with status {status}")
        t.wait_for(lambda: self.page.ended(f.BROKER) is not None or not self.page.began(f.BROKER), 40, "the broker's end")
        ended = self.page.ended(f.BROKER)
        t.check(self.may_die or ended is None or not os.WIFSIGNALED(ended),
                f"the broker died by signal {ended and ended & 127}")
        told = f.errors(self.log()[self.seen:])
        t.check(told or status < 0, f"mcrd ended without an error in the log: {self.log()[self.seen:]}")
        return told or ["it died in a library"]

    def start(self, allocations=False):
        self.page.arm()
        self.launch(allocations)
        t.equal(self.wait_started(), "started", "a start without a fault")

    def stop(self):
        self.d.signal(signal.SIGTERM)
        t.equal(wait_end(self.d), 0, "mcrd's exit status after SIGTERM")
        t.wait_for(lambda: t.process_status(self.d.broker) is None, 30, "the broker's end")
        self.manager.listen()

    def stats(self):
        """None while they are replaced, or if they cannot be."""
        status, out, _ = t.run_command([t.MCRSTAT, "--json", "--stats", self.d.config.stats_file], check_status=False)
        return json.loads(out) if status == 0 else None

    def interface_is(self, name, state):
        stats = self.stats()
        return stats and any(i["name"] == name and i["state"] == state for i in stats["interfaces"])

    def has_ended(self):
        """Whether one of the two has ended, or has given the other up."""
        if self.d.process.poll() is not None or self.page.ended(f.BROKER) is not None:
            return True
        stats = self.stats()
        return bool(stats) and stats["broker"] != "alive"

    def wait_alive(self):
        """Waits until it can be said; whether both are alive."""
        return t.wait_for(lambda: "no" if self.has_ended() else self.stats() and "yes", 20, "statistics") == "yes"

    def reload(self, rules):
        """mcrd --reload: (status, what it says)."""
        self.d.config.rules = rules
        self.d.config.write()
        status, out, err = self.net.relay.run(
            t.MCRD, "--reload", "--timeout", "20", "--config", self.d.config.file, check_status=False, seconds=40)
        return status, (err or out).strip()

    def unsent(self):
        """Datagrams of the unchanged stream that are counted as not sent, since the last time."""
        outputs = self.d.stats()["rules"][0]["outputs"]
        now = sum(o[x] for o in outputs for x in ("errors", "too_big", "expired"))
        before, self.n_unsent = self.n_unsent, now
        return now - before

    def holds(self):
        """What both processes hold, by kind."""
        found = {}
        for who, pid in (("relay", self.d.process.pid), ("broker", self.d.broker)):
            found[who] = collections.Counter(re.sub(r"\[?\d+\]?", "", x) for x in r.descriptors(pid).values())
            found[who + "'s mappings"] = collections.Counter(
                re.sub(r"\[?\d+\]?", "", x.split(None, 5)[5]) for x in r.mappings(pid)
                if len(x.split()) > 5 and "heap" not in x)
        found["memberships"] = r.joined(self.net.relay)
        found["packet sockets"] = len(self.net.relay.read_proc("packet").splitlines())
        found["files"] = sorted(os.listdir(os.path.dirname(self.d.config.stats_file)))
        self.manager.listen()
        found["store"] = sorted(re.sub(r"\d+$", "", name) for name, _ in self.manager.store)
        return found

    def settled_holds(self):
        """When the kernel has given back what was closed."""
        found = [self.holds()]

        def settled():
            time.sleep(.3)
            found.append(self.holds())
            return found[-1] == found[-2]

        t.wait_for(settled, 5, "what it holds stays as it is")
        return found[-1]

    def same_holds(self, before, seconds=5):
        now = {}

        def same():
            now.update(self.holds())
            return now == before

        try:
            t.wait_for(same, seconds)
        except t.Failure:
            raise t.Failure("; ".join(f"{k}: {difference(before[k], now[k])}" for k in before
                                      if before[k] != now[k])) from None


def difference(before, now):
    if isinstance(before, collections.Counter):
        return f"new {dict(now - before)}, gone {dict(before - now)}"
    return f"before {before}, now {now}"


def wait_end(d):
    """Its exit status."""
    status = t.end_process(d.process, 40)
    d.check_log()
    return status


def check_confined(b):
    """What is left of its rights; a feature that is missing is told."""
    for pid, kept in ((b.d.process.pid, 0), (b.d.broker, t.CAP_NET_RAW)):
        status = t.process_status(pid)
        t.check(status is not None, "a process is gone")
        t.equal((status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16), int(status["CapBnd"], 16)),
                ("2" if t.SANDBOX != "off" else "0", "1", kept, 0), "seccomp, no_new_privs, capabilities")
    try:
        b.d.check_rights()
    except t.Failure as e:
        told = re.compile(r" event=feature_missing | event=started .*(network=host|root=host|landlock=0)")
        t.check(any(told.search(x) for x in b.log()[b.seen:]), f"{e}, and no event says so")
