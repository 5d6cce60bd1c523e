#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start, reload and stop: fail closed at the start, fail safe at a reload."""
import os
import re
import shutil
import signal
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(t.MCRD), "../tests/net/witness.so"))
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]


def refused(node, config, *patterns, args=()):
    """Starts mcrd, which must end with 1, say all of it, and leave nothing."""
    d = t.Mcrd(node, config, args)
    status, said = d.run_to_end()
    t.equal(status, 1, f"exit status (it said: {said.strip()})")
    for pattern in patterns:
        t.check(re.search(pattern, said, re.MULTILINE), f"it did not say {pattern!r} but: {said.strip()}")
    t.equal(d.logged("started"), [], "started")
    # The broker may end a moment after the relay.
    t.wait_for(lambda: not node.read_proc("packet").splitlines()[1:], 5, "the end of all packet sockets")
    return d


def forwards(net, d, counted=1):
    """Whether the rule r lets a datagram through now."""
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"still alive"))
    capture.wait_payload(b"still alive")
    if counted:
        d.account({"r": counted})


@t.test("a bad file at the start: exit status 1, every error with file and line")
def bad_file():
    with t.line() as net:
        c = t.Config(RULE)
        c.write(f'version = 1;\nuser = "{t.USER}";\ngroup = "{t.GROUP}";\nstats_file = "{c.stats_file}";\n'
                'rules = (\n  { name = "a";\n    input = { interface = "in0"; group = "198.18.0.1"; port = 0; };\n'
                '    outputs = ( { interface = "out0"; group = "239.255.1.1"; port = 6000; colour = 1; } );\n  }\n);\n')
        name = re.escape(c.file)
        refused(net.relay, c, rf'^{name}:7: .*"a".*group', rf'^{name}:7: .*"a".*port', rf'^{name}:8: .*"a".*colour')


@t.test("a file that does not parse, is missing, or is empty")
def unreadable_file():
    with t.line() as net:
        c = t.Config(RULE)
        c.write("version = 1;\nrules = (\n  { name = \n }\n);\n")
        refused(net.relay, c, rf"^{re.escape(c.file)}:[34]: syntax error")
        c.write("version = 1;\nrules = (")
        refused(net.relay, c, rf"^{re.escape(c.file)}:\d+: syntax error")
        c.write("")
        refused(net.relay, c, rf"^{re.escape(c.file)}")
        os.unlink(c.file)
        refused(net.relay, c, rf"^{re.escape(c.file)}: .*No such file")


@t.test("a file that others may write, that is no regular file, or of another owner")
def untrusted_file():
    with t.line() as net:
        c = t.Config(RULE)
        for mode in (0o664, 0o646, 0o666):
            os.chmod(c.file, mode)
            refused(net.relay, c, rf"^{re.escape(c.file)}: mode is 0{mode:o}")
        os.unlink(c.file)
        os.mkfifo(c.file, 0o644)
        refused(net.relay, c, rf"^{re.escape(c.file)}: is a FIFO")
        if t.USER != "root":
            c.write()
            os.chown(c.file, 12345, 12345)
            refused(net.relay, c, rf"^{re.escape(c.file)}: .*own")


def read_as(said):
    """The users as which libconfig has read."""
    return re.findall(r"^witness: libconfig reads as uid (\d+)$", said, re.MULTILINE)


@t.test("libconfig reads a file only after its owner was judged, and never with the rights of root")
def judged_first():
    if not os.access(WITNESS, os.R_OK):
        raise t.Skip("tests/net/witness.so is not built")
    if t.USER == "root":
        raise t.Skip("there is no other user here")
    # A sanitizer's library wants to be the first.
    before = ["env", f"LD_PRELOAD={WITNESS}",
              f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"]
    user = str(t.pwd.getpwnam(t.USER).pw_uid)
    with t.line() as net:
        with t.Mcrd(net.relay, RULE, before=before) as d:
            t.check(set(read_as(d.log_text())) == {user}, d.log_text())
        # The second one names nobody, who may not exist.
        broken = {f'version = 1; user = "{t.USER}"; group = "{t.GROUP}";\nrules = [ 1, "a" ];\n': ":2: elements of an array",
                  'version = 1;\nusr = "x";\nrules = ( );\n': ':2: unknown key "usr"'}
        for text, problem in broken.items():
            c = t.Config(RULE)
            c.write(text)
            status, said = t.Mcrd(net.relay, c, before=before).run_to_end()
            t.equal(status, 1, f"exit status ({said})")
            t.check(c.file + problem in said and len(read_as(said)) == 1 and "0" not in read_as(said), said)
            os.chown(c.file, 12345, 12345)
            os.unlink(c.log)
            status, said = t.Mcrd(net.relay, c, before=before).run_to_end()
            t.check(": owner is uid 12345, " in said.splitlines()[-1] and not read_as(said), said)


@t.test("a file that only root may read is refused at the start, not at the first reload")
def unreadable_later():
    if t.USER == "root":
        raise t.Skip("there is no other user here")
    with t.line() as net:
        c = t.Config(RULE)
        os.chmod(c.file, 0o600)
        refused(net.relay, c, rf"^{re.escape(c.file)}: cannot be opened: Permission denied")


@t.test("an interface that is missing: missing_interface = \"reject\" ends the start")
def missing_reject():
    with t.line() as net:
        rules = RULE + [t.rule("m", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)], "nowhere0")]
        c = t.Config(rules, missing_interface="reject")
        refused(net.relay, c, r'"?nowhere0"?.*does not exist')
        rules = RULE + [t.rule("m", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT, "nowhere0")])]
        refused(net.relay, t.Config(rules, missing_interface="reject"), r'"?nowhere0"?.*does not exist')


@t.test("an alternative name of an interface: --check and --reload refuse it and tell the name, wait or reject")
def other_name():
    beside = t.rule("a", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)], "other0")
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        if net.relay.run("ip", "link", "property", "add", "dev", "in0", "altname", "other0", check_status=False)[0]:
            raise t.Skip("ip sets no alternative names here")
        for missing in ("wait", "reject"):
            for rules in (RULE + [beside], [t.rule("a", IN, PORT, [t.to_group(OUT, OUT_PORT, "other0")])]):
                d.config.top["missing_interface"] = missing
                d.config.rules = rules
                d.config.write()
                for what in ("--check", "--reload"):
                    result = net.relay.run(t.MCRD, what, "--config", d.config.file, check_status=False)
                    t.equal(result[0], 1, f"exit status of {what}")
                    t.check(re.search(r':\d+: rule "a": interface "other0" is another name of "in0", allowed is "in0"$',
                                      result[2], re.MULTILINE), f"{what} said: {result[2]!r}")
        t.equal(d.stats()["generation"], 1, "generation")


@t.test("an interface that is missing: \"wait\" starts, its rules wait, the others forward")
def missing_wait():
    rules = RULE + [t.rule("in", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)], "nowhere0"),
                    t.rule("out", "239.255.0.3", PORT, [t.to_group(OUT, OUT_PORT, "nowhere1"),
                                                        t.to_group("239.255.1.3", OUT_PORT)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        capture = t.Capture(net.dst, "d0")
        t.RawSender(net.src, "s0").send(t.datagram("239.255.0.3", PORT, b"one output is there"),
                                        t.datagram(IN, PORT, b"all is there"))
        capture.wait(2)
        s = d.account({"r": 1, "out": {"packets": 1, "outputs": [{"errors": 1}, 1]}})
        t.equal({r["name"]: (r["state"], r["reason"]) for r in s["rules"]},
                {"r": ("active", None), "in": ("waiting", "interface nowhere0 is missing"),
                 "out": ("waiting", "interface nowhere1 is missing (1 of 2 outputs)")}, "states")
        t.equal([r["inputs"] for r in s["rules"][1:]],
                [[{"leg": "1", "interface": "nowhere0", "to": f"239.255.0.2:{PORT}", "vlan": None, "state": "missing",
                   "alarms": [], "packets": 0, "bytes": 0, "stream": None}],
                 [{"leg": "1", "interface": "in0", "to": f"239.255.0.3:{PORT}", "vlan": None, "state": "up",
                   "alarms": [], "packets": 1, "bytes": 19, "stream": None}]], "inputs")
        t.equal({i["name"]: i["state"] for i in s["interfaces"]},
                {"in0": "up", "out0": "up", "nowhere0": "missing", "nowhere1": "missing"}, "interfaces")
        told = sorted(line[line.index(" interface="):] for line in d.logged("interface_missing"))
        t.equal(told, [f' interface=nowhere{i} rules="{rule}" reason="the {part} waits for it"'
                       for i, rule, part in ((0, "in", "rule"), (1, "out", "output"))],
                "the log")


@t.test("a second mcrd with the same stats_file is refused, the first one runs on")
def second_daemon():
    with t.line() as net, t.Mcrd(net.relay, RULE) as first:
        second = t.Mcrd(net.dst, t.Config(RULE, stats_file=first.config.stats_file))
        status, said = second.run_to_end()
        t.equal(status, 1, "exit status")
        t.check("another mcrd uses this stats_file" in said and f"pid={first.process.pid}" in said, said)
        forwards(net, first)


@t.test("after a stop, and after a kill, the same stats_file is free again")
def stats_file_again():
    with t.line() as net:
        with t.Mcrd(net.relay, RULE) as d:
            config = d.config
            forwards(net, d)
        d = t.Mcrd(net.relay, config)
        d.launch()
        t.wait_for(lambda: len(d.logged("started")) == 2, 20, "the second start")
        broker = t.wait_for(lambda: t.child_of(d.process.pid), 2)
        t.kill_process(d.process)
        t.wait_for(lambda: t.process_status(broker) is None, 5, "the broker's end after a kill of the relay")
        config.write()
        os.unlink(config.log)
        with t.Mcrd(net.relay, config) as d:
            forwards(net, d)


@t.test("an unknown user or group is refused")
def unknown_user():
    with t.line() as net:
        refused(net.relay, t.Config(RULE, user="nobody-of-this-name"), "there is no user nobody-of-this-name")
        refused(net.relay, t.Config(RULE, group="nogroup-of-this-name"), "there is no group nogroup-of-this-name")


@t.test("a source address that the interface does not have, in socket mode: waits, or is refused")
def source_not_there():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, source="198.19.1.1", mode="socket")])]
    with t.line() as net:
        c = t.Config(rules, missing_interface="reject")
        line = next(i for i, text in enumerate(open(c.file), 1) if "198.19.1.1" in text)
        end = 'which missing_interface = ."reject." refuses: ."wait." would wait for it'
        refused(net.relay, c, f'line {line}: rule ."r.": output to {OUT}:{OUT_PORT} by interface ."out0.": this host does not '
                              f"have the source 198.19.1.1, {end}")
        host = [t.rule("r", IN, PORT, [t.to_host("2001:db8:99::1", OUT_PORT)])]
        t.enable_ipv6(net.relay, "out0", "2001:db8:2::2")
        refused(net.relay, t.Config(host, missing_interface="reject"),
                rf'output to \[2001:db8:99::1\]:{OUT_PORT} by interface ."out0.": there is no route to it, {end}')
        with t.Mcrd(net.relay, rules) as d:
            t.equal(d.stats()["rules"][0]["state"], "waiting", "state")


@t.test("--check of a source that is not there, where missing_interface is \"reject\": an error where the start is refused")
def source_not_there_rejected():
    def rule(source, **keys):
        return [t.rule("r", IN, PORT, [t.to_group(OUT if "." in source else "ff15::1", OUT_PORT, source=source, **keys)])]

    later = "name an address of \"out0\", such as 198.18.2.2, {} (VRRP)"
    refuses = "this host does not have the source {}, which missing_interface = \"reject\" refuses: "
    with t.line() as net:
        t.enable_ipv6(net.relay, "out0", "2001:db8:2::2")

        def told(rules):
            c = t.Config(rules, missing_interface="reject")
            status, _, err = net.relay.run(t.MCRD, "--check", "--config", c.file, check_status=False)
            return status, [line.partition(': ')[2] for line in err.splitlines() if "cannot load it" not in line]

        status, said = told(rule("198.19.1.1", mode="socket"))
        t.equal((status, said), (1, ['rule "r": ' + refuses.format("198.19.1.1") + later.format('or write "wait" if it comes later')]),
                "a socket")
        status, said = told(rule("2001:db8::9", mode="socket"))
        t.check(status == 1 and refuses.format("2001:db8::9") in said[0], said)
        waits = "this host does not have the source 198.19.1.1: " + later.format("unless it comes later")
        t.equal(told(rule("198.19.1.1")), (0, [f'warning: rule "r": {waits}']), "a frame, which has any source")
        for family in ("ipv4", "ipv6"):
            net.relay.set(f"{family}/ip_nonlocal_bind", 1)
        t.equal(told(rule("198.19.1.1", mode="socket"))[0], 1, "IPv4 has no route from it")
        refused(net.relay, t.Config(rule("198.19.1.1", mode="socket"), missing_interface="reject"),
                "there is no route to it from the source 198.19.1.1")
        t.equal(told(rule("2001:db8::9", mode="socket"))[0], 0, "IPv6 sends from it")
        with t.Mcrd(net.relay, t.Config(rule("2001:db8::9", mode="socket"), missing_interface="reject")):
            pass
        for family in ("ipv4", "ipv6"):
            net.relay.set(f"{family}/ip_nonlocal_bind", 0)
        begins = [{**rule("198.19.1.1", mode="socket")[0], "active_from": "2100-01-01T00:00:00Z"}]
        t.equal(told(begins)[0], 0, "one that begins later")
        with t.Mcrd(net.relay, t.Config(begins, missing_interface="reject")) as d:
            t.equal(d.stats()["rules"][0]["state"], "scheduled", "state")


@t.test("without CAP_NET_RAW it does not start")
def without_right():
    with t.line() as net:
        c = t.Config(RULE)
        d = t.Mcrd(net.relay, c)
        with open(c.log, "ab") as log:
            p = t.start_process([t.MCRD, f"--sandbox={t.SANDBOX}", "--config", c.file], net.relay,
                                before=lambda: t.drop_from_bounding_set(13), stdout=log, stderr=log)
        t.equal(t.end_process(p, 20), 1, "exit status")
        t.check(any("role=broker" in x for x in d.logged("sandbox_drop")), d.log_text())


# Docker's, moby/profiles: what root in a container has without any option.
CONTAINER = ("chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write "
             "setfcap").split()


@t.test("as root with the capabilities that a container has by default: forwards, reloads, and says what it did without")
def container_rights():
    with t.line() as net:
        kept = ",".join(f"+{c}" for c in CONTAINER)
        d = t.Mcrd(net.relay, RULE, before=["setpriv", "--inh-caps=-all", f"--bounding-set=-all,{kept}"])
        d.own_network = False
        with d:
            forwards(net, d)
            d.reload()
            t.check(" network=host " in d.logged("started")[0], d.log_text())


@t.test("features: what of newer kernels is there, in the log and in the statistics; each one left out")
def features():
    names = ("packet_gso", "udp_gso", "ignore_outgoing", "super_frames")
    new = t.KERNEL >= (6, 4)
    here = {"packet_gso": "yes" if new else "tried", "udp_gso": "yes",
            "ignore_outgoing": "yes" if t.KERNEL >= (4, 20) else "no", "super_frames": "yes" if new else "no"}
    with t.line() as net:
        for without in ("", *names, ",".join(names)):
            args = [f"--without={without.replace('_', '-')}"] if without else []
            expected = {n: "no" if n in without.split(",") else v for n, v in here.items()}
            with t.Mcrd(net.relay, RULE, args) as d:
                t.equal(d.stats()["features"], expected, f"statistics, without {without}")
                t.equal([x.split("event=features ")[1] for x in d.logged("features")],
                        [" ".join(f"{n}={expected[n]}" for n in names)], f"log, without {without}")


@t.test("no rules: starts, forwards nothing, stops")
def no_rules():
    with t.line() as net, t.Mcrd(net.relay, []) as d:
        t.equal(d.stats()["rules"], [], "rules")
        bound = [x for x in net.relay.read_proc("packet").splitlines()[1:] if x.split()[4] != "0"]
        t.equal(bound, [], "packet sockets that are bound to an interface")


@t.test("SIGINT stops as SIGTERM does; the final counters are logged")
def interrupt():
    with t.line() as net:
        d = t.Mcrd(net.relay, RULE)
        with d:
            forwards(net, d)
            d.signal(signal.SIGINT)
            t.equal(t.end_process(d.process, 10), 0, "exit status")
            d.stop = lambda: None
        t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
        t.check(any(" received=1 " in x for x in d.logged("interface")), d.log_text())
        t.check(any("rule=r packets=1 " in x and " sent=1 " in x for x in d.logged("rule")), d.log_text())


@t.test("uptime_s counts from the start, on through a reload")
def uptime():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        for least in (1, 2):
            t.wait_for(lambda least=least: d.stats()["uptime_s"] >= least, 5, "uptime_s")
            t.check(d.stats()["uptime_s"] <= time.clock_gettime(time.CLOCK_BOOTTIME) - before, "longer than it runs")
            t.check("result=accepted" in (answer := d.reload()), answer)


@t.test("SIGUSR1 logs a summary and changes nothing")
def summary():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        forwards(net, d)
        d.signal(signal.SIGUSR1)
        t.wait_for(lambda: d.logged("rule"), 5, "the summary")
        t.check("rule=r packets=1 " in d.logged("rule")[0], d.logged("rule")[0])
        forwards(net, d, 2)


@t.test("SIGUSR1 with 2,000 rules under traffic: each is told, and nothing is lost")
def large_summary():
    many = [t.rule(f"more-{i}", "239.255.9.9", 10000 + i, [t.to_group(OUT, OUT_PORT)]) for i in range(2000)]
    with t.line() as net, t.Mcrd(net.relay, RULE + many) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=10000)
        sender = t.start_sending(net.src, "s0", IN, PORT, count=10000, rate=10000)
        for _ in range(2):  # the second begins anew
            d.signal(signal.SIGUSR1)
        t.wait_for(lambda: len(set(re.findall(r" event=rule rule=(\S+) ", d.log_text()))) == 2001, 10, "all rules")
        t.finish_sending(sender)
        receiver.all_came()
        d.account({"r": 10000})


@t.test("the directory of the statistics is never a link, and what root makes is given away by what it is")
def stats_directory():
    with t.line() as net:
        c = t.Config(RULE)
        os.mkdir(os.path.join(c.directory, "real"))
        os.symlink("real", os.path.join(c.directory, "run"))
        refused(net.relay, c, "directory of stats_file .* symbolic link")
        os.unlink(os.path.join(c.directory, "run"))
        with t.Mcrd(net.relay, c):
            t.equal(os.stat(os.path.join(c.directory, "run")).st_uid, t.pwd.getpwnam(t.USER).pw_uid, "its owner")


@t.test("a directory of the statistics where the user may not write: refused with what to type, and --check has told it before")
def stats_directory_shut():
    if t.USER == "root":
        raise t.Skip("there is no other user here")
    with t.line() as net:
        c = t.Config(RULE)
        run = os.path.join(c.directory, "run")

        def told(why):
            refused(net.relay, c, rf"reason=.*{re.escape(c.stats_file)}: Permission denied; {re.escape(why)}\"?( chain=.*)?$")
            status, _, err = net.relay.run(t.MCRD, "--check", "--config", c.file, check_status=False)
            t.equal((status, err), (0, f"{c.file}: warning: mcrd cannot keep its statistics there: {why}\n"), "--check")

        os.mkdir(run)
        os.chmod(run, 0o755)
        told(f"user {t.USER} cannot write {run} (0755 root:root): name a directory of its own: mkdir -p /run/mcr; chown "
             f"{t.USER} /run/mcr")
        os.chown(run, t.pwd.getpwnam(t.USER).pw_uid, -1)
        os.chmod(run, 0o555)
        told(f"user {t.USER} cannot write {run} (0555 {t.USER}:root): chmod u+wx {run}")
        os.chmod(run, 0o755)
        with t.Mcrd(net.relay, c) as d:
            forwards(net, d)


@t.test("a file of the user whom mcrd becomes makes root make no directory where that user may not")
def stats_directory_of_user():
    if t.USER == "root":
        raise t.Skip("there is no other user here")
    uid = t.pwd.getpwnam(t.USER).pw_uid
    with t.line() as net:
        c = t.Config(RULE)
        os.chown(c.file, uid, -1)
        refused(net.relay, c, "directory of stats_file .* error=\"Permission denied\"")
        t.check(not os.path.exists(os.path.join(c.directory, "run")), "it was made")
        os.chown(c.directory, uid, -1)
        with t.Mcrd(net.relay, c):
            t.equal(os.stat(os.path.join(c.directory, "run")).st_uid, uid, "its owner")


@t.test("a relative path of the config file is the same to the daemon and to mcrd --reload")
def relative_path():
    with t.line() as net:
        c = t.Config(RULE)
        directory, c.file = os.path.split(c.file)
        with t.Mcrd(net.relay, c, before=["env", "-C", directory]) as d:
            t.equal(d.stats()["config"]["file"], os.path.join(directory, c.file), "file")
            _, out, _ = net.relay.run(t.MCRD, "--reload", "--config", os.path.join(directory, c.file))
            t.check("reload accepted: generation 2" in out, out)
            forwards(net, d)


@t.test("SIGHUP with an unchanged file: generation + 1, counters kept")
def reload_unchanged():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        forwards(net, d)
        for generation in (2, 3):
            t.check("result=accepted" in (answer := d.reload()) and f"generation={generation} " in answer, answer)
            s = d.account({"r": generation - 1})
            t.equal((s["generation"], s["config"]["state"]), (generation, "current"), "generation and state")
            forwards(net, d, generation)


@t.test("SIGHUP with a broken file: refused and said; rules, counters, generation stay; exit status 0 at the end")
def reload_broken():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        forwards(net, d)
        for text in ("rules = (", "", "version = 2;\nrules = ();\n"):
            d.config.write(text)
            answer = d.reload()
            t.check("result=refused" in answer and "generation=1 " in answer and d.config.file in answer, answer)
            s = d.account({"r": 1})
            t.equal((s["generation"], s["config"]["state"]), (1, "invalid"), "generation and state")
            t.check(d.config.file in s["config"]["last_error"], f"last_error is {s['config']['last_error']!r}")
        os.unlink(d.config.file)
        t.check("result=refused" in (answer := d.reload()), answer)
        d.config.write()
        os.chmod(d.config.file, 0o666)
        t.check("result=refused" in (answer := d.reload()), answer)
        forwards(net, d, 2)
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)
        s = d.account({"r": 2})
        t.equal((s["config"]["state"], s["config"]["last_error"] or ""), ("current", ""), "state and last_error")


@t.test("a stats_file that is a file of something else is refused at the start and at a reload, and stays as it is")
def stats_foreign_file():
    with t.line() as net:
        c = t.Config(RULE)
        run = os.path.dirname(c.stats_file)
        os.mkdir(run)
        shutil.chown(run, t.USER, t.GROUP)

        def keeps(text):
            with open(c.stats_file, encoding="ascii") as f:
                t.equal(f.read(), text, "the file")

        def put(text):
            with open(c.stats_file + ".put", "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(c.stats_file + ".put", 0o644)
            os.rename(c.stats_file + ".put", c.stats_file)

        put("what an operator noted\n")
        refused(net.relay, c, "stats_file is a file of something else")
        keeps("what an operator noted\n")
        put("")
        with t.Mcrd(net.relay, c) as d:
            put("what an operator noted\n")
            c.rules = RULE + [t.rule("second", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT)])]
            c.write()
            t.check("stats_file is a file of something else" in (answer := d.reload()), answer)
            keeps("what an operator noted\n")
            os.unlink(c.stats_file)
            t.check("result=accepted" in (answer := d.reload()), answer)


@t.test("a stats_file that is the config file itself, or makes it the temporary one, is refused")
def stats_own_file():
    with t.line() as net:
        c = t.Config(RULE)
        shutil.chown(c.directory, t.USER, t.GROUP)
        for name, file, said in ((c.file, c.file, "stats_file is a file of something else"),
                                 (c.directory + "/x", c.directory + "/x.new", "would replace this file itself")):
            c.stats_file, c.file, c.top = name, file, {**c.top, "stats_file": name}
            c.write()
            with open(c.file, "rb") as f:
                before = f.read()
            refused(net.relay, c, said)
            with open(c.file, "rb") as f:
                t.equal(f.read(), before, "the config file")


@t.test("SIGHUP with another user, group or stats_file is refused")
def reload_fixed_keys():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        top = dict(d.config.top)
        for key, value in (("user", "daemon"), ("group", "daemon"), ("stats_file", d.config.stats_file + "2")):
            d.config.top = {**top, key: value}
            d.config.write()
            t.check("result=refused" in (answer := d.reload()) and "fixed at the start" in answer, answer)
        forwards(net, d)


@t.test("SIGHUP with other rules: added, changed and removed ones, joined and left groups")
def reload_changed():
    second = t.rule("second", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT)])
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        to_first, to_second = t.datagram(IN, PORT, b"first"), t.datagram("239.255.0.2", PORT, b"second")
        sender.send(to_second, to_first)
        capture.wait(1)
        d.account({"r": 1})
        d.config.rules = RULE + [second]
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)
        t.joined(net.relay, "in0", {IN, "239.255.0.2"})
        sender.send(to_second, to_first)
        capture.wait(3)
        d.account({"r": 2, "second": 1})
        d.config.rules = [second]
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)
        t.joined(net.relay, "in0", {"239.255.0.2"})
        sender.send(to_first, to_second)
        capture.wait(4)
        # The kernel's filter is narrowed after the change: until then what the old rule wanted is unmatched.
        s = t.wait_for(lambda: (s := d.stats())["rules"][0]["packets"] == 2 and s, 5, "the counters")
        i = next(i for i in s["interfaces"] if i["name"] == "in0")
        # The interface keeps what it has received for the rule that is gone.
        t.equal(i["received"] - i["unmatched"], 4, "received for rules")
        t.check(i["unmatched"] <= 1, f"unmatched: {i['unmatched']}")
        t.equal(sorted(f.payload for f in capture.udp()), [b"first", b"first", b"second", b"second"], "what came")


@t.test("the broker dies: forwarding goes on, a reload is refused, exit status 0 at the end")
def broker_dies():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        forwards(net, d)
        os.kill(d.broker, signal.SIGKILL)
        t.wait_for(lambda: t.process_status(d.broker) is None and d.logged("broker"), 5, "the broker's end is noticed")
        forwards(net, d, 2)
        t.check("result=refused" in (answer := d.reload()) and "broker" in answer, answer)
        forwards(net, d, 3)
        d.broker_expected = False


@t.test("mcrstat tells a daemon that has ended from one that runs")
def stats_after_the_end():
    with t.line() as net:
        with t.Mcrd(net.relay, RULE) as d:
            forwards(net, d)
        status, out, _ = t.run_command([t.MCRSTAT, "--json", "--stats", d.config.stats_file], check_status=False)
        t.equal((status, out), (1, ""), "exit status and output after the stop")


@t.test("SIGHUP storm: 50 at once end in a running daemon")
def reload_storm():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        for _ in range(50):
            d.signal(signal.SIGHUP)
        t.wait_for(lambda: d.logged("reload"), 10, "an answer")
        d.reload()
        forwards(net, d)


if __name__ == "__main__":
    t.main()
