# SPDX-License-Identifier: Apache-2.0
"""measure: one run of one relay in one scenario, and whether the machine was calm meanwhile."""
import contextlib
import dataclasses
import mmap
import os
import struct
import subprocess
import time

import world as w
from world import case, t

import during

IDLE = os.environ.get("IDLE", "tests/bench/idle")
WARM_UP = 0.3  # s
CALM = 0.05  # share of one core that others may take
# s, to wait for a calm machine
PATIENCE = float(os.environ.get("BENCH_PATIENCE") or (0.5 if os.environ.get("BENCH") == "quick" else 60))

# --- the machine ------------------------------------------------------------------------------------------------------


def _ticks():
    """Of the machine: (busy, user, stolen) ticks; and the user ticks that are ours, ended children included."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, steal = (int(x) for x in f.readline().split()[1:9])
    own, parents, mine = 0, {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                words = f.read().rpartition(")")[2].split()
            parents[int(name)] = int(words[1])
            mine[int(name)] = int(words[11]) + int(words[13])
    for pid, used in mine.items():
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        own += used if pid == os.getpid() else 0
    return user + nice + system + irq + softirq + steal, user + nice, steal, own


class Watch:
    """What the machine does between here and the question, in cores."""

    def __init__(self):
        self.time, self.ticks = time.monotonic(), _ticks()

    def _cores(self):
        ticks, seconds = _ticks(), time.monotonic() - self.time
        return [(b - a) / (os.sysconf("SC_CLK_TCK") * seconds) for a, b in zip(self.ticks, ticks)]

    def busy(self):
        return self._cores()[0]

    def others(self):
        """Of user time: what is not ours; and what the host has stolen. Interrupts cannot be told apart."""
        _, user, stolen, own = self._cores()
        return max(0.0, user - own), stolen


def wait_for_calm(seconds):
    """Waits until the machine does next to nothing. False when it did not become calm."""
    deadline = time.monotonic() + seconds
    while True:
        watch = Watch()
        time.sleep(0.3)
        if watch.busy() < CALM:
            return True
        if time.monotonic() > deadline:
            return False


# --- what a core has left ---------------------------------------------------------------------------------------------


class Idle:
    """The counter at idle priority on the relay's core."""

    def __init__(self):
        path = os.path.join(case.base, "idle")
        with open(path, "wb") as f:
            f.write(b"\0" * 4096)
        with w.on_core(w.RELAY_CORE):
            self.process = t.start_process([IDLE, path])
        with open(path, "rb") as f:
            self.memory = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ)
        t.wait_for(lambda: self.count() > 0, 5, "the idle counter")

    def count(self):
        return struct.unpack_from("=Q", self.memory)[0]

    def close(self):
        t.kill_process(self.process)
        self.memory.close()


def empty_core(world):
    """What the counter gets in a second on a relay's core without a relay, while the source's works as hard as ever."""
    world.set()
    for _ in range(5):
        idle = Idle()
        try:
            with sending(world, Scenario("empty"), WARM_UP + 0.8) as p:
                time.sleep(WARM_UP)
                a, ta = idle.count(), time.monotonic()
                time.sleep(0.6)
                rate = (idle.count() - a) / (time.monotonic() - ta)
                t.finish_sending(p)
        finally:
            idle.close()
        if rate > 0.95e9:
            return rate
        wait_for_calm(min(10.0, PATIENCE))
    return 1e9  # others do not stop: what is measured now will be marked by itself


# --- one run ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    size: int = 1316
    rate: int = 0  # a second, of all flows together; 0: all that the source can offer
    gso: int = 1  # datagrams that the source hands over as one
    cut: bool = False  # and its kernel cuts: they come as single frames, at a rate that no sending one by one reaches
    flows: int = 1
    fanout: int = 1
    segmentation: bool = False  # the output takes UDP super-frames
    gro: bool = False  # the input makes them
    rps: bool = False  # what comes in is received on the relay's core
    rules: int = 1
    inputs: int = 1  # interfaces; datagrams come by the first
    merge: dict = None  # as the rule says; the stream comes by the first two, at this rate by each, and leaves once
    keys: dict = dataclasses.field(default_factory=dict)  # further ones of the rules,
    output: dict = dataclasses.field(default_factory=dict)  # and of their outputs
    sources: int = 0  # that the rules allow; the source is the last one
    numbered: bool = False  # datagrams as RTP
    reloads: int = 0
    during: str = ""  # what happens all the while: a name of during.py
    latency: bool = False  # instead of what the core has left
    seconds: float = 1.0

    @property
    def legs(self):
        return 2 if self.merge else 1


@contextlib.contextmanager
def sending(world, s, seconds):
    options = {"seconds": f"{seconds:.3f}", "rate": s.rate, "size": s.size, "ttl": 8, "flows": s.flows, "gso": s.gso}
    if s.latency:
        options["batch"] = 1  # each at its own time
    argv = [t.MCRGEN, "send", "--json"]
    if s.merge or s.numbered:
        options["as"] = "rtp"
    argv += ["--interface", "s0", "--group", w.in_group(0), "--port", str(w.PORT)]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    with w.on_core(w.SOURCE_CORE):
        p = t.start_process(argv, world.src, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        t.kill_process(p)


def _reload(daemon, s):
    """Reloads that each add or remove one other rule. Returns how long they took."""
    change = during.Reloads(daemon)
    return [change.once() for _ in range(s.reloads)]


def _sample(s):
    """One of how many datagrams the receiver checks: mcrgen recv shares the source's core. For a p99.9 of more than a
    few datagrams it needs more of them."""
    offered = s.rate or 500000
    return 1 if offered * s.seconds <= 5000 else max(2, offered // (10000 if s.latency else 1000))


def run(world, relay, s, empty):
    """Returns what was measured, as a dict. empty: of empty_core()."""
    world.set(segmentation=s.segmentation, gro=s.gro, rps=s.rps, cut=s.cut, inputs=s.inputs, doubled=bool(s.merge), sample=_sample(s))
    calm = wait_for_calm(min(5.0, PATIENCE))
    group, port = relay.first_output()
    total = WARM_UP + s.seconds + 0.2
    open_ended = s.reloads or s.during in during.KINDS  # the source is ended when it is over
    idle = None
    out = {"suspicious": [] if calm else ["the machine was busy before"]}
    with relay.running(world, s) as account:
        with w.on_core(w.SOURCE_CORE):
            receiver = t.Receiver(world.dst, "d0", group, port, idle_ms=300, size=s.size,
                                  seconds=60 if open_ended else max(6, total + 3),
                                  **({"as": "rtp"} if s.merge or s.numbered else {}))
        try:
            idle = None if s.latency else Idle()
            first, began = world.arrived(), time.monotonic()
            with sending(world, s, 60 if open_ended else total) as source:
                time.sleep(WARM_UP)
                watch = Watch()
                a, ia, ta = world.arrived(), idle.count() if idle else 0, time.monotonic()
                if s.reloads:
                    out["reload_ms"] = round(1000 * max(_reload(relay.daemon, s)), 1)
                else:
                    during.spend(s.seconds, s.during, world, relay)
                b, ib, tb = world.arrived(), idle.count() if idle else 0, time.monotonic()
                foreign, steal = watch.others()
                if open_ended:
                    source.terminate()
                sent = t.finish_sending(source)
            report = receiver.report()
        finally:
            if idle:
                idle.close()
        last = world.arrived()
        out["account"] = account()
        for name in ("stayed", "stayed99.9"):
            out[name] = (out["account"] or {}).pop(name, None)
        out |= relay.tells()
    if foreign > CALM or steal > 0.02:
        out["suspicious"].append(f"others took {100 * foreign:.0f} %, the host {100 * steal:.0f} % of a core")
    arrived = w.datagrams(first, last, s.size)
    wanted = sent["sent"] * s.fanout
    out |= {
        "offered_pps": sent["rate_pps"] * s.legs, "sent": sent["sent"], "arrived": arrived,
        "lost": wanted - arrived, "loss": (wanted - arrived) / wanted if wanted else 0,
        "out_pps": w.datagrams(a, b, s.size) / (tb - ta),
        "checked": report["received"], "corrupt": report["corrupt"], "duplicates": report["duplicates"],
        "reordered": report["reordered"], "latency_us": report["latency_us"],
    }
    if sent["given_up_s"] > 0.02 * total:
        out["suspicious"].append(f"the source was {sent['given_up_s']:.2f} s late")
    if report["corrupt"] or report["duplicates"]:
        out["suspicious"].append(f"corrupt {report['corrupt']}, duplicates {report['duplicates']}")
    if idle:
        out["left"] = (ib - ia) / (tb - ta) / empty
        if out["out_pps"]:
            out["cpu_ns"] = (1 - out["left"]) * 1e9 / out["out_pps"]
            out["cpu_in_ns"] = out["cpu_ns"] * s.fanout / s.legs
    return out
