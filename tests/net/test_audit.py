#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The records of loads as a chain: in audit_file, in the log, over restarts, with a full disk; --history; the verifier in
Python; and every tampering told by number."""
import json
import os
import re
import shutil
import signal
import subprocess

import mcrtest as t

A, B, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.0.2", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])]
HERE = os.path.dirname(os.path.abspath(__file__))
VERIFIER = os.path.join(HERE, "..", "..", "contrib", "audit", "mcr-audit-verify")


def audited(rules=None, **top):
    """A config whose audit_file lies in a directory of its own."""
    c = t.Config(rules or RULES, **top)
    c.audit = os.path.join(c.directory, "audit", "audit.log")
    c.top["audit_file"] = c.audit
    c.write()
    return c


def lines(path):
    with open(path, "rb") as f:
        return f.read().splitlines(keepends=True)


def records(c):
    return [x.decode() for x in lines(c.audit)]


def run(argv, stdin=None):
    p = subprocess.run([str(a) for a in argv], stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=60, check=False)
    return p.returncode, p.stdout, p.stderr


def history(*options, status=0, stdin=None):
    found, out, err = run([t.MCRD, "--history", *options], stdin)
    t.equal(found, status, f"--history {options}: {out} {err}; status")
    return out, err


def verify(*options, status=0, stdin=None):
    return history("--verify", *options, status=status, stdin=stdin)[0]


def python_verify(*options, status=0, stdin=None):
    found, out, err = run(["python3", VERIFIER, *options], stdin)
    t.equal(found, status, f"the verifier, {options}: {out} {err}; status")
    return out


def head_of(d):
    a = d.stats()["config"]["audit"]
    return f"{a['n']}:{a['hash']}"


def change(d, *groups):
    """A reload with a rule for each."""
    d.config.rules = [t.rule(f"r{i}", g, PORT, [t.to_group(OUT, OUT_PORT + i)], note=f"ticket {i}")
                      for i, g in enumerate(groups)]
    d.config.write()
    return d.reload()


@t.test("each load is a record in the file and, byte for byte, in the log; its head is in statistics, metrics and status")
def chain():
    with t.line() as net, t.Mcrd(net.relay, audited()) as d:
        t.check("result=accepted" in change(d, A, B), "the load")
        d.config.write("nonsense")
        t.check("result=refused" in d.reload(), "the load")
        found = t.wait_for(lambda: (x := records(d.config)) and len(x) == 6 and x, 5, "six records")
        t.equal([re.search(r" event=(\w+) ", x)[1] for x in found],
                ["started", "reload", "rule_added", "rule_added", "rule_removed", "reload"], "events")
        logged = [x + "\n" for x in d.log_text().splitlines() if " hash=" in x]
        t.equal(logged, found, "the log")
        t.equal(os.stat(d.config.audit).st_mode & 0o777, 0o640, "its mode")
        a = d.stats()["config"]["audit"]
        t.equal((a["n"], a["file"], a["error"], a["waiting"], a["lost"]), (6, d.config.audit, None, 0, 0), "statistics")
        t.check(found[-1].endswith(f" hash={a['hash']}\n"), "the head")
        _, metrics, _ = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])
        t.check(re.search(r"^mcr_audit_records(\{.*\})? 6$", metrics, re.M), metrics)
        t.check(re.search(rf'^mcr_audit_head_info\{{.*hash="{a["hash"]}".*\}} 1$', metrics, re.M), metrics)
        t.check(re.search(r"^mcr_audit_file_ok(\{.*\})? 1$", metrics, re.M), metrics)
        _, status, _ = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file])
        t.check(f"record   6, hash {a['hash'][:12]}, {d.config.audit}" in re.sub(r"record +", "record   ", status), status)
        out, _ = history("--config", d.config.file, status=2)  # the file on disk is nonsense
        good = audited()
        shutil.copy(d.config.audit, os.path.join(good.directory, "copy.log"))
        out, _ = history("--from", os.path.join(good.directory, "copy.log"))
        t.check(all(len(x) <= 80 for x in out.splitlines()), out)
        t.check(re.search(r"^ +2 .* reload .* \+2 -1 ~0$", out, re.M), out)
        t.check("rule r1, note: ticket 1" in out and "reason: " in out, out)
        with open(d.config.log, encoding="utf-8") as log:
            t.check("records 1 to 6 are whole" in verify("--from", "-", stdin=log), "the log")
        d.config.write()
        out = verify("--config", d.config.file)
        t.check("records 1 to 6 are whole" in out and "reaches the head" in out, out)
        tree = json.loads(history("--config", d.config.file, "--json")[0])
        t.equal((tree["whole"], tree["head"]["n"], [x["event"] for x in tree["records"]][:2]),
                (True, 6, ["started", "reload"]), "as JSON")


if __name__ == "__main__":
    t.main()
