#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: all relays in all scenarios, side by side and interleaved. See README.md; run by `make bench`.

    bench.py                       measures, prints the tables, writes bench.json and the plots
    bench.py --show FILE [DIR]     prints the tables of an earlier run, and draws its plots into DIR
"""
import contextlib
import datetime
import fcntl
import os
import re
import sys
import time

import world as w  # first: it finds the tests' library
from world import t

import flame
import measure
import plot
import prices
import relays
import report
import scenarios


def about(rounds):
    model = "?"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
        model = found[1] if found else os.uname().machine
    cores = os.cpu_count()
    return {
        "version": w.output_of(t.MCRD, "--version"), "machine": f"{cores} × {model}", "kernel": os.uname().release,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "rounds": rounds,
        "cores": cores, "source_core": w.SOURCE_CORE, "relay_core": w.RELAY_CORE,
        "rmem_max": int(w.output_of("cat", "/proc/sys/net/core/rmem_max") or 0),
        "tools": {n: w.output_of(*c) for n, c in (("socat", ("socat", "-V")), ("smcroute", ("smcrouted", "-v")))},
    }


@contextlib.contextmanager
def calm():
    """Begins when the machine is calm, or patience ends. BENCH_LOCK names a file that others lock while they measure or
    test: held for one scenario at a time, and not while we wait."""
    deadline = time.monotonic() + measure.PATIENCE
    path = os.environ.get("BENCH_LOCK")
    with open(path, "a", encoding="ascii") if path else contextlib.nullcontext() as f:
        while True:
            measure.wait_for_calm(max(0.0, deadline - time.monotonic()))
            if path:
                fcntl.flock(f, fcntl.LOCK_EX)
            if not path or measure.wait_for_calm(2) or time.monotonic() > deadline:
                break
            fcntl.flock(f, fcntl.LOCK_UN)
        yield


def candidates(group, s, known, number):
    """Who takes part in a scenario, in the order of this round."""
    names = [n for n in group.relays if n in known]
    names += [n for name, n in group.extra if name == s.name and n in known]
    names += [n for n, r in known.items() if isinstance(r, relays.Before) and "mcrd" in names]
    if "other" in group.relays:
        names += [n for n, r in known.items() if isinstance(r, relays.Other)]
    names = [n for n in names if known[n].takes(s)]
    shift = number % len(names) if names else 0
    return names[shift:] + names[:shift]


def measure_one(worlds, relay, s, empty):
    world = worlds[9000 if s.size > 1472 else 1500]
    measured = None
    for _ in range(ATTEMPTS):
        try:
            measured = measure.run(world, relay, s, empty)
        except (t.Failure, t.Skip) as e:
            print(f"# {s.name}, {relay.name}: not measured: {str(e).splitlines()[0][:200]}", flush=True)
            return None
        if not measured["suspicious"]:
            break
    return measured


def rounds_of(groups, known, results, n, worlds):
    began = time.monotonic()
    for number in range(n):
        spent = time.monotonic() - began
        if QUICK and number > 0 and spent + spent / number > QUICK_SECONDS:
            break
        results.about["rounds"] = number + 1
        with calm():
            empty = measure.empty_core(worlds[1500])
        results.about.setdefault("empty_core", []).append(round(empty / 1e9, 4))
        print(f"# round {number + 1} of {n}, {time.monotonic() - began:.0f} s; an empty core has "
              f"{100 * empty / 1e9:.1f} % left", flush=True)
        for group in groups:
            for s in group.scenarios:
                with calm():
                    for name in candidates(group, s, known, number):
                        measured = measure_one(worlds, known[name], s, empty)
                        if measured:
                            results.add(group.title, s.name, name, number, measured)
                            print(report.line(results.records[-1]), flush=True)
        results.save(os.path.join(OUT, "bench.json"))


QUICK = os.environ.get("BENCH") == "quick"
QUICK_SECONDS = 240  # as many rounds as fit; more than one
ATTEMPTS = 1 if QUICK else 3  # of a run that was disturbed
OUT = os.environ.get("BENCH_OUT") or "bench-results"


def write_all(results, directory):
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "targets.md"), "w", encoding="utf-8") as f:
        f.write(report.markdown(results, scenarios.targets()))
    plot.draw(results, directory)


def run(only=None, about_more=None):
    """only: a regular expression of groups' titles."""
    n = int(os.environ.get("BENCH_ROUNDS") or (9 if QUICK else 5))
    groups = [g for g in scenarios.groups(QUICK) if not only or re.search(only, g.title)]
    targets = [x for x in scenarios.targets() if x.of[0] in {g.title for g in groups}]
    os.makedirs(OUT, exist_ok=True)
    known, left_out = relays.everything(os.environ.get("RELAY"))
    for name, why in left_out.items():
        print(f"# SKIP {name}: {why}")
    results = report.Results(about(n) | (about_more or {}), left_out=left_out)
    worlds = {1500: w.World(1500, w.WIDTH), 9000: w.World(9000)}
    rounds_of(groups, known, results, n, worlds)
    report.print_all(results, groups, targets)
    prices.show(results)
    write_all(results, OUT)
    print(f"# {OUT}: bench.json, targets.md and plots")


def profile():
    """A flame graph of mcrd at the source's full rate."""
    why = flame.missing()
    if why:
        print(f"SKIP: no profile: {why}")
        return
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, "flame.svg")
    with calm():
        stacks = flame.record(w.World(1500), relays.Mcrd(), measure.Scenario("profile"))
    with open(path, "w", encoding="utf-8") as f:
        f.write(flame.draw(stacks, about(1)))
    print(f"# {path}")


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--show":
        results = report.Results.load(sys.argv[2])
        report.print_all(results, scenarios.groups(False), scenarios.targets())
        prices.show(results)
        if len(sys.argv) > 3:
            write_all(results, sys.argv[3])
        return
    why = w.missing()
    if why:
        print(f"SKIP: the benchmark cannot run here: {why}")
        return
    with t.session("bench"):
        if os.environ.get("BENCH") == "profile":
            profile()
        elif os.environ.get("BENCH") == "prices":
            run(f"^{scenarios.PRICES}$", {"instructions": prices.count()})
        else:
            run(os.environ.get("BENCH_ONLY"))


if __name__ == "__main__":
    main()
