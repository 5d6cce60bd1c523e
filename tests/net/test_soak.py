#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One mcrd for a long time: all features at once, and all faults in turn, as often as MCR_SOAK_S seconds (3600) allow.

Each lap deals one card for each fault and each change in an order of its own, while every input has its streams: model.py says
what must arrive, and what counters and states must say. Behind a lap is calm: the first file runs, no alarm is left, and for
some seconds every counter is compared exactly with what was sent and what receivers saw. Then what both processes hold is
looked at (Held), and the records are verified.

MCR_SOAK_SEED=n deals the same cards again; without it they are others each time. make soak runs it; make check does not.
"""
import collections
import contextlib
import os
import random
import signal
import statistics
import time

import mcrtest as t
import model as m
import reloadtest as r
from modelrun import Links, Run, config_rules, daemon
from modeltraffic import LARGE, TS

SECONDS = float(os.environ.get("MCR_SOAK_S") or 3600)
SEED = int(os.environ.get("MCR_SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
CALM = 2 * t.SLOWNESS  # s
# Restarts are dealt only to processes that have lived for so long (s): what grows slowly is seen in a long life.
LIFE = min(7200, max(SECONDS / 4, min(SECONDS / 2, 100)))
CARDS = (["reload"] * 3 + ["break"] * 2 + ["mend"] * 2 + ["confirm"] * 2 +
         ["invalid", "try", "hush", "trial", "SIGUSR1", "foreign", "silent", "leg", "flood", "full log"])
RESTARTS = ["SIGTERM", "SIGKILL", "broker", "SIGUSR2"]

# What is freed goes back to the system at once: what an allocator keeps for later may be some MiB, and is no leak.
ALLOCATOR = "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=65536"

# --- what no link takes away, and every file has ----------------------------------------------------------------------

QUIET, STREAM, FRAGMENTS, MAIN, SPARE, BRIEF, FLOODED = range(21, 28)
HUSH = 599  # s of a trial that goes back by silence
FLOOD = 4000
SILENCE_MS = int(800 * t.SLOWNESS)
m.STREAMS.update({n: ("in2", f"239.255.0.{n}", "198.18.12.1") for n in range(QUIET, FLOODED + 1)})
m.LEGS[MAIN] = MAIN, SPARE
m.LACKS.update({n: (5, {1, 2, 3, 4}) for n in (FRAGMENTS, FLOODED)})  # a fifth of the rate


def always(n, **keys):
    return n, [{"input": {"interface": "in2", "group": f"239.255.0.{n}", "port": m.PORT},
                "outputs": [{"interface": "out2", "group": f"239.255.1.{n}", "port": 6000 + n}], **keys}]


def standby():
    _, (rule,) = always(MAIN, silence_ms=SILENCE_MS,
                        merge={"by": "active", "switch_after_ms": int(200 * t.SLOWNESS), "return_after_ms": 300})
    taken = rule.pop("input")
    return MAIN, [{**rule, "inputs": [{"leg": "A", **taken}, {"leg": "B", **taken, "group": f"239.255.0.{SPARE}"}]}]


def brief():
    """Begins and ends within a lap."""
    begin, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s * t.SLOWNESS)) for s in (4, 9))
    return always(BRIEF, active_from=begin, active_until=end)


m.add({"quiet": always(QUIET, silence_ms=SILENCE_MS, max_residence_us=10000000),
       "ts": always(STREAM, monitor={"as": "ts", "max_loss_ppm": 1000}), "large": always(FRAGMENTS), "standby": standby(),
       "brief": brief(), "flooded": always(FLOODED, limit={"packets_per_second": m.RATE})})
m.KEPT.update(("quiet", "ts", "large", "standby", "brief", "flooded"))
m.LOOSE.update(("standby", "brief", "flooded"))
m.TIMED.add("brief")


class Soaked(Links):
    LINKS = {**Links.LINKS, "in2": (5, "src2", "s0", ("198.18.12.1/24", None), ("198.18.12.2/24", None)),
             "out2": (6, "dst2", "d0", ("198.18.22.1/24", None), ("198.18.22.2/24", None))}


class Config(t.Config):
    """Signed by two, if minisign is there."""

    signers = None

    def write(self, text=None):
        super().write(text)
        if self.signers:
            self.signers.sign(self, "a", "b")


class Piped(t.PipedLog, t.KeptMcrd):
    pass


# --- a lap ------------------------------------------------------------------------------------------------------------


def dealt(rng, kind, world):
    """As model.chosen(), of the cards that this test adds as well."""
    if kind in ("silent", "leg", "flood"):
        return [(kind, None)]
    if kind not in ("hush", "full log", "SIGUSR2"):
        return m.chosen(rng, kind, world)
    rules = m.other_rules(rng, world.rules)
    if world.before or rules == world.rules:
        return []
    if kind == "hush":
        return [("try", m.text(rules, HUSH)), ("return", None)]
    if kind == "full log":
        return [("stop_log", None), ("reload", m.text(rules)), ("start_log", None)]
    return [("pending", m.text(rules)), ("SIGUSR2", None)]


def deal(rng, world, cards):
    """[(what, the world behind it)]: all cards that can be played, and at the end all is as it was."""
    steps, cards, home = [], rng.sample(cards, len(cards)), world.text

    def play(*moves):
        for what in moves:
            steps.append((what, (steps[-1][1] if steps else world).after(what, len(steps) + 1)))

    while cards:
        for i, kind in enumerate(cards):
            moves = dealt(rng, kind, steps[-1][1] if steps else world)
            if moves:
                play(*moves)
                del cards[i]
                break
        else:
            break
    last = steps[-1][1]
    play(*[("confirm", None)] * bool(last.before), *(("mend", i) for i in sorted(last.broken)), ("reload", home))
    return steps


OF_THIS_MACHINE = "the clock is unsynchronised", "the sandbox is not in force"  # what mcrstat --check may tell


class Lap(Run):
    """Without steps it is a calm one, which is judged exactly."""

    SIZES = {STREAM: TS, FRAGMENTS: LARGE}

    def write(self, text, **trial):
        self.d.config.top.pop("valid_until", None)
        if text and text[1] == HUSH:
            trial["return_on_silence"] = True
        elif not text and self.rng.random() < .5:
            self.d.config.top["valid_until"] = "2020-01-01T00:00:00Z"
            self.d.config.write()
            return
        super().write(text, **trial)

    def pending(self, _, text, *__):
        self.write(text)

    def reload(self, kind, text, before, after):
        if kind == "try":  # a rule that is silent already is not waited for
            t.wait_for(lambda: self.rule("quiet")["state"] == "active", 5, "what relays")
        if not self.steps or self.steps[-1].what[0] != "stop_log":
            super().reload(kind, text, before, after)
            return
        self.write(text)  # what the log cannot say, the statistics do
        self.net.relay.run(t.MCRD, "--reload", "--config", self.d.config.file)

    def rule(self, name):
        return next(x for x in self.d.stats()["rules"] if x["name"] == name)

    def returned(self, kind, argument, before, after):
        hush = before.text_on_trial[1] == HUSH
        if hush:
            self.sending.tell("hold", QUIET)
        super().returned(kind, argument, before, after)
        if hush:
            self.sending.tell("go", QUIET)

    def silent(self, *_):
        self.sending.tell("hold", QUIET, STREAM)
        t.wait_for(lambda: (x := self.rule("quiet"))["state"] == "silent" and x["alarms"] == ["silence"], 5, "the silence")
        self.sending.tell("go", QUIET, STREAM)

    def leg(self, *_):
        self.sending.tell("hold", MAIN)
        t.wait_for(lambda: (x := self.rule("standby"))["merge"]["active_leg"] == "B" and "leg" in x["alarms"], 5, "leg B")
        self.sending.tell("go", MAIN)
        t.wait_for(lambda: self.rule("standby")["merge"]["active_leg"] == "A", 5, "leg A")

    def flood(self, *_):
        dropped = self.rule("flooded")["drops"]["rate"]
        self.sending.tell("flood", FLOODED, 5 * FLOOD)  # of which a fifth is sent
        t.wait_for(lambda: self.rule("flooded")["drops"]["rate"] > dropped + FLOOD / 2, 10, "the limit")

    def stop_log(self, *_):
        self.d.stop_log()

    def start_log(self, *_):
        log = r.Log(self.d)
        self.d.start_log()

        def heard():
            self.d.signal(signal.SIGUSR1)  # the first answers may find it still full
            return log.events("rule")

        t.wait_for(heard, 5, "the log")

    def SIGUSR2(self, *_):
        log = r.Log(self.d)
        self.d.signal(signal.SIGUSR2)
        t.wait_for(lambda: log.events("continued"), 5, "the answer to SIGUSR2")
        self.d.restart(signal.SIGTERM, 0)

    def settle(self):
        """Until nothing is left to be told."""
        said = []

        def sound():
            _, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", self.d.config.stats_file], check_status=False)
            found = out.partition(" - ")[2].partition("; ")[0].split(", ") if "; " in out else []
            alarms = {x["name"]: x["alarms"] for x in self.d.stats()["rules"] if x["alarms"]}
            said[:] = [x for x in found if x not in OF_THIS_MACHINE], alarms
            return not any(said)

        try:
            t.wait_for(sound, 20)
        except t.Failure:
            raise t.Failure(f"an alarm is left: {said}") from None
        if not self.sequence:
            time.sleep(CALM)

    def more_wrong(self, sent, came, last, judge):
        """Each output's counter against what came to its receiver; in a calm lap all counters."""
        broken = {s.what[1] for s in self.steps if s.what[0] in ("down", "missing")}
        unsure = 2 * m.PASS * len(judge.kills())
        for x in last["rules"]:
            name = x["name"]
            born = (self.steps[-1].after if self.steps else self.first).born[name]
            if born or not judge.same_outputs(name, born):
                continue
            for o, shown in zip(m.form(name, self.first.rules[name])["outputs"], x["outputs"]):
                n, arrived = shown["packets"] - self.base[name]["to " + shown["to"]], len(came[m.place(o)])
                if n < arrived - unsure or (n > arrived + unsure and o["interface"] not in broken):
                    yield f"rule {name} has counted {n} to {shown['to']}, where {arrived} arrived"
        if not self.steps:
            yield from self.inexact(sent, last)

    def inexact(self, sent, last):
        allowed = {"limited": {"rate"}, "merge": {"copy"}, "ordered": {"copy"}, "standby": {"standby"}}
        rules = {x["name"]: x for x in last["rules"]}
        for name in rules.keys() - m.TIMED:
            n = self.counted(rules[name], 0)
            expected = sum(1 for s in m.streams(name) for ns in sent[s] if ns)
            if n != expected:
                yield f"rule {name} has counted {n}, sent were {expected}"
            drops = {k: v - self.base[name]["drops"][k] for k, v in rules[name]["drops"].items()}
            wrong = {k: v for k, v in drops.items() if v and k not in allowed.get(name, ())}
            if wrong:
                yield f"rule {name} has dropped {wrong}"
        for i in last["interfaces"]:
            have = interface_counters(i)
            if i["name"] in self.base[None]:
                have.subtract(self.base[None][i["name"]])
            taken = sum(leg["packets"] - self.base[x["name"]]["legs"][leg["leg"]]
                        for x in last["rules"] for leg in x["inputs"] if leg["interface"] == i["name"])
            if have.pop("received") != taken + have.pop("unmatched") or any(have.values()):
                yield f"interface {i['name']}: its rules have taken in {taken}, and it has {i} behind {self.base[None]}"


def interface_counters(i):
    return collections.Counter({k: v for k, v in i.items() if isinstance(v, int) and not isinstance(v, bool)})


def counted(stats):
    """What a lap begins with: {rule: {...}}; of no rule: {interface: its counters}."""
    base = {None: {i["name"]: interface_counters(i) for i in stats["interfaces"]}}
    for x in stats["rules"]:
        done = sum(x["drops"].values()) - x["packets"]
        base[x["name"]] = {"packets": x["packets"] - x["drops"]["source"], "drops": x["drops"],
                           "legs": {leg["leg"]: leg["packets"] for leg in x["inputs"]}}
        for o in x["outputs"]:
            base[x["name"]][o["to"]] = done + sum(o[k] for k in ("packets", "errors", "too_big", "expired"))
            base[x["name"]]["to " + o["to"]] = o["packets"]
    return base


# --- what both processes hold -----------------------------------------------------------------------------------------


class Held:
    """Resident memory (KiB), descriptors and mappings of each process at the end of each calm lap: the same file runs then, and
    the same streams have come. After WARM laps the median of the last third may exceed that of the first by MOST."""

    WARM, ENOUGH = 2, 6
    MOST = {"resident KiB": 1 << 30 if t.SANITIZED else 256, "descriptors": 4, "mappings": 4}

    def __init__(self):
        self.lives = {}

    def look(self, d):
        found = {}
        for who, pid in (("relay", d.process.pid), ("broker", d.broker)):
            now = r.resident_kib(pid), len(r.descriptors(pid)), len(r.mappings(pid))
            life = self.lives.setdefault((who, pid), [])
            life.append(now)
            self.judge(who, life[min(self.WARM, len(life) - 1):] if len(life) >= self.ENOUGH else life[1:])
            found[who] = f"{who} {now[0]} KiB, {now[1]} descriptors, {now[2]} mappings"
        return "; ".join(found.values())

    def judge(self, who, life):
        third = max(1, len(life) // 3)
        for (what, most), series in zip(self.MOST.items(), zip(*life)):
            first, last = statistics.median_low(series[:third]), statistics.median_low(series[-third:])
            t.check(last - first <= most, f"the {who} grows: {what} of its quiet points: {series}, at most {most} more")


# --- the whole --------------------------------------------------------------------------------------------------------


class Soak:
    def __init__(self, net, manager, d):
        self.net, self.manager, self.d = net, manager, d
        self.firsts, self.held, self.born = collections.Counter(), Held(), time.monotonic()
        self.rules = {name: 0 for name in m.POOL}
        self.totals, self.steps = collections.Counter(), collections.Counter()

    def lap(self, n):
        """One, and the calm behind it."""
        rng = random.Random(f"{SEED} {n}")
        m.add({"brief": brief()})
        self.d.config.rules = config_rules(self.rules.items())
        self.d.config.write()
        t.equal(r.reload(self.d)["result"], "accepted", "the file of this lap")
        old = time.monotonic() - self.born >= LIFE
        world = self.world()
        steps = deal(rng, world, CARDS + RESTARTS * 2 * old)
        self.run(rng, world, steps)
        if old:
            self.born = time.monotonic()
        self.calm()

    def world(self):
        world = m.World(self.rules)
        world.generation = self.d.stats()["generation"]
        return world

    def calm(self):
        self.run(None, self.world(), [])

    def run(self, rng, world, steps):
        lap = Lap(rng, self.net, self.d, world, steps, counted(self.d.stats()), self.firsts)
        try:
            lap.go()
        except t.Failure as e:
            raise t.Failure(f"{e}\n{lap.describe()}") from None
        self.steps.update(what[0] for what, _ in steps)
        self.totals.update(lap.totals)

    def quiet(self):
        """What is to be true whenever nothing is under way."""
        t.run_command([t.MCRD, "--history", "--verify", "--config", self.d.config.file])
        self.d.check_log()
        os.truncate(self.d.config.log, 0)
        self.manager.listen()
        return self.held.look(self.d) + f"; {len(self.manager.store)} in the manager's store"


@t.test(f"{SECONDS:.0f} s of all features, all faults: nothing is lost, counters are exact, nothing grows, no alarm is left, the "
        "records are whole", again=False)
def soak():
    t.note(f"MCR_SOAK_SEED={SEED} MCR_SOAK_S={SECONDS:.0f}")
    config, args = Config([]), []
    with contextlib.suppress(t.Skip):
        config.signers = t.Signers("a", "b")
        args = ["--trust", config.signers.trust]
    # Rotated, but not so often that the first records go: some 5 MiB an hour, and nine files are kept.
    config.top |= {"audit_file": os.path.join(config.directory, "audit", "audit.log"),
                   "audit_mib": max(1, int(SECONDS / 3600)), "instance": "soak"}
    config.rules = config_rules((name, 0) for name in m.POOL)
    config.write()
    with Soaked() as net, t.Manager() as manager, daemon(
            manager, net.relay, config, Piped, (ALLOCATOR,), args=args) as d:
        s, began, n = Soak(net, manager, d), time.monotonic(), 0
        s.calm()
        t.note(f"begin: {s.quiet()}")
        while time.monotonic() < began + SECONDS:
            n += 1
            try:
                s.lap(n)
                t.note(f"lap {n}, {time.monotonic() - began:.0f} s: {s.quiet()}")
            except t.Failure as e:
                raise t.Failure(f"lap {n}, MCR_SOAK_SEED={SEED}: {e}") from None
        t.note(f"steps: {dict(s.steps)}")
        t.note(", ".join(f"{k} {v}" for k, v in s.totals.items()))


if __name__ == "__main__":
    t.main()
