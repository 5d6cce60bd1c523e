# SPDX-License-Identifier: Apache-2.0
"""scenarios: what is measured, by group, and what is to be reached."""
import dataclasses

from measure import Scenario as S

ALL = ("mcrd", "recv/send", "socat", "kernel", "other")
BUSY = "mcrd busy_poll"
FIREWALL = "mcrd host firewall"
PATIENT = "mcrd 1 ms"
PROMPT = "mcrd no wait"
RINGS = ("mcrd", "ring v2", "ring v2, 180 frames", "ring v3", "ring v3, 64 KiB")


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    show: tuple  # columns
    scenarios: tuple
    relays: tuple = ALL
    extra: tuple = ()  # (scenario's name, relay): further ones for some scenarios


RATES = ((50000, "50,000/s"), (100000, "100,000/s"), (200000, "200,000/s"), (0, "all"))
SPEED = ("offered", "out", "loss", "left", "cpu")
LATENCY = ("p50", "p90", "p99", "p99.9", "loss", "stayed", "stayed99.9")

ONE, LAT, OUT, FLOWS, SCALE, LEGS, RPS, RELOADS, TAIL, PRICES = (
    "Single flow", "Latency, us", "Outputs, all that the source can offer", "64 interleaved flows", "Scale",
    "Two legs merged by RTP", "Received on the relay's core (RPS)", "20 reloads at full rate",
    "The tail: latency while something else happens, us", "The price of each feature")


def latencies(name, rates=(1000, 50000, 200000), **keys):
    """The same at several rates; long enough for a p99.9."""
    return tuple(S(f"{name}, {r:,}/s", rate=r, latency=True, seconds=3.0 if r == 1000 else 2.0, **keys) for r in rates)


# What happens with 10,000 rules. A reload adds the last one.
DURING = {"20 reloads": {"rules": 9999, "reloads": 20}, "a link's news": {"during": "news"},
          "mcrstat --watch": {"during": "watch"}, "SIGUSR1": {"during": "summary"}, "alarms of all rules": {"during": "alarms"}}


def tail():
    return latencies("64 flows", flows=64) + latencies("10,000 rules", rules=10000) + tuple(
        s for name, keys in DURING.items() for s in latencies(f"10,000 rules, {name}", **{"rules": 10000, **keys}))


NUMBER = {"at": 2, "bytes": 2}  # as in instructions.c: that of RTP


def prices():
    """As tests/bench/instructions.c names them: what a rule may ask for, each beside the plain rule. 200,000/s come in."""
    def one(name, keys=None, output=None, **more):
        return S(name, rate=200000, keys=keys or {}, output=output or {}, **more)

    def two(name, **merge):
        held = {"max_payload": 1472} if "reorder_ms" in merge else {}
        return S(name, rate=100000, inputs=2, merge=merge, keys=held)
    limit = {"packets_per_second": 100000000, "bits_per_second": 1000000000000}
    return (
        one("single flow"), one("16 sources", sources=16), one("limit", {"limit": limit}),
        one("limit, 16 senders", {"limit": limit}, sources=16),
        one("limit of each sender", {"limit": {**limit, "per_source": True}}),
        one("deadline", {"deadline_us": 10000000}),
        one("alarms", {"silence_ms": 1000, "min_packets_per_second": 1, "max_residence_us": 10000000}),
        one("burst of 8", output={"burst": 8}), one("ttl decrement", output={"ttl": "decrement"}),
        one("source preserve", output={"source": "preserve"}),
        one("monitor RTP", {"monitor": {"as": "rtp"}}, numbered=True),
        one("monitor RTP, jitter", {"monitor": {"as": "rtp", "clock_hz": 90000}}, numbered=True),
        one("monitor field", {"monitor": {"as": "field", "field": NUMBER}}, numbered=True),
        two("merged by RTP", by="rtp"), two("merged by RTP, reorder", by="rtp", reorder_ms=10),
        two("merged by field", by="field", field=NUMBER, window_ms=40),
        two("merged by field, reorder", by="field", field=NUMBER, window_ms=40, reorder_ms=10),
        two("merged by payload", by="payload"), two("merged by active", by="active"))


def groups(quick):
    """quick: only what targets() needs."""
    sizes = (100, 1316, 8972)
    outputs = (1, 4, 16, 64)
    result = [
        Group(ONE, SPEED, tuple(S(f"{b} B, {text}", size=b, rate=r) for b in sizes for r, text in RATES
                                if b == 1316 or r != 100000),
              extra=(("1316 B, all", BUSY), ("1316 B, 200,000/s", BUSY), ("1316 B, all", FIREWALL))),
        Group(FLOWS, SPEED, (
            S("64 flows, 200,000/s", flows=64, rate=200000), S("64 flows, all", flows=64)),
            extra=(("64 flows, 200,000/s", PATIENT), ("64 flows, all", PATIENT))),
        Group(LAT, LATENCY, tuple(s for b in sizes for s in latencies(
            f"{b} B", (1000, 50000, 100000, 200000) if b == 1316 else (1000, 50000), size=b)) + latencies(
                "received on the relay's core", (1000, 50000), rps=True),
            extra=tuple((f"{name}, {r:,}/s", BUSY) for name, rates in (
                ("1316 B", (1000, 50000, 200000)), ("received on the relay's core", (1000, 50000))) for r in rates)),
        Group(TAIL, LATENCY, tail(), relays=("mcrd",), extra=tuple(
            (f"64 flows, {r}/s", "recv/send") for r in ("1,000", "50,000", "200,000"))),
        Group(OUT, SPEED, tuple(
            S(f"{n} outputs, {'with' if seg else 'without'} UDP segmentation", fanout=n, segmentation=seg)
            for seg in (False, True) for n in outputs) + (
            S("16 outputs, with UDP segmentation, super-frames of 40 in", fanout=16, segmentation=True, gso=40),),
            extra=(("16 outputs, with UDP segmentation", FIREWALL),)),
        Group("Input with GRO", SPEED, (
            S("GRO, 200,000/s", gro=True, rate=200000), S("GRO, all", gro=True),
            S("super-frames of 40 from the source, all", gso=40))),
        Group(SCALE, ("offered", "out", "loss", "left", "cpu", "start"), (
            S("1 rule, 200,000/s", rate=200000), S("4 interfaces, 200,000/s", inputs=4, rate=200000), S("64 interfaces, 200,000/s", inputs=63, rate=200000),
            S("256 outputs, with UDP segmentation, all", fanout=256, segmentation=True),
            S("10,000 rules, 200,000/s", rules=10000, rate=200000)), relays=("mcrd",)),
        Group(LEGS, ("offered", "out", "loss", "left", "cpu in"), (
            S("plain, 400,000/s", size=100, rate=400000, gso=60, cut=True),
            S("merged, 200,000/s by each leg", size=100, rate=200000, gso=60, cut=True, inputs=2, merge={"by": "rtp"})),
            relays=(FIREWALL,)),
        Group(PRICES, ("offered", "out", "loss", "left", "cpu in"), prices(), relays=("mcrd",)),
        Group(RPS, SPEED, (
            S("RPS, 100,000/s", rps=True, rate=100000), S("RPS, 200,000/s", rps=True, rate=200000)),
            extra=(("RPS, 200,000/s", FIREWALL),)),
        Group(RELOADS, ("offered", "out", "lost", "reload"), (
            S("20 reloads, all", reloads=20), S("64 interfaces", inputs=63, reloads=20),
            S("10,000 rules", rules=9999, reloads=20)), relays=("mcrd",)),
        Group("Ring versions", SPEED + ("batch",), tuple(
            S(f"{name}, {text}", flows=n, rate=r) for name, n in (("1316 B", 1), ("64 flows", 64))
            for r, text in RATES[2:]), relays=RINGS),
        Group("Ring versions: latency, us", LATENCY + ("batch",), latencies("1316 B"), relays=RINGS),
    ]
    return [g for g in map(_needed, result) if g.scenarios] if quick else result


def _needed(group):
    """What targets() needs of it: its scenarios, each with its relays, and shorter."""
    cells = {c[1:3] for x in targets() if x.bound is not None for c in (x.of, x.to) if c and c[0] == group.title}
    return dataclasses.replace(
        group, relays=(), extra=tuple(sorted(cells)),
        scenarios=tuple(dataclasses.replace(s, seconds=min(s.seconds, 1.5 if s.latency else 0.7))
                        for s in group.scenarios if s.name in {c[0] for c in cells}))


# --- to reach ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Target:
    """of: a cell (group, scenario, relay, what), and `to`, the one of the same run and round that it is compared with.
    Without it the number stands alone: losses, of which none is one on any machine, and shares of a core, which are
    shown only (bound None)."""
    measure: str
    bound: float
    least: bool
    unit: str
    of: tuple
    to: tuple = None
    scale: float = 1

    @property
    def worst(self):
        """Of losses the worst round counts."""
        return self.to is None and self.bound == 0

    def text(self):
        if self.bound is None:
            return ""
        return "none" if self.worst else f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit}"

    def values(self, results):
        """Of each round; and whether all rounds were disturbed."""
        if self.to:
            return results.ratios(self.of, self.to)
        rounds = results.rounds(*self.of[:3])
        return results.values(*self.of), bool(rounds) and all(r["suspicious"] for r in rounds)


def targets():
    loop = "recv/send"

    def ratio(measure, most, group, name, what, other=loop, relay="mcrd", least=False):
        return Target(measure, most, least, f"× {other}", (group, name, relay, what), (group, name, other, what))

    def among(measure, most, unit, of, to, what="cpu_ns", relay="mcrd"):
        return Target(measure, most, False, unit, (*of, relay, what), (*to, relay, what))

    def none(measure, group, name, relay="mcrd"):
        return Target(measure, 0, False, "lost", (group, name, relay, "lost"))

    def left(measure, group, name):
        return Target(measure, None, True, "% of a core", (group, name, "mcrd", "left"), scale=100)

    with_, without = (f"16 outputs, {w} UDP segmentation" for w in ("with", "without"))
    received = "received on the relay's core"
    return [
        none("loss at 200,000/s, worst round", ONE, "1316 B, 200,000/s"),
        none("loss at all the source can offer, worst round", ONE, "1316 B, all"),
        ratio("cost of a datagram, one flow, 200,000/s", 0.45, ONE, "1316 B, 200,000/s", "cpu_ns"),
        ratio("the same, 100,000/s", 0.5, ONE, "1316 B, 100,000/s", "cpu_ns"),
        ratio("median latency there", 1, LAT, "1316 B, 100,000/s", "p50"),
        ratio("cost of a datagram, 64 flows, 200,000/s", 0.45, FLOWS, "64 flows, 200,000/s", "cpu_ns"),
        ratio("16 outputs with UDP segmentation, out-rate", 12, OUT, with_, "out_pps", least=True),
        ratio("the same, with the host's firewall", 12, OUT, with_, "out_pps", relay=FIREWALL, least=True),
        ratio("the same, super-frames of 40 in", 12, OUT, with_ + ", super-frames of 40 in", "out_pps", least=True),
        ratio("16 outputs without, out-rate", 3, OUT, without, "out_pps", least=True),
        none("input with GRO: loss at all the source can offer, worst round", "Input with GRO", "GRO, all"),
        *(ratio(f"{p} of latency at {rate}/s", 1, LAT, f"1316 B, {rate}/s", p)
          for rate in ("1,000", "50,000", "200,000") for p in ("p50", "p99.9")),
        *(ratio(f"coalesce_usecs = 0: {p} of latency at 200,000/s", 1, LAT, "1316 B, 200,000/s", p, relay=PROMPT)
          for p in ("p50", "p99.9")),
        *(ratio(f"busy_poll, all receive on the relay's core: p50 at {rate}/s", most, LAT, f"{received}, {rate}/s", "p50",
                "kernel", BUSY) for rate, most in (("1,000", 0.9), ("50,000", 1))),
        *(ratio(f"busy_poll, the kernel forwards on the source's core: p50 at {rate}/s", None, LAT, f"1316 B, {rate}/s",
                "p50", "kernel", BUSY) for rate in ("1,000", "50,000")),
        among("64 interleaved flows at 200,000/s, cost of a datagram", 1.5, "× single flow",
              (FLOWS, "64 flows, 200,000/s"), (ONE, "1316 B, 200,000/s")),
        among("10,000 rules at 200,000/s, cost of a datagram", 1.1, "× one rule",
              (SCALE, "10,000 rules, 200,000/s"), (SCALE, "1 rule, 200,000/s")),
        among("64 interfaces at 200,000/s, cost of a datagram", 1.1, "× one interface",
              (SCALE, "64 interfaces, 200,000/s"), (SCALE, "1 rule, 200,000/s")),
        among("two legs merged, cost of a datagram that comes in", 1.3, "× plain", (LEGS, "merged, 200,000/s by each leg"),
              (LEGS, "plain, 400,000/s"), "cpu_in_ns", FIREWALL),
        none("two legs merged: loss, worst round", LEGS, "merged, 200,000/s by each leg", FIREWALL),
        none("loss in 20 reloads at full rate, worst round", RELOADS, "20 reloads, all"),
        among("20 reloads of 10,000 rules at 50,000/s: p99.9 of residence", 2, "× without",
              (TAIL, "10,000 rules, 20 reloads, 50,000/s"), (TAIL, "10,000 rules, 50,000/s"), "stayed99.9"),
        ratio("received on the relay's core, 200,000/s, cost of a datagram", 1, RPS, "RPS, 200,000/s", "cpu_ns", "kernel"),
        left("core left to others at the source's full rate", ONE, "1316 B, all"),
        left("the same, the output with UDP segmentation", OUT, "1 outputs, with UDP segmentation"),
    ]
