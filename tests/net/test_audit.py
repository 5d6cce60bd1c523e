#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The records of loads as a chain: in audit_file, in the log, over restarts, with a full disk; --history; the verifier in
Python; and every tampering told by number."""
import contextlib
import fcntl
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import struct
import subprocess

import mcrtest as t

A, B, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.0.2", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])]
HERE = os.path.dirname(os.path.abspath(__file__))
VERIFIER = os.path.join(HERE, "..", "..", "contrib", "audit", "mcr-audit-verify")

SOUND = 1 if t.SANDBOX == "off" else 0  # exit status of mcrstat --check, which warns of a sandbox that is off

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
        out = verify("--from", d.config.log, status=1)
        t.check("are of a log" in out and "--from -" in out and "changed" not in out and "missing" not in out, out)
        out = verify("--from", d.config.audit)
        t.check("with --from no running mcrd is asked" in out, out)
        d.config.write()
        out = verify("--config", d.config.file)
        t.check("records 1 to 6 are whole" in out and "reaches the head" in out, out)
        tree = json.loads(history("--config", d.config.file, "--json")[0])
        t.equal((tree["whole"], tree["head"]["n"], [x["event"] for x in tree["records"]][:2]),
                (True, 6, ["started", "reload"]), "as JSON")


def tell_both(n, path, head):
    """What both verifiers say of this file. The first number in it is n."""
    said = [verify("--head", head, "--from", path, status=1), python_verify("--head", head, path, status=1)]
    for text in said:
        first = re.search(r"\d+", text.replace("records before 2:", "record 1:"))
        t.check(first and int(first[0]) == n, f"record {n} is not what is told first: {text}")
    return said


@t.test("edit, drop, swap, cut, replay, splice: told by number, by mcrd and by the verifier in Python, each alike")
def tampering():
    with t.line() as net, t.Mcrd(net.relay, audited()) as d, t.Mcrd(net.relay, audited()) as other:
        for i in range(5):
            change(d, A, B) if i % 2 else change(d, A)
            change(other, A, B) if i % 3 else change(other, B)
        # The records of rules follow that of the reload.
        t.wait_for(lambda: head_of(d).startswith(f"{len(lines(d.config.audit))}:") and "rule_" in records(d.config)[-1], 5,
                   "the last record")
        whole, foreign, head = lines(d.config.audit), lines(other.config.audit), head_of(d)
        n, path = len(whole), os.path.join(d.config.directory, "tampered.log")
        t.check(n > 10 and head.startswith(f"{n}:"), f"{n} records, head {head}")

        def put(content):
            with open(path, "wb") as f:
                f.write(b"".join(content))

        put(whole)
        verify("--head", head, "--from", path)
        python_verify("--head", head, path)
        for i in range(n):
            at = i * 37 % (len(whole[i]) - 1)
            edited = whole[i][:at] + (b"0" if whole[i][at:at + 1] != b"0" else b"1") + whole[i][at + 1:]
            put(whole[:i] + [edited] + whole[i + 1:])
            tell_both(i + 1, path, head)
            put(whole[:i] + whole[i + 1:])
            tell_both(i + 1, path, head)
            if i < n - 1:
                put(whole[:i] + [whole[i + 1], whole[i]] + whole[i + 2:])
                tell_both(i + 1, path, head)
                put(whole[:i + 1])  # an older file
                tell_both(i + 2, path, head)
            if 0 < i < min(n, len(foreign)):
                put(whole[:i] + foreign[i:])
                tell_both(i + 1, path, head)
        for i, wanted in ((2, ", behind record 2"), (n, f", behind record {n}"), (0, "")):  # a line that is no record
            put(whole[:i] + [b"junk\n"] + whole[i:])
            for said in (verify("--head", head, "--from", path, status=1), python_verify("--head", head, path, status=1)):
                t.check(f"{path}:{i + 1}: a line that is no record{wanted}" in said and "changed" not in said and
                        "order" not in said and "missing" not in said, f"{i}: {said}")
        put(whole[:1] + [b"junk\n"] + whole[2:])
        tell_both(2, path, head)
        # Each byte, by the verifier in Python; tests/unit does it for mcrd.
        source = importlib.machinery.SourceFileLoader("verifier", VERIFIER)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("verifier", source))
        source.exec_module(module)
        some = whole[:4]
        known, text = (len(some), some[-1].rstrip()[-64:]), b"".join(some)
        t.equal(module.verify(some, True, known)[2], [], "the whole file")
        for size in range(0, len(text), 1 if not t.SANITIZED else 7):
            cut = text[:size].splitlines(keepends=True)
            intact = text[:size].count(b"\n")
            told = module.verify(cut, True, known)[2]
            t.check(told and int(re.search(r"\d+", told[0])[0]) == intact + 1, f"{size} bytes: {told}")
        # In place, at the running mcrd: it is told by the head that mcrd shows, and by mcrd itself with the next load.
        put(whole[:-2])
        os.chown(path, *(lambda x: (x.st_uid, x.st_gid))(os.stat(d.config.audit)))
        os.rename(path, d.config.audit)
        t.check(f"records {n - 1} to {n}: missing" in verify("--config", d.config.file, status=1), "the end")
        d.reload()
        t.check("was moved, removed or replaced" in d.logged("audit")[0], "an event")
        d.reload()
        t.equal([i for i, x in enumerate(records(d.config)) if " chain=" in x], [0], "records that begin a file")
        verify("--config", d.config.file, status=1)


@t.test("--history: trouble is 2: no audit_file, no records, a bad head, a config file that cannot be read")
def trouble():
    c = t.Config(RULES)
    for options, pattern in ((("--config", c.file), "has no audit_file; .*journalctl"), (("--head", "1:abc"), "--head is"),
                             (("--config", audited().file), "No such file"), (("--from", "/no/where"), "/no/where: "),
                             (("--config", "/no/where"), "name them with --from"), (("--from", "-", "--from", c.file), "standard input")):
        t.check(re.search(pattern, err := history(*options, status=2)[1]), err)
    t.check("no record" in verify("--from", "/dev/null", status=2), "an empty file")
    t.check("no record" in verify("--from", "-", status=2), "an empty input")
    t.check("no record" in history("--from", "-", status=2)[1], "an empty input as a table")
    t.equal(json.loads(history("--json", "--from", "/dev/null", status=2)[0])["whole"], None, "whole")
    empty = audited()
    os.mkdir(os.path.dirname(empty.audit))
    with open(empty.audit, "w", encoding="ascii"):
        pass
    t.check("no record" in verify("--config", empty.file, status=2), "an empty audit_file")
    c = audited()
    os.makedirs(c.audit)
    t.check("Is a directory" in (err := history("--config", c.file, status=2)[1]), err)


@t.test("restarts: the chain goes on by the file; under a manager without one, too; else it begins anew and says so")
def restarts():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, audited()) as d:
        change(d, A, B)
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            d.restart(number, 0 if number == signal.SIGTERM else -number)
            t.check("are whole" in verify("--config", d.config.file), "the file")
        t.equal([x.count("chain=begins") for x in records(d.config)].count(1), 1, "beginnings")
        manager.clear()
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        d.reload()
        for number in (signal.SIGTERM, signal.SIGKILL):
            d.restart(number, 0 if number == signal.SIGTERM else -number)
        t.equal(d.stats()["config"]["audit"]["n"], 4, "the number of the last record")
        manager.clear()
    with t.line() as net:
        d = t.Mcrd(net.relay, RULES)
        for i in range(2):
            with d:
                d.reload()
        said = d.log_text()
        t.equal(said.count("chain=begins"), 2, "beginnings in the log")
        with open(d.config.log, encoding="utf-8") as log:
            t.check("note: record 1: a new chain begins behind record 2" in verify("--from", "-", stdin=log), "the log")
        with open(d.config.log, encoding="utf-8") as log:
            python_verify("-", stdin=log)


@t.test("audit_file that comes, or moves, by a restart: the chain goes on, and both verifiers say from where; one that was "
        "removed is missed")
def first_file():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        d.reload()
        c, n = d.config, 3
        for name in "audit", "elsewhere":
            c.audit = c.top["audit_file"] = os.path.join(c.directory, name, "audit.log")
            c.write()
            d.restart(signal.SIGTERM, 0)
            first = records(c)[0]
            t.check(first.startswith("level=notice ") and f" chain=elsewhere n={n} " in first, first)
            out = verify("--config", c.file)
            t.check(f"begins with record {n}: the ones before are in the log\n" in out and f"records {n} to {n + 1} are whole" in out,
                    out)
            t.check(f"begins with record {n}: " in (out := python_verify("--head", head_of(d), c.audit)), out)
            t.equal(json.loads(history("--config", c.file, "--json")[0])["whole"], True, "as JSON")
            n += 2
        t.check("audit_file was " in first and "/audit/audit.log" in first, first)
        with open(c.log, encoding="utf-8") as log:
            t.check(f"records 1 to {n - 1} are whole" in verify("--from", "-", stdin=log), "the log")
        os.unlink(c.audit)
        d.restart(signal.SIGTERM, 0)
        first = records(c)[0]
        t.check(first.startswith("level=error ") and "the file is missing" in first and " chain=continues " in first, first)
        t.check(f"records 1 to {n - 1}: missing" in verify("--config", c.file, status=1), "the file that was removed")


@t.test("a full disk: loads go on, it is an alarm and an event, and what waits is written when there is room")
def full_disk():
    c = audited()
    os.mkdir(os.path.dirname(c.audit))
    t.run_command(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", os.path.dirname(c.audit)])
    try:
        filler = os.path.join(os.path.dirname(c.audit), "filler")
        with t.line() as net, t.Mcrd(net.relay, c) as d:
            with open(filler, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(b"x" * 4096)
                except OSError:
                    pass
            for i in range(8):
                t.check("result=accepted" in (change(d, A, B) if i % 2 == 0 else change(d, A)), "the load")
            a = d.stats()["config"]["audit"]
            t.check(a["waiting"] > 0 and "No space left" in a["error"], f"{a}")
            t.equal(len(d.logged("audit")), 1, "events")
            status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", c.stats_file], check_status=False)
            t.check(status == 1 and "records cannot be written" in out, f"{status} {out}")
            _, metrics, _ = t.run_command([t.MCRSTAT, "--prometheus", "--stats", c.stats_file])
            t.check(re.search(r"^mcr_audit_file_ok(\{.*\})? 0$", metrics, re.M), "the metric")
            t.check(": missing" in verify("--config", c.file, status=1), "the file lacks what waits")
            # Where the record is required, what cannot be recorded is not loaded.
            d.config.top["audit_required"] = True
            line = change(d, B)
            t.check("result=refused" in line and "audit_required" in line, line)
            d.config.top["audit_required"] = False
            os.unlink(filler)
            t.check("result=accepted" in change(d, A, B), "the load")
            t.wait_for(lambda: not d.stats()["config"]["audit"]["error"], 15, "the end of the alarm")
            t.check("works again" in d.logged("audit")[-1], "an event")
            t.check("are whole" in verify("--config", c.file), "all is there")
    finally:
        t.run_command(["umount", os.path.dirname(c.audit)])


def check_all(d):
    """The plugin's line and status, and the metrics."""
    status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
    _, metrics, _ = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])
    return status, out, int(float(re.search(r"^mcr_audit_file_changes_total(?:\{.*\})? (\S+)$", metrics, re.M)[1]))


@t.test("what somebody else does to the file is a warning until a restart: in the statistics, the plugin and the metrics")
def changed_by_others():
    with t.line() as net, t.Mcrd(net.relay, audited()) as d:
        change(d, A, B)
        t.equal((check_all(d)[0], check_all(d)[2]), (SOUND, 0), "before")
        os.truncate(d.config.audit, 100)
        change(d, A)
        status, out, n = check_all(d)
        t.check(status == 1 and n == 1 and "the file was changed by somebody else, and it is set aside" in out, f"{out} {n}")
        a = d.stats()["config"]["audit"]
        t.check(a["changes"] == 1 and "changed by somebody else" in a["changed"] and a["error"] is None, f"{a}")
        _, table, _ = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file])
        t.check("the file was changed by somebody else" in re.sub(r"\s+", " ", table), table)
        os.unlink(d.config.audit)
        change(d, A, B)
        t.check("moved, removed or replaced" in check_all(d)[1] and check_all(d)[2] == 2, "removed")


@t.test("what stands in the way of setting the file aside is named, and that it is still to be done; --history shows the rest; it heals")
def in_the_way():
    with t.line() as net, t.Mcrd(net.relay, audited()) as d:
        change(d, A, B)
        in_way = [f"{d.config.audit}.{age}" for age in range(1, 9)]
        for name in in_way:
            os.makedirs(name + "/x")
        with open(d.config.audit, "a", encoding="ascii") as f:
            f.write("x\n")
        change(d, A)
        out = check_all(d)[1]
        t.check("changed by somebody else, and it is to be set aside" in out and any(f"{x}: " in out for x in in_way), out)
        shown, err = history("--config", d.config.file, status=1)
        t.check(f"{d.config.audit}.1: Is a directory: what it has is left out" in err and "started" in shown, f"{shown} {err}")
        t.check(any(f'file="{x}"' in d.logged("audit")[0] for x in in_way), "the event")
        for name in in_way:
            os.removedirs(name + "/x")
        t.wait_for(lambda: not d.stats()["config"]["audit"]["error"], 15, "the end of the alarm")
        t.check("changed by somebody else, and it is set aside" in (out := check_all(d)[1]), out)


@t.test("two daemons with one audit_file: the second says who has it and writes nothing there, or with audit_required does not start; "
        "behind the first the next has it")
def shared():
    with t.line() as net:
        first, second = audited(), audited()
        second.top["audit_file"] = first.audit
        second.write()
        with t.Mcrd(net.relay, first) as d:
            with t.Mcrd(net.relay, second) as other:
                line = other.logged("audit")[0]
                t.check(f"pid={d.broker}" in line and "another mcrd writes it" in line, line)
                change(other, A, B)
                a = other.stats()["config"]["audit"]
                t.check(f"another mcrd (pid {d.broker}) writes" in a["error"] and a["lost"] > 0 and a["waiting"] == 0, f"{a}")
                t.equal(check_all(other)[0], 1, "status")
                change(d, A, B)
            t.equal(check_all(d)[0], SOUND, "status of the first")
            verify("--config", first.file)
            second.top["audit_required"] = True
            second.write()
            status, log = t.Mcrd(net.relay, second).run_to_end()
            t.check(status == 1 and f"audit_required: the load cannot be recorded: another mcrd (pid {d.broker}) writes" in log, log)
            for argv, status, said in ((["--firewall"], 1, '"audit_file" is "'), (["--check"], 0, "warning: audit_file is \"")):
                found, out, err = run([t.MCRD, *argv, "--config", first.file, "--config", second.file])
                t.check(found == status and said in err, f"{argv} {found}: {out} {err}")
        with t.Mcrd(net.relay, first) as d:
            t.equal(d.logged("audit"), [], "behind the first")
        verify("--config", first.file)


@t.test("audit_file is a directory: --check warns, and the start tells that, not what follows from it")
def directory():
    with t.line() as net:
        c = audited(audit_required=True)
        os.makedirs(c.audit)
        status, out, err = run([t.MCRD, "--check", "--config", c.file])
        t.check(status == 0 and f"warning: mcrd cannot keep its records there: {c.audit} is a directory" in err, out + err)
        status, log = t.Mcrd(net.relay, c).run_to_end()
        t.check(status == 1 and "audit_required" in log and "Is a directory" in log and "Permission denied" not in log, log)


@t.test("audit_required: a record before the table is handed over; a start without a usable file is refused")
def required():
    with t.line() as net:
        with t.Mcrd(net.relay, audited(audit_required=True)) as d:
            t.check("result=accepted" in change(d, A, B), "the load")
            d.reload()  # of the same file: nothing is put in force
            t.wait_for(lambda: len(records(d.config)) == 8, 2, "the file, which comes behind the log")
            events = [re.search(r" event=(\w+) ", x)[1] for x in records(d.config)]
            t.equal(events, ["load_begins", "started", "load_begins", "reload", "rule_added", "rule_added", "rule_removed",
                             "reload"], "the records")
            verify("--config", d.config.file)
        c = audited(audit_required=True)
        os.mkdir(os.path.dirname(c.audit), mode=0o755)  # root's
        status, log = t.Mcrd(net.relay, c).run_to_end()
        t.check(status == 1 and "audit_required" in log and "Permission denied" in log, f"{status} {log}")
        c.top["audit_required"] = False
        c.write()
        with t.Mcrd(net.relay, c) as d:
            t.check("Permission denied" in d.stats()["config"]["audit"]["error"], "the alarm")


@contextlib.contextmanager
def immutable(path):
    """Nobody can write to it, as to a full disk (chattr +i)."""
    get, change, immutable_flag = 0x80086601, 0x40086602, 0x10  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL
    with open(path, "rb") as f:
        try:
            flags = struct.unpack("=l", fcntl.ioctl(f, get, bytes(struct.calcsize("=l"))))[0]
            fcntl.ioctl(f, change, struct.pack("=l", flags | immutable_flag))
        except OSError as e:
            raise t.Skip(f"this file system has no chattr: {e}") from None
        try:
            yield
        finally:
            fcntl.ioctl(f, change, struct.pack("=l", flags))


@t.test("audit_required: a trial whose confirmation cannot be recorded is not confirmed; it is as soon as it can")
def required_confirmation():
    with t.line() as net, t.Mcrd(net.relay, audited(audit_required=True)) as d:
        d.config.top["trial"] = {"seconds": 600}
        t.check("result=accepted" in change(d, A, B), "the load")
        with immutable(d.config.audit):
            status, _, err = run([t.MCRD, "--confirm", "--config", d.config.file])
            t.check(status == 1 and "audit_required: the confirmation cannot be recorded: " in err, f"{status} {err}")
            t.equal(d.stats()["config"]["state"], "trial", "state")
        status, out, err = run([t.MCRD, "--confirm", "--config", d.config.file])
        t.equal(status, 0, f"--confirm: {out} {err}")
        events = [re.search(r" event=(\w+) ", x)[1] for x in records(d.config)]
        t.equal(events[-2:], ["load_begins", "confirmed"], "the last records")
        verify("--config", d.config.file)


@t.test("rotation: 1 MiB each, the chain goes on, nine files at most; audit_file is fixed until a restart", released=True)
def rotation():
    note = "n" * 250
    rules = [[t.rule(f"r{i}-{j}", A, 1000 + i, [t.to_group(OUT, 1000 + i)], note=note) for i in range(600)] for j in (0, 1)]
    with t.line() as net, t.Mcrd(net.relay, audited(rules[0], audit_mib=1)) as d:
        for i in range(18):
            d.config.rules = rules[(i + 1) % 2]
            d.config.write()
            t.check("result=accepted" in d.reload(), "the load")
        def files():
            return [x for x in os.listdir(os.path.dirname(d.config.audit)) if not x.endswith(".lock")]

        found = t.wait_for(lambda: len(x := files()) == 9 and x, 10, "nine files")
        t.equal(sorted(found), ["audit.log"] + [f"audit.log.{i}" for i in range(1, 9)], "the files")
        for name in found:
            size = os.stat(os.path.join(os.path.dirname(d.config.audit), name)).st_size
            t.check(size <= 1 << 20, f"{name} has {size} bytes")
        n = d.stats()["config"]["audit"]["n"]
        t.wait_for(lambda: f" to {n} are whole" in run([t.MCRD, "--history", "--verify", "--config", d.config.file])[1], 5,
                   "the chain")
        python_verify("--head", head_of(d), *[f"{d.config.audit}.{i}" for i in range(8, 0, -1)], d.config.audit)
        d.config.top["audit_file"] = d.config.audit + ".other"
        line = change(d, A)
        t.check("result=refused" in line and "fixed at the start" in line, line)


if __name__ == "__main__":
    t.main()
