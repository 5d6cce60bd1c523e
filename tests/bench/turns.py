#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which turns of the relay's loop take longer than TURNS_US microseconds (50), and what they do: the tail of latency is
made there. Run by `make turns [TURNS='10,000 rules, reloads, 50,000/s']`; see README.md.

    turns.py [REGEX]    scenarios of this name (scenarios.py); default: all of the tail at 50,000/s

turns.so (turns.c) notes them, in mcrd as it is: by system calls, or by functions too where it was built with
-finstrument-functions, which makes it slower: a tenth at such rates. Environment: TURNS_SO, MCRD.
"""
import bisect
import os
import re
import struct
import subprocess
import sys

import world as w
from world import case, t

import measure
import relays
import scenarios

TURNS_SO = os.path.abspath(os.environ.get("TURNS_SO", "tests/bench/turns.so"))
# The layout of struct file and the order of the calls are those of turns.c.
HEADER, TURN, SPAN, TURNS, SPANS = "=QQQQQ", "=QIIII", "=QIIII", 4096, 24
SPAN_SIZE = 24  # with its padding
TURN_SIZE = struct.calcsize(TURN) + SPANS * SPAN_SIZE
SIZE = struct.calcsize(HEADER) + TURNS * TURN_SIZE
SHOWN = 15
CALLS = ("writev", "write", "read", "sendmsg", "recvmsg", "getsockopt", "setsockopt", "mmap", "munmap", "close", "poll")


class Names:
    """Functions of the program by their place in memory."""

    def __init__(self, entry):
        with open(t.MCRD, "rb") as f:
            self.base = entry - struct.unpack_from("=Q", f.read(64), 24)[0]  # e_entry (elf(5))
        lines = subprocess.run(["nm", "--defined-only", t.MCRD], stdout=subprocess.PIPE, text=True, check=True).stdout
        found = sorted((int(x[0], 16), x[2]) for x in map(str.split, lines.splitlines()) if len(x) == 3 and x[1] in "tTwW")
        self.places, self.names = [x[0] for x in found], [x[1].partition(".")[0] for x in found]

    def of(self, what):
        if what < len(CALLS):
            return CALLS[what] + "()"
        i = bisect.bisect_right(self.places, what - self.base)
        return self.names[i - 1] if i else f"{what:x}"


def way(spans, names):
    """What took most of the turn, from outside to inside, as long as one span has most of the one around it."""
    found, depth, begin, end, most = [], -1, 0, 1 << 62, 0
    while True:
        inside = [x for x in spans if x[1] > depth and begin <= x[3] and x[3] + x[2] <= end]
        inside = [x for x in inside if x[1] == min(y[1] for y in inside)]
        longest = max(inside, key=lambda x: x[2], default=None)
        if not longest or longest[2] < most / 2:
            return " > ".join(found) or "?"
        found.append(names.of(longest[0]))
        _, depth, most, begin = longest[:4]
        end = begin + most


def read(path):
    """(turns in all, longest ns, [(ns, ns of the processor, what)] of the long ones)."""
    with open(path, "rb") as f:
        data = f.read()
    entry, n, n_long, _, longest = struct.unpack_from(HEADER, data)
    names, found = Names(entry), []
    for i in range(min(n_long, TURNS)):
        at = struct.calcsize(HEADER) + i * TURN_SIZE
        _, ns, used, _, n_spans = struct.unpack_from(TURN, data, at)
        at += struct.calcsize(TURN)
        spans = [struct.unpack_from(SPAN, data, at + k * SPAN_SIZE)[:4] for k in range(n_spans)]
        found.append((ns, used, way(spans, names)))
    return n, longest, n_long, found


class Traced(relays.Mcrd):
    def before(self):
        self.path = os.path.join(case.present.directory(), "turns")
        with open(self.path, "wb") as f:
            f.truncate(SIZE)
        os.chmod(self.path, 0o666)
        return ["env", f"LD_PRELOAD={TURNS_SO}", f"TURNS={self.path}"]


def show(s, measured, relay):
    n, longest, n_long, found = read(relay.path)
    latency = measured["latency_us"] or {}
    print(f"\n{s.name}: {n:,} turns, {n_long:,} long, the longest {longest / 1e3:,.0f} us; p99.9 by the receiver "
          f"{latency.get('p99.9', 0):,.0f} us, by mcrd {measured['stayed99.9'] or 0:,.0f} us")
    kinds = {}
    for ns, used, what in found:
        kinds.setdefault(what, []).append((ns, used))
    # By the processor time that was its own: the rest is of others on this core, and says nothing of mcrd.
    for what, those in sorted(kinds.items(), key=lambda x: -max(u for _, u in x[1]))[:SHOWN]:
        ns, used = max(those, key=lambda x: x[1])
        print(f"  {len(those):5} ×, most {used / 1e3:7,.0f} us of its own, {ns / 1e3:9,.0f} us by the clock: {what}", flush=True)


def main():
    why = w.missing()
    if why:
        print(f"SKIP: {why}")
        return
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else r"rules.* 50,000/s$")
    known = {s.name: s for g in scenarios.groups(False) for s in g.scenarios if "mcrd" in g.relays and s.size <= 1472}
    with t.session("turns"):
        world, relay = w.World(1500, 2), Traced()
        for s in known.values():
            if wanted.search(s.name):
                show(s, measure.run(world, relay, s, 1e9), relay)


if __name__ == "__main__":
    main()
