# SPDX-License-Identifier: Apache-2.0
"""What mcrd must do, as a specification: which files, links and restarts make what of a running mcrd (World), which datagram
must, may or must not arrive (Judge), and what statistics must say. Pure, and nothing of it knows how mcrd works.

A world is what one file, the disk and the links are between two steps. A step leads from one world to the next, takes its
time, and is told by who does it. While a step lasts, and a moment before and after it, only what it changes may go either way.
"""
import bisect
import collections
import copy
import itertools
import random

PORT, RATE, LIMIT = 5000, 500, 100  # RATE: datagrams a second of each stream
MS = 1000000
PASS = 256  # frames of a pass at most: what a kill may bring twice, of each ring (mcrd(8), RESTART)
NEIGHBOUR = 1000 * MS  # until a busy host has answered
MUST, MAY, NEVER = "must", "may", "must not"

# What comes: its number: (interface, destination, sender).
STREAMS = {n: ("in0", f"239.255.0.{n}", "198.18.10.1") for n in range(1, 20)}
STREAMS |= {4: ("in0", "198.18.10.2", "198.18.10.1"), 9: ("in0", "ff15::4d:9", "2001:db8:1::2"),
            **{n: ("in1", f"239.255.0.{n}", "198.18.11.1") for n in (7, 10, 12, 14)}}
# Two legs of one stream: its number is that of the first; each lacks what the other one has.
LEGS = {11: (11, 12), 13: (13, 14)}
LACKS = {11: (7, {3}), 12: (7, {5}), 13: (7, {3}), 14: (7, {5})}  # of each so many numbers these are not sent


def place(output):
    """Where an output arrives: (interface, address, port)."""
    return output["interface"], output.get("group") or output["address"], output["port"]


def _out(n, interface="out0", **keys):
    return {"interface": interface, "group": f"239.255.1.{n}", "port": 6000 + n, **keys}


def _rule(n, *outputs, sources=None, **keys):
    interface, to, _ = STREAMS[n]
    taken = {"interface": interface, "address" if to.startswith("198") else "group": to, "port": PORT}
    return {"input": {**taken, **({"sources": sources} if sources else {})}, "outputs": list(outputs), **keys}


def _merge(n, output, **merge):
    taken = [{"leg": leg, "interface": STREAMS[x][0], "group": STREAMS[x][1], "port": PORT} for leg, x in zip("AB", LEGS[n])]
    return {"inputs": taken, "merge": {"by": "rtp", "window_ms": 1000, **merge}, "max_payload": 300, "outputs": [output]}


# The rules of all files: name: (stream, its forms, of which a file has one).
_HOST = {"interface": "out1", "address": "198.18.21.1", "port": 6003}
POOL = {
    "plain": (1, [_rule(1, _out(1)), _rule(1, _out(1), note="another"), _rule(1, _out(1), silence_ms=60000)]),
    "two": (2, [_rule(2, _out(2), _out(22, "out1")), _rule(2, _out(2)), _rule(2, _out(22, "out1"), _out(2))]),
    "socket": (3, [_rule(3, _out(3, mode="socket"), _HOST), _rule(3, _HOST, note="only to the host")]),
    "unicast": (4, [_rule(4, _out(4)), _rule(4, _out(4, "out1"))]),
    "limited": (5, [_rule(5, _out(5, "out1"), limit={"packets_per_second": LIMIT})]),
    "roomy": (6, [_rule(6, _out(6), sources=["198.18.10.1"], limit={"packets_per_second": 20 * RATE}),
                  _rule(6, _out(6), sources=["198.18.10.1", "198.18.10.9"], limit={"packets_per_second": 30 * RATE})]),
    "switched": (7, [_rule(7, _out(7)), _rule(7, _out(7), enabled=False)]),
    "kept": (8, [_rule(8, _out(8, source="preserve"))]),
    "six": (9, [_rule(9, {"interface": "out1", "group": "ff15::4d:19", "port": 6009})]),
    "other": (10, [_rule(10, _out(10, "out1"), min_packets_per_second=1)]),
    "merge": (11, [_merge(11, _out(11)), {**_merge(11, _out(11)), "note": "another"}]),
    "ordered": (13, [_merge(13, _out(13, "out1"), reorder_ms=50)]),
}
PLACES = {}
INTERFACES = "in0", "in1", "out0", "out1"  # whose links go and come
KEPT = set()         # rules that every file has
LOOSE = {"limited"}  # rules of which the model does not say how many arrive
TIMED = set()        # rules that begin and end by the clock: the model does not say when


def add(pool):
    """More rules, in POOL's form."""
    POOL.update(pool)
    PLACES.update({place(o): name for name, (_, forms) in pool.items() for f in forms for o in f["outputs"]})


add(dict(POOL))


def form(name, i):
    return POOL[name][1][i]


def streams(name):
    return LEGS.get(POOL[name][0], (POOL[name][0],))


class World:
    """rules: {name: form} that are in force; text: the file that they are of: (its rules, its trial in s); disk: what lies there,
    or None, which is invalid; before: (rules, text, born) where one is on trial; broken: {interface: "down" or "missing"}."""

    def __init__(self, rules):
        self.rules, self.broken, self.before, self.returned = dict(rules), {}, None, None
        self.text = self.disk = text(rules)
        self.born = dict.fromkeys(rules, 0)  # with which step the counters of each rule began
        self.generation = 1

    def load(self, text, step):
        """A file is put in force; counters go on by name."""
        self.rules, self.text, self.generation = dict(text[0]), text, self.generation + 1
        self.born = {n: self.born.get(n, step) for n in self.rules}

    def go_back(self):
        """What ran before a trial runs again."""
        self.rules, self.text, self.born = self.before
        self.before, self.returned, self.generation = None, self.text_on_trial, self.generation + 1

    def after(self, what, step):
        """The next world. what: (kind, argument)."""
        kind, argument = what
        w = copy.deepcopy(self)
        if kind == "pending":
            w.disk = argument
        elif kind in ("reload", "trial", "try"):
            w.disk = argument
            if w.before and argument == w.before[1]:  # the file before ends a trial
                w.before, born = None, w.before[2]
                w.load(argument, step)
                w.born = {n: born.get(n, step) for n in w.rules}
            elif not w.before:  # else it is refused
                before = w.rules, w.text, w.born
                w.load(argument, step)
                if argument[1] and argument != self.text:
                    w.before, w.text_on_trial = before, argument
        elif kind == "return":
            w.go_back()
        elif kind == "invalid":
            w.disk = None
        elif kind == "confirm":
            w.before = None
        elif kind in ("down", "missing"):
            w.broken[argument] = kind
        elif kind == "mend":
            del w.broken[argument]
        elif kind in ("SIGTERM", "SIGKILL", "broker"):
            # A stop in order reads the disk; a crash, and what cannot be loaded or has been on trial, changes nothing.
            given_up = w.text_on_trial if w.before else w.returned
            if kind == "SIGTERM" and w.disk and w.disk not in (given_up, w.before and w.before[1]):
                w.before, w.returned = None, given_up
                w.load(w.disk, step)
            elif w.before:
                born = w.born
                w.go_back()
                w.born = {n: born.get(n, step) for n in w.rules}  # what was kept is the state of the file on trial
            else:
                w.generation += 1
        elif kind == "SIGUSR2":  # before a stop in order
            w.generation += 1
        return w

    def config_state(self):
        return ("trial" if self.before else "invalid" if not self.disk else "current" if self.disk == self.text else
                "returned" if self.disk == self.returned else "pending")

    def rule_states(self, name):
        """The states of which the rule has one."""
        f = form(name, self.rules[name])
        if not f.get("enabled", True):
            return {"disabled"}
        if name in TIMED:
            return {"scheduled", "active", "expired"}
        taken = {STREAMS[s][0] for s in streams(name)}
        lacks = taken <= self.broken.keys() or any(o["interface"] in self.broken for o in f["outputs"])
        return {"down", "waiting"} if lacks else {"active"}  # a merge goes on with one leg

    def groups(self, interface):
        """The IPv4 groups that are joined on an interface: those of the rules in force, and of those to go back to."""
        rules = list(self.rules.items()) + list(self.before[0].items() if self.before else ())
        taken = [STREAMS[s] for name, i in rules if form(name, i).get("enabled", True) for s in streams(name)]
        return {to for on, to, _ in taken if on == interface and to.startswith("239.")}

    def takes(self, name, stream):
        """Whether the rule takes in what comes by this stream."""
        return name in self.rules and form(name, self.rules[name]).get("enabled", True) and STREAMS[stream][0] not in self.broken

    def output(self, name, where):
        """The output that leads there, if the rule has it and its link is up."""
        outputs = form(name, self.rules[name])["outputs"] if name in self.rules else []
        return next((o for o in outputs if place(o) == where and o["interface"] not in self.broken), None)


def text(rules, trial=0):
    return tuple(sorted(rules.items())), trial


# --- sequences -------------------------------------------------------------------------------------------------------

WEIGHTS = {"reload": 6, "invalid": 2, "try": 3, "trial": 2, "confirm": 6, "break": 3, "mend": 4, "SIGTERM": 2, "SIGKILL": 2,
           "broker": 1, "SIGUSR1": 1, "foreign": 1}


def other_rules(rng, rules):
    """Most rules stay, so that it can be seen that they go on."""
    rules = dict(rules)
    for name, (_, forms) in POOL.items():
        if name not in KEPT and rng.random() < .3:
            if name in rules and (len(forms) == 1 or rng.random() < .5):
                del rules[name]
            else:
                rules[name] = rng.randrange(len(forms))
    return rules


def chosen(rng, kind, world):
    """[(kind, argument)] of what is to be done; none: it cannot be done now."""
    argument = None
    if kind in ("reload", "trial", "try"):  # on trial for long, or for a second
        argument = text(other_rules(rng, world.rules), {"reload": 0, "trial": 600, "try": 1}[kind])
        if kind == "reload" and world.before and rng.random() < .5:
            argument = world.before[1]
        if kind != "reload" and (world.before or argument[0] == world.text[0]):
            return []
    elif kind == "confirm" and not world.before or kind == "mend" and not world.broken:
        return []
    elif kind == "break":
        kind, argument = rng.choice(("down", "missing")), rng.choice(INTERFACES)
        if argument in world.broken:
            return []
    elif kind == "mend":
        argument = rng.choice(sorted(world.broken))
    return [(kind, argument)] + [("return", None)] * (kind == "try")


def sequence(seed, n):
    """(the first world, [(what, the world behind it)])"""
    rng = random.Random(seed)
    first = world = World(other_rules(rng, {name: 0 for name in POOL if rng.random() < .7}))
    steps = []
    while len(steps) < n:
        kind, = rng.choices(*zip(*WEIGHTS.items()))
        for what in chosen(rng, kind, world):
            world = world.after(what, len(steps) + 1)
            steps.append((what, world))
    return first, steps


# --- what must arrive ------------------------------------------------------------------------------------------------

Step = collections.namedtuple("Step", "what begin end before after")  # when it was begun, and known to be done (ns)


class Judge:
    """steps: all that was done. sent: {stream: [when each number was sent (ns), or 0]}. lead, settle: ns before the begin and
    behind the end of a step in which what it changes is uncertain."""

    def __init__(self, first, steps, sent, lead, settle, rate=RATE):
        self.first, self.steps, self.sent, self.lead, self.settle = first, steps, sent, lead, settle
        self.ends, self.sums, self.rate = [s.end for s in steps], {}, rate

    def kills(self, since=0):
        return [s for s in self.steps[since:] if s.what[0] == "SIGKILL"]

    def _times(self, state, same, late=0):
        """A function from times to MUST, MAY, NEVER. state(world): whether what is sent then is delivered; None: it may be.
        same(before, after): whether what goes on is left as it is. late: ns for which it may not be, behind what mends a link."""
        loose, steady = [], [state(self.first)] + [state(s.after) for s in self.steps]
        for before, after, s in zip(steady, steady[1:], self.steps):
            if before is not after or (after and not same(s.before, s.after)):
                loose.append((s.begin - self.lead, s.end + self.settle + (late if s.what[0] == "mend" else 0)))

        def verdict(ns):
            if any(a <= ns < b for a, b in loose):
                return MAY
            now = steady[bisect.bisect_right(self.ends, ns)]
            return MAY if now is None else MUST if now else NEVER

        cuts = sorted({*self.ends, *itertools.chain(*loose)})
        verdicts = [verdict(ns) for ns in (0, *cuts)]
        return lambda ns: verdicts[bisect.bisect_right(cuts, ns)]

    def arrives(self, where, stream):
        """When what a stream brings to a place must arrive."""
        name = PLACES[where]

        def state(world):
            if not world.takes(name, stream) or not world.output(name, where):
                return False
            return None if name in LOOSE else True

        def same(before, after):
            return before.output(name, where) == after.output(name, where)

        # The kernel asks who has a host's address, once the link is there.
        return self._times(state, same, 0 if where[1].startswith(("239.", "ff")) else NEIGHBOUR)

    def counted(self, name, stream):
        """When a rule must count what comes. Without any output it may."""
        def state(world):
            if not world.takes(name, stream):
                return False
            if name in TIMED:
                return None
            return True if any(world.output(name, place(o)) for o in form(name, world.rules[name])["outputs"]) else None

        return self._times(state, lambda *_: True)

    def place(self, where, arrived):
        """What is wrong with what has arrived there: arrived: its numbers in order."""
        name = PLACES[where]
        legs = [(self.sent[s], self.arrives(where, s)) for s in streams(name)]
        times, wrong, twice = collections.Counter(arrived), [], 0
        ordered = len(legs) == 1 or name == "ordered"
        for n in range(max(len(sent) for sent, _ in legs)):
            found = {at(sent[n]): sent[n] for sent, at in legs if n < len(sent) and sent[n]}
            verdict = MUST if MUST in found else MAY if MAY in found else NEVER
            if verdict == NEVER and times[n] or verdict == MUST and not times[n]:
                wrong.append((n, f"{verdict} arrive", found.get(verdict, 0)))
            if times[n] > 1 and not (name in LOOSE and len(legs) > 1):
                twice += times[n] - 1
                if not any(k.begin - self.lead <= ns < k.end for ns in found.values() for k in self.kills()):
                    wrong.append((n, f"arrived {times[n]} times", min(found.values())))
        if twice > 2 * PASS * len(self.kills()):
            wrong.append((0, f"{twice} arrived twice", 0))
        firsts = list(dict.fromkeys(arrived))
        late = next((b for a, b in zip(firsts, firsts[1:]) if b < a), None)
        if ordered and late is not None and not self.kills():
            wrong.append((late, "is out of order", self.sent[streams(name)[0]][late]))
        return [f"{name} to {where}: number {n} {what}{self._when(ns)}" for n, what, ns in wrong]

    def limited(self, where, arrived):
        """What is wrong with the number of those that have arrived under a limit."""
        name, found = PLACES[where], []
        stream, = streams(name)
        at = sorted(self.sent[stream][n] for n in arrived)
        for s, following in zip(self.steps, self.steps[1:]):
            a, b = s.end + self.settle, following.begin - self.lead
            if b - a < 200 * MS or not s.after.takes(name, stream) or not s.after.output(name, where):
                continue
            n, expected = bisect.bisect(at, b) - bisect.bisect(at, a), LIMIT * (b - a) / 1e9
            if sum(a <= ns < b for ns in self.sent[stream]) < .8 * self.rate * (b - a) / 1e9:  # a slow sender
                continue
            if not expected / 3 - 1 <= n <= expected * 1.2 + LIMIT / 10 + 1:
                found.append(f"{name} to {where}: {n} arrived in {(b - a) / MS:.0f} ms{self._when(a)}")
        return found

    def same_outputs(self, name, born):
        """Whether a rule has had the same outputs since that step."""
        worlds = [self.first, *(s.after for s in self.steps)][born:]
        return len({str(form(name, w.rules[name])["outputs"]) for w in worlds if name in w.rules}) == 1

    def _when(self, ns):
        i = bisect.bisect_right([s.begin for s in self.steps], ns)
        if not ns or i == 0:
            return ""
        s = self.steps[i - 1]
        return f", sent {(ns - s.begin) / 1e9:.3f} s after the begin and {(ns - s.end) / 1e9:.3f} s after the end of step {i}"

    def counts(self, name, born, at_ns, lag):
        """(least, most) datagrams that a rule has counted at a time, since the step with which it was born. lag: ns by which
        statistics may lie behind."""
        begin = self.steps[born - 1].begin - self.lead if born else 0
        low = high = 0
        for s in streams(name):
            if (name, s) not in self.sums:
                at, times = self.counted(name, s), [ns for ns in self.sent[s] if ns]
                verdicts = [at(ns) for ns in times]
                self.sums[name, s] = (times, [0, *itertools.accumulate(v == MUST for v in verdicts)],
                                      [0, *itertools.accumulate(v != NEVER for v in verdicts)])
            times, must, may = self.sums[name, s]
            first = bisect.bisect_left(times, begin)
            low += must[max(first, bisect.bisect_left(times, at_ns - lag))] - must[first]
            high += may[bisect.bisect_right(times, at_ns)] - may[first]
        unsure = 2 * PASS * len(self.kills(max(0, born - 1)))
        return low - unsure, high + unsure
