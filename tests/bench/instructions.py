#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions for each datagram of the relay's own path, as TAP: none may grow by more than TOLERANCE over the record.

    UPDATE=1 make check TESTS=tests/bench/instructions.py    writes the record anew: a change on purpose, to be committed
    python3 tests/bench/instructions.py --shares FILE        where the instructions of the first case go, as JSON

Counts depend on compiler, flags and C library; with others than the record's the test is skipped. Environment:
INSTRUCTIONS, the program (tests/bench/instructions); srcdir, the top of the sources.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = os.environ.get("INSTRUCTIONS", "tests/bench/instructions")
RECORD = os.path.join(os.environ.get("srcdir", "."), "tests/bench/instructions.record")
TOLERANCE = 0.05


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def table_of(option):
    out = subprocess.run([PROGRAM, option], stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(line.split("\t") for line in out.splitlines())


def build():
    """What the counts depend on; of the flags, those that change code."""
    found = table_of("--build")
    found["flags"] = " ".join(f for f in found["flags"].split() if not f.startswith(("-W", "-g")))
    return found


def count(directory):
    """Runs all cases. Returns the files that callgrind has written, in the order of the cases."""
    out = os.path.join(directory, "out")
    # The cases in order; each ends with measured(), which writes its file.
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=pass", "--dump-after=measured",
         f"--callgrind-out-file={out}", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, check=False)
    if run.returncode != 0:
        print("Bail out! valgrind failed")
        print(run.stdout, file=sys.stderr)
        sys.exit(1)
    return sorted(glob.glob(out + ".*"), key=lambda f: int(f.rpartition(".")[2]))


def total(file):
    with open(file, encoding="utf-8") as f:
        return int(re.search(r"^totals: (\d+)$", f.read(), re.M).group(1))


def measure():
    """Instructions for each datagram by case."""
    cases = table_of("--names")
    with tempfile.TemporaryDirectory() as directory:
        files = count(directory)
        if len(files) != len(cases):
            print(f"Bail out! {len(files)} counts for {len(cases)} cases")
            sys.exit(1)
        return {name: total(file) / int(n) for (name, n), file in zip(cases.items(), files)}


def shares(file):
    """Instructions by function of one file, what they call left out."""
    names, found, function, calls = {}, {}, None, False
    with open(file, encoding="utf-8") as f:
        for line in f:
            fn = re.match(r"fn=\((\d+)\)(?: (.*))?$", line.rstrip())
            if fn:
                names[fn[1]] = fn[2] or names.get(fn[1])
                function = names[fn[1]]
            elif line.startswith("calls="):
                calls = True  # the next line is the callee's cost
            elif m := re.match(r"[+*-]?\d*\s+(\d+)$", line):
                if not calls:
                    found[function] = found.get(function, 0) + int(m[1])
                calls = False
            elif m := re.match(r"cfn=\((\d+)\) (.*)$", line.rstrip()):
                names[m[1]] = m[2]
    return found


def read_record():
    with open(RECORD, encoding="utf-8") as f:
        rows = [x.rstrip("\n").split("\t") for x in f if x.strip() and not x.startswith("#")]
    return dict(rows)


def differences(record):
    """In what this build is another than that of the record."""
    return [f"{k} {record.get(k)}, here {v}" for k, v in build().items() if record.get(k) != v]


def write_record(about, counts):
    with open(RECORD, "w", encoding="utf-8") as f:
        f.write("# Instructions of the relay for each datagram that arrives, from ring slot to system call, by callgrind.\n"
                "# Written by UPDATE=1 make check TESTS=tests/bench/instructions.py\n")
        for name, value in about.items():
            f.write(f"{name}\t{value}\n")
        for name, value in counts.items():
            f.write(f"{name}\t{value:.1f}\n")


def unfit():
    """Why nothing can be counted here, or None."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    return "sanitizers add instructions of their own" if "sanitize" in table_of("--build")["flags"] else None


def main():
    if unfit():
        skip(unfit())
    if len(sys.argv) == 3 and sys.argv[1] == "--shares":
        name, n = next(iter(table_of("--names").items()))
        with tempfile.TemporaryDirectory() as directory, open(sys.argv[2], "w", encoding="utf-8") as f:
            found = shares(count(directory)[0])
            json.dump({"case": name, **{k: v / int(n) for k, v in sorted(found.items(), key=lambda x: -x[1])}}, f, indent=1)
        return
    if os.environ.get("UPDATE", "") not in ("", "0"):
        write_record(build(), measure())
        skip(f"the record is written anew: {RECORD}")
    try:
        record = read_record()
    except OSError as e:
        print(f"Bail out! {RECORD}: {e.strerror}")
        sys.exit(1)
    differs = differences(record)
    if differs:
        skip("the record is of another build: " + "; ".join(differs))
    counts = measure()
    print(f"1..{len(counts)}")
    failed = 0
    for number, (name, value) in enumerate(counts.items(), 1):
        before = float(record.get(name, "nan"))
        ok = value <= before * (1 + TOLERANCE)
        print(f"{'ok' if ok else 'not ok'} {number} - {name}: {value:.1f} instructions for each datagram, "
              f"record {before:.1f} ({100 * (value / before - 1):+.1f} %)")
        if not ok:
            failed += 1
            print(f"# more than {100 * TOLERANCE:.0f} % over the record; if on purpose, "
                  "UPDATE=1 make check TESTS=tests/bench/instructions.py, and commit it")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
