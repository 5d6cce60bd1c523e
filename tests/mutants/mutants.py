#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the short tests of "make check" find a mutation of the data path and of the broker; run by "make check-mutants".

    mutants.py [PART...]    mutates files of src/ whose path has one of the PARTs (default: all of rooms.py)
    mutants.py --again      once more those that survived the last run

Each mutation (mutate.py) is built in a copy of the tree, mutants/N of the build directory, at -O1, and tested by what rooms.py
says, until a test fails, or lasts too long. What does not compile, becomes the same object code, or stands in equivalent.txt
with a reason is not counted. A test with packets must fail twice: a busy machine fails some once.

mutants/result.json keeps the result. Environment: srcdir, the top of the sources; MAKE; MCR_MUTANTS, how many are to be
counted (200); MCR_MUTANTS_SEED (1); MCR_MUTANTS_JOBS (half as many again as processors); MCR_MUTANTS_UNITS=1 runs the units
alone, a first pass of some 10 s for each, whose survivors --again then gives to the other tests.
"""
import concurrent.futures
import filecmp
import glob
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from mutate import mutations
from rooms import ROOMS, SLOW, room_of

AIM = 95  # %
MOST_S = 300  # for each test program; with a mutation, LEAST_S and five times what it took without
LEAST_S = 60
ENDLESS = "no end"
# What is copied. What autoreconf has made keeps its times, so that make does not make it again.
MADE = ("configure", "configure.ac", "Makefile.am", "Makefile.in", "aclocal.m4", "config.h.in")
COPIED = ("src", "tests", "man", "contrib", "etc", "docs", "build-aux", "m4", "README.md", "NEWS.md", *MADE)
srcdir = os.path.abspath(os.environ.get("srcdir", "."))
place = os.path.abspath("mutants")
MAKE = os.environ.get("MAKE", "make")
UNITS = os.environ.get("MCR_MUTANTS_UNITS")
PROGRAMS = ("tests/unit/units",) if UNITS else ("src/mcrd", "src/mcrstat", "src/mcrgen", "tests/unit/units")
took = {}  # seconds that a test program may take, by its command


def run(argv, cwd, environment=None, most_s=MOST_S):
    """Runs a program until it ends, says "not ok", or has had most_s. Returns what failed, or None."""
    deadline = time.monotonic() + most_s
    p = subprocess.Popen(["timeout", "-k", "5", str(most_s), *argv], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, errors="replace")
    failed = None
    for line in p.stdout:
        if re.match(r"not ok\b|Bail out", line):
            failed = re.sub(r"^not ok( \d+)? - ", "", line.strip())
            os.killpg(p.pid, signal.SIGTERM)
            break
    p.stdout.close()
    try:
        status = p.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        status = p.wait()
    return failed if failed or status == 0 else ENDLESS if time.monotonic() >= deadline else f"status {status}"


def steps_of(room):
    """(name, what is built, command, how often it may fail before it has failed) of a room, the cheapest first."""
    _, suites, targets, scripts, net = room
    if UNITS:
        targets, scripts, net = "", "", {}
    for suite in suites.split():
        yield f"units {suite}", [], ["tests/unit/units", "--tap", "--jobs", "2", "--filter", f"{suite}/*"], 1
    yield "units", [], ["tests/unit/units", "--tap", "--jobs", "2", "--filter", f"!({SLOW})"], 1
    for target in targets.split():
        yield (f"fuzz {target}", [f"tests/fuzz/{target}"],
               ["env", f"FUZZ_TARGETS={target}", "FUZZ_MUTATIONS=1000", "sh", "../tests/fuzz/replay.sh"], 0)
    for script in scripts.split():
        yield f"config {script}", [], ["sh", f"../tests/config/{script}.sh"], 1
    for name, functions in net.items():
        yield f"net {name}", [], ["python3", f"../tests/net/test_{name}.py", *functions.split()], 1


class Tree:
    """A copy of the sources with its build directory."""

    def __init__(self, number):
        self.top = os.path.join(place, str(number))
        self.build = os.path.join(self.top, "build")
        # Copies from one that is built: paths in it are relative, and times stay.
        if number > 0 and not os.path.exists(self.top):
            shutil.copytree(os.path.join(place, "0"), self.top, symlinks=True)
        self._copy()
        if not os.path.exists(os.path.join(self.build, "config.status")):
            os.makedirs(self.build, exist_ok=True)
            subprocess.run(["../configure", "-q", "--disable-hardening", "CFLAGS=-O1"], cwd=self.build, check=True)
        targets = {f"tests/fuzz/{t}" for room in ROOMS for t in room[2].split() if not UNITS}
        helpers = ("tests/config/standin", "tests/net/inject", "tests/net/witness.so")
        self.make("all", *PROGRAMS, *helpers, *sorted(targets), quiet=False)
        at = {n.upper(): os.path.join(self.build, "src", n) for n in ("mcrd", "mcrstat", "mcrgen")}
        self.environment = {**os.environ, **at, "srcdir": self.top, "INJECT": f"{self.build}/tests/net/inject",
                            "WITNESS": f"{self.build}/tests/net/witness.so", "MCR_ARTEFACTS": f"{self.build}/artefacts",
                            "MCR_SIDE_BY_SIDE": "1"}

    def _copy(self):
        """Brings what differs; a file that is as it was keeps its time, so that little is built anew."""
        alone = [name for name in COPIED if os.path.isfile(os.path.join(srcdir, name))]
        folders = [step for name in COPIED for step in os.walk(os.path.join(srcdir, name))]
        for root, _, files in [(srcdir, [], alone), *folders]:
            to = os.path.join(self.top, os.path.relpath(root, srcdir))
            os.makedirs(to, exist_ok=True)
            for f in files:
                old, new = os.path.join(root, f), os.path.join(to, f)
                if f.endswith((".o", ".a", ".pyc")) or (os.path.exists(new) and filecmp.cmp(old, new, False)):
                    continue
                shutil.copy2(old, new, follow_symlinks=False)
                if f not in MADE:
                    os.utime(new, follow_symlinks=False)
        with open(os.path.join(self.top, "COMMIT"), "w", encoding="ascii") as f:
            f.write("mutants\n")

    def make(self, *targets, quiet=True):
        to = subprocess.DEVNULL if quiet else None
        done = subprocess.run([MAKE, "-s", *targets], cwd=self.build, stdout=to, stderr=to, check=not quiet)
        return done.returncode == 0

    def test(self, step):
        """What failed of a step, or None."""
        name, programs, command, more = step
        if programs and not self.make(*programs):
            return f"{name}: does not link"
        for _ in range(1 + more):
            began = time.monotonic()
            failed = run(command, self.build, self.environment, took.get(str(command), MOST_S))
            shutil.rmtree(os.path.join(self.build, "artefacts"), ignore_errors=True)
            if not failed:
                took.setdefault(str(command), LEAST_S + 5 * round(time.monotonic() - began))
                return None
            if failed == ENDLESS:
                break
        return f"{name}: {failed}"

    def judge(self, m, wrong):
        """What comes of a mutation: "found by ...", "survived", "does not compile" or "same code"."""
        path = os.path.join(self.top, "src", m.file)
        binary = os.path.join(self.build, "src", m.file[:-2] + ".o")
        shutil.copy2(binary, binary + ".whole")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        try:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text[:m.offset] + m.new + text[m.offset + len(m.old):])
            if not self.make(f"src/{m.file[:-2]}.o"):
                return "does not compile"
            if filecmp.cmp(binary, binary + ".whole", False):
                return "same code"
            if not self.make(*PROGRAMS):
                return "does not compile"
            for step in steps_of(room_of(m.file)):
                failed = None if step[0] + str(step[2]) in wrong else self.test(step)
                if failed:
                    return f"found by {failed}"
            return "survived"
        finally:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            # Its time is that of now, so that what includes it is built anew, as the units' rig: the mutation would stay there.
            # The object file gets a later one.
            shutil.copyfile(binary + ".whole", binary)


def equivalents():
    """{(file, line above or '', line, line as mutated)} of equivalent.txt."""
    with open(os.path.join(srcdir, "tests/mutants/equivalent.txt"), encoding="utf-8") as f:
        return set(re.findall(r"^src/(\S+\.c)\n(?:  (.*)\n)?- (.*)\n\+ (.*)\n", f.read(), re.M))


def chosen(parts, again):
    """All mutations in the order of the seed, one of each line; or those that survived, as far as they are still there."""
    rows = []
    for path in sorted(glob.glob(f"{srcdir}/src/*/*.c")):
        file = os.path.relpath(path, f"{srcdir}/src")
        if room_of(file) and (not parts or any(p in file for p in parts)):
            with open(path, encoding="utf-8") as f:
                rows += mutations(file, f.read())
    if again:
        left = last("survived")
        return [m for row in rows for m in row if (m.file, m.above, m.before, m.after) in left]
    seed = random.Random(os.environ.get("MCR_MUTANTS_SEED", "1"))
    seed.shuffle(rows)
    return [seed.choice(row) for row in rows]


def last(what):
    """{(file, line above, line, line as mutated)} of the last run."""
    with open(os.path.join(place, "result.json"), encoding="utf-8") as f:
        return {tuple(m[i] for i in (0, 2, 3, 4)) for m, said in json.load(f) if said == what}


def main():
    again = "--again" in sys.argv[1:]
    left = chosen([a for a in sys.argv[1:] if a != "--again"], again)
    wanted = len(left) if again else int(os.environ.get("MCR_MUTANTS", "200"))
    jobs = int(os.environ.get("MCR_MUTANTS_JOBS") or (os.cpu_count() or 1) * 3 // 2)
    print(f"{wanted} mutants by seed {os.environ.get('MCR_MUTANTS_SEED', '1')}, {jobs} at a time", flush=True)
    trees, results, equal = queue.Queue(), [], equivalents()
    for number in range(jobs):
        trees.put(Tree(number))

    def in_a_tree(function, *arguments):
        tree = trees.get()
        try:
            return function(tree, *arguments)
        finally:
            trees.put(tree)

    def judge(m):
        if {(m.file, above, m.before, m.after) for above in ("", m.above)} & equal:
            return m, "equivalent"
        said = in_a_tree(Tree.judge, m, wrong)
        show = said == "survived" or os.environ.get("MCR_MUTANTS_TELL")
        print(f"src/{m.file}:{m.line}: {said}\n- {m.before}\n+ {m.after}\n" if show else "", end="", flush=True)
        return m, said

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # A test that fails without a mutation finds nothing.
        rooms = [room for room in ROOMS if any(room_of(m.file) == room for m in left[:wanted])]
        steps = list({s[0] + str(s[2]): s for room in rooms for s in steps_of(room)}.values())
        wrong = set()
        if not os.environ.get("MCR_MUTANTS_UNPROVEN"):
            for step, failed in zip(steps, pool.map(lambda s: in_a_tree(Tree.test, s), steps)):
                if failed:
                    print(f"fails without a mutation, and is left out: {failed}", flush=True)
                    wrong.add(step[0] + str(step[2]))
        counted = 0
        while counted < wanted and left:
            some, left = left[:wanted - counted], left[wanted - counted:]
            for result in pool.map(judge, some):
                results.append(result)
                counted += result[1] == "survived" or result[1].startswith("found")
                with open(os.path.join(place, "result.json"), "w", encoding="utf-8") as f:
                    json.dump(results, f, indent=1)
    survived = sum(said == "survived" for _, said in results)
    share = 100 * (counted - survived) / counted if counted else 100
    units = sum(said.startswith("found by units") for _, said in results)
    print(f"{counted - survived} found ({units} by units), {survived} survived, {len(results) - counted} not counted: "
          f"{share:.1f} %")
    return share < AIM


if __name__ == "__main__":
    sys.exit(main())
