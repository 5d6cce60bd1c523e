# SPDX-License-Identifier: Apache-2.0
"""One sequence of model.py, done with a real mcrd under a manager, while every input has its stream: what test_model.py and
test_soak.py have in common."""
import collections
import os
import re
import signal
import time

import mcrtest as t
import model as m
import reloadtest as r
from modeltraffic import Receiving, Sending, SIZE

WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(t.MCRD), "../tests/net/witness.so"))
LEAD, SETTLE, LAG = (int(x * t.SLOWNESS * (3 if t.SANITIZED else 1) * m.MS) for x in (150, 100, 1500))
RECOVERS = 9 * t.SLOWNESS  # s
ENDS = {"SIGTERM": 0, "SIGKILL": -signal.SIGKILL}


class Links(t.Net):
    """Sources, the relay, receivers; each link may go and come."""

    # Interface: (number of its link, node and name of the other end, its addresses, those of the relay).
    LINKS = {"in0": (1, "src0", "s0", ("198.18.10.1/24", "2001:db8:1::2"), ("198.18.10.2/24", "2001:db8:1::1")),
             "in1": (2, "src1", "s0", ("198.18.11.1/24", None), ("198.18.11.2/24", None)),
             "out0": (3, "dst0", "d0", ("198.18.20.1/24", None), ("198.18.20.2/24", None)),
             "out1": (4, "dst1", "d0", ("198.18.21.1/24", "2001:db8:2::2"), ("198.18.21.2/24", "2001:db8:2::1"))}

    def __init__(self):
        super().__init__()
        self.node("relay")
        for interface, (_, other, *_) in self.LINKS.items():
            self.node(other)
            self.make(interface, 0)

    def nodes_at(self, kind):
        """{interface: node} of the inputs ("in") or outputs ("out")."""
        return {i: getattr(self, x[1]) for i, x in self.LINKS.items() if i.startswith(kind)}

    def make(self, interface, index):
        """index: 0, or what to add to the interfaces' indexes: what comes anew may have those that it had, or others."""
        number, other, name, (address, address6), (mine, mine6) = self.LINKS[interface]
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
        _, other, name, *_ = self.LINKS[interface]
        self.relay.wait_running(interface)
        getattr(self, other).wait_running(name)


def config_rules(rules):
    return [{"name": name, **m.form(name, i)} for name, i in sorted(rules)]


def daemon(manager, node, rules, kind=t.KeptMcrd, environment=(), **keys):
    """mcrd. A relay that lost its broker lives for 5 s at least: this one believes that it has."""
    before = ["env", *environment]
    if os.access(WITNESS, os.R_OK):
        before += [f"LD_PRELOAD={WITNESS}", "OLDER_BY=6",
                   f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0:handle_sigill=0"]
    return kind(manager, node, rules, before=before, **keys)


class Run:
    """One sequence. base: {rule: what it has counted before}; firsts: {stream: its next number}, which go on from one run of a
    daemon to the next."""

    SIZES = {}  # {stream: of its payloads}, where it is another one

    def __init__(self, rng, net, d, first, sequence, base=None, firsts=None):
        self.rng, self.net, self.d, self.first, self.sequence = rng, net, d, first, sequence
        self.base, self.firsts = base or {}, firsts if firsts is not None else collections.Counter()
        self.steps, self.counts, self.told, self.slow, self.mended_at = [], {}, [], {}, {}

    def begin(self):
        """Traffic."""
        inputs, outputs = self.net.nodes_at("in"), self.net.nodes_at("out")
        sockets = [n.socket(r.socket.AF_PACKET, r.socket.SOCK_RAW, 0) for n in inputs.values()]
        mac = t.mac(self.net, "relay", "in0")
        self.foreign_socket = sockets[0]
        self.receiving = Receiving(outputs.values())
        legs = {s: n for n, pair in m.LEGS.items() for s in pair}
        wanted = [(list(inputs).index(interface), self.net.LINKS[interface][2],
                   (s, to, source, mac, m.PORT, legs.get(s), self.SIZES.get(s, SIZE)), self.firsts[s], m.LACKS.get(s, (1, ())))
                  for s, (interface, to, source) in m.STREAMS.items() if s in used()]
        self.sending = Sending(sockets, m.RATE / t.SLOWNESS, wanted)

    def end(self):
        """({stream: when each number was sent}, {(interface, address, port): [(stream, number)]}), numbers from 0 on."""
        sent = self.sending.finish()
        time.sleep(.3 * t.SLOWNESS)
        arrived = {(i, *where): [(s, n - self.firsts[s]) for s, n in found]
                   for i, places in zip(self.net.nodes_at("out"), self.receiving.finish().values())
                   for where, found in places.items()}
        for s, times in sent.items():
            self.firsts[s] += len(times)
        return sent, arrived

    def go(self):
        self.begin()
        host = self.net.dst1.socket(r.socket.AF_INET, r.socket.SOCK_DGRAM)  # so that the host answers with no error
        host.bind(("", 6003))
        time.sleep(.3 * t.SLOWNESS)
        world = self.first
        self.look(world)
        for what, following in self.sequence:
            self.step(what, world, following)
            world = following
            time.sleep(self.rng.uniform(.2, .6) * t.SLOWNESS)
        self.settle()
        sent, arrived = self.end()
        host.close()
        self.totals = {"sent": sum(bool(ns) for x in sent.values() for ns in x), "arrived": sum(map(len, arrived.values()))}
        self.judge(sent, arrived, self.d.stats(), time.time_ns())

    def settle(self):
        """What is to be before the traffic ends."""

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

    def write(self, text, **trial):
        if text:
            self.d.config.rules = config_rules(text[0])
            self.d.config.top = {k: v for k, v in self.d.config.top.items() if k != "trial"}
            if text[1]:
                self.d.config.top["trial"] = {"seconds": text[1], **trial}
            self.d.config.write()
        else:
            self.d.config.write("version = 1; rules = ( { name = \"bad\"; } );\n")

    def reload(self, kind, text, before, after):
        self.write(text)
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
            now[key] = self.counted(x, key[1])
            t.check(now[key] >= self.counts.get(key, 0), f"packets of {name} fell from {self.counts.get(key)} to {now[key]}")
        self.counts.update(now)
        self.told.append((time.time_ns(), now, {i["name"]: i["ring_drops"] for i in s["interfaces"]}))

    def counted(self, x, born):
        """What a rule has counted of the streams: those drops are foreign ones."""
        return x["packets"] - x["drops"]["source"] - (0 if born else self.base.get(x["name"], {}).get("packets", 0))

    # --- at the end ---

    def judge(self, sent, arrived, last, end):
        judge = m.Judge(self.first, self.steps, sent, LEAD, SETTLE, m.RATE / t.SLOWNESS)
        wrong, world = [], self.sequence[-1][1] if self.sequence else self.first
        came = collections.defaultdict(list)
        for where, found in arrived.items():
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
        wrong += self.miscounted(judge, {(n, world.born[n]): self.counted(x, world.born[n])
                                         for x in last["rules"] for n in [x["name"]]}, end, 0)
        wrong += self.more_wrong(sent, came, last, judge)
        unsure = 2 * m.PASS * len(judge.kills())
        for x in last["rules"]:
            if not judge.same_outputs(x["name"], world.born[x["name"]]):
                continue
            for o in x["outputs"]:
                n = sum(x["drops"].values()) + sum(o[k] for k in ("packets", "errors", "too_big", "expired"))
                n -= 0 if world.born[x["name"]] else self.base.get(x["name"], {}).get(o["to"], 0)
                if abs(n - x["packets"]) > unsure:
                    wrong.append(f"rule {x['name']} has counted {x['packets']}, and drops and output {o['to']} {n}")
        drops = {i["name"]: i["ring_drops"] for i in last["interfaces"] if i["ring_drops"]}
        t.check(not wrong, "\n".join(wrong[:40] + [f"ring drops: {drops}"] * bool(drops)))
        t.check(sum(map(len, came.values())) > 0, "nothing has arrived at all")

    def more_wrong(self, sent, came, last, judge):
        """What else is wrong."""
        return []

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


def used():
    return {s for n in m.POOL for s in m.streams(n)}
