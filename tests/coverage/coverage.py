#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tests reach of src/, by line and by branch; run by "make coverage".

    coverage.py run [TEST...]    makes a build in coverage/ of the build directory, runs the tests in it (default: all that
                                 need no machine of their own), and shows the result
    coverage.py show             shows the result again

Counters are mapped from a file when a process starts (clang's continuous mode): they need no system call at its end, so
that sandbox, change of user and SIGKILL are as in any other build. A branch is one outcome of one condition.

coverage/missed.txt lists each line with a branch that was not taken, and lines that were not reached.
Environment: srcdir, the top of the sources; MAKE; CLANG, LLVM_COV, LLVM_PROFDATA.
"""
import collections
import glob
import json
import os
import shutil
import subprocess
import sys

# Rooms without system calls, and the share of their branches that is asked for; then all of src/.
PURE = ("audit", "common", "compile", "config", "firewall", "graph", "stats", "table", "trust", "wire")
PURE_AIM, ALL_AIM = 95, 85
# They boot a Debian, or measure.
NEVER = ("tests/systemd/run.sh", "tests/bench/instructions.py", "tests/net/test_alone.py", "tests/net/test_flood.py",
         "tests/net/test_volume.py")

srcdir = os.path.abspath(os.environ.get("srcdir", "."))
place = os.path.abspath("coverage")
raw = os.path.join(place, "raw")
MAKE = os.environ.get("MAKE", "make")


def tool(variable, name):
    """A program of LLVM, by its plain name or that of clang's version."""
    program = os.environ.get(variable, name)
    if shutil.which(program):
        return program
    found = sorted(glob.glob(f"/usr/lib/llvm-*/bin/{name}"))
    if not found:
        sys.exit(f"SKIP: there is no {name} (Debian: clang, llvm)")
    return found[-1]


def build():
    os.makedirs(raw, exist_ok=True)
    os.chmod(raw, 0o1777)  # whoever runs a program
    if not os.path.exists(os.path.join(place, "config.status")):
        flags = (f"-g -O0 -Wno-unused-command-line-argument -fprofile-instr-generate={raw}/%c%m.profraw -fcoverage-mapping "
                 "-mllvm -runtime-counter-relocation")
        subprocess.run([f"{srcdir}/configure", "-q", f"CC={tool('CLANG', 'clang')}", "--disable-hardening",
                        f"CFLAGS={flags}"], cwd=place, check=True)
    subprocess.run([MAKE, "-s", f"-j{os.cpu_count()}", "all"], cwd=place, check=True)
    subprocess.run([MAKE, "-s", f"-j{os.cpu_count()}", "check", "TESTS="], cwd=place, check=True, stdout=subprocess.DEVNULL)


def run(tests):
    build()
    for name in os.listdir(raw):
        os.unlink(os.path.join(raw, name))
    if not tests:
        listed = subprocess.run([MAKE, "-s", "list-tests"], cwd=place, check=True, stdout=subprocess.PIPE, text=True).stdout
        tests = [x for x in listed.split() if x not in NEVER]
    with open(os.path.join(place, "check.log"), "w", encoding="utf-8") as log:
        status = subprocess.run([MAKE, "-k", f"-j{3 * os.cpu_count()}", "check", f"TESTS={' '.join(tests)}"], cwd=place,
                                stdout=log, stderr=log, check=False).returncode
    if status:
        print(f"some tests failed, see {place}/check.log")


def export():
    """llvm-cov's answer for all programs that have run, src/ only."""
    profile = os.path.join(place, "all.profdata")
    subprocess.run([tool("LLVM_PROFDATA", "llvm-profdata"), "merge", "-o", profile, *glob.glob(f"{raw}/*.profraw")], check=True)
    programs = [os.path.join(place, x) for x in ("src/mcrd", "src/mcrstat", "src/mcrgen", "tests/unit/units")]
    programs += [x for x in glob.glob(f"{place}/tests/fuzz/*") if os.access(x, os.X_OK) and os.path.isfile(x)]
    objects = [x for p in programs[1:] if os.path.exists(p) for x in ("-object", p)]
    answer = subprocess.run([tool("LLVM_COV", "llvm-cov"), "export", programs[0], *objects, f"-instr-profile={profile}"],
                            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return json.loads(answer)["data"][0]


def missed_of(functions, name):
    """{line: what was not taken} of a file. A function that stands in several programs counts once, by its best outcome."""
    best = collections.defaultdict(lambda: [0, 0])
    for f in functions:
        for b in f["branches"]:
            if f["filenames"][b[6]] == name:
                taken = best[tuple(b[:4])]
                taken[0] += b[4]
                taken[1] += b[5]
    lines = collections.defaultdict(list)
    for (line, column, _, _), taken in best.items():
        for count, outcome in zip(taken, ("true", "false")):
            if not count:
                lines[line].append(f"{column}:{outcome}")
    taken = sum(bool(n) for b in best.values() for n in b)
    return lines, taken, 2 * len(best)


def lines_of(segments):
    """(lines with code, those that were not reached) of a file; llvm-cov's own rule, from its segments."""
    by_line = collections.defaultdict(list)
    for s in segments:
        by_line[s[0]].append(s)
    reached, wrapped = {}, None
    for line in range(1, segments[-1][0] + 1 if segments else 1):
        here = by_line.get(line, [])
        starts = [s for s in here if s[3] and s[4]]
        mapped = (wrapped and wrapped[3]) or starts
        if here and here[0][4] and not here[0][3]:
            mapped = mapped and starts  # a gap
        if mapped and not (len(here) == 1 and not here[0][3] and here[0][4]):
            counts = [s[2] for s in starts] + ([wrapped[2]] if wrapped and wrapped[3] else [])
            reached[line] = max(counts or [0]) > 0
        wrapped = here[-1] if here else wrapped
    return reached


def show():
    data = export()
    top = os.path.join(srcdir, "src") + os.sep
    by_file = collections.defaultdict(list)
    for f in data["functions"]:
        for name in set(f["filenames"]):
            by_file[name].append(f)
    rooms = collections.defaultdict(lambda: [0, 0, 0, 0])
    table = []
    with open(os.path.join(place, "missed.txt"), "w", encoding="utf-8") as out:
        for f in sorted(data["files"], key=lambda x: x["filename"]):
            if not f["filename"].startswith(top):
                continue
            short = f["filename"][len(top):]
            missed, taken, branches = missed_of(by_file[f["filename"]], f["filename"])
            summary = f["summary"]["lines"]
            figures = [summary["covered"], summary["count"], taken, branches]
            table.append((short, figures))
            room = short.split("/")[0] if "/" in short else "(mains)"
            for total in (rooms[room], rooms["all of src/"]):
                for i, n in enumerate(figures):
                    total[i] += n
            unreached = {n for n, ok in lines_of(f["segments"]).items() if not ok}
            with open(f["filename"], encoding="utf-8") as source:
                text = source.read().splitlines()
            for line in sorted(unreached | set(missed)):
                print(f"{short}:{line}: {' '.join(missed.get(line, [])) or 'not reached'}: {text[line - 1].strip()}", file=out)
    share = lambda n, of: f"{100 * n / of:5.1f} %" if of else "    -  "
    row = lambda name, x, mark="": print(f"{name:<32}{share(x[0], x[1])} of {x[1]:>6} lines  {share(x[2], x[3])} of {x[3]:>6} branches{mark}")
    for name, x in table:
        row(f"  {name}", x)
    print()
    pure = [sum(rooms[r][i] for r in PURE) for i in range(4)]
    for name in sorted(rooms, key=lambda x: (x == "all of src/", x)):
        aim = PURE_AIM if name in PURE else ALL_AIM if name == "all of src/" else 0
        x = rooms[name]
        row(name, x, f"   below {aim} %" if aim and 100 * x[2] < aim * x[3] else "")
        if name == "wire":
            row("pure rooms together", pure)
    print(f"\nwhat was not reached: {place}/missed.txt")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("run", "show"):
        sys.exit(__doc__)
    if sys.argv[1] == "run":
        run(sys.argv[2:])
    show()
