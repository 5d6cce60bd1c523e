#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each call fails once: of every system call and allocation that a start, a reload, a restart, a change of a link and a
stop make, the n-th fails with each error that it can give (faults.py), and then all goes on.

MCR_FAULTS=all takes them all ("make check-faults"); else a sample, for some seconds each. MCR_FAULTS_SEED chooses it
anew: the one that was used is printed. MCR_FAULTS_ONLY="relay mmap" takes what is described so.
"""
import collections
import contextlib
import os
import random
import re
import signal
import time

import faults as f
import mcrtest as t
import reloadtest as r
from faultbench import A, B, PPS, Bench, check_confined, wait_end

ALL = os.environ.get("MCR_FAULTS") == "all"
ONLY = os.environ.get("MCR_FAULTS_ONLY", "")
# The same sample each time, so that a failure is that of a change; MCR_FAULTS_SEED=random finds what nobody has seen yet.
SEED = os.environ.get("MCR_FAULTS_SEED") or "1"
SEED = random.SystemRandom().randrange(10000) if SEED == "random" else int(SEED)
SECONDS = float(os.environ.get("MCR_FAULTS_SECONDS") or 2)  # of a sample

# --- the walks ---------------------------------------------------------------------------------------------------------


class Reload:
    """From A to B with a fault; then to B without, and back to A: nothing is left behind."""

    title, alive = "reload", True

    def begin(self, b):
        b.start(allocations=True)
        b.stream.forget()
        for rules in (B, A, B, A):
            t.equal(b.reload(rules)[0], 0, "a reload without a fault")
        if self.title == "link":
            self.act(b)
        self.was, self.living = b.settled_holds(), self.settled(b)

    @staticmethod
    def settled(b):
        """Living allocations, when the broker sleeps."""
        r.wait_idle(b.d.broker, 5)
        return b.page.living()

    def act(self, b):
        return b.reload(B)

    def step(self, b):
        """(outcome, what was said). It runs again as before afterwards."""
        b.seen = len(b.log())
        status, said = self.act(b)
        b.page.arm_nothing_more()
        d = b.d
        if not b.wait_alive():
            self.revive(b)
            return "ended", said
        stats = d.stats()
        runs = stats["config"]["sha256"] == r.sha256_of(d.config.file)
        t.check(status in (0, 1), f"mcrd --reload ends with {status}: {said}")
        t.equal(runs, status == 0, f"verdict {status} ({said}): the file runs")
        if status == 1:
            t.check(re.search(r"refused: \S", said), f"the refusal says {said!r}")
            b.same_holds(self.was)
        b.stream.goes_on(lost=b.unsent())
        for rules in (B, A) if status else (A,):
            again, what = b.reload(rules)
            t.equal(again, 0, f"the next reload without a fault ({what})")
        self.nothing_left(b)
        b.stream.goes_on()
        self.judge_living(b)
        return "accepted" if status == 0 else "refused", said

    def nothing_left(self, b):
        """What could not be closed for want of memory is closed by a later change."""
        try:
            b.same_holds(self.was, 1)
        except t.Failure:
            for rules in (B, A):
                t.equal(b.reload(rules)[0], 0, "one more reload")
            b.same_holds(self.was)

    def judge_living(self, b):
        now = self.settled(b)
        self.grown = [x - y for x, y in zip(now, self.living)]
        self.living = now

    def revive(self, b):
        """A process has ended: the manager starts it again, and nothing was lost."""
        d = b.d
        ended = b.page.ended(f.BROKER)
        if ended is not None:
            t.check(b.may_die or not os.WIFSIGNALED(ended), f"the broker died by signal {ended & 127}")
        b.judge_end()
        b.page.arm()
        b.launch(allocations=True)
        t.equal(b.wait_started(), "started", "the next start")
        b.stream.goes_on(twice=256)
        for rules in (B, A):
            t.equal(b.reload(rules)[0], 0, "a reload after the next start")
        self.was, self.living = b.settled_holds(), self.settled(b)


class Links(Reload):
    """An interface goes and comes."""

    title = "link"

    def act(self, b):
        for way, state in (("down", "down"), ("up", "up")):
            b.net.relay.run("ip", "link", "set", "in1", way)

            def there(state=state):
                return b.has_ended() or b.interface_is("in1", state)

            t.wait_for(there, 30, f"in1 is {way}")
        return 0, ""

    def step(self, b):
        b.seen = len(b.log())
        self.act(b)
        b.page.arm_nothing_more()
        if not b.wait_alive():
            self.revive(b)
            return "ended", ""
        b.stream.goes_on(lost=b.unsent())
        for rules in (B, A):
            again, what = b.reload(rules)
            t.equal(again, 0, f"the next reload without a fault ({what})")
        self.nothing_left(b)
        b.stream.goes_on()
        self.judge_living(b)
        return "refused" if b.d.logged("links", b.seen) else "done", ""


class Start:
    """With nothing to go on from."""

    title, alive, kept = "start", False, False

    def begin(self, b):
        pass

    def act(self, b):
        b.launch(self.allocations)
        return b.wait_started()

    def step(self, b):
        what = self.act(b)
        if what == "ended":
            return what, b.judge_end()[-1]
        b.page.arm_nothing_more()
        b.stream.forget()
        check_confined(b)
        b.stream.goes_on()
        t.equal(b.reload(B)[0], 0, "a reload after the start")
        b.stream.goes_on()
        b.stop()
        return what, ""


class Restart(Start):
    """With what the manager has kept."""

    title, kept = "restart", True

    def ready(self, b):
        b.start()
        b.stream.forget()
        b.stream.goes_on()
        b.stop()

    def step(self, b):
        what = self.act(b)
        said = ""
        if what == "ended":
            said = b.judge_end()[-1]
            b.page.arm()
            b.manager.listen()
            b.launch()
            t.equal(b.wait_started(), "started", "the next start")
        b.page.arm_nothing_more()
        told = f.errors(b.log()[b.seen:])
        check_confined(b)
        unsent = b.unsent()
        lost = unsent if what == "ended" or not told else 10 * PPS
        if b.stream.goes_on(lost=lost, twice=256 if what == "ended" else 0) > unsent:
            what, said = "started with a gap", told[0]
        t.equal(b.reload(B)[0], 0, "a reload after the restart")
        b.stream.goes_on()
        b.stop()
        return what, said


class Stop(Start):
    title, kept = "stop", True

    def ready(self, b):
        b.start(self.allocations)
        b.stream.forget()

    def act(self, b):
        b.seen = len(b.log())
        b.d.signal(signal.SIGTERM)
        status = wait_end(b.d)
        t.wait_for(lambda: b.page.ended(f.BROKER) is not None, 30, "the broker's end")
        return status

    def step(self, b):
        status = self.act(b)
        t.check(status in (0, 1), f"mcrd's exit status after SIGTERM is {status}")
        t.check(not os.WIFSIGNALED(b.page.ended(f.BROKER)), "the broker died by a signal")
        if status:
            t.check(f.errors(b.log()[b.seen:]), f"status {status} without an error in the log")
        b.manager.listen()
        b.page.arm()
        b.launch()
        t.equal(b.wait_started(), "started", "the next start")
        b.stream.goes_on(twice=0)
        b.stop()
        return "stopped", ""


# --- the runs ----------------------------------------------------------------------------------------------------------


def opened(stack, walk, kind):
    b = stack.enter_context(Bench(getattr(walk, "kept", True)))
    b.may_die = kind == "library"
    walk.allocations = kind != "call"
    walk.begin(b)
    return b


def found_faults(b, walk, kind):
    """A run without a fault, of which every call is noted; it runs again as before afterwards, if it is to run."""
    if hasattr(walk, "ready"):
        walk.ready(b)
    b.page.arm(log=True)
    b.page.count(kind == "library")
    walk.act(b)
    found = f.plan(b.page.calls()) if kind == "call" else f.plan_allocations(b.page.seen(), kind)
    b.page.arm()
    if walk.alive:
        t.equal(b.reload(A)[0], 0, "a reload without a fault")
    else:
        t.kill_process(b.d.process)
    return found


# What went wrong once: each sample begins with one of each.
MENDED = {
    ("reload", "call"): [r"relay: write number \d+ gives ENOBUFS", r"relay: write number \d+ gives EAGAIN",
                         r"broker: ioctl number \d+ gives ENOMEM", r"broker: socket number 1 gives",
                         r"broker: rename number 1 gives", r"broker: sendmsg number \d+ gives ETOOMANYREFS",
                         r"broker: setsockopt number 2[3-6] gives"],
    ("reload", "alloc"): [r"relay: allocation number (8|9|1\d|2\d|3\d) fails"],
    ("start", "call"): [r"prctl number \d+ gives EPERM", r"relay: prlimit64 number [23] gives",
                        r"relay: recvmsg number \d gives ENOBUFS", r": fcntl number 3 gives"],
    ("start", "alloc"): [r"relay: allocation number (9|1\d) fails"],
}


def sample(faults, of):
    """In an order that the seed says."""
    rng = random.Random(SEED)
    rng.shuffle(faults)
    first = [next((x for x in faults if re.search(p, f.describe(x))), None) for p in MENDED.get(of, ())]
    first = [x for x in first if x]
    return first + [x for x in faults if x not in first], len(first)


def run(walk, kind):
    if t.SANITIZED:
        raise t.Skip("a sanitizer has its own calls, and ends where memory ends")
    if not os.access(f.TOOL, os.X_OK):
        raise t.Skip("tests/net/fault is not built")
    if f.cannot_trace():
        raise t.Skip("processes cannot be traced here, or not by tests/net/fault.c")
    with contextlib.ExitStack() as stack:
        b = opened(stack, walk, kind)
        chosen = [x for x in found_faults(b, walk, kind) if ONLY in f.describe(x)]
        fail_each(b, stack.pop_all(), walk, kind, chosen)


def fail_each(b, stack, walk, kind, chosen):
    n, n_first = len(chosen), 0
    if not ALL:
        chosen, n_first = sample(chosen, (walk.title, kind))
    ends = time.monotonic() + SECONDS
    outcomes, wrong, missed, done = collections.Counter(), [], 0, 0
    ended = collections.Counter()
    with stack:
        for fault in chosen:
            if not ALL and not ONLY and done >= n_first and time.monotonic() > ends:
                break
            try:
                if b is None:
                    b = opened(stack, walk, kind)
                if not walk.alive:
                    b.fresh()
                if hasattr(walk, "ready"):
                    walk.ready(b)
                for _ in range(3):
                    walk.grown = None
                    b.page.arm(fault)
                    outcome, said = walk.step(b)
                    if not walk.grown or max(walk.grown) <= 0:
                        break  # else the first time may have taken what stays
                else:
                    raise t.Failure(f"allocations that are not freed (relay, broker): {walk.grown}")
                if not b.page.hit():
                    missed += 1
                outcomes[outcome] += 1
                if outcome in ("ended", "started with a gap"):
                    ended[f"{outcome}: {fault.call or fault.kind} {fault.error}"] += 1
                if os.environ.get("MCR_FAULTS_TELL"):
                    t.note(f"{f.describe(fault)}: {outcome} {said} {'' if b.page.hit() else '(not reached)'}")
            except (t.Failure, OSError, ValueError) as e:
                where = b.page.where() if b else ""
                wrong.append(f"{f.describe(fault)} {where}: {e}")
                t.note(wrong[-1])
                for line in b.log()[b.seen:][:12] if b else ():
                    t.note(f"    {line}")
                stack.close()
                b = None
                if len(wrong) > 40:
                    break
            done += 1
    t.note(f"{walk.title}, {kind}: {done} of {n} faults, seed {SEED}: {dict(outcomes)}, {missed} not reached")
    for what, times in ended.most_common():
        t.note(f"  {what}: {times}")
    t.check(not wrong, f"{len(wrong)} of {done} faults go wrong: MCR_FAULTS_ONLY takes one of them")


@t.test("a reload: each system call fails once", again=False)
def reload_calls():
    run(Reload(), "call")


@t.test("a reload: each allocation fails once", again=False)
def reload_allocations():
    run(Reload(), "alloc")


@t.test("a reload: each allocation of a library that does not check it fails once: only the broker may die", again=False)
def reload_libraries():
    run(Reload(), "library")


@t.test("a link that goes and comes: each system call fails once", again=False)
def link_calls():
    run(Links(), "call")


@t.test("a link that goes and comes: each allocation fails once", again=False)
def link_allocations():
    run(Links(), "alloc")


@t.test("a start: each system call fails once", again=False)
def start_calls():
    run(Start(), "call")


@t.test("a start: each allocation fails once", again=False)
def start_allocations():
    run(Start(), "alloc")


@t.test("a start: each allocation of a library that does not check it fails once: the start may fail", again=False)
def start_libraries():
    run(Start(), "library")


@t.test("a restart: each system call fails once", again=False)
def restart_calls():
    run(Restart(), "call")


@t.test("a restart: each allocation fails once", again=False)
def restart_allocations():
    run(Restart(), "alloc")


@t.test("a stop: each system call fails once", again=False)
def stop_calls():
    run(Stop(), "call")


if __name__ == "__main__":
    t.main()
