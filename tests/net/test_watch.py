#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The file on disk is watched: a change is probed and told, never applied by itself unless reload_on_change says so."""
import os
import re
import signal
import time

import mcrtest as t
import reloadtest as r

IN, PORT, OUT, OTHER, OUT_PORT = "239.255.0.1", 5000, "239.255.1.1", "239.255.1.2", 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]
CHANGED = [t.rule("r", IN, PORT, [t.to_group(OTHER, OUT_PORT)])]


def text_of(config, rules):
    """What config.write() would write of these rules."""
    return "".join(f"{k} = {t.to_libconfig(v)};\n" for k, v in {**config.top, "rules": rules}.items())


def goes_to(net, d, group, **counted):
    """Where the rule sends now."""
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"where to"))
    capture.wait_payload(b"where to")
    t.equal([f.destination for f in capture.udp()], [group], "where the datagram went")
    t.equal(d.stats()["generation"], counted.get("generation", 1), "generation")


def pending(d, log, state="pending"):
    """The file that lies there now is told: in the statistics, and in the log. Returns the log's line."""
    digest = r.sha256_of(os.path.realpath(d.config.file))
    c = r.wait_config(d, state, disk_sha256=digest)
    seen = []
    t.wait_for(lambda: seen.extend(log.events("file")) or any(x["sha256"] == digest for x in seen), 2,
               f"event=file with sha256={digest}, not {seen}")
    told = [x for x in seen if x["sha256"] == digest][-1]
    t.equal(told["state"], state, "the state in the log")
    t.check(state == "current" or c["sha256"] != digest, "the digest of what runs")
    return told


@t.test("a file replaced by rename: pending, with its digest; not applied; back again: current; a reload applies it")
def replaced():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        r.wait_config(d, "current", sha256=r.sha256_of(d.config.file), disk_sha256=r.sha256_of(d.config.file))
        d.config.rules = CHANGED
        d.config.write()
        told = pending(d, log)
        t.equal((int(told["size"]), int(told["owner"])), (os.path.getsize(d.config.file), os.getuid()), "size, owner")
        goes_to(net, d, OUT)
        d.config.rules = RULE
        d.config.write()
        pending(d, log, "current")
        d.config.rules = CHANGED
        d.config.write()
        pending(d, log)
        r.accepted(d, log=log)
        r.wait_config(d, "current", sha256=r.sha256_of(d.config.file))
        goes_to(net, d, OTHER, generation=2)


@t.test("a file written in place, in pieces: the last state of it is the one that counts")
def in_place():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log, text = r.Log(d), text_of(d.config, CHANGED)
        with open(d.config.file, "w", encoding="ascii") as f:
            for i in range(0, len(text), 40):
                f.write(text[i:i + 40])
                f.flush()
        pending(d, log)
        with open(d.config.file, "a", encoding="ascii") as f:
            f.write("// a comment\n")
        pending(d, log)
        # Not closed: what is written shows all the same.
        with open(d.config.file, "a", encoding="ascii") as f:
            f.write("colour = 1;\n")
            f.flush()
            c = r.wait_config(d, "invalid")
            t.check("colour" in c["last_error"], c["last_error"])
        goes_to(net, d, OUT)


@t.test("an invalid file: invalid, with its first error; the next valid one clears it")
def invalid():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        line = text_of(d.config, RULE).count("\n") + 1
        for text, error in ((text_of(d.config, RULE) + "colour = 1;\nsize = 2;\n", f"{d.config.file}:{line}: .*colour"),
                            ("rules = (", f"{d.config.file}:[12]: syntax error"), ("", f"{d.config.file}")):
            d.config.write(text)
            digest = r.sha256_of(d.config.file)
            c = r.wait_config(d, "invalid", disk_sha256=digest)
            t.check(re.search(error, c["last_error"]), f"last_error is {c['last_error']!r}, not {error!r}")
        d.config.write()
        c = r.wait_config(d, "current")
        t.equal(c["last_error"], None, "last_error")
        seen = log.events("file")
        t.equal([x["state"] for x in seen][-1], "current", "the last line")
        t.check(all(x["reason"] for x in seen if x["state"] == "invalid"), "reasons")
        goes_to(net, d, OUT)


@t.test("a file deleted: invalid; restored: current; its directory's other files do not matter")
def deleted():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log, text = r.Log(d), text_of(d.config, RULE)
        for _ in range(3):
            os.unlink(d.config.file)
            c = r.wait_config(d, "invalid", disk_sha256=None)
            t.check("No such file" in c["last_error"], c["last_error"])
            d.config.write(text)
            r.wait_config(d, "current", last_error=None)
        log.events("file")
        for i in range(20):
            path = os.path.join(d.config.directory, f"other-{i}")
            with open(path, "w", encoding="ascii") as f:
                f.write("rules = (")
            os.unlink(path)
        # A fence: a change that is told.
        d.config.rules = CHANGED
        d.config.write()
        pending(d, log)
        goes_to(net, d, OUT)


@t.test("a mode or an owner that is not allowed: invalid, though the content is the same; and back")
def untrusted():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        for mode, error in ((0o664, "mode is 0664"), (0o646, "mode is 0646"), (0o000, "Permission denied")):
            os.chmod(d.config.file, mode)
            c = r.wait_config(d, "invalid")
            t.check(error in c["last_error"], f"last_error is {c['last_error']!r}")
            os.chmod(d.config.file, 0o644)
            r.wait_config(d, "current", last_error=None)
        if t.USER != "root":
            os.chown(d.config.file, 12345, 12345)
            t.check("own" in r.wait_config(d, "invalid")["last_error"], "last_error")
            os.chown(d.config.file, 0, 0)
            r.wait_config(d, "current", last_error=None)
        goes_to(net, d, OUT)


@t.test("a symbolic link to another directory, swapped: pending; the file behind it edited: pending, too")
def link():
    with t.line() as net:
        c = t.Config(RULE)
        for name, rules in (("one", RULE), ("two", CHANGED)):
            os.mkdir(os.path.join(c.directory, name))
            with open(os.path.join(c.directory, name, "real.conf"), "w", encoding="ascii") as f:
                f.write(text_of(c, rules))
        os.unlink(c.file)
        os.symlink("one/real.conf", c.file)

        def swap(to):
            os.symlink(to, c.file + ".new")
            os.rename(c.file + ".new", c.file)

        with t.Mcrd(net.relay, c) as d:
            log = r.Log(d)
            swap("two/real.conf")
            pending(d, log)
            swap("one/real.conf")
            pending(d, log, "current")
            # What the link leads to is watched as well, wherever it leads now.
            swap("two/real.conf")
            pending(d, log)
            with open(os.path.join(c.directory, "two", "real.conf"), "a", encoding="ascii") as f:
                f.write("// edited\n")
            pending(d, log)
            goes_to(net, d, OUT)
            r.accepted(d, log=log)
            goes_to(net, d, OTHER, generation=2)
            swap("nowhere/real.conf")
            r.wait_config(d, "invalid", disk_sha256=None)
            # It appears where the link leads to.
            os.mkdir(os.path.join(c.directory, "three"))
            swap("three/real.conf")
            with open(os.path.join(c.directory, "three", "real.new"), "w", encoding="ascii") as f:
                f.write(text_of(c, RULE))
            os.rename(f.name, os.path.join(c.directory, "three", "real.conf"))
            pending(d, log)


@t.test("the way of Kubernetes: mcr.conf -> ..data/mcr.conf, ..data -> a directory, and ..data is swapped")
def data_directory():
    with t.line() as net:
        c = t.Config(RULE)

        def version(name, rules):
            os.mkdir(os.path.join(c.directory, name))
            with open(os.path.join(c.directory, name, "mcr.conf"), "w", encoding="ascii") as f:
                f.write(text_of(c, rules))
            os.symlink(name, os.path.join(c.directory, "..data_tmp"))
            os.rename(os.path.join(c.directory, "..data_tmp"), os.path.join(c.directory, "..data"))

        os.unlink(c.file)
        version("..2026_11_20", RULE)
        os.symlink("..data/mcr.conf", c.file)
        with t.Mcrd(net.relay, c) as d:
            log = r.Log(d)
            for i in range(3):
                version(f"..2026_11_21_{i}", RULE if i % 2 else CHANGED)
                pending(d, log, "current" if i % 2 else "pending")
            goes_to(net, d, OUT)
            r.accepted(d, log=log)
            goes_to(net, d, OTHER, generation=2)
            version("..2026_11_22", RULE)
            pending(d, log)


@t.test("a link by way of a directory that is a link, which is swapped: pending")
def link_of_directory():
    with t.line() as net:
        c = t.Config(RULE)
        for name, rules in (("one", RULE), ("two", CHANGED)):
            os.mkdir(os.path.join(c.directory, name))
            with open(os.path.join(c.directory, name, "mcr.conf"), "w", encoding="ascii") as f:
                f.write(text_of(c, rules))
        # The path that the daemon is given: .../etc/mcr.conf, where etc is the link.
        os.symlink("one", os.path.join(c.directory, "etc"))
        c.file = os.path.join(c.directory, "etc", "mcr.conf")
        with t.Mcrd(net.relay, c) as d:
            log = r.Log(d)
            os.symlink("two", os.path.join(c.directory, "etc.new"))
            os.rename(os.path.join(c.directory, "etc.new"), os.path.join(c.directory, "etc"))
            pending(d, log)
            goes_to(net, d, OUT)


@t.test("the directory itself is moved away and another put in its place: Landlock keeps the broker out, and it says so")
def directory_replaced():
    for args in ((), ("--without=landlock",)):
        with t.line() as net:
            c = t.Config(RULE)
            for name, rules in (("etc", RULE), ("etc.new", CHANGED)):
                os.mkdir(os.path.join(c.directory, name))
                with open(os.path.join(c.directory, name, "mcr.conf"), "w", encoding="ascii") as f:
                    f.write(text_of(c, rules))
            c.file = os.path.join(c.directory, "etc", "mcr.conf")
            with t.Mcrd(net.relay, c, args) as d:
                log = r.Log(d)
                os.rename(os.path.join(c.directory, "etc"), os.path.join(c.directory, "etc.old"))
                os.rename(os.path.join(c.directory, "etc.new"), os.path.join(c.directory, "etc"))
                if d.landlock() == 0:
                    pending(d, log)
                    continue
                r.wait_config(d, "invalid", disk_sha256=None)
                error = d.stats()["config"]["last_error"]
                t.check("Permission denied" in error and "restart" in error, error)
                # The directory that it was started with is back.
                os.rename(os.path.join(c.directory, "etc"), os.path.join(c.directory, "etc.new"))
                os.rename(os.path.join(c.directory, "etc.old"), os.path.join(c.directory, "etc"))
                r.wait_config(d, "current", last_error=None)
                goes_to(net, d, OUT)


@t.test("a burst of 200 edits, each followed at once by the next: the last one's state, and few lines of log")
def burst():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log, held = r.Log(d), r.holds(d)
        texts = [text_of(d.config, RULE), "rules = (", text_of(d.config, CHANGED)]
        for last, state in ((0, "current"), (1, "invalid"), (2, "pending")):
            for i in range(200):
                d.config.write(texts[(i + last) % 3] + f"// {i}\n" if i < 199 else texts[last])
            r.wait_config(d, state, disk_sha256=r.sha256_of(d.config.file))
        t.check(len(log.events("file")) <= 60, "lines of log")
        goes_to(net, d, OUT)
        r.same_holds(d, held)


@t.test("reload_on_change = true: a valid file is taken over by itself, and traffic follows; an invalid one is not")
def applied():
    with t.line() as net, t.Mcrd(net.relay, RULE, reload_on_change=True) as d:
        log = r.Log(d)
        d.config.rules = CHANGED
        d.config.write()
        c = r.wait_config(d, "current", sha256=r.sha256_of(d.config.file))
        record = t.wait_for(lambda: log.events("reload"), 2, "the record")[0]
        t.equal((record["result"], record["pid"], record["sha256"]), ("accepted", "0", c["sha256"]), "the record")
        goes_to(net, d, OTHER, generation=2)
        d.config.write("rules = (")
        r.wait_config(d, "invalid")
        goes_to(net, d, OTHER, generation=2)
        d.config.rules = RULE
        d.config.write()
        r.wait_config(d, "current", sha256=r.sha256_of(d.config.file), last_error=None)
        goes_to(net, d, OUT, generation=3)
        # One that is valid but cannot be loaded is refused once, not over and over.
        d.config.top["missing_interface"] = "reject"
        d.config.rules = CHANGED + [t.rule("m", "239.255.0.9", PORT, [t.to_host("198.18.2.1", 7000, source="198.18.9.9")])]
        d.config.write()
        r.wait_config(d, "pending", disk_sha256=r.sha256_of(d.config.file))
        seen = []
        t.wait_for(lambda: seen.extend(log.events("reload")) or any(x["result"] == "refused" for x in seen), 5,
                   "a refusal")
        goes_to(net, d, OUT, generation=3)
        # And a file that takes the key back is the last one that is applied so.
        del d.config.top["missing_interface"]
        del d.config.top["reload_on_change"]
        d.config.rules = CHANGED
        d.config.write()
        r.wait_config(d, "current", sha256=r.sha256_of(d.config.file))
        goes_to(net, d, OTHER, generation=4)
        t.check(sum(x["result"] == "refused" for x in seen + log.events("reload")) <= 3, "refused over and over")
        d.config.rules = RULE
        d.config.write()
        r.wait_config(d, "pending")
        goes_to(net, d, OTHER, generation=4)


@t.test("without it nothing is ever applied but by SIGHUP, whatever else happens")
def never_applied():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        d.config.rules = CHANGED
        d.config.top["reload_on_change"] = True  # this one is not in force yet
        d.config.write()
        r.wait_config(d, "pending")
        # Links, a refused load, a summary.
        for command in ("down", "up"):
            d.node.run("ip", "link", "set", "lo", command)
        d.node.run("ip", "address", "add", "198.18.2.77/24", "dev", "out0")
        d.signal(signal.SIGUSR1)
        d.config.write("rules = (")
        r.refused(d, "syntax")
        d.config.write()
        r.wait_config(d, "pending")
        goes_to(net, d, OUT)


@t.test("a file that a load would refuse for an interface is invalid and says why; it is taken over once the interface is there")
def interface_comes():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        d.config.top["missing_interface"] = "reject"
        d.config.rules = RULE + [t.rule("m", "239.255.0.9", PORT, [t.to_group(OUT, 7000, "late0")])]
        d.config.write()
        r.wait_config(d, "invalid", last_error='interface "late0" does not exist and missing_interface is "reject"')
        t.equal(r.refused(d, "late0")["generation"], "1", "generation")
        r.wait_config(d, "invalid")
        time.sleep(1.)  # what the test's own interfaces caused is over: the news of the new one alone must do
        net.relay.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        net.relay.run("ip", "address", "add", "198.18.77.1/24", "dev", "late0")
        net.relay.run("ip", "link", "set", "late0", "up")
        r.wait_config(d, "pending")
        r.accepted(d)
        r.wait_config(d, "current")
        if net.relay.run("ip", "link", "property", "add", "dev", "in0", "altname", "other0", check_status=False)[0]:
            return
        del d.config.top["missing_interface"]
        d.config.rules = RULE + [t.rule("m", "239.255.0.9", PORT, [t.to_group(OUT, 7000)], "other0")]
        d.config.write()
        why = 'interface "other0" is another name of "in0", allowed is "in0"'
        r.wait_config(d, "invalid", last_error=why)
        r.refused(d, "another name of")
        t.equal(d.stats()["generation"], 2, "generation")
        status, said = t.Mcrd(net.relay, d.config.rules).run_to_end()
        t.check(status == 1 and "another name of" in said, said)


if __name__ == "__main__":
    t.main()
