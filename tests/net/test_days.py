#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weeks in seconds: between its steps the test leaves time out (witness.c), for relay and broker alike. What a seed has
chosen happens, and a model says what must be: which rules relay, which file runs and for how long, what passes a limit.

MCR_DAYS_SEED=7 takes one seed, MCR_DAYS_SEED=random one that nobody has seen yet, MCR_DAYS_SEEDS=100 so many.
"""
import os
import random
import socket
import struct
import time

import mcrtest as t
import reloadtest as r

SEED, SEEDS = os.environ.get("MCR_DAYS_SEED", ""), int(os.environ.get("MCR_DAYS_SEEDS") or 2)
STEPS = 40
TICK = 1.5  # s, in which the relay looks at the clocks
MINUTE, HOUR, DAY = 60, 3600, 86400
PORT, OUT_PORT, EACH = 5000, 6000, 12
SILENCE = 60  # s; the relay looks four times in it
PPS, BURST = 10, 10  # of the rule with a limit: a second of its rate may come at once
REASSEMBLY = 2  # s
WITHIN = 3 * t.SLOWNESS  # s, until what is due has happened: a tick of the relay, a table, and what the machine takes
NAMES = ("always", "limited", "begins", "ends", "lasts", "again", "tried")
GROUP = {name: f"239.255.0.{i + 1}" for i, name in enumerate(NAMES)}
OUT = {name: f"239.255.1.{i + 1}" for i, name in enumerate(NAMES)}


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def relays(state):
    return "active" in state or "silent" in state


# --- the model: no clock but that of its arguments ---------------------------------------------------------------------


class File:
    """What one file says. windows: (from, until) by rule, None for a bound that is not given."""

    def __init__(self, windows, valid_until, tried=False, trial=0):
        self.windows, self.valid_until, self.tried, self.trial = windows, valid_until, tried, trial
        self.written = time.time()  # by the machine's clock; one that is a day behind it is not set

    def is_set(self, wall):
        return wall >= self.written - DAY

    def rules(self):
        found = []
        for name in NAMES:
            if name == "tried" and not self.tried:
                continue
            times = zip(("active_from", "active_until"), self.windows.get(name, (None, None)))
            keys = {k: moment(v) for k, v in times if v}
            if name == "always":
                keys["silence_ms"] = SILENCE * 1000
            if name == "limited":
                keys["limit"] = {"packets_per_second": PPS, "burst_ms": 1000 * BURST // PPS}
            found.append(t.rule(name, GROUP[name], PORT, [t.to_group(OUT[name], OUT_PORT)], **keys))
        return found

    def top(self):
        return {"valid_until": moment(self.valid_until), **({"trial": {"seconds": self.trial}} if self.trial else {})}


class Model:
    def __init__(self, file):
        self.runs, self.back, self.ends, self.returned = file, None, None, False
        self.closed = set()  # (rule, until) of what has ended: a clock that is set back opens none of them
        self.least = self.most = BURST  # what the limit lets pass at once, so many at least and at most
        self.filled = None  # when that was
        self.heard = None  # when "always" had its last datagram

    def pass_time(self, wall, now):
        """wall: of the wall clock, now: of one that is never set; seconds."""
        if self.back and now >= self.ends:
            self.runs, self.back, self.returned = self.back, None, True
        for file in (self.runs, self.back):
            self.closed |= {(n, until) for n, (_, until) in (file.windows.items() if file else ()) if until and wall >= until}
        if self.filled is not None:
            self.least, self.most = (min(BURST, x + (now - self.filled) * PPS) for x in (self.least, self.most))
        self.filled = now

    def state(self, name, wall, now):
        """A state, or several of which each may be."""
        begins, until = self.runs.windows.get(name, (None, None))
        if (name, until) in self.closed:
            return "expired"
        if (begins and wall < begins) or ((begins or until) and not self.runs.is_set(wall)):
            return "scheduled"
        if name != "always" or now - self.heard < SILENCE:
            return "active"
        return "silent" if now - self.heard > 1.25 * SILENCE + 2 else "active silent"

    def kept_open(self, wall):
        """Groups of what a trial may go back to: it is ready at any time."""
        windows = self.back.windows if self.back and self.back.is_set(wall) else {}
        return {GROUP[n] for n, (begins, until) in windows.items()
                if (not begins or wall >= begins) and (n, until) not in self.closed}

    def states(self, wall, now):
        return {name: self.state(name, wall, now) for name in NAMES if name != "tried" or self.runs.tried}

    def load(self, file, wall, now):
        """Returns whether it is accepted."""
        if self.back or wall >= file.valid_until or not file.is_set(wall):
            return False
        if file.trial:
            self.back, self.ends = self.runs, now + file.trial
        self.runs, self.returned = file, False
        return True

    def confirm(self):
        if not self.back:
            return False
        self.back = None
        return True

    def next_bound(self, wall, now):
        """Seconds until something happens, or None."""
        bounds = [b - wall for w in self.runs.windows.values() for b in w if b and b > wall]
        bounds.append(self.runs.valid_until - wall)
        if self.back:
            bounds.append(self.ends - now)
        return min((b for b in bounds if b > 5), default=None)


# --- the bench ---------------------------------------------------------------------------------------------------------


class Dated(t.Mcrd):
    """mcrd, and mcrstat, by the clocks of the test."""

    def __init__(self, node, clock, file):
        self.clock = clock
        super().__init__(node, file.rules(), before=clock.before, **file.top())

    def stats(self, *options):
        return t.json.loads(t.run_command([*self.clock.before, t.MCRSTAT, "--json", "--stats", self.config.stats_file,
                                           *options])[1])


class Sink:
    """Counts what leaves, by group."""

    def __init__(self, node):
        self.sockets = {}
        with node.inside():
            index = socket.if_nametoindex("d0")
        for name in NAMES:
            s = self.sockets[name] = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"d0")
            s.bind((OUT[name], OUT_PORT))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         struct.pack("=4s4si", socket.inet_aton(OUT[name]), b"\0" * 4, index))
            s.setblocking(False)
        self.came = dict.fromkeys(NAMES, 0)

    def look(self):
        for name, s in self.sockets.items():
            try:
                while s.recv(2048):
                    self.came[name] += 1
            except BlockingIOError:
                pass
        return self.came

    def close(self):
        for s in self.sockets.values():
            s.close()


class Bench:
    def __init__(self, seed, net, clock, d, model):
        self.rng, self.net, self.clock, self.d, self.model = random.Random(f"{seed} steps"), net, clock, d, model
        self.sink, self.began, self.steps = Sink(net.dst), time.monotonic(), []
        self.source = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with net.src.inside():
            index = socket.if_nametoindex("s0")
        self.source.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"\0" * 4, b"\0" * 4,
                                                                                      index))
        self.raw, self.ident = t.RawSender(net.src, "s0"), 0
        model.heard = self.now()
        model.pass_time(clock.now(), self.now())

    def now(self):
        return time.monotonic() + self.clock.gone

    def close(self):
        self.source.close()
        self.raw.socket.close()
        self.sink.close()

    # --- what happens

    def leave_out(self, seconds):
        """In two parts, between which the relay looks what came last."""
        self.steps.append(f"{seconds:.0f} s are left out")
        if seconds > SILENCE / 3:
            self.clock.leave_out(SILENCE / 3)
            time.sleep(0.1 * t.SLOWNESS)
            seconds -= SILENCE / 3
        self.clock.leave_out(seconds)
        self.model.pass_time(self.clock.now(), self.now())

    def set_clock(self):
        ahead = self.rng.choice((-1, 1)) * self.rng.uniform(MINUTE, 2 * DAY)
        self.steps.append(f"the wall clock is set by {ahead:.0f} s")
        self.clock.set(self.clock.ahead + ahead)
        self.model.pass_time(self.clock.now(), self.now())
        self.clock.leave_out(TICK)
        self.model.pass_time(self.clock.now(), self.now())

    def load(self, trial=0):
        file = chosen_file(self.rng, self.clock.now(), trial)
        if self.rng.random() < 0.2:
            file.valid_until = self.clock.now() - HOUR
        self.d.config.rules, self.d.config.top = file.rules(), {
            **{k: v for k, v in self.d.config.top.items() if k not in ("trial", "valid_until")}, **file.top()}
        self.d.config.write()
        # What the broker finds closed by its clock it has closed before; the model goes by the same moment.
        self.model.pass_time(self.clock.now(), self.now())
        accepted = self.model.load(file, self.clock.now(), self.now())
        self.steps.append(f"a file with trial = {trial}, valid until {moment(file.valid_until)}: "
                          f"{'accepted' if accepted else 'refused'}")
        t.equal(r.reload(self.d)["result"], "accepted" if accepted else "refused", "the verdict")
        if accepted:
            self.model.heard = self.now()
        self.model.pass_time(self.clock.now(), self.now())

    def confirm(self):
        expected = self.model.confirm()
        self.steps.append(f"mcrd --confirm: {'kept' if expected else 'nothing is on trial'}")
        status, _, err = t.run_command([*self.clock.before, t.MCRD, "--confirm", "--config", self.d.config.file],
                                       check_status=False)
        t.equal(status, 0 if expected else 1, f"the exit status of --confirm ({err.strip()})")

    def fragments(self):
        """A datagram in two parts, and time between them."""
        seconds = self.rng.choice((REASSEMBLY * 0.6, REASSEMBLY * 1.2))
        self.steps.append(f"{seconds:.1f} s between two fragments")
        before = self.sink.look()["always"]
        self.ident += 1
        first, second = t.fragments(GROUP["always"], PORT, bytes(64), 40, ident=self.ident)
        self.raw.send(first)
        time.sleep(0.05 * t.SLOWNESS)
        self.leave_out(seconds)
        time.sleep(0.05 * t.SLOWNESS)
        self.raw.send(second)
        time.sleep(0.1 * t.SLOWNESS)
        whole = int(seconds < REASSEMBLY)
        t.equal(self.sink.look()["always"] - before, whole, "datagrams made of two fragments")
        if whole:
            self.model.heard = self.now()

    def step(self):
        bound = self.model.next_bound(self.clock.now(), self.now())
        what = self.rng.random()
        if what < 0.25 and bound:
            self.leave_out(bound - self.rng.uniform(5, 30) * (bound > 40) - (bound <= 40))
        elif what < 0.5 and bound:
            self.leave_out(bound + self.rng.uniform(1, 20))
        elif what < 0.7:
            self.leave_out(self.rng.choice((0.5, 20, SILENCE + 5, HOUR, DAY)) * self.rng.uniform(1, 2))
        elif what < 0.78:
            self.set_clock()
        elif what < 0.88:
            self.load()
        elif what < 0.93:
            self.load(trial=self.rng.randrange(MINUTE, HOUR))
        elif what < 0.97:
            self.confirm()
        else:
            self.fragments()

    # --- what must be

    def judge(self):
        model = self.model

        def differs():
            """What is not as the model says, now: time goes on while it is compared."""
            wall, now = self.clock.now(), self.now()
            model.pass_time(wall, now)
            s = self.d.stats()
            expected = model.states(wall, now)
            found = {x["name"]: x["state"] for x in s["rules"]}
            wrong = [f"rule {n} is {found.get(n)}, expected {expected.get(n)}" for n in {*found, *expected}
                     if found.get(n, "none") not in expected.get(n, "").split()]
            left = s["config"]["trial_remaining_s"]
            if bool(left) != bool(model.back) or (left and abs(left - (model.ends - now)) > 2):
                wrong.append(f"trial_remaining_s is {left}, expected {model.ends - now if model.back else None}")
            if bool(s["config"]["returned"]) != model.returned:
                wrong.append(f"returned is {s['config']['returned']}, expected {model.returned}")
            if s["config"]["expired"] != (wall >= model.runs.valid_until):
                wrong.append(f"expired is {s['config']['expired']}, valid_until {moment(model.runs.valid_until)}")
            groups = {GROUP[n] for n, state in expected.items() if relays(state)} | model.kept_open(wall)
            joined = t.memberships(self.net.relay, "in0")
            if joined != groups:
                wrong.append(f"groups {sorted(joined)}, expected {sorted(groups)}")
            return wrong

        time.sleep(0.05 * t.SLOWNESS)
        deadline, wrong = time.monotonic() + WITHIN, differs()
        while wrong and time.monotonic() < deadline:
            time.sleep(0.05)
            wrong = differs()
        t.check(not wrong, "; ".join(wrong))
        self.judge_packets()

    def judge_packets(self):
        model, before = self.model, dict(self.sink.look())
        states = model.states(self.clock.now(), self.now())
        first = self.now()
        model.pass_time(self.clock.now(), first)
        # The last one of all is that of a rule which relays in any case.
        for name in [n for n in NAMES if n != "always"] + ["always"]:
            for _ in range(EACH):
                self.source.sendto(name.encode(), (GROUP[name], PORT))
        t.wait_for(lambda: self.sink.look()["always"] - before["always"] >= EACH, 5, "the datagrams of the rule always")
        last = self.now()
        model.heard = first
        for name in NAMES:
            came = self.sink.came[name] - before[name]
            low = high = EACH if relays(states.get(name, "")) else 0
            if name == "limited":
                meanwhile = (last - first) * PPS
                low, high = min(EACH, int(model.least - 0.01)), min(EACH, int(model.most + meanwhile + 0.01))
                model.least, model.most, model.filled = (
                    max(0, model.least - came), min(BURST, model.most + meanwhile - came), last)
            t.check(low <= came <= high, f"rule {name} ({states.get(name)}): {came} of {EACH} came, expected {low} to {high}")


def chosen_file(rng, wall, trial=0):
    """Begin and end of its rules lie within the next two weeks."""
    def ahead():
        return int(wall + rng.uniform(MINUTE, 14 * DAY))

    one, two = sorted((ahead(), ahead() + 10))
    return File({"begins": (ahead(), None), "ends": (None, ahead()), "lasts": (one, two), "again": (None, ahead())},
                int(wall + rng.uniform(DAY, 20 * DAY)), tried=trial > 0, trial=trial)


def run(seed):
    clock, rng = t.Clock(), random.Random(f"{seed} file")
    file = chosen_file(rng, clock.now())
    with t.line() as net, Dated(net.relay, clock, file) as d:
        b = Bench(seed, net, clock, d, Model(file))
        try:
            b.judge()
            for _ in range(STEPS):
                b.step()
                b.judge()
        except t.Failure as e:
            for i, step in enumerate(b.steps):
                t.note(f"{i + 1}. {step}")
            raise t.Failure(f"MCR_DAYS_SEED={seed}, step {len(b.steps)}: {e}") from None
        finally:
            b.close()
        t.note(f"seed {seed}: {clock.gone / DAY:.1f} days in {time.monotonic() - b.began:.1f} s, {len(b.steps)} steps")


@t.test("weeks in seconds: rules begin and end, files expire, trials go back, the clock is set, as the model says")
def weeks():
    if SEED:
        run(random.SystemRandom().randrange(10**6) if SEED == "random" else SEED)
        return
    for seed in range(1, SEEDS + 1):
        run(seed)


if __name__ == "__main__":
    t.main()
