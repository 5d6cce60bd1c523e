#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrd --reload and --diff beside a running daemon: what they say, their exit status, and what they leave alone."""
import json
import os
import pwd
import shutil
import re
import signal
import subprocess

import mcrtest as t
import reloadtest as r
from mcrtest.pcap import need_tcpdump

IN, PORT, OUT, OTHER, OUT_PORT = "239.255.0.1", 5000, "239.255.1.1", "239.255.1.2", 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], note="CHG0000001")]
CHANGED = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, ttl=4)], note="CHG0000002")]


def command(d, *args, config=None, **options):
    """mcrd with these arguments, in the daemon's node: (status, stdout, stderr)."""
    return d.node.run(t.MCRD, *args, "--config", config or d.config.file, check_status=False, **options)


def says(result, status, out=None, err=None):
    """Whether it ended with this status and said these, as patterns; where there is none, it says nothing."""
    found = f"{result}"
    t.equal(result[0], status, f"the exit status of {found}")
    for text, pattern in ((result[1], out), (result[2], err)):
        if pattern is None:
            t.equal(text, "", f"what else it said: {found}")
        else:
            t.check(re.search(pattern, text, re.MULTILINE), f"{found}: nothing of {pattern!r}")
    return result


def start_command(d, *args):
    return t.start_process([t.MCRD, *args, "--config", d.config.file], d.node, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)


def untouched(net, d, generation=1, group=OUT):
    s = d.stats()
    t.equal((s["generation"], s["config"]["sha256"]), (generation, untouched.digest), "generation and digest")
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"still there"))
    capture.wait_payload(b"still there")
    t.equal([f.destination for f in capture.udp()], [group], "where it went")


# --- reload ----------------------------------------------------------------------------------------------------------


@t.test("--reload: a good file: 0, its generation and digest on stdout; it runs when the command returns")
def reload_good():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        more = RULE + [t.rule("more", OTHER, PORT, [t.to_group(OUT, 7)])]
        for generation, rules in enumerate((CHANGED, CHANGED, more), 2):
            d.config.rules = rules
            d.config.write()
            digest = r.sha256_of(d.config.file)
            says(command(d, "--reload"), 0, rf"generation {generation}\b.*sha256 {digest}\b.*{len(rules)} rule")
            s = d.stats()
            t.equal((s["generation"], s["config"]["sha256"], s["config"]["state"]), (generation, digest, "current"),
                    "at its return: generation, digest, state")
            t.equal(s["config"]["last_load"], "accepted", "last_load")
        found = log.events("reload")
        t.equal([x["result"] for x in found], ["accepted"] * 3, "the records")
        t.check(all(x["uid"] == str(os.getuid()) and int(x["pid"]) > 0 for x in found), f"who asked: {found}")


@t.test("--reload: a file with errors: 1, all of them as FILE:LINE on stderr; the daemon is not even asked")
def reload_invalid():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        untouched.digest = r.sha256_of(d.config.file)
        log, name = r.Log(d), re.escape(d.config.file)
        d.config.rules = [t.rule("r", "198.18.0.1", 0, [t.to_group(OUT, OUT_PORT, colour=1)])]
        d.config.write()
        for pattern in (rf'^{name}:5: rule "r": .*group', rf'^{name}:5: rule "r": .*port', rf"^{name}:5: .*colour"):
            says(command(d, "--reload"), 1, None, pattern)
        os.unlink(d.config.file)
        says(command(d, "--reload"), 1, None, rf"^{name}: .*No such file")
        d.config.write("")
        says(command(d, "--reload"), 1, None, rf"^{name}")
        t.equal(log.events("reload", "reload_asked"), [], "asked")
        untouched(net, d)


@t.test("--reload: valid, but refused by the daemon: 1, with its reason on stderr; all as before")
def reload_refused():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        untouched.digest = r.sha256_of(d.config.file)
        held, top = r.holds(d), dict(d.config.top)
        # Missing there only: the command itself opens nothing, and is run where all of them exist.
        admin = net.node("admin")
        for a, b in (("in0", "out0"), ("m0", "m1")):
            admin.run("ip", "link", "add", a, "type", "veth", "peer", "name", b)
        for i, name in enumerate(("out0", "m0")):
            admin.run("ip", "address", "add", f"198.18.{20 + i}.1/24", "dev", name)
        missing = RULE + [t.rule("m", "239.255.0.2", PORT, [t.to_group(OTHER, OUT_PORT, "m0")])]
        d.config.top["missing_interface"] = "reject"
        d.config.rules = missing
        d.config.write()
        result = admin.run(t.MCRD, "--reload", "--config", d.config.file, check_status=False)
        says(result, 1, None, r'refused: .*"m0" does not exist')
        untouched(net, d)
        for key, value in (("user", "daemon"), ("group", "daemon")):
            d.config.top = {**top, key: value}
            d.config.rules = RULE
            d.config.write()
            says(command(d, "--reload"), 1, None, r"refused: .*fixed at the start")
            untouched(net, d)
        d.config.top = top
        d.config.rules = RULE
        d.config.write()
        r.same_holds(d, held)
        t.equal(d.stats()["config"]["last_load"], "refused", "last_load")
        says(command(d, "--reload"), 0, "generation 2")


@t.test("--reload: ten at once: 0 for each, and the daemon answers each of them")
def reload_at_once():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        for n in (2, 10):
            d.config.rules = CHANGED if n == 2 else RULE
            d.config.write()
            digest = r.sha256_of(d.config.file)
            running = [start_command(d, "--reload") for _ in range(n)]
            for p in running:
                out, err = p.communicate(timeout=20)
                t.end_process(p)
                says((p.returncode, out, err), 0, f"sha256 {digest}")
        says(command(d, "--diff"), 0, "no difference")


@t.test("--reload: a file that is replaced between check and load: never 0 for another digest than the checked one")
def reload_race():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        for i in range(10):
            d.config.rules = CHANGED
            d.config.write()
            checked = r.sha256_of(d.config.file)
            p = start_command(d, "--reload")
            d.config.rules = [{**RULE[0], "note": f"CHG{i:07}"}]
            d.config.write()
            replaced = r.sha256_of(d.config.file)
            out, err = p.communicate(timeout=20)
            t.end_process(p)
            runs = d.stats()["config"]["sha256"]
            t.check(runs in (checked, replaced), f"runs {runs}")
            t.check(p.returncode in (0, 2), f"status {p.returncode}: {out} {err}")
            if p.returncode == 0:
                t.check(f"sha256 {runs}" in out, f"{runs} runs: {out} {err}")
            else:
                t.check("replaced meanwhile" in err and checked in err and replaced in err, f"{out} {err}")


@t.test("--reload: no daemon: 2; one that has been killed: 2; one that ends or does not answer meanwhile: 2")
def reload_nobody():
    with t.line() as net:
        c = t.Config(RULE)
        d = t.Mcrd(net.relay, c)
        says(command(d, "--reload"), 2, None, "no daemon: .*does not exist; a changed stats_file needs a restart")
        with d:
            pass
        says(command(d, "--reload"), 2, None, "no daemon: .*stopped")
        os.unlink(c.log)
        with t.Mcrd(net.relay, c) as d:
            # The broker hangs: the deadline tells, and the daemon goes on.
            os.kill(d.broker, signal.SIGSTOP)
            result = command(d, "--reload", "--timeout", "0.5")
            os.kill(d.broker, signal.SIGCONT)
            says(result, 2, None, "not answered within 0.5 s")
            t.wait_for(lambda: d.stats()["generation"] == 2, 5, "what was asked for, in the end")
            os.kill(d.broker, signal.SIGSTOP)
            p = start_command(d, "--reload")
            t.wait_for(lambda: len(d.logged("reload_asked")) == 2, 5, "the second signal")
            d.process.kill()
            out, err = p.communicate(timeout=20)
            t.end_process(p)
            says((p.returncode, out, err), 2, None, "ended before")
            os.kill(d.broker, signal.SIGCONT)
            t.end_process(d.process)
            t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
            d.stop = lambda: None
        says(command(d, "--reload"), 2, None, "no daemon: .*ended")


@t.test("--reload: another file than the daemon's: 2, not signalled; the same file by another name: 0")
def reload_other_file():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        other = t.Config(CHANGED, stats_file=d.config.stats_file)
        says(command(d, "--reload", config=other.file), 2, None, "runs .*, not ")
        t.equal(log.events("reload_asked", "reload"), [], "asked")
        link = os.path.join(d.config.directory, "link.conf")
        os.symlink("mcr.conf", link)
        says(command(d, "--reload", config=link), 0, "generation 2")
        # Wrong usage: 2.
        for args in (("--reload", "--check"), ("--reload", "--json"), ("--reload", "--timeout", "0"), ("--reload", "x"),
                     ("--diff", "--reload")):
            t.equal(command(d, *args)[0], 2, f"exit status of {args}")


@t.test("--reload: as a user who may not signal the daemon: 2, and says so; --diff may be run by anyone")
def reload_not_permitted():
    if t.USER == "root":
        raise t.Skip("there is one user here")
    other = pwd.getpwnam("daemon")

    def become():
        os.setgroups([])
        os.setresgid(other.pw_gid, other.pw_gid, other.pw_gid)
        os.setresuid(other.pw_uid, other.pw_uid, other.pw_uid)

    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        # The build directory may be closed to others.
        program = os.path.join(os.path.dirname(d.config.file), "mcrd")
        shutil.copy(t.MCRD, program)

        def as_other(*args):
            p = t.start_process([program, *args, "--config", d.config.file], d.node, become, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
            out, err = p.communicate(timeout=20)
            t.end_process(p)
            return p.returncode, out, err

        says(as_other("--reload"), 2, None, "cannot be signalled: Operation not permitted")
        t.equal(log.events("reload_asked", "reload"), [], "asked")
        says(as_other("--diff"), 0, "no difference")
        d.config.rules = CHANGED
        d.config.write()
        says(as_other("--diff"), 1, r"outputs\[0\]\.ttl: 1 -> 4")
        # The daemon's own user may.
        other = pwd.getpwnam(t.USER)
        says(as_other("--reload"), 0, "generation 2")
        t.equal(log.events("reload")[0]["uid"], str(other.pw_uid), "uid in the record")


# --- diff ------------------------------------------------------------------------------------------------------------


@t.test("--diff: the same: 0; other: 1, field by field, as text and as JSON; after --reload: 0 again")
def diff():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        before = r.sha256_of(d.config.file)
        says(command(d, "--diff"), 0, r"\Ano difference\n\Z")
        found = json.loads(says(command(d, "--diff", "--json"), 0, "")[1])
        t.equal({k: found[k] for k in ("added", "removed", "changed", "top", "disturbs", "needs_restart")},
                {"added": [], "removed": [], "changed": [], "top": [], "disturbs": False, "needs_restart": False},
                "JSON")
        d.config.rules = CHANGED + [t.rule("new", "239.255.0.2", PORT, [t.to_group(OTHER, OUT_PORT)],
                                           note="CHG0000003")]
        d.config.write()
        _, text, _ = says(command(d, "--diff"), 1, "")
        for line in ('+ rule "new"', '    note: "CHG0000003"', '~ rule "r"', "    outputs[0].ttl: 1 -> 4",
                     '    note: "CHG0000001" -> "CHG0000002"', "1 added, 0 removed, 1 changed; disturbs traffic: yes"):
            t.check(line in text.splitlines(), f"{line!r} is not a line of:\n{text}")
        found = json.loads(says(command(d, "--diff", "--json"), 1, "")[1])
        t.equal([x["name"] for x in found["added"]], ["new"], "added")
        t.equal([(x["name"], x["note"], x["disturbs"]) for x in found["changed"]], [("r", "CHG0000002", True)],
                "changed")
        t.check({"field": "outputs[0].ttl", "from": 1, "to": 4} in found["changed"][0]["fields"], f"{found['changed']}")
        t.equal((found["running"]["sha256"], found["file"]["sha256"]), (before, r.sha256_of(d.config.file)), "digests")
        # --diff applies nothing and asks nobody.
        t.equal((d.logged("reload_asked"), d.stats()["generation"]), ([], 1), "asked")
        says(command(d, "--reload"), 0, "generation 2")
        says(command(d, "--diff"), 0, "no difference")
        d.config.rules = list(reversed(d.config.rules))
        d.config.write()
        says(command(d, "--diff"), 0, r"differ in comments, layout or order only: .*" + r.sha256_of(d.config.file))


@t.test("--diff: trouble is 2: a bad file, no daemon, a running.conf that is not what runs")
def diff_trouble():
    with t.line() as net:
        with t.Mcrd(net.relay, RULE) as d:
            running = os.path.join(os.path.dirname(d.config.stats_file), "running.conf")
            d.config.write("rules = (")
            says(command(d, "--diff"), 2, None, r"syntax error")
            legs = [{"leg": leg, "interface": "in0", "group": f"239.255.0.{leg}", "port": PORT} for leg in "12"]
            d.config.rules = [{"name": "r", "inputs": legs, "merge": {"by": "rtp", "window_ms": 5000},
                               "outputs": [t.to_group(OUT, OUT_PORT)]}]
            d.config.write()
            r.wait_config(d, "invalid", disk_sha256=r.sha256_of(d.config.file))
            for what in ("--diff", "--print", "--graph", "--firewall", "--reload", "--check"):
                says(command(d, what), 2 if what == "--diff" else 1, None, "can tell apart")
            d.config.rules = RULE
            d.config.write()
            with open(running, encoding="ascii") as f:
                text = f.read()
            os.chmod(running, 0o644)
            with open(running, "w", encoding="ascii") as f:
                f.write(text.replace(OUT, OTHER))
            says(command(d, "--diff"), 2, None, "running.conf")
            os.unlink(running)
            says(command(d, "--diff"), 2, None, "running.conf")
            says(command(d, "--reload"), 0, "generation 2")
            says(command(d, "--diff"), 0, "no difference")
        says(command(d, "--diff"), 2, None, "no daemon")


@t.test("running.conf is the file that runs, byte for byte, readable by no more than that; refused ones leave it")
def running_conf():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        running = os.path.join(os.path.dirname(d.config.stats_file), "running.conf")

        def is_it(mode):
            def same():
                with open(running, "rb") as f, open(d.config.file, "rb") as g:
                    return f.read() == g.read()
            t.wait_for(same, 2, "running.conf is the file")
            t.equal(f"{os.stat(running).st_mode & 0o7777:04o}", f"{mode:04o}", "its mode")

        is_it(0o644)
        with open(d.config.file, encoding="ascii") as f:
            text = "// a comment, a tab\t, and no newline at the end\n" + f.read().rstrip()
        for mode, wanted in ((0o644, 0o644), (0o755, 0o644), (0o640, 0o640), (0o600, 0o600)):
            d.config.write(text)
            # Who may not read the file may not read the copy.
            os.chmod(d.config.file, mode)
            if t.USER != "root":
                os.chown(d.config.file, pwd.getpwnam(t.USER).pw_uid, -1)
            says(command(d, "--reload"), 0, "accepted")
            is_it(wanted)
        t.equal(sorted(os.listdir(os.path.dirname(running))), ["running.conf", "stats", "stats.lock"], "files")
        with open(running, "rb") as f:
            before = f.read()
        d.config.write("rules = (")
        r.refused(d, "syntax error")
        with open(running, "rb") as f:
            t.equal(f.read(), before, "running.conf after a refusal")
        # The relay, which handles packets, cannot write it; nor can anyone but the daemon's user.
        t.equal(os.stat(running).st_uid, pwd.getpwnam(t.USER).pw_uid, "its owner")


@t.test("two daemons whose stats_files share a directory: each has its own copy")
def shared_directory():
    with t.line() as net, t.Mcrd(net.relay, RULE) as first:
        other = t.Config([t.rule("other", IN, PORT + 1, [t.to_group(OUT, OUT_PORT)])])
        run = os.path.dirname(first.config.stats_file)
        other.stats_file = other.top["stats_file"] = os.path.join(run, "second")
        other.write()
        with t.Mcrd(net.dst, other) as second:
            for d in (first, second):
                says(command(d, "--diff"), 0, "no difference", "")
                says(command(d, "--print", "--running"), 0, d.config.rules[0]["name"], "")
            t.equal(sorted(os.listdir(run)),
                    ["running.conf", "second", "second.lock", "second.running.conf", "stats", "stats.lock"], "files")
        says(command(first, "--diff"), 0, "no difference")


# --- what runs, and what comes in ------------------------------------------------------------------------------------


@t.test("--explain says that the file on disk is not what runs, also after it was broken; --running asks what runs")
def explain_running():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        question, digest = ("--explain", t.SOURCE, IN, f"{PORT}"), r.sha256_of(d.config.file)
        says(command(d, *question), 0, "forwarded$")
        t.check("not what runs" not in command(d, *question)[1], "a note where both are the same")
        d.config.rules = [t.rule("r", IN, PORT + 1, [t.to_group(OUT, OUT_PORT)])]
        d.config.write()
        says(command(d, *question), 1, rf"^note: this file is not what runs: mcrd \(pid \d+\) runs sha256 {digest}, gen")
        says(command(d, *question, "--running"), 0, rf"running.conf:\d+: rule \"r\" takes it(?s:.*)forwarded$")
        with open(d.config.file, encoding="ascii") as f:
            d.config.write(f.read() + "rules = (")
        says(command(d, *question), 2, None, r"\.conf:\d+: ")
        says(command(d, *question, "--running"), 0, "forwarded$")
        says(command(d, "-T", "--running"), 0, f"port = {PORT};")


@t.test("--check: addresses that the host does not have, its own as a receiver, others by the wrong interface or beyond ttl 1: a warning for each")
def local_addresses():
    def to(address, **keys):
        return t.to_host(address, PORT, **keys)

    def of(address, outputs, interface="in0", **keys):
        return t.rule_of("r", outputs, interface=interface, address=address, port=PORT, **keys)

    def sources(address, interface="in0", to=IN):
        return t.rule_of("r", group, interface=interface, group=to, port=PORT, sources=[address])

    def near(address, other, interface):
        return f'{address} is on the subnet of "{other}", not of "{interface}": write interface = "{other}", or mend the address'

    def far(address, other="wan0", interface="in0"):
        return (f'source {address} is on the subnet of "{other}", not of "{interface}", and what it sends arrives there: write '
                f'interface = "{other}", or mend the source')

    group = [t.to_group(OUT, OUT_PORT)]
    elsewhere = "name the receiver's, or write interface = \"lo\" for one on this host"
    cases = [
        (of("198.18.1.2", group), None),
        (of("198.18.1.20", group), '"in0" does not have 198.18.1.20, nothing is sent to it there: name an address of "in0", such as '
                                   "198.18.1.2"),
        (of("198.18.2.2", group), '"in0" does not have 198.18.2.2, "out0" does: name an address of "in0", such as 198.18.1.2'),
        (of("2001:db8::1", group), '"in0" does not have 2001:db8::1, nothing is sent to it there: name an address of "in0"'),
        (of("198.18.1.20", group, vlan=5), None),
        (of("198.18.1.255", group), '198.18.1.255 is the broadcast of a subnet of "in0", no host: write broadcast = true in place of '
                                    '"address"'),
        ({**of("198.18.1.20", group), "enabled": False}, None),
        (of("192.0.2.7", group), None),  # routed to an address of lo
        (of("198.18.1.2", [t.to_group(OUT, OUT_PORT, source="198.18.2.2")]), None),
        (of("198.18.1.2", [t.to_group(OUT, OUT_PORT, source="198.18.2.9")]),
         'this host does not have the source 198.18.2.9: name an address of "out0", such as 198.18.2.2, unless it comes later (VRRP)'),
        (of("198.18.1.2", [t.to_group("ff15::1", OUT_PORT, source="2001:db8::9")]), None),  # frames of an interface without one
        (of("198.18.1.2", [t.to_group("ff15::1", OUT_PORT, source="2001:db8::9", mode="socket")]),
         'this host does not have the source 2001:db8::9: name an address of "out0", unless it comes later (VRRP)'),
        (of("198.18.1.2", [t.to_group(OUT, OUT_PORT, "bare0")]),
         '"bare0" has no IPv4 address to send from: give it one, or set source; until then it waits'),
        (of("198.18.1.2", [t.to_group(OUT, OUT_PORT, "bare0", source="198.18.2.9")]), None),
        (of("198.18.1.2", [to("198.18.2.1")]), None),
        (of("198.18.1.2", [to("198.18.2.1", interface="lo")]),
         'address 198.18.2.1 is not of this host, and by "lo" nothing leaves it: write interface = "out0"'),
        (of("198.18.1.2", [to("203.0.113.5", interface="lo")]), 'address 203.0.113.5 is not of this host, and by "lo" nothing leaves '
         "it: name an address of this host, or the interface that leads to it"),
        (of("198.18.1.2", [to("198.18.2.2", interface="lo")]), None),
        (of("198.18.1.2", [to("198.18.2.255")]), '198.18.2.255 is the broadcast of a subnet of "out0", no host: write broadcast = true '
                                                 'in place of "address"'),
        (of("198.18.1.2", [to("198.18.2.0")]), 'address 198.18.2.0 is that of a network of "out0", hardly of a receiver: name a host, '
                                               "or write broadcast = true for all of them"),
        (of("198.18.1.2", [to("198.18.2.2")]), 'address 198.18.2.2 is this host itself ("out0"), it does not leave: ' + elsewhere),
        (of("198.18.1.2", [to("198.18.1.2")]), 'address 198.18.1.2 is this host itself ("in0"), it does not leave: ' + elsewhere),
        (of("198.18.1.2", [to("203.0.113.5")]),
         'leaves with ttl 1, and 203.0.113.5 is on no subnet of "out0": the first router drops it'),
        (of("198.18.1.2", [to("203.0.113.5", ttl=2)]), None),
        (of("198.18.1.2", [to("203.0.113.5", ttl="decrement")]), None),
        (of("198.18.1.2", [to("203.0.113.5", interface="one0")]), None),  # one host, whatever it routes
        (of("198.18.1.2", [to("2001:db8:2::1")]),
         '"out0" has no IPv6 address to send from: give it one, or set source; until then it waits'),
        (of("198.18.1.2", [to("198.18.3.10", ttl=4)]), near("198.18.3.10", "wan0", "out0")),
        (of("198.18.1.2", [to("198.18.3.10")]), near("198.18.3.10", "wan0", "out0")),
        (of("198.18.1.2", [to("198.18.3.10", interface="wan0")]), None),
        (of("198.18.1.2", [to("198.18.1.1", ttl=4)]), near("198.18.1.1", "in0", "out0")),
        (of("198.18.1.2", [to("2001:db8:3::10", ttl=4, interface="wan1")]), near("2001:db8:3::10", "wan0", "wan1")),
        (of("198.18.1.2", [to("198.18.5.10", ttl=4)]), None),  # off0, which has no link
        (of("198.18.1.2", group, interface="IN0"), 'interface "IN0" does not exist here (did you mean "in0"?); the rule waits for it'),
        (sources("198.18.1.1"), None),
        (sources("198.18.1.2"), 'source 198.18.1.2 is this host itself ("in0"): what comes from it is dropped (martian): name the '
                                "sender's address"),
        (sources("198.18.2.2"), None),  # by the other interface it may come in: no martian
        (sources("198.18.3.10"), far("198.18.3.10")),
        (sources("198.18.3.10/31"), far("198.18.3.10/31")),
        (sources("198.18.3.0/24"), far("198.18.3.0/24")),
        (sources("198.18.2.0/24"), far("198.18.2.0/24", "out0")),
        (sources("2001:db8:3::/64", "wan1", "ff15::2"), far("2001:db8:3::/64", "wan0", "wan1")),
        (sources("2001:db8:3:0:1::/80", "wan1", "ff15::2"), far("2001:db8:3:0:1::/80", "wan0", "wan1")),
        (sources("2001:db8:3::/64", "wan0", "ff15::2"), None),
        (sources("2001:db8::/32", "wan1", "ff15::2"), None),
        (sources("198.18.0.0/16"), None),  # has in0's, too
        (sources("198.18.2.0/23"), None),  # more than any subnet
        (sources("198.18.5.0/24"), None),
        (sources("198.18.1.0/24"), None),
        (sources("198.18.1.128/25"), None),
        (sources("198.18.1.0"), 'source 198.18.1.0 is the address of a network of "in0", hardly of a sender: write "198.18.1.0/24" '
                                "for all of it"),
        (sources("198.18.1.255"), 'source 198.18.1.255 is the broadcast of a subnet of "in0", no sender: what has it is dropped '
                                  "(martian)"),
        (sources("198.18.6.0"), None),
        (sources("198.18.6.0", "two0"), None),  # of a network of 31 bits both are hosts
        (sources("198.18.6.1", "two0"), 'source 198.18.6.1 is this host itself ("two0"): what comes from it is dropped (martian): '
                                        "name the sender's address"),
        (sources("198.18.5.10"), None),
        (sources("203.0.113.5"), None),
        ({"name": "r", "input": {"interface": "port0", "group": IN, "port": PORT}, "outputs": group},
         '"port0" is a port of "br0", by which the host answers no query for the group: write interface = "br0"'),
        ({"name": "r", "input": {"interface": "br0", "group": IN, "port": PORT}, "outputs": group}, None),
        (of("198.18.1.2", [t.to_group(OUT, OUT_PORT, "port0", mode="socket")]),
         '"port0" has no IPv4 address to send from: write interface = "br0", of which it is a port, or set source; until then it waits'),
        (of("198.18.1.2", [to("198.18.7.20", interface="port0", source="198.18.7.1")]), near("198.18.7.20", "br0", "port0")),
        (of("198.18.1.2", [to("198.18.8.20", interface="port0", source="198.18.7.1", ttl=2)]), None),
        (of("198.18.1.2", [to("198.18.8.20", interface="port0", ttl=2)]),
         '"port0" has no IPv4 address to send from: write interface = "br0", of which it is a port; until then it waits'),
        (t.rule_of("r", group, broadcast=True, port=PORT), None),
        (t.rule_of("r", group, interface="bare0", broadcast=True, port=PORT),
         '"bare0" has no IPv4 address: 255.255.255.255 is taken, and no network\'s broadcast: give it one'),
        (t.rule_of("r", group, interface="port0", broadcast=True, port=PORT),
         '"port0" has no IPv4 address: 255.255.255.255 is taken, and no network\'s broadcast: write interface = "br0", of which it is a '
         "port"),
        (t.rule_of("r", group, interface="bare0", broadcast=True, port=67), None),
        (t.rule_of("r", group, broadcast=True, port=PORT, vlan=5),
         'with vlan, 255.255.255.255 is taken and the broadcasts of "in0"\'s own subnets, not those of the VLAN\'s: name the VLAN\'s own '
         "interface for them"),
        ({"name": "r", "inputs": [{"interface": "in0", "group": IN, "port": PORT, "sources": ["198.18.3.10"]},
                                  {"interface": "wan0", "group": IN, "port": PORT + 1}], "outputs": group}, None),
        (of("127.0.0.1", group), 'address 127.0.0.1 is this host itself, which nothing comes to by "in0": write interface = "lo"'),
        (of("198.18.1.2", group, interface="198.18.1.2"), 'interface "198.18.1.2" does not exist here (it is an address of "in0": write '
                                                          "the name of the interface); the rule waits for it"),
        (of("198.18.1.2", group, interface="192.0.2.1"),
         'interface "192.0.2.1" does not exist here (it is an address: write the name of the interface); the rule waits for it'),
    ]
    with t.line() as net:
        net.relay.run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
        net.relay.run("ip", "tuntap", "add", "one0", "mode", "tun")
        net.relay.run("ip", "address", "add", "192.0.2.8", "peer", "192.0.2.9", "dev", "one0")
        net.relay.run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1")
        net.relay.run("ip", "tuntap", "add", "off0", "mode", "tap")  # never has a link
        net.relay.run("ip", "tuntap", "add", "bare0", "mode", "tap")
        net.relay.run("ip", "tuntap", "add", "two0", "mode", "tap")
        net.relay.run("ip", "address", "add", "198.18.6.1/31", "dev", "two0")
        net.relay.run("ip", "link", "add", "br0", "type", "bridge")
        net.relay.run("ip", "address", "add", "198.18.7.1/24", "dev", "br0")
        net.relay.run("ip", "tuntap", "add", "port0", "mode", "tap")
        net.relay.run("ip", "link", "set", "port0", "master", "br0")
        for name, n in (("wan0", 3), ("wan1", 4), ("off0", 5)):
            net.relay.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
            net.relay.run("ip", "link", "set", name, "up")
            net.relay.run("ip", "address", "add", f"198.18.{n}.1/24", "dev", name)
            net.relay.run("ip", "address", "add", f"2001:db8:{n}::1/64", "dev", name, "nodad")
        for rule, warning in cases:
            config = t.Config([rule])
            status, _, err = net.relay.run(t.MCRD, "--check", "--config", config.file, check_status=False)
            told = [line.partition(': warning: rule "r": ')[2] for line in err.splitlines() if "cannot load it" not in line and "enabled = false" not in line]
            t.equal((status, told), (0, [warning] if warning else []), rule)
        config = t.Config([t.rule_of("r", group, broadcast=True, port=PORT)])
        _, out, _ = net.relay.run(t.MCRD, "--explain", "198.18.1.10", "198.18.20.255", str(PORT), "--config", config.file, check_status=False)
        t.check("takes broadcast true (here 255.255.255.255, 198.18.1.255), not 198.18.20.255" in out, out)


@t.test("interfaces: a name that does not exist is a warning, and refused with missing_interface = \"reject\", also at the start")
def listed_interfaces():
    why = 'interface "OUT0" does not exist here (did you mean "out0"?)'
    with t.line() as net:
        def told(c, option):
            status, _, err = net.relay.run(t.MCRD, option, "--config", c.file, check_status=False)
            return status, [line.partition(":")[2] for line in err.splitlines() if "cannot load it" not in line]

        listed = [{"name": "in0", "role": "in"}, {"name": "OUT0", "role": "out"}]
        off = {**t.rule("off", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT, interface="later0")]), "enabled": False}
        c = t.Config(RULE + [off], interfaces=[*listed, {"name": "later0", "role": "out"}])
        warnings = [f"5: warning: {why}; its role holds for no other",
                    '6: warning: rule "r": interface "out0" is not in "interfaces" (line 5), so no role keeps it to one way: list it '
                    'there, with role = "out"']
        lines = [re.sub(r"^\d+", "", w) for w in warnings]
        for option in ("--check", "--print", "--firewall"):
            status, said = told(c, option)
            t.equal((status, sorted(re.sub(r"^\d+", "", line) for line in said)), (0, sorted(lines)), option)
        with t.Mcrd(net.relay, c) as d:
            t.equal([e for e in d.logged("interface_missing") if "OUT0" in e][0].count("its role holds for no other"), 1, "the log")
        c = t.Config(RULE, interfaces=listed, missing_interface="reject")
        status, said = told(c, "--check")
        t.check(status == 1 and any(f'{why}, which missing_interface = "reject" refuses' in line for line in said), said)
        status, said = t.Mcrd(net.relay, c).run_to_end()
        t.check(status == 1 and 'interface \\"OUT0\\" does not exist and missing_interface is' in said, said)
        c = t.Config(RULE, interfaces=[listed[0], {"name": "out0", "role": "out"}], missing_interface="reject")
        t.equal(told(c, "--check"), (0, []), "the right name")


@t.test("a wrong port: nothing counts, for the kernel's filter drops it; tcpdump into --replay - names the rule")
def wrong_port():
    need_tcpdump()
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        sender, wrong = t.RawSender(net.src, "s0"), t.datagram(IN, PORT + 1, b"wrong")
        dump = t.start_process(["tcpdump", "-Z", "root", "-i", "in0", "-U", "-w", "-", "udp"], net.relay, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        p = t.start_process([t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", "-", "-i", "in0", "-c", d.config.file], net.relay,
                            stdin=dump.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        dump.stdout.close()
        os.set_blocking(p.stdout.fileno(), False)
        try:
            t.wait_for(lambda: sender.send(wrong) or p.stdout.readline(), 10, "a packet in the pipe")
            os.set_blocking(p.stdout.fileno(), True)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=10)
        finally:
            t.end_process(p)
            dump.terminate()
            t.end_process(dump)
        t.equal((p.returncode, err), (0, ""), "exit status and errors")
        t.check(re.search(rf"^  {IN}:{PORT + 1}: \d+ packets; the nearest: .*takes port {PORT}, not {PORT + 1}$", out,
                          re.MULTILINE), f"what it said: {out}")
        t.equal([i["received"] for i in d.stats()["interfaces"]], [0, 0], "received, as the daemon counted it")


if __name__ == "__main__":
    t.main()
