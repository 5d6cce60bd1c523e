# SPDX-License-Identifier: Apache-2.0
"""scenarios: what is measured, by group, and what is to be reached."""
import dataclasses

from measure import Scenario as S

ALL = ("mcrd", "recv/send", "socat", "kernel", "other")
BUSY = "mcrd busy_poll"
FIREWALL = "mcrd host firewall"
PATIENT = "mcrd 1 ms"
RINGS = ("mcrd", "ring v2", "ring v2, 180 frames", "ring v3", "ring v3, 64 KiB")


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    show: tuple  # columns
    scenarios: tuple
    relays: tuple = ALL
    extra: tuple = ()  # (scenario's name, relay): further ones for some scenarios


RATES = ((50000, "50,000/s"), (200000, "200,000/s"), (0, "all"))
SPEED = ("offered", "out", "loss", "left", "cpu")
LATENCY = ("p50", "p90", "p99", "p99.9", "loss", "stayed")


def groups(quick):
    sizes = (1316,) if quick else (100, 1316, 8972)
    rates = RATES[1:] if quick else RATES
    outputs = (1, 16) if quick else (1, 4, 16, 64)
    result = [
        Group("Single flow", SPEED, tuple(S(f"{b} B, {text}", size=b, rate=r) for b in sizes for r, text in rates),
              extra=(("1316 B, all", BUSY), ("1316 B, 200,000/s", BUSY), ("1316 B, all", FIREWALL))),
        Group("Latency, us", LATENCY, tuple(
            S(f"{b} B, {text}", size=b, rate=r, latency=True, seconds=n) for b in sizes
            for r, text, n in ((1000, "1,000/s", 2.0), (50000, "50,000/s", 1.0), (200000, "200,000/s", 1.0))
            if r < 200000 or b == 1316) + tuple(
                S(f"received on the relay's core, {text}", rate=r, rps=True, latency=True, seconds=n)
                for r, text, n in ((1000, "1,000/s", 2.0), (50000, "50,000/s", 1.0))),
            extra=tuple((f"received on the relay's core, {text}", BUSY) for text in ("1,000/s", "50,000/s")) + (("1316 B, 1,000/s", BUSY), ("1316 B, 50,000/s", BUSY), ("1316 B, 200,000/s", BUSY))),
        Group("Outputs, all that the source can offer", SPEED, tuple(
            S(f"{n} outputs, {'with' if seg else 'without'} UDP segmentation", fanout=n, segmentation=seg)
            for seg in (False, True) for n in outputs) + (
            S("16 outputs, with UDP segmentation, super-frames of 40 in", fanout=16, segmentation=True, gso=40),),
            extra=(("16 outputs, with UDP segmentation", FIREWALL),)),
        Group("Input with GRO", SPEED, (
            S("GRO, 200,000/s", gro=True, rate=200000), S("GRO, all", gro=True),
            S("super-frames of 40 from the source, all", gso=40))),
        Group("64 interleaved flows", SPEED, (
            S("64 flows, 200,000/s", flows=64, rate=200000), S("64 flows, all", flows=64)),
            extra=(("64 flows, 200,000/s", PATIENT), ("64 flows, all", PATIENT))),
        Group("Scale", ("offered", "out", "loss", "left", "cpu", "start"), (
            S("1 rule, 200,000/s", rate=200000), S("4 interfaces, 200,000/s", inputs=4, rate=200000), S("64 interfaces, 200,000/s", inputs=63, rate=200000),
            S("256 outputs, with UDP segmentation, all", fanout=256, segmentation=True),
            S("10,000 rules, 200,000/s", rules=10000, rate=200000)), relays=("mcrd",)),
        Group("Two legs merged by RTP", ("offered", "out", "loss", "left", "cpu in"), (
            S("plain, 400,000/s", size=100, rate=400000, gso=60, cut=True),
            S("merged, 200,000/s by each leg", size=100, rate=200000, gso=60, cut=True, inputs=2, merged=True)),
            relays=(FIREWALL,)),
        Group("Received on the relay's core (RPS)", SPEED, (
            S("RPS, 100,000/s", rps=True, rate=100000), S("RPS, 200,000/s", rps=True, rate=200000)),
            extra=(("RPS, 200,000/s", FIREWALL),)),
        Group("20 reloads at full rate", ("offered", "out", "lost", "reload"), (
            S("20 reloads, all", reloads=20), S("64 interfaces", inputs=63, reloads=20),
            S("10,000 rules", rules=9999, reloads=20)), relays=("mcrd",)),
    ]
    if quick:
        result[-2] = dataclasses.replace(result[-2], scenarios=result[-2].scenarios[1:])
    else:
        result += [
            Group("Ring versions", SPEED + ("batch",), tuple(
                S(f"{name}, {text}", flows=n, rate=r) for name, n in (("1316 B", 1), ("64 flows", 64))
                for r, text in RATES[1:]), relays=RINGS),
            Group("Ring versions: latency, us", LATENCY + ("batch",), tuple(
                S(f"1316 B, {text}", rate=r, latency=True, seconds=n)
                for r, text, n in ((1000, "1,000/s", 2.0), (50000, "50,000/s", 1.0), (200000, "200,000/s", 1.0))),
                relays=RINGS),
        ]
    return result


# --- to reach ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Target:
    """value(results) gives the measured number or None; it is reached when it is at most, or at least, the bound."""
    measure: str
    bound: float
    least: bool
    unit: str
    value: object

    def text(self):
        number = "none" if self.unit == "lost" and self.bound == 0 else f"{self.bound:g} {self.unit}".strip()
        return number if number == "none" else f"{'≥' if self.least else '≤'} {number}"


def targets():
    one, low, mid, all_ = "Single flow", "1316 B, 1,000/s", "1316 B, 50,000/s", "1316 B, all"
    lat, out, flows, scale = "Latency, us", "Outputs, all that the source can offer", "64 interleaved flows", "Scale"

    def worst(group, name, relay="mcrd"):
        return lambda r: r.worst(group, name, relay, "lost")

    def median(group, name, what, relay="mcrd"):
        return lambda r: r.median(group, name, relay, what)

    def ratio(a, b):
        def value(r):
            x, y = a(r), b(r)
            return x / y if x is not None and y else None
        return value

    def to_relay(group, name, what, other="recv/send", relay="mcrd"):
        return ratio(median(group, name, what, relay), median(group, name, what, other))

    def outputs(segmentation):
        return to_relay(out, f"16 outputs, {segmentation} UDP segmentation", "out_pps")

    return [
        Target("loss at 200,000/s, worst round", 0, False, "lost", worst(one, "1316 B, 200,000/s")),
        Target("loss at all the source can offer, worst round", 0, False, "lost", worst(one, all_)),
        Target("core left to others at the source's full rate", 60, True, "%", lambda r: (
            lambda x: None if x is None else 100 * x)(r.median(one, all_, "mcrd", "left"))),
        Target("the same, the output with UDP segmentation", 60, True, "%", lambda r: (
            lambda x: None if x is None else 100 * x)(r.median(out, "1 outputs, with UDP segmentation", "mcrd", "left"))),
        Target("16 outputs with UDP segmentation, out-rate", 12, True, "× recv/send", outputs("with")),
        Target("the same, with the host's firewall", 12, True, "× recv/send",
               to_relay(out, "16 outputs, with UDP segmentation", "out_pps", relay=FIREWALL)),
        Target("the same, super-frames of 40 in", 12, True, "× recv/send",
               to_relay(out, "16 outputs, with UDP segmentation, super-frames of 40 in", "out_pps")),
        Target("16 outputs without, out-rate", 2.5, True, "× recv/send", outputs("without")),
        Target("input with GRO: loss at all the source can offer, worst round", 0, False, "lost",
               worst("Input with GRO", "GRO, all")),
        Target("median latency at 1,000/s", 1, False, "× recv/send", to_relay(lat, low, "p50")),
        Target("median latency at 50,000/s", 1, False, "× recv/send", to_relay(lat, mid, "p50")),
        Target("busy_poll: median latency at 1,000/s", 1, False, "× kernel", to_relay(lat, low, "p50", "kernel", BUSY)),
        Target("busy_poll: median latency at 50,000/s", 0.6, False, "× kernel", to_relay(lat, mid, "p50", "kernel", BUSY)),
        Target("the same, all receive on the relay's core, at 1,000/s", 1, False, "× kernel",
               to_relay(lat, "received on the relay's core, 1,000/s", "p50", "kernel", BUSY)),
        Target("the same, all receive on the relay's core, at 50,000/s", 0.6, False, "× kernel",
               to_relay(lat, "received on the relay's core, 50,000/s", "p50", "kernel", BUSY)),
        Target("64 interleaved flows at 200,000/s, cpu for each packet", 1.5, False, "× single flow", ratio(
            median(flows, "64 flows, 200,000/s", "cpu_ns"), median(one, "1316 B, 200,000/s", "cpu_ns"))),
        Target("64 interleaved flows, all, cpu for each packet", 1.5, False, "× single flow", ratio(
            median(flows, "64 flows, all", "cpu_ns"), median(one, all_, "cpu_ns"))),
        Target("10,000 rules at 200,000/s, cpu for each packet", 1.1, False, "× one rule", ratio(
            median(scale, "10,000 rules, 200,000/s", "cpu_ns"), median(scale, "1 rule, 200,000/s", "cpu_ns"))),
        Target("64 interfaces at 200,000/s, cpu for each packet", 1.1, False, "× one interface", ratio(
            median(scale, "64 interfaces, 200,000/s", "cpu_ns"), median(scale, "1 rule, 200,000/s", "cpu_ns"))),
        Target("two legs merged, cpu for each datagram that comes in", 1.3, False, "× plain", ratio(
            median("Two legs merged by RTP", "merged, 200,000/s by each leg", "cpu_in_ns", FIREWALL),
            median("Two legs merged by RTP", "plain, 400,000/s", "cpu_in_ns", FIREWALL))),
        Target("two legs merged: loss, worst round", 0, False, "lost",
               worst("Two legs merged by RTP", "merged, 200,000/s by each leg", FIREWALL)),
        Target("loss in 20 reloads at full rate, worst round", 0, False, "lost",
               worst("20 reloads at full rate", "20 reloads, all")),
        Target("received on the relay's core, 200,000/s, cpu for each packet", 1, False, "× kernel",
               to_relay("Received on the relay's core (RPS)", "RPS, 200,000/s", "cpu_ns", "kernel")),
    ]
