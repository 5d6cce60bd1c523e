#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing in the allow-lists is unused, and nothing outside is asked for: a run through everything that mcrd does, under
strace, uses every row that `mcrd --sandbox list` prints, and makes no call that none allows.

A row is used when its call is seen, with arguments that meet its conditions, after the process has loaded its filter.
Rows whose reason begins with "rare:" or "elsewhere:" are excused; what is "elsewhere: the same" is another name of the
call in the row above, of which one must be seen: C libraries differ (glibc 2.36 makes newfstatat of fstat(3), 2.39 fstat).
"""
import os
import re
import shutil
import signal
import socket

import mcrtest as t

PORT, OUT_PORT = 5000, 6000
INT = 0xffffffff
# What `mcrd --sandbox list` says of an argument.
MATCHES = {
    "=": lambda a, v: a & INT == v & INT,
    "is": lambda a, v: a & INT & ~(socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) == v,
    "==": lambda a, v: a == v,
    "<": lambda a, v: a < v,
    ">=": lambda a, v: a >= v,
    "has": lambda a, v: a & v == v,
    "lacks": lambda a, v: a & v == 0,
}


def number(argument):
    """As strace -X raw writes it, flags in parts; None for what is a pointer."""
    whole = 0
    for part in argument.replace("NULL", "0").split("|"):
        if not re.fullmatch(r"-?(0x[0-9a-f]+|[0-9]+)", part):
            return None
        octal = re.fullmatch(r"0[0-7]+", part)
        whole |= int(part, 8 if octal else 0) & (1 << 64) - 1
    return whole


class Row:
    def __init__(self, process, answer, call, where, why):
        self.process, self.answer, self.call, self.why = process, answer, call, why
        found = re.findall(r"arg(\d) (\S+) (.+?) \((0x[0-9a-f]+|0)\)(?:, |$)", where)
        self.where = [(int(n), MATCHES[match], int(value, 0)) for n, match, _, value in found]
        t.equal(len(self.where), where.count("arg"), f"conditions that are understood: {where}")
        self.text = f"{process}: {call}({where}): {why}"
        self.excused = why.startswith(("rare:", "elsewhere:"))
        self.used = False

    def takes(self, call, arguments):
        return call == self.call and all(
            n < len(arguments) and (a := number(arguments[n])) is not None and meets(a, value)
            for n, meets, value in self.where)


def rows():
    """What `mcrd --sandbox list` prints, up to the line for all other calls."""
    _, out, _ = t.run_command([t.MCRD, "--sandbox", "list"])
    heading, *lines = out.split("\n\n")[0].splitlines()
    at = [heading.index(name) for name in ("PROCESS", "ANSWER", "CALL", "IF", "WHY")]
    found = [Row(*(line[i:j].strip() for i, j in zip(at, [*at[1:], None]))) for line in lines]
    return [r for r in found if not r.call.startswith("any")]


def split(text):
    """The arguments of a call, at the commas outside of brackets and strings."""
    parts, depth, quoted, part = [], 0, False, ""
    for i, c in enumerate(text):
        if c == '"' and text[i - 1] != "\\":
            quoted = not quoted
        elif not quoted and c in "([{":
            depth += 1
        elif not quoted and c in ")]}":
            depth -= 1
            if depth < 0:
                break
        if c == "," and depth == 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += c
    return parts + [part.strip()]


def calls(path, pid):
    """(call, arguments) of the process since it has loaded its filter, which is the last time that it calls seccomp."""
    found = []
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not m or int(m.group(1)) != pid:
                continue
            text = re.sub(r" <unfinished \.\.\.>$", "", m.group(3))
            found.append((m.group(2), [re.sub(r"^htons\((\w+).*", r"\1", a) for a in split(text)]))
    loaded = [i for i, (call, _) in enumerate(found) if call == "seccomp"]
    return found[loaded[-1] + 1:] if loaded else []


def six(group, out=OUT_PORT, **keys):
    return {"interface": "out0", "group": group, "port": out, **keys}


RULES = [
    t.rule("frame", "239.255.0.1", PORT, [t.to_group("239.255.1.1", OUT_PORT)]),
    t.rule("socket", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT, mode="socket", dscp="preserve", ttl=3),
                                           t.to_host("198.18.2.1", OUT_PORT, ttl="decrement", dscp="preserve")]),
    t.rule("exact", "239.255.0.3", PORT, [t.to_host("198.18.2.1", 7000, source="preserve"),
                                          t.to_host("198.18.2.1", 7003, source_port="preserve")], sources=["198.18.1.1"]),
    t.rule_of("six", [six("ff15::1:1", mode="socket", dscp="preserve", ttl="decrement"),
                      t.to_host("2001:db8:2::2", 7001, ttl="decrement", dscp="preserve")], group="ff15::1", port=PORT),
    {**t.rule_of("six-exact", [t.to_host("2001:db8:2::2", 7002, source="preserve"),
                               t.to_host("2001:db8:2::2", 7004, source_port="preserve")], group="ff15::2", port=PORT)},
    t.rule_of("unicast", [t.to_group("239.255.1.4", OUT_PORT)], address="198.18.1.2", port=PORT),
    t.rule_of("broadcast", [{"interface": "out0", "broadcast": True, "port": OUT_PORT}], broadcast=True, port=PORT + 1),
]
RULES[4]["input"]["sources"] = ["2001:db8:1::2"]


def run_through(net, d):
    capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
    kept = d.config.rules

    def reload(rules, what="accepted"):
        d.config.rules = rules
        d.config.write()
        t.check(f"result={what}" in (answer := d.reload()), answer)

    def pass_all(mark):
        # Two at once make a batch; a dscp and a ttl of their own make options.
        for i in range(2):
            sender.send(*(t.datagram(g, PORT, mark + b"4" + bytes([i]), dscp=10 + 8 * i, ttl=9 + i)
                          for g in ("239.255.0.1", "239.255.0.2", "239.255.0.3") for _ in range(3)))
            sender.send(*(t.datagram6(g, PORT, mark + b"6" + bytes([i]), dscp=10 + 8 * i, ttl=9 + i)
                          for g in ("ff15::1", "ff15::2") for _ in range(3)))
        sender.send(t.datagram("239.255.0.1", PORT, b""))
        sender.send(t.datagram("239.255.0.1", PORT, mark))
        capture.wait_payload(mark)

    pass_all(b"first")
    reload(kept[:1])  # sockets and groups go
    reload(kept)
    d.config.write("version = 2;\n")
    t.check("result=refused" in (answer := d.reload()), answer)
    reload(kept)
    # A link to a file in a directory of its own, and back.
    other = os.path.join(d.config.directory, "other")
    os.mkdir(other)
    shutil.copy(d.config.file, os.path.join(other, "real.conf"))
    os.symlink("other/real.conf", d.config.file + ".link")
    os.rename(d.config.file + ".link", d.config.file)
    t.check("result=accepted" in (answer := d.reload()), answer)
    reload(kept)
    # A link that goes and comes.
    net.relay.run("ip", "link", "set", "in0", "down")
    t.wait_for(lambda: any(i["name"] == "in0" and i["state"] == "down" for i in d.stats()["interfaces"]), 5, "down")
    net.relay.run("ip", "link", "set", "in0", "up")
    t.wait_for(lambda: any(i["name"] == "in0" and i["state"] == "up" for i in d.stats()["interfaces"]), 5, "up")
    d.signal(signal.SIGUSR1)
    t.wait_for(lambda: len(d.logged("rule")) == len(kept), 5, "the summary")
    t.enable_ipv6(net.relay, "in0", "2001:db8:1::1")
    pass_all(b"last")


def unused(allowed):
    """Of each call and its other names one must have been seen."""
    groups = []
    for row in allowed:
        if groups and row.why == "elsewhere: the same":
            groups[-1].append(row)
        else:
            groups.append([row])
    return [g[0].text for g in groups if not g[0].excused and not any(r.used for r in g)]


@t.test("mcrd --sandbox list prints both lists and what kills; it is a command like others")
def printed():
    listed = rows()
    t.equal({(r.process, r.answer) for r in listed},
            {("relay", "allow"), ("broker", "allow"), ("relay", "kill"), ("both", "kill"), ("both", "EPERM")}, "lists")
    t.equal([r.text for r in listed if not r.why or "?" in r.call], [], "rows without a name or a reason")
    status, _, err = t.run_command([t.MCRD, "--check", "--sandbox", "list"], check_status=False)
    t.check(status == 2 and "only one of" in err, f"with --check: {status}: {err}")
    status, _, _ = t.run_command(["/bin/sh", "-c", '"$0" --sandbox list >/dev/full', t.MCRD], check_status=False)
    t.equal(status, 1, "exit status when nothing can be written")


def strace_to(trace):
    if t.SANDBOX != "enforce":
        raise t.Skip(f"MCR_SANDBOX is {t.SANDBOX}")
    if not shutil.which("strace"):
        raise t.Skip("strace is not installed")
    strace = ["strace", "-D", "-f", "-X", "raw", "-o", trace]
    status, _, err = t.run_command([*strace, "true"], check_status=False)
    if status != 0:
        raise t.Skip(f"strace cannot trace here: {err.strip()}")
    return strace


@t.test("signatures need no call beside those of a file: libsodium makes none after the start")
def signatures():
    signers, listed = t.Signers("a", "b"), rows()
    with t.line() as net:
        c = t.Config([t.rule("r", "239.255.0.1", PORT, [t.to_group("239.255.1.1", OUT_PORT)])])
        trace = os.path.join(c.directory, "strace")
        signers.sign(c, "a", "b", legacy=True)
        with t.Mcrd(net.relay, c, args=["--trust", signers.trust], before=strace_to(trace)) as d:
            signers.sign(c, "a", "b")
            t.check("signed_by=a,b" in (answer := d.reload()), answer)
            signers.withdraw(c, "a")
            t.check("result=refused" in (answer := d.reload()), answer)
        allowed = [r for r in listed if r.process in ("broker", "both") and r.answer == "allow"]
        made = calls(trace, d.broker)
        t.check(any("minisig" in str(x) for x in made), "no signature was read under the filter")
        t.equal([x for x in made if not any(r.takes(*x) for r in allowed)], [], "calls that no row allows")


@t.test("each row of both allow-lists is used, and no call that none allows is made")
def coverage():
    listed = rows()
    with t.line6() as net:
        c = t.Config(RULES)
        c.top["audit_file"] = os.path.join(c.directory, "audit", "log")
        c.write()
        trace = os.path.join(c.directory, "strace")
        d = t.Mcrd(net.relay, c, before=strace_to(trace))
        with d:
            run_through(net, d)
        idle, outside = [], set()
        for who, pid in (("relay", d.process.pid), ("broker", d.broker)):
            own = [r for r in listed if r.process in (who, "both") and r.answer != "kill"]
            made = calls(trace, pid)
            for call, arguments in made:
                taken = [r for r in own if r.takes(call, arguments)]
                for r in taken:
                    r.used = True
                if not taken:
                    outside.add(f"{who}: {call}({', '.join(arguments)})")
            allowed = [r for r in own if r.answer == "allow"]
            t.check(len(made) > 100, f"{who}: {len(made)} calls traced")
            t.note(f"{who}: {len(made)} calls, {len(allowed)} rows, {sum(not r.used for r in allowed)} of them not seen")
            idle += unused(allowed)
        t.equal(idle, [], "rows that nothing uses")
        t.equal(sorted(outside), [], "calls that no row allows")


if __name__ == "__main__":
    t.main()
