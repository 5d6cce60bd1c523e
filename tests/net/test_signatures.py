#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A config file runs only if as many keys of trust.conf as it asks for have signed it; all signatures here are made by the
real minisign."""
import json
import os
import shutil
import signal
import subprocess
import time

import mcrtest as t
import reloadtest as r

IN, PORT, OUT, OTHER, OUT_PORT = "239.255.0.1", 5000, "239.255.1.1", "239.255.1.2", 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]
CHANGED = [t.rule("r", IN, PORT, [t.to_group(OTHER, OUT_PORT)])]
WAIT = 10  # s, SIGNATURES_WAIT_NS of src/trust/signatures.h


def signed(signers, *names):
    config = t.Config(RULE)
    signers.sign(config, *names)
    return config


def wait_state(d, state, seconds=5, **expected):
    return t.wait_for(lambda: (c := d.stats()["config"])["state"] == state and
                      all(c[k] == v for k, v in expected.items()) and c, seconds, f"config.state {state}, {expected}")


def change(d, rules=None):
    d.config.rules = rules or CHANGED
    d.config.write()


def check(config, *options):
    status, out, err = t.run_command([t.MCRD, *options, "--config", config.file], check_status=False)
    return status, out, err


@t.test("started with two of three signatures: who has signed is in the record, the statistics and the table")
def started():
    s = t.Signers("a", "b", "c")
    os.chmod(s.directory, 0o700)
    with t.line() as net, t.Mcrd(net.relay, signed(s, "a", "c"), args=["--trust", s.trust]) as d:
        record = r.fields(d.logged("started")[0])
        t.equal((record["signatures"], record["signed_by"]), ("2/3", "a,c"), "the record of the start")
        t.equal(record["trust_sha256"], r.sha256_of(s.trust), "trust.conf in the record")
        c = d.stats()["config"]
        t.equal((c["signed_by"], c["signatures_required"], c["trust_sha256"]), (["a", "c"], 2, r.sha256_of(s.trust)),
                "in the statistics")
        _, out, _ = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file])
        t.check("signed by a,c" in out, out)
        # A trust.conf that only root can see is not gone for that.
        change(d)
        wait_state(d, "pending")
        t.equal(d.logged("trust"), [], "event=trust")


@t.test("no trust.conf: as ever, and the start says so; null in the statistics")
def none():
    with t.line() as net, t.Mcrd(net.relay, RULE, args=["--trust", "none"]) as d:
        t.equal(r.fields(d.logged("started")[0])["signatures"], "none", "the record of the start")
        c = d.stats()["config"]
        t.equal((c["signed_by"], c["signatures_required"], c["trust_sha256"]), (None, 0, None), "in the statistics")


@t.test("a start is refused: no signature, one of two, the same one twice, one of another file, a trust.conf that is missing, "
        "invalid, or may be written by others")
def refused():
    s = t.Signers("a", "b", "c")
    with t.line() as net:
        def start(config, why):
            d = t.Mcrd(net.relay, config, args=["--trust", s.trust])
            status, said = d.run_to_end()
            t.check(status == 1 and why in said and not d.logged("started"), f"status {status}: {said}")

        start(t.Config(RULE), "signatures: 0 of 2; missing, any of: a (there is no mcr.conf.a.minisig), b (")
        config = signed(s, "a")
        start(config, "signatures: 1 of 2, signed by a; missing, any of: b (there is no mcr.conf.b.minisig), c (")
        shutil.copy(config.file + ".a.minisig", config.file + ".b.minisig")
        start(config, "b (mcr.conf.b.minisig is by another key)")
        s.sign(config, "b")
        change(d := t.Mcrd(net.relay, config))
        start(d.config, "a (mcr.conf.a.minisig does not fit this file), b (mcr.conf.b.minisig does not fit this file)")
        # A file that says where its statistics are is not believed before: nothing is made there.
        t.check(not os.path.exists(os.path.dirname(config.stats_file)), "what an unsigned file names was made")
        config = signed(s, "a", "b")
        os.chmod(s.trust, 0o620)
        start(config, "mode is 0620, allowed is one without write by group or others")
        s.write(3, "a", "b")
        start(config, "\"required\" is 3, allowed is 1 to 2, the number of keys")
        os.unlink(s.trust)
        start(config, "trust.conf: cannot be opened")
        os.symlink("nowhere", s.trust)
        start(config, "trust.conf: cannot be opened")


@t.test("a file that comes before its signatures, and signatures that come before their file: pending, never invalid, and then "
        "as it is to be; a reload of what is not signed is refused, with who is missing; signatures of both formats")
def order():
    s = t.Signers("a", "b", "c")
    with t.line() as net, t.Mcrd(net.relay, signed(s, "a", "b"), args=["--trust", s.trust]) as d:
        log = r.Log(d)
        change(d)
        c = wait_state(d, "pending")
        t.check("waits for signatures: 0 of 2" in c["last_error"], c["last_error"])
        s.sign(d.config, "b", legacy=True)
        c = wait_state(d, "pending", last_error=f"{d.config.file}: waits for signatures: 1 of 2, signed by b; missing, any of: "
                       "a (mcr.conf.a.minisig does not fit this file), c (there is no mcr.conf.c.minisig)")
        line = r.reload(d)
        t.equal(line["result"], "refused", "a reload meanwhile")
        t.check("signatures: 1 of 2, signed by b; missing, any of: a (" in line["reason"], line["reason"])
        s.sign(d.config, "c")
        wait_state(d, "pending", disk_sha256=r.sha256_of(d.config.file))
        t.wait_for(lambda: "waits" not in (d.stats()["config"]["last_error"] or ""), 5, "the end of the wait")
        line = r.reload(d)
        t.equal((line["result"], line["signed_by"]), ("accepted", "b,c"), "the record")
        t.equal(d.stats()["config"]["signed_by"], ["b", "c"], "signed_by")
        # The other way round: new signatures beside the old file.
        change(d, RULE)
        s.sign(d.config, "a", "b", "c")
        wait_state(d, "pending")
        change(d)
        wait_state(d, "current")
        t.check(not [x for x in log.events("file") if x["state"] == "invalid"], "it was invalid")
        change(d, RULE)
        wait_state(d, "pending")
        t.equal(r.reload(d)["result"], "accepted", "a file to signatures that lay there")
        t.equal(d.stats()["generation"], 3, "generation")


@t.test("what is not signed after 10 s is invalid, a file that runs as well: the next start would refuse it; a signature mends it", released=True)
def late():
    s = t.Signers("a", "b")
    with t.line() as net, t.Mcrd(net.relay, signed(s, "a", "b"), args=["--trust", s.trust]) as d:
        log, began = r.Log(d), time.monotonic()
        s.withdraw(d.config, "b")
        time.sleep(1)
        t.equal(d.stats()["config"]["state"], "current", "at once")
        c = wait_state(d, "invalid", WAIT + 5)
        t.check(WAIT - 1 <= time.monotonic() - began <= WAIT + 3, f"after {time.monotonic() - began:.1f} s")
        t.check(c["last_error"].endswith("signatures: 1 of 2, signed by a; missing: b (there is no mcr.conf.b.minisig)"),
                c["last_error"])
        t.equal([x["state"] for x in log.events("file")], ["invalid"], "in the log")
        s.sign(d.config, "b")
        wait_state(d, "current")
        change(d)
        wait_state(d, "pending")
        wait_state(d, "invalid", WAIT + 5)
        s.sign(d.config, "a", "b")
        wait_state(d, "pending")
        t.equal(r.reload(d)["result"], "accepted", "the reload")


@t.test("reload_on_change: a file is taken over when its last signature has come, and not before")
def on_change():
    s = t.Signers("a", "b")
    config = t.Config(RULE, reload_on_change=True)
    s.sign(config, "a", "b")
    with t.line() as net, t.Mcrd(net.relay, config, args=["--trust", s.trust]) as d:
        change(d)
        wait_state(d, "pending")
        s.sign(d.config, "a")
        time.sleep(1)
        t.equal(d.stats()["generation"], 1, "generation with one of two")
        s.sign(d.config, "b")
        t.wait_for(lambda: d.stats()["generation"] == 2, 5, "generation 2")
        t.check(not [x for x in d.logged("reload") if "refused" in x], "a refusal")


@t.test("mcrd --reload waits for signatures that come within 10 s, and for the file; after that the daemon refuses it; --diff "
        "and --check tell what is missing", released=True)
def commands():
    s = t.Signers("a", "b")
    with t.line() as net, t.Mcrd(net.relay, signed(s, "a", "b"), args=["--trust", s.trust]) as d:
        trust = ["--trust", s.trust]
        change(d)

        def reload():
            return t.start_process([t.MCRD, "--reload", *trust, "--config", d.config.file], net.relay,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        status, out, _ = check(d.config, "--check", *trust)
        t.check(status == 1 and "signatures: 0 of 2; missing: a (mcr.conf.a.minisig does not fit this file), b (" in out, out)
        status, out, _ = check(d.config, "--diff", *trust)
        t.check(status == 1 and "signatures: 0 of 2; missing: a" in out, out)
        _, out, _ = check(d.config, "--diff", "--json", *trust)
        told = json.loads(out)["signatures"]
        t.equal((told["required"], told["enough"], told["signed_by"], told["missing"]), (2, False, [], ["a", "b"]), "--diff --json")
        p = reload()
        time.sleep(1)
        t.check(p.poll() is None, "mcrd --reload has not waited")
        s.sign(d.config, "a", "b")
        out, err = p.communicate(timeout=20)
        t.equal(p.returncode, 0, f"status of mcrd --reload: {err}")
        t.check("waits for signatures: 0 of 2" in err and "reload accepted: generation 2" in out, out + err)
        # Signatures first, then the command, then the file.
        change(d, RULE)
        s.sign(d.config, "a", "b")
        change(d)
        p = reload()
        time.sleep(1)
        change(d, RULE)
        out, err = p.communicate(timeout=20)
        t.check(p.returncode == 0 and "reload accepted: generation 3" in out, out + err)
        status, out, _ = check(d.config, "--check", *trust)
        t.check(status == 0 and "signatures: 2 of 2, signed by a,b" in out, out)
        change(d)
        began = time.monotonic()
        p = reload()
        out, err = p.communicate(timeout=30)
        t.check(p.returncode == 1 and "reload refused: " in err and "signatures: 0 of 2; missing: a" in err, out + err)
        t.check(WAIT <= time.monotonic() - began < WAIT + 5, f"it waited for {time.monotonic() - began:.1f} s")
        p = t.start_process([t.MCRD, "--reload", "--timeout", "1", *trust, "--config", d.config.file], net.relay,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        out, err = p.communicate(timeout=30)
        t.check(p.returncode == 1 and time.monotonic() - began < 4, out + err)


@t.test("signatures and a trust.conf that mcrd's user cannot read: --check as root counts none of them, --reload says so "
        "and does not signal, and a new trust.conf by which the file would be refused is told as such")
def unreadable():
    if t.USER != "nobody":
        raise t.Skip("needs a user other than root")
    s = t.Signers("a", "b")
    config = signed(s, "a", "b")
    s.trust = os.path.join(config.directory, "trust.conf")  # which the broker may read, as that of /etc/mcr
    s.write(2, "a", "b")
    with t.line() as net, t.Mcrd(net.relay, config, args=["--trust", s.trust]) as d:
        trust, b = ["--trust", s.trust], d.config.file + ".b.minisig"
        os.chmod(b, 0o640)
        why = f"b (mcr.conf.b.minisig: user nobody cannot read it (0640 root:root): chgrp {t.GROUP}, chmod 640)"
        status, out, _ = check(d.config, "--check", *trust)
        t.check(status == 1 and f"signatures: 1 of 2, signed by a; missing: {why}" in out, out)
        status, out, err = check(d.config, "--reload", *trust, "--timeout", "5")
        t.check(status == 1 and f"missing: {why}" in err and "reload refused:" not in err, out + err)
        t.equal(d.logged("reload"), [], "loads that the daemon was asked for")
        os.chmod(b, 0o644)
        # Root has started it, and so reads trust.conf before it becomes nobody.
        status, out, err = check(d.config, "--check", *trust)
        t.check(status == 0 and "signatures: 2 of 2, signed by a,b" in out, out + err)
        # Its network and root, which only root makes, tell who has started it.
        t.check(d.sandbox == "off" or "as mcrd.service has it" not in err, err)
        s.public["x"] = s.public["b"]
        s.write(2, "a", "x")
        os.chmod(s.trust, 0o644)
        status, out, err = check(d.config, "--reload", *trust, "--timeout", "5")
        t.check(status == 0 and f"that start would refuse {d.config.file}: signatures: 1 of 2, signed by a; missing: x (" in err, err)
        os.utime(s.trust)
        line = t.wait_for(lambda: [x for x in d.logged("trust") if "would refuse" in x], 5, "event=trust")[-1]
        t.check(f"a start would refuse {d.config.file}: signatures: 1 of 2, signed by a; missing: x (" in line, line)
    os.chmod(s.trust, 0o640)
    status, out, err = check(config, "--check", *trust)
    t.check("trust.conf: warning: a start as user nobody, as mcrd.service has it, would be refused: user nobody cannot read it "
            "(0640 root:root): chgrp" in err, out + err)


@t.test("trust.conf is read at the start only: another one is told and not used; a restart of what runs is judged by it")
def changed_trust():
    s = t.Signers("a", "b", "c")
    config = signed(s, "a", "b")
    with t.line() as net:
        with t.Mcrd(net.relay, config, args=["--trust", s.trust]) as d:
            s.write(2, "a", "c")
            change(d)  # news of it: trust.conf lies elsewhere
            s.sign(d.config, "a", "b")
            line = t.wait_for(lambda: d.logged("trust"), 5, "event=trust")[0]
            t.check("it has changed since the start" in line and "restart mcrd to use it, if mcrd --check accepts" in line, line)
            t.equal(r.reload(d)["result"], "accepted", "by the keys of the start")
            status, _, err = check(d.config, "--reload", "--trust", s.trust, "--timeout", "1")
            t.check(status == 0 and "is not what mcrd" in err, err)
            t.equal(len(d.logged("trust")), 1, "told once")
            # Whatever it is called here, or not named.
            for trust in ("--trust", os.path.relpath(s.trust)), ():
                status, _, err = check(d.config, "--reload", *trust, "--timeout", "1")
                t.check(status == 0 and f"note: {s.trust} is not what mcrd" in err, f"{trust}: {err}")
            shutil.copy(s.trust, other := s.trust + ".other")
            status, _, err = check(d.config, "--reload", "--trust", other, "--timeout", "1")
            t.check(f"goes by {s.trust}, not by {other}" in err, err)
        status, said = t.Mcrd(net.relay, config, args=["--trust", s.trust]).run_to_end()
        t.check(status == 1 and "signatures: 1 of 2, signed by a; missing: c" in said, said)


@t.test("under a manager that keeps descriptors: after a crash, and with an unsigned file on the disk, what ran goes on, its kept "
        "signatures verified anew; when a key is withdrawn neither starts, and what is signed anew does")
def kept():
    s = t.Signers("a", "b", "c")
    with t.line() as net, t.Manager() as manager, \
            t.KeptMcrd(manager, net.relay, signed(s, "a", "b"), args=["--trust", s.trust]) as d:
        first = r.sha256_of(d.config.file)

        def runs(sha256, by, text):
            record = r.fields(d.logged("started")[-1])
            t.equal((record["sha256"], record["signed_by"], record.get("text")), (sha256, by, text), "what runs")
            t.equal(d.stats()["config"]["signed_by"], by.split(","), "signed_by")

        change(d)
        s.withdraw(d.config, "a", "b")
        for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            t.check(d.restart(number, status), "nothing was taken over")
            runs(first, "a,b", "kept")
        t.check("result=refused" in d.logged("start")[-1] and "signatures: 0 of 2" in d.logged("start")[-1], "the refusal is in the record")
        r.wait_config(d, "pending")
        # The names may change, the keys may not.
        s.public.update(x=s.public["a"], y=s.public["b"])
        s.write(2, "x", "y", "c")
        t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
        runs(first, "x,y", "kept")
        s.sign(d.config, "c")
        shutil.copy(os.path.join(s.directory, "a"), os.path.join(s.directory, "x"))
        s.sign(d.config, "x")
        t.wait_for(lambda: "waits" not in (d.stats()["config"]["last_error"] or ""), 5, "both signatures")
        d.restart(signal.SIGTERM, 0)
        runs(r.sha256_of(d.config.file), "x,c", None)
        # A key is withdrawn: neither the file on the disk nor the kept one has two others.
        s.write(2, "y", "c")
        d.signal(signal.SIGKILL)
        t.equal(t.end_process(d.process, 10), -signal.SIGKILL, "exit status")
        t.wait_for(lambda: not t.process_status(d.broker), 5, "the broker's end")
        manager.listen()
        d.launch()
        t.equal(t.end_process(d.process, 10), 1, "exit status of a start with a withdrawn key")
        t.check("signatures: 1 of 2, signed by c; missing: y" in d.log_text(), "who is missing")
        # After a crash, too, what ran gives way to what is signed.
        shutil.copy(os.path.join(s.directory, "b"), os.path.join(s.directory, "y"))
        s.sign(d.config, "y")
        n = d.started()
        d.launch()
        t.wait_for(lambda: d.started() > n, 20, "mcrd's event=started")
        d.find_broker()
        t.wait_for(d._has_stats, 5, "the statistics")
        runs(r.sha256_of(d.config.file), "y,c", None)


@t.test("a restart in a trial, and behind one, whose file before has no valid signatures any more: what lies on the disk is in force, and "
        "log, record, statistics and plugin say why the one before is not; no record of a return that was none")
def trial_unsigned():
    for behind in (False, True):
        s = t.Signers("a", "b")
        s.write(1, "a", "b")
        with t.line() as net, t.Manager() as manager, \
                t.KeptMcrd(manager, net.relay, signed(s, "a"), args=["--trust", s.trust]) as d:
            d.config.top = {**d.config.top, "trial": {"seconds": 2 if behind else 600}}
            change(d)
            s.withdraw(d.config, "a")
            s.sign(d.config, "b")
            tried = r.reload(d)
            t.equal(tried["result"], "accepted", "the load")
            if behind:
                wait_state(d, "returned", 10)
            n = len(d.logged("returned"))
            s.write(1, "b")  # a's key is withdrawn
            d.restart(signal.SIGTERM, 0)
            started = r.fields(d.logged("started")[-1])
            t.equal((started["sha256"], "text" in started), (tried["sha256"], False), "what runs")
            t.equal([x for x in d.logged("returned")[n:] if "process=broker" in x], [], "records of a return")
            why = "the file that ran before is not gone on with: signatures: 0 of 1"
            t.check(why in d.logged("started")[-1] and "was on trial and was not confirmed" in d.logged("started")[-1], "the record")
            t.check(any(why in x and "level=warning" in x for x in d.logged("continued")), "the log")
            t.check(why in (d.stats()["config"]["not_continued"] or ""), f"{d.stats()['config']}")
            status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
            t.check(status == 1 and why in out, f"{status} {out}")
            # Another load clears it.
            t.equal(r.reload(d)["result"], "accepted", "another load")
            t.equal(d.stats()["config"]["not_continued"], None, "behind another load")


if __name__ == "__main__":
    t.main()
