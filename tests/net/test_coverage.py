#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing in the allow-lists is unused: a run through everything that mcrd does, under strace, uses every row.

A row is used when its call is seen, with the arguments that it names, after the process has loaded its filter. Rows
whose reason begins with "rare:" or "elsewhere:" are excused.
"""
import os
import re
import shutil
import signal

import mcrtest as t

PORT, OUT_PORT = 5000, 6000
SOURCE_FILE = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "../..")),
                           "src/sandbox/syscalls.c")
# As strace writes them.
NAMES = {"IPPROTO_IP": "SOL_IP", "IPPROTO_IPV6": "SOL_IPV6", "IPPROTO_UDP": "SOL_UDP", "0": "0",
         "SANDBOX_INGRESS_FD": "16384", "sizeof(struct sockaddr_nl)": "12"}


class Row:
    def __init__(self, match):
        self.call, self.why = match.group(1), match.group(2)
        # strace names a protocol otherwise where it is the level of an option.
        names = NAMES if self.call != "socket" else {}
        self.where = [(int(n), names.get(v, v)) for n, kind, v in
                      re.findall(r"\{(\d), ([A-Z]+), ([^{}]+)\}", match.group(3)) if kind == "EQUAL"]
        self.excused = self.why.startswith(("rare:", "elsewhere:"))

    def __str__(self):
        return f"{self.call}({', '.join(v for _, v in self.where)}): {self.why}"

    def is_used_by(self, call, arguments):
        return call == self.call and all(n < len(arguments) and arguments[n] == v for n, v in self.where)


def rows(table):
    with open(SOURCE_FILE, encoding="utf-8") as f:
        text = re.search(rf"struct row {table}\[\] = {{\n(.*?)\n}};", f.read(), re.DOTALL).group(1)
    found = [Row(m) for m in re.finditer(r'\{CALL\((\w+)\), "((?:[^"\\]|\\.)*)", \{(.*)\}\},', text)]
    t.equal(len(found), text.count("CALL("), f"rows of {table} that are understood")
    return found


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
    """(call, arguments) of the process since it has loaded its filter."""
    loaded = False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not m or int(m.group(1)) != pid:
                continue
            if loaded:
                text = re.sub(r" <unfinished \.\.\.>$", "", m.group(3))
                # Of a newer kernel than strace knows.
                text = re.sub(r"0x18 /\* PACKET_\?\?\? \*/", "PACKET_VNET_HDR_SZ", text)
                yield m.group(2), [re.sub(r"^htons\((\w+).*", r"\1", a) for a in split(text)]
            loaded = loaded or (m.group(2) in ("seccomp", "prctl") and "MODE_FILTER" in m.group(3))


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


@t.test("each row of both allow-lists is used")
def coverage():
    if t.SANDBOX != "enforce":
        raise t.Skip(f"MCR_SANDBOX is {t.SANDBOX}")
    if not shutil.which("strace"):
        raise t.Skip("strace is not installed")
    tables = {"relay": rows("relay_allows"), "broker": rows("broker_allows")}
    with t.line6() as net:
        c = t.Config(RULES)
        trace = os.path.join(c.directory, "strace")
        status, _, err = t.run_command(["strace", "-D", "-f", "-o", trace, "true"], check_status=False)
        if status != 0:
            raise t.Skip(f"strace cannot trace here: {err.strip()}")
        d = t.Mcrd(net.relay, c, before=["strace", "-D", "-f", "-o", trace])
        with d:
            run_through(net, d)
        unused = []
        for who, pid in (("relay", d.process.pid), ("broker", d.broker)):
            left = list(tables[who])
            total = 0
            for call, arguments in calls(trace, pid):
                total += 1
                left = [r for r in left if not r.is_used_by(call, arguments)]
            t.check(total > 100, f"{who}: {total} calls traced")
            t.note(f"{who}: {total} calls, {len(tables[who])} rows, {sum(r.excused for r in left)} of them excused")
            unused += [f"{who}: {r}" for r in left if not r.excused]
            # Nor is anything asked for that is refused.
            with open(trace, encoding="utf-8", errors="replace") as f:
                t.equal([x for x in f if x.startswith(f"{pid} ") and "ENOSYS" in x], [], f"{who}: refused calls")
        t.equal(unused, [], "rows that nothing uses")


if __name__ == "__main__":
    t.main()
