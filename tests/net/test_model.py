#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random sequences of reloads, trials, links that go and come, kills and restarts of one mcrd under a manager, while every
input has its stream: model.py says what must arrive.

MCR_MODEL_SEED=n runs one sequence again (random: any); MCR_MODEL_SEEDS=1000 so many, from MCR_MODEL_SEED or 1 on;
MCR_MODEL_TELL=1 tells the steps; MCR_MODEL_STEPS=30 makes them longer. make check-model runs many.
"""
import collections
import os
import random
import re
import signal
import time

import mcrtest as t
import model as m
import reloadtest as r
from modeltraffic import Receiving, Sending

STEPS = int(os.environ.get("MCR_MODEL_STEPS") or 12)
SEEDS = int(os.environ.get("MCR_MODEL_SEEDS") or 0)
SEED = os.environ.get("MCR_MODEL_SEED") or ""
FIXED = (2, 3, 4)[:1 if t.SANITIZED else 3]
TELL = os.environ.get("MCR_MODEL_TELL", "")
WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(t.MCRD), "../tests/net/witness.so"))
LEAD, SETTLE, LAG = (int(x * t.SLOWNESS * (3 if t.SANITIZED else 1) * m.MS) for x in (150, 100, 1500))
RECOVERS = 9 * t.SLOWNESS  # s
ENDS = {"SIGTERM": 0, "SIGKILL": -signal.SIGKILL}
# Interface: (number of its link, node and name of the other end, its addresses, those of the relay).
LINKS = {"in0": (1, "src0", "s0", ("198.18.10.1/24", "2001:db8:1::2"), ("198.18.10.2/24", "2001:db8:1::1")),
         "in1": (2, "src1", "s0", ("198.18.11.1/24", None), ("198.18.11.2/24", None)),
         "out0": (3, "dst0", "d0", ("198.18.20.1/24", None), ("198.18.20.2/24", None)),
         "out1": (4, "dst1", "d0", ("198.18.21.1/24", "2001:db8:2::2"), ("198.18.21.2/24", "2001:db8:2::1"))}


class Links(t.Net):
    """Two sources, the relay, two receivers; each link may go and come."""

    def __init__(self):
        super().__init__()
        for name in ("relay", "src0", "src1", "dst0", "dst1"):
            self.node(name)
        for interface in LINKS:
            self.make(interface, 0)

    def make(self, interface, index):
        """index: 0, or what to add to the interfaces' indexes: what comes anew may have those that it had, or others."""
        number, other, name, (address, address6), (mine, mine6) = LINKS[interface]
        node = getattr(self, other)
        ends = [("index", 10 * number + index + i, "address", f"02:00:00:00:{number:02x}:{i:02x}", "netns", n.holder.pid)
                for i, n in ((1, node), (2, self.relay))]
        t.run_command(["ip", "link", "add", name, *ends[0], "type", "veth", "peer", "name", interface, *ends[1]])
        for n, x, a in ((node, name, address), (self.relay, interface, mine)):
            n.add_address(x, a)
            if not t.SUPER_FRAMES:
                n.ethtool(x, "tx-udp-segmentation", "off")
            n.up(x)
        self.wait(interface)
        if mine6:
            t.enable_ipv6(node, name, address6)
            self.relay.set(f"ipv6/conf/{interface}/keep_addr_on_down", 1)
            t.enable_ipv6(self.relay, interface, mine6)

    def wait(self, interface):
        _, other, name, *_ = LINKS[interface]
        self.relay.wait_running(interface)
        getattr(self, other).wait_running(name)


def config_rules(rules):
    return [{"name": name, **m.form(name, i)} for name, i in sorted(rules)]


class Run:
    """One sequence."""

    def __init__(self, seed, net, manager):
        self.rng = random.Random(f"links {seed}")
        self.first, self.sequence = m.sequence(seed, STEPS)
        self.net, self.steps, self.counts, self.told, self.slow, self.mended_at = net, [], {}, [], {}, {}
        before = []
        if os.access(WITNESS, os.R_OK):  # a relay that lost its broker lives for 5 s at least: this one believes it has
            before = ["env", f"LD_PRELOAD={WITNESS}", "OLDER_BY=6",
                      f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0:handle_sigill=0"]
        self.d = t.KeptMcrd(manager, net.relay, config_rules(self.first.rules.items()), before=before)

    def go(self):
        sockets = [n.socket(r.socket.AF_PACKET, r.socket.SOCK_RAW, 0) for n in (self.net.src0, self.net.src1)]
        mac = t.mac(self.net, "relay", "in0")
        with self.d:
            receiving = Receiving([self.net.dst0, self.net.dst1])
            legs = {s: n for n, pair in m.LEGS.items() for s in pair}
            wanted = [(interface == "in1", "s0", (s, to, source, mac, m.PORT, legs.get(s)), lacks(s))
                      for s, (interface, to, source) in m.STREAMS.items() if s in USED]
            sending = Sending(sockets, m.RATE / t.SLOWNESS, wanted)
            self.foreign_socket = sockets[0]
            host = self.net.dst1.socket(r.socket.AF_INET, r.socket.SOCK_DGRAM)  # so that the host answers with no error
            host.bind(("", 6003))
            time.sleep(.3 * t.SLOWNESS)
            world = self.first
            self.look(world)
            for what, following in self.sequence:
                self.step(what, world, following)
                world = following
                time.sleep(self.rng.uniform(.2, .6) * t.SLOWNESS)
            sent = sending.finish()
            time.sleep(.3 * t.SLOWNESS)
            end = time.time_ns()
            last = self.d.stats()
            arrived = receiving.finish()
        self.judge(sent, arrived, last, end)

    # --- the steps ---

    def step(self, what, before, after):
        kind, argument = what
        begin = time.time_ns()
        getattr(self, {"mend": "mended", "trial": "reload", "try": "reload", "invalid": "reload", "return": "returned",
                       "SIGTERM": "restart", "SIGKILL": "restart", "broker": "restart", "down": "broken",
                       "missing": "broken", "SIGUSR1": "told_counters"}.get(kind, kind))(kind, argument, before, after)
        if kind == "return":  # whoever looked late has not seen when it was
            begin = min(begin, self.steps[-1].begin + 900 * m.MS)
        if kind != "try":  # which may be over by now
            self.wait_states(after)
        end = time.time_ns()
        if kind != "try":
            self.look(after)
        self.steps.append(m.Step(what, begin, end, before, after))

    def reload(self, kind, text, before, after):
        if text:
            self.d.config.rules = config_rules(text[0])
            self.d.config.top = {k: v for k, v in self.d.config.top.items() if k != "trial"}
            if text[1]:
                self.d.config.top["trial"] = {"seconds": text[1]}
            self.d.config.write()
        else:
            self.d.config.write("version = 1; rules = ( { name = \"bad\"; } );\n")
        refused = not text or (before.before and text != before.before[1])
        t.equal(r.reload(self.d)["result"], "refused" if refused else "accepted", "the reload")

    def returned(self, *_):
        t.wait_for(lambda: self.d.stats()["config"]["state"] != "trial", 4, "the return")

    def confirm(self, _, __, before, ___):
        if not before.disk:  # it reads the file to find the daemon
            self.d.signal(signal.SIGRTMIN)
            return
        self.net.relay.run(t.MCRD, "--confirm", "--config", self.d.config.file)

    def broken(self, kind, interface, *_):
        self.net.relay.run("ip", "link", *(["del", interface] if kind == "missing" else ["set", interface, "down"]))

    def mended(self, _, interface, before, *__):
        if before.broken[interface] == "missing":
            self.net.make(interface, self.rng.choice((0, 100, 200)))
        else:
            self.net.relay.up(interface)
            self.net.wait(interface)
        self.mended_at[interface] = time.monotonic()

    def restart(self, kind, *_):
        pause = self.rng.choice((0, 0, .1, .3))
        if kind == "broker":
            self.d.restart(signal.SIGKILL, 1, "broker", pause)
        else:
            self.d.restart(getattr(signal, kind), ENDS[kind], pause=pause)

    def told_counters(self, *_):
        log = r.Log(self.d)
        self.d.signal(signal.SIGUSR1)
        t.wait_for(lambda: log.events("rule"), 5, "the counters in the log")

    def foreign(self, *_):
        """To nobody, from a sender that is not in sources, with a wrong checksum."""
        frames = [t.datagram("239.255.0.99", m.PORT, b"f" * 76), t.datagram("239.255.0.1", 4999, b"f" * 76),
                  t.datagram("239.255.0.6", m.PORT, b"f" * 76, source="198.18.10.77"),
                  t.datagram("239.255.0.1", m.PORT, b"f" * 76, udp_keys={"checksum": "bad"})]
        for _ in range(300):
            for f in frames:
                try:
                    self.foreign_socket.sendto(f, ("s0", 0))
                except OSError:
                    return

    # --- what is known after each ---

    def wait_states(self, world):
        """What statistics say, within a moment."""
        wanted = {"rules": {n: world.rule_states(n) for n in world.rules}, "config": world.config_state()}

        def differs():
            try:
                s = self.d.stats()
            except t.Failure:  # they are replaced just now
                return ["no statistics"]
            have = {x["name"]: self.state(x) for x in s["rules"]}
            found = [f"rule {n} is {have.get(n)}, not {w}" for n, w in wanted["rules"].items() if have.get(n) not in w]
            found += [f"rule {n}, which no file names" for n in have.keys() - wanted["rules"].keys()]
            found += [f"config is {s['config']['state']}, not {wanted['config']}"] * (s["config"]["state"] != wanted["config"])
            found += [f"interface {i['name']} is {i['state']}" for i in s["interfaces"]
                      if i["state"] != world.broken.get(i["name"], "up")]
            for i in ("in0", "in1"):
                joined = t.memberships(self.net.relay, i)
                if i not in world.broken and joined != world.groups(i):
                    found.append(f"joined on {i}: {sorted(joined ^ world.groups(i))} too many or missing")
            return found

        began, seen = time.monotonic(), {}

        def same():
            found = differs()
            for x in found:
                seen[x] = f"{time.monotonic() - began:.3f} s"
            return not found

        try:
            t.wait_for(same, 8)
            self.slow[len(self.steps)] = {k: v for k, v in seen.items() if time.monotonic() - began > 1}
        except t.Failure:
            raise t.Failure("; ".join(differs())) from None

    def state(self, x):
        """Of a rule. One whose sends were refused is down until none was for some seconds: it relays meanwhile."""
        interfaces = {o["to"].split()[0] for o in x["outputs"]}
        recovers = any(time.monotonic() - self.mended_at.get(i, -RECOVERS) < RECOVERS for i in interfaces)
        return "active" if x["state"] == "down" and recovers and re.match(r"to .*: ", x["reason"]) else x["state"]

    def look(self, world):
        """Notes the counters; none may fall."""
        s = self.d.stats()
        t.equal(s["generation"], world.generation, "generation")
        t.equal(s["broker"], "alive", "broker")
        now = {}
        for x in s["rules"]:
            name, key = x["name"], (x["name"], world.born[x["name"]])
            now[key] = x["packets"] - x["drops"]["source"]  # those are foreign ones
            t.check(now[key] >= self.counts.get(key, 0), f"packets of {name} fell from {self.counts.get(key)} to {now[key]}")
        self.counts.update(now)
        self.told.append((time.time_ns(), now, {i["name"]: i["ring_drops"] for i in s["interfaces"]}))

    # --- at the end ---

    def judge(self, sent, arrived, last, end):
        judge = m.Judge(self.first, self.steps, sent, LEAD, SETTLE, m.RATE / t.SLOWNESS)
        wrong, world = [], self.sequence[-1][1]
        came = collections.defaultdict(list)
        for i, places in arrived.items():
            for (address, port), found in places.items():
                where = f"out{i}", address, port
                mine = m.streams(m.PLACES[where]) if where in m.PLACES else ()
                wrong += [f"{where}: number {n} of stream {s} must not arrive there" for s, n in found if s not in mine][:3]
                came[where] = [n for _, n in found]
        for where, name in m.PLACES.items():
            found = judge.place(where, came[where])
            wrong += found[:3] + [f"{name} to {where}: {len(found)} in all"] * (len(found) > 3)
            if name == "limited":
                wrong += judge.limited(where, came[where])
        for at, counts, _ in self.told:
            wrong += self.miscounted(judge, counts, at, LAG)
        wrong += self.miscounted(judge, {(x["name"], world.born[x["name"]]): x["packets"] - x["drops"]["source"]
                                        for x in last["rules"]}, end, 0)
        unsure = 2 * m.PASS * len(judge.kills())
        for x in last["rules"]:
            if not judge.same_outputs(x["name"], world.born[x["name"]]):
                continue
            for o in x["outputs"]:
                n = sum(x["drops"].values()) + sum(o[k] for k in ("packets", "errors", "too_big", "expired"))
                if abs(n - x["packets"]) > unsure:
                    wrong.append(f"rule {x['name']} has counted {x['packets']}, and drops and output {o['to']} {n}")
        drops = {i["name"]: i["ring_drops"] for i in last["interfaces"] if i["ring_drops"]}
        t.check(not wrong, "\n".join(wrong[:40] + [f"ring drops: {drops}"] * bool(drops)))
        t.check(sum(map(len, came.values())) > 0, "nothing has arrived at all")

    def miscounted(self, judge, counts, at, lag):
        for (name, born), n in counts.items():
            least, most = judge.counts(name, born, at, lag)
            if not least <= n <= most:
                yield f"rule {name}, born with step {born}, has counted {n}, not {least} to {most}{judge._when(at)}"

    def describe(self):
        zero = self.steps[0].begin if self.steps else 0
        lines = [f"first: {' '.join(f'{n}.{i}' for n, i in sorted(self.first.rules.items()))}"]
        for i, (what, world) in enumerate(self.sequence):
            s = self.steps[i] if i < len(self.steps) else None
            at = f"{(s.begin - zero) / 1e9:.3f} to {(s.end - zero) / 1e9:.3f} s" if s else "failed" if i == len(self.steps) else "-"
            rules = " ".join(f"{n}.{i}" for n, i in sorted(world.rules.items()))
            argument = "" if what[1] is None else what[1] if isinstance(what[1], str) else f"trial={what[1][1]}"
            lines.append(f"{i + 1:3} {what[0]} {argument} ({at}) rules={rules} broken={world.broken} "
                         f"config={world.config_state()} {self.slow.get(i) or ''}")
        log = [x for x in self.d.log_text().splitlines() if not x.startswith("witness:")]
        return "\n".join(lines + ["log:"] + log[-20:])


USED = {s for n in m.POOL for s in m.streams(n)}


def lacks(stream):
    """(modulus, rest) of the numbers that a leg does not bring."""
    return next(((7, n) for n in range(7) if not m.sent_by(stream, n)), (1, 1))


def run_seed(seed):
    with Links() as net, t.Manager() as manager:
        run = Run(seed, net, manager)
        try:
            run.go()
            if TELL:
                t.note(run.describe())
        except t.Failure as e:
            raise t.Failure(f"{e}\n{run.describe()}\nagain: MCR_MODEL_SEED={seed}"
                            f"{f' MCR_MODEL_STEPS={STEPS}' if STEPS != 12 else ''} python3 tests/net/test_model.py") from None


def seeds():
    if SEED == "random":
        first = random.SystemRandom().randrange(1 << 32)
        t.note(f"MCR_MODEL_SEED={first}")
    else:
        first = int(SEED or 1)
    return range(first, first + max(1, SEEDS)) if SEED or SEEDS else FIXED


@t.test("random sequences of reloads, trials, links, kills and restarts: what must arrive does, once; counters and states are true",
        again=False)
def sequences():
    failed = []
    for seed in seeds():
        try:
            run_seed(seed)
        except t.Failure as e:
            failed.append(f"seed {seed}: {e}")
            if SEEDS:
                t.note(failed[-1])
            t.check(len(failed) < 10, "\n".join(failed))
    t.check(not failed, "\n".join(failed))


if __name__ == "__main__":
    t.main()
