#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrd --replay: captures made by hand, whose verdicts are known, and captures of what mcrd relayed at the same time."""
import gzip
import json
import os
import pwd
import random
import re
import signal
import struct
import subprocess
import time

import mcrtest as t
from mcrtest.pcap import ETHERNET, RAW, SECOND, SLL, SLL2, START, captured, pcap, read_pcap, start_tcpdump


def as_frame(data):
    return t.Frame(data, None, False, False)


class Replay:
    """A config and captures in a directory of their own."""

    def __init__(self, rules, **top):
        self.config = t.Config(rules, **top)
        self.capture = os.path.join(self.config.directory, "in.pcap")
        self.out = os.path.join(self.config.directory, "out.pcap")

    def run(self, *args, node=None, status=0, capture=None):
        argv = [t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", capture or self.capture, "--config", self.config.file,
                *args]
        found, out, err = t.run_command(argv, node, check_status=False)
        t.check("Sanitizer" not in err and "runtime error" not in err, f"mcrd --replay: {err}")
        t.equal(found, status, f"exit status of mcrd --replay {args} ({err.strip()})")
        return out, err

    def replay(self, *frames, node=None, args=(), **how):
        """The report on these frames; what leaves is in self.left."""
        pcap(self.capture, frames, **how)
        report = json.loads(self.run("--json", "--out", self.out, *args, node=node)[0])
        self.left = read_pcap(self.out)
        t.equal(report["count"], len(frames), "packets")
        t.equal(report["frames_out"], len(self.left), "frames in the capture that was written")
        t.equal(sum(report["verdicts"].values()), len(frames), "packets with a verdict")
        tallied = {}
        for p in report["packets"]:
            tallied[p["verdict"]] = tallied.get(p["verdict"], 0) + 1
        t.equal(report["verdicts"], tallied, "counts of verdicts")
        return report

    def line(self, text, n=0):
        """The number of the n-th line of the config that has this text."""
        with open(self.config.file, encoding="ascii") as f:
            return [i for i, x in enumerate(f, 1) if text in x][n]


def verdicts(report):
    return [p["verdict"] for p in report["packets"]]


FILE = """version = 1;
rules = (
  {
    name = "a";
    max_payload = 1000;
    input = { interface = "in0"; group = "239.255.1.1"; port = 5000;
              sources = [ "198.18.1.0/24" ]; };
    outputs = (
      { interface = "out0"; group = "239.255.2.1"; port = 6000; ttl = 4; },
      { interface = "out1"; address = "198.18.9.1"; port = 7000; source = "198.18.9.2"; }
    );
  },
  {
    name = "b";
    input = { interface = "in0"; group = "239.255.1.2"; port = 5000; };
    outputs = (
      { interface = "out0"; group = "239.255.2.2"; port = 6000;
        ttl = "decrement"; }
    );
    limit = { packets_per_second = 10; burst_ms = 1000; };
  }
);
"""


def by_hand():
    r = Replay([])
    r.config.write(FILE)
    return r


# --- made by hand ----------------------------------------------------------------------------------------------------


@t.test("a verdict for each packet, the line that decided, counts by rule")
def each_packet():
    r = by_hand()
    good = t.datagram("239.255.1.1", 5000, b"one")
    arp = t.frame(b"\0" * 46, b"\xff" * 6, kind=0x0806)
    report = r.replay(
        good,
        t.datagram("239.255.1.1", 5000, b"two", source="198.18.2.1"),
        t.datagram("239.255.1.1", 5001, b"three"),
        t.datagram("239.255.1.1", 5000, b"x" * 1001),
        t.datagram("239.255.1.1", 5000, b"x" * 1000),
        t.datagram("239.255.1.1", 5000, b"five", udp_keys={"checksum": "bad"}),
        t.datagram("239.255.1.1", 5000, b"six", checksum="bad"),
        t.datagram("239.255.1.2", 5000, b"seven", ttl=1),
        t.datagram("239.255.1.2", 5000, b"eight", ttl=2),
        t.datagram("239.255.1.1", 5000, b"nine", tags=((0x8100, 7),)),
        arp,
        (START + SECOND, good[:50], len(good) + 100),
        good[:30])
    t.equal(verdicts(report), ["forwarded", "source", "unmatched", "size", "forwarded", "bad_checksum", "malformed",
                               "ttl", "forwarded", "vlan", "unmatched", "truncated", "malformed"], "verdicts")
    t.equal([p.get("line") for p in report["packets"]],
            [6, 7, None, 5, 6, None, None, 17, 15, None, None, None, None], "lines")
    t.equal([p.get("rule") for p in report["packets"]][:9], ["a", "a", None, "a", "a", None, None, "b", "b"], "rules")
    a, b = report["rules"]
    t.equal((a["packets"], a["drops"]["source"], a["drops"]["size"], [o["packets"] for o in a["outputs"]]),
            (4, 1, 1, [2, 2]), "rule a")
    t.equal((b["packets"], b["drops"]["ttl"], [o["packets"] for o in b["outputs"]]), (2, 1, [1]), "rule b")
    t.equal([o["to"] for o in a["outputs"]], ["out0 239.255.2.1:6000", "out1 198.18.9.1:7000"], "outputs")
    t.equal(report["packets"][0]["outputs"], ["out0 239.255.2.1:6000", "out1 198.18.9.1:7000"], "outputs of a packet")
    t.equal(report["interface"]["received"], 12, "received: all but what the capture has cut")


@t.test("what leaves: the frames of frame mode, the packets of sockets, each with the time of what came")
def frames_out():
    r = by_hand()
    r.replay(t.datagram("239.255.1.1", 5000, b"payload", dscp=10), t.datagram("239.255.1.2", 5000, b"", ttl=9))
    t.equal([when for when, _ in r.left], [START, START, START + SECOND // 1000], "times")
    multicast, unicast, other = (as_frame(data) for _, data in r.left)
    # Interfaces are numbered as the file names them: in0, out0, out1.
    t.equal((multicast.to, multicast.sender), (t.group_mac("239.255.2.1"), b"\x02mcr\0\x02"), "a group's frame")
    t.equal((unicast.to, unicast.sender), (b"\x02mcr\0\0", b"\x02mcr\0\x03"), "a host's frame")
    t.equal([(f.source, f.source_port, f.destination, f.port, f.payload, f.ttl, f.dscp, f.dont_fragment)
             for f in (multicast, unicast, other)],
            [("0.0.0.0", 6000, "239.255.2.1", 6000, b"payload", 4, 10, False),
             ("198.18.9.2", 7000, "198.18.9.1", 7000, b"payload", 1, 10, False),
             ("0.0.0.0", 6000, "239.255.2.2", 6000, b"", 8, 0, False)], "packets")
    for f in (multicast, unicast, other):
        t.check(f.ip_checksum_ok and f.udp_checksum_ok, f"{f}: checksums")


@t.test("an output whose interface is down here sends nothing: errors, and a note that says why")
def down_here():
    with t.line() as net:
        net.relay.run("ip", "link", "set", "out0", "down")
        r = Replay([t.rule("r", "239.255.1.1", 5000, [t.to_group("239.255.2.1", 6000)])])
        report = r.replay(t.datagram("239.255.1.1", 5000, b"x"), node=net.relay)
    t.equal(verdicts(report), ["errors"], "verdicts")
    t.equal(report["rules"][0]["outputs"][0]["errors"], 1, "errors")
    t.equal(r.left, [], "what left")
    t.check('rule "r" is down here: out0 is down' in report["notes"], report["notes"])


@t.test("a limit goes by the times of the capture")
def limits():
    r = by_hand()
    burst = [(START, t.datagram("239.255.1.2", 5000, b"%d" % i), 60) for i in range(12)]
    half = [(START + SECOND // 2, t.datagram("239.255.1.2", 5000, b"%d" % i), 60) for i in range(12)]
    back = [(START, t.datagram("239.255.1.2", 5000, b"back"), 60)]
    report = r.replay(*((when, data, len(data)) for when, data, _ in burst + half + back))
    t.equal(verdicts(report), ["forwarded"] * 10 + ["rate"] * 2 + ["forwarded"] * 5 + ["rate"] * 8, "verdicts")
    t.equal(report["packets"][11]["line"], r.line("packets_per_second"), "line")


@t.test("Ethernet, cooked and bare captures, microseconds and either byte order give the same; others are refused")
def link_types():
    r = by_hand()
    ip = [t.datagram(g, 5000, b"payload")[14:] for g in ("239.255.1.1", "239.255.1.2", "239.255.1.3")]
    eth = [t.frame(p, t.group_mac("239.255.1.1")) for p in ip]
    sll = [struct.pack("!HHH8sH", 2, 1, 6, b"\2\0\0\0\1\1\0\0", 0x0800) + p for p in ip]
    sll2 = [struct.pack("!HHIHBB8s", 0x0800, 0, 3, 1, 2, 6, b"\2\0\0\0\1\1\0\0") + p for p in ip]
    left = None
    for link, frames in ((ETHERNET, eth), (SLL, sll), (SLL2, sll2), (RAW, ip)):
        for order in "<>":
            for nanoseconds in (True, False):
                report = r.replay(*frames, link=link, order=order, nanoseconds=nanoseconds)
                t.equal(verdicts(report), ["forwarded", "forwarded", "unmatched"], f"link type {link}")
                left = left or r.left
                t.equal(r.left, left, f"link type {link}: what leaves")
    # What the host itself sent, or what was for another station.
    report = r.replay(*(f[:1] + bytes([kind]) + f[2:] for f, kind in ((sll[0], 4), (sll[0], 3))), link=SLL)
    t.equal(verdicts(report), ["own", "unmatched"], "direction in a cooked capture")
    for link in (0, 105, 999):
        pcap(r.capture, eth, link=link)
        t.check("allowed are EN10MB" in r.run(status=2)[1], f"link type {link} is refused")


@t.test("VLAN tags: of the rule, none, a priority tag, a second one; tagged frames out; cooked captures with a tag")
def vlans():
    r = Replay([t.rule_of("v", [t.to_group("239.255.2.1", 6000, vlan=300)], group="239.255.1.1", port=5000, vlan=200),
                t.rule_of("u", [t.to_group("239.255.2.2", 6000)], group="239.255.1.1", port=5000)])
    tags = [((0x8100, 200),), (), ((0x8100, 0x6000),), ((0x8100, 201),), ((0x8100, 0xe000 | 200),),
            ((0x8100, 200), (0x8100, 200)), ((0x88a8, 200),)]
    report = r.replay(*(t.datagram("239.255.1.1", 5000, b"v", tags=x) for x in tags))
    t.equal([(p["verdict"], p.get("rule")) for p in report["packets"]],
            [("forwarded", "v"), ("forwarded", "u"), ("forwarded", "u"), ("vlan", None), ("forwarded", "v"),
             ("unmatched", None), ("vlan", None)], "verdicts")
    t.equal([data[12:18] for _, data in r.left][:2], [b"\x81\0\x01\x2c\x08\0", b"\x08\0\x45\0\0\x1d"], "tags out")
    ip = t.datagram("239.255.1.1", 5000, b"v")[14:]
    cooked = struct.pack("!HHH8sHHH", 2, 1, 6, b"\2\0\0\0\1\1\0\0", 0x8100, 200, 0x0800) + ip
    t.equal([p["rule"] for p in r.replay(cooked, link=SLL)["packets"]], ["v"], "cooked")


@t.test("IPv6, another family out, kept senders, and packets larger than the link in fragments")
def families():
    r = Replay([t.rule_of("six", [t.to_group("ff15::2", 6000, source="preserve", source_port="preserve"),
                                  t.to_group("239.255.2.1", 6000)], group="ff15::1", port=5000)])
    report = r.replay(t.datagram6("ff15::1", 5000, b"p" * 100), t.datagram6("ff15::1", 5000, b"q" * 1400),
                      t.datagram6("ff15::1", 5000, b"none", checksum=0))
    t.equal(verdicts(report), ["forwarded", "forwarded", "bad_checksum"], "verdicts")
    six, four = t.Datagram6(as_frame(r.left[0][1])), as_frame(r.left[1][1])
    t.equal((six.source, six.source_port, six.destination, six.port, six.payload, six.to, six.udp_checksum_ok),
            ("2001:db8:1::2", 4000, "ff15::2", 6000, b"p" * 100, b"\x33\x33\0\0\0\2", True), "IPv6")
    t.equal((four.destination, four.payload, four.udp_checksum_ok), ("239.255.2.1", b"p" * 100, True), "IPv4")

    big = Replay([t.rule("big", "239.255.1.1", 5000, [t.to_group("239.255.2.1", 6000), t.to_group("ff15::2", 6000)])])
    payload = random.Random(1).randbytes(4000)
    report = big.replay(t.datagram("239.255.1.1", 5000, payload))
    t.check(any("super-frames" in x for x in report["notes"]), f"notes: {report['notes']}")
    pieces = [as_frame(data) for _, data in big.left if data[12:14] == b"\x08\0"]
    t.check(all(f.ip_checksum_ok and len(f.data) <= 1514 for f in pieces), "fragments")
    whole = b"".join(f.data[34:] for f in sorted(pieces, key=lambda f: f.offset))
    t.equal((whole[8:], [f.more for f in pieces]), (payload, [True, True, False]), "put together")
    t.equal(t.ones_sum(t.pseudo_header("0.0.0.0", "239.255.2.1", len(whole)) + whole), 0xffff, "checksum of the whole")
    six = [data for _, data in big.left if data[12:14] == b"\x86\xdd"]
    t.equal(b"".join(data[62:] for data in six)[8:], payload, "IPv6, put together")


@t.test("ranges: each to its counterpart; a checksum that the sender left unfinished passes and is told")
def others():
    r = Replay([t.rule("r", "239.255.16.0/28", "5000-5003", [t.to_group("239.255.32.0/28", "6000-6003")])])
    plain = t.datagram("239.255.16.5", 5002, b"range")
    pseudo = t.ones_sum(t.pseudo_header(t.SOURCE, "239.255.16.5", 13))
    partial = t.datagram("239.255.16.5", 5002, b"later", udp_keys={"checksum": pseudo})
    report = r.replay(plain, partial)
    t.equal(verdicts(report), ["forwarded", "forwarded"], "verdicts")
    t.equal(report["packets"][0]["outputs"], ["out0 239.255.32.5:6002"], "counterpart")
    t.equal([as_frame(d).udp_checksum_ok for _, d in r.left], [True, True], "checksums out")
    t.check(any("left to the sender's device" in x for x in report["notes"]), f"notes: {report['notes']}")


def in_fragments(group, port, payload, ident, size=1480, **keys):
    whole = t.udp(t.SOURCE, group, payload, port)
    return [t.frame(t.ipv4(t.SOURCE, group, whole[i:i + size], ident=ident, offset=i, flags=int(i + size < len(whole)),
                           **keys), t.group_mac(group)) for i in range(0, len(whole), size)]


@t.test("fragments are put together as the relay does it: in any order, not across tags, and not for ever")
def fragments():
    r = Replay([t.rule("r", "239.255.16.0/28", "5000-5003", [t.to_group("239.255.32.0/28", "6000-6003")])])
    payload = random.Random(4).randbytes(3000)
    first, second, third = in_fragments("239.255.16.3", 5001, payload, 7)
    report = r.replay(second, third, first, in_fragments("239.255.16.3", 5001, payload, 8)[0])
    t.equal(verdicts(report), ["held", "held", "forwarded", "held"], "verdicts")
    t.equal(report["packets"][2]["outputs"], ["out0 239.255.32.3:6001"], "counterpart")
    t.equal(b"".join(data[34:] for _, data in r.left)[8:], payload, "what left")
    t.equal([report["interface"][k] for k in ("received", "fragments")], [2, 1], "received, and given up at the end")
    tagged = first[:12] + b"\x81\0\0\7" + first[12:]
    t.equal(verdicts(r.replay(tagged, second, third)), ["held"] * 3, "across tags")
    late = [(START + i * 3 * SECOND, f, len(f)) for i, f in enumerate((first, second, third))]
    report = r.replay(*late)
    t.equal((verdicts(report), report["interface"]["fragments"]), (["held"] * 3, 3), "too late")
    overlapping = t.frame(t.ipv4(t.SOURCE, "239.255.16.3", b"x" * 1480, ident=7, offset=1472, flags=1), first[:6])
    t.equal(verdicts(r.replay(first, overlapping)), ["held", "overlapping"], "overlapping")


@t.test("as text: a line each, the counts; --quiet: only these")
def text():
    r = by_hand()
    pcap(r.capture, [t.datagram("239.255.1.1", 5000, b"one"), t.datagram("239.255.1.1", 5001, b"two")])
    lines = r.run("--interface", "in0")[0].splitlines()
    file = r.config.file
    t.equal(lines[:7], [
        f"1 0.000000000 198.18.1.1:4000 > 239.255.1.1:5000, 3 bytes: forwarded ({file}:6: a): "
        "out0 239.255.2.1:6000, out1 198.18.9.1:7000",
        "2 0.001000000 198.18.1.1:4000 > 239.255.1.1:5001, 3 bytes: unmatched",
        "2 packets: 1 forwarded, 1 unmatched",
        f"{file}:3: rule \"a\": 1 packets",
        "  to out0 239.255.2.1:6000: 1 packets, 3 bytes",
        "  to out1 198.18.9.1:7000: 1 packets, 3 bytes",
        "1 rule without a packet"], "lines")
    t.equal(r.run("--quiet")[0].splitlines(), lines[2:], "quiet")
    report = json.loads(r.run("--quiet", "--json")[0])
    t.check("packets" not in report and report["count"] == 2, f"quiet, as JSON: {report}")


@t.test("what no rule takes: destinations by their counts, each with the nearest rules, as text and as JSON")
def unmatched():
    r = by_hand()
    frames = ([t.datagram("239.255.1.1", 5001, b"port")] * 3 + [t.datagram("239.9.9.9", 5001, b"far")] * 4 +
              [t.datagram("239.255.1.2", 5000, b"tag", tags=((0x8100, 7),))] * 2 + [t.datagram6("ff15::1", 7, b"six")] +
              [t.datagram("239.255.1.1", 5000, b"taken")] * 5)
    report = r.replay(*frames)
    t.equal([(u["destination"], u["port"], u.get("vlan"), u["packets"],
              [(n["rule"], n["line"], n["differs"]) for n in u["nearest"]]) for u in report["unmatched"]],
            [("239.9.9.9", 5001, None, 4, []), ("239.255.1.1", 5001, None, 3, [("a", 6, ["port"])]),
             ("239.255.1.2", 5000, 7, 2, [("b", 15, ["vlan"])]), ("ff15::1", 7, None, 1, [])], "unmatched")
    file = r.config.file
    lines = r.run("--quiet")[0].splitlines()
    at = lines.index("no rule takes:")
    t.equal(lines[at + 1:at + 5], [
        "  239.9.9.9:5001: 4 packets; no rule is near",
        f"  239.255.1.1:5001: 3 packets; the nearest: {file}:6: rule \"a\" takes port 5000, not 5001",
        f"  239.255.1.2:5000, vlan 7: 2 packets; the nearest: {file}:15: rule \"b\" takes untagged frames, not vlan 7",
        "  [ff15::1]:7: 1 packets; no rule is near"], "as text")
    many = r.replay(*(t.datagram("239.255.1.1", 6000 + i, b"x") for i in range(25)))
    t.equal([u["port"] for u in many["unmatched"]], list(range(6000, 6020)), "the first twenty")
    t.check("5 more destinations that no rule takes, with 5 packets, are not listed" in many["notes"], f"{many['notes']}")
    taken = t.datagram("239.255.1.1", 5000, b"taken")
    t.equal(r.replay(taken)["unmatched"], [], "all taken")
    t.check("no rule takes" not in r.run()[0], "all taken, as text")


def start_stream(r, *args):
    return t.start_process([t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", "-", "--config", r.config.file, *args],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@t.test("a stream on the standard input: each line as it comes, the summary at its end and on SIGINT and SIGTERM")
def stream():
    r = by_hand()
    pcap(r.capture, [t.datagram("239.255.1.1", 5000, b"one"), t.datagram("239.255.1.1", 5001, b"two")])
    with open(r.capture, "rb") as f:
        whole = f.read()
    for end in (None, signal.SIGINT, signal.SIGTERM):
        p = start_stream(r, "--interface", "in0")
        try:
            p.stdin.write(whole)
            p.stdin.flush()
            lines = [p.stdout.readline() for _ in range(2)]  # before its end
            t.check(b": forwarded" in lines[0] and b": unmatched" in lines[1], f"lines: {lines}")
            if end:
                p.send_signal(end)
                t.equal(p.wait(timeout=10), 0, f"exit status after {end}")
            out, err = p.communicate(timeout=10)
        finally:
            t.end_process(p)
        t.equal((p.returncode, err), (0, b""), f"exit status and errors after {end}")
        t.check(out.startswith(b"2 packets: 1 forwarded, 1 unmatched\n") and b"takes port 5000, not 5001" in out,
                f"summary after {end}: {out}")
    p = start_stream(r, "--json")
    out, err = p.communicate(whole, timeout=10)
    t.end_process(p)
    report = json.loads(out)
    t.equal((p.returncode, report["capture"], report["count"]), (0, "-", 2), f"as JSON ({err})")
    for data, status, said in ((whole[:-1], 1, b"the standard input: is damaged behind packet 1"),
                               (b"none", 2, b"the standard input: is no capture file"), (b"", 2, b"the standard input: ")):
        p = start_stream(r)
        out, err = p.communicate(data, timeout=10)
        t.end_process(p)
        t.equal(p.returncode, status, f"exit status after {data!r}: {err}")
        t.check(said in err, f"{err}")
    ours, theirs = os.openpty()
    p = t.start_process([t.MCRD, "--replay", "-", "--config", r.config.file], stdin=theirs, stderr=subprocess.PIPE)
    err = p.communicate(timeout=10)[1]
    t.end_process(p)
    os.close(ours)
    os.close(theirs)
    t.check(p.returncode == 2 and b"is a terminal" in err, f"from a terminal: {err}")


def written(terminal):
    """All that a process which has ended wrote there."""
    said = b""
    try:
        while data := os.read(terminal, 65536):
            said += data
    except OSError:  # EIO: nobody has it open any more
        pass
    os.close(terminal)
    return said


@t.test("a bar on a terminal shows that long work moves, and is gone at its end; in a pipe there is none")
def bar():
    r = by_hand()
    pcap(r.capture, [t.datagram("239.255.1.1", 5000, b"one")] * 5000)
    argv = [t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", r.capture, "--config", r.config.file, "--interface", "in0"]
    for on_terminal in (True, False):
        ours, theirs = os.openpty()
        p = t.start_process(argv, stdout=subprocess.PIPE, stderr=theirs if on_terminal else subprocess.PIPE)
        os.close(theirs)
        time.sleep(0.7)  # the pipe is full, and the first bar due when it has room again
        out, err = p.communicate(timeout=20)
        t.end_process(p)
        said = written(ours)
        t.check(p.returncode == 0 and b"5000 packets: 5000 forwarded" in out and b"#" not in out, f"{p.returncode} {out[-300:]}")
        if on_terminal:
            t.check(re.match(rb"\r\[#*\.*\] +\d+ %, \d+ s left *\r", said) and said.endswith(b" \r"), f"the bar: {said}")
        else:
            t.equal((said, err), (b"", b""), "in a pipe")
    with t.line() as net:
        common = ["--group", "239.255.0.9", "--port", "5000"]
        receiving, at_receiver = os.openpty()
        sending, at_sender = os.openpty()
        q = t.start_process([t.MCRGEN, "recv", "-i", "in0", *common, "--expect", "150", "--idle-ms", "700"], net.relay,
                            stdout=subprocess.PIPE, stderr=at_receiver)
        os.close(at_receiver)
        t.equal(os.read(receiving, 100).strip(), b"ready", "the receiver")
        p = t.start_process([t.MCRGEN, "send", "-i", "s0", *common, "--rate", "100", "-c", "150"], net.src,
                            stdout=subprocess.PIPE, stderr=at_sender)
        os.close(at_sender)
        for process, terminal, last in ((p, sending, b"ok: 150 datagrams sent\n"),
                                        (q, receiving, b"ok: 150 datagrams, nothing lost, duplicate or corrupt\n")):
            out = process.communicate(timeout=20)[0]
            t.end_process(process)
            said = written(terminal)
            t.check(process.returncode == 0 and out.endswith(last) and b"#" not in out, f"{out}")
            t.check(re.search(rb"\r\[#+\.+\] +\d+ %, \d+ s left", said) and said.endswith(b" \r"), f"the bar: {said}")


@t.test("refused: a bad file, no or a wrong interface, no capture, one that is none, an output that is the capture")
def trouble():
    r = Replay([t.rule("a", "239.255.1.1", 5000, [t.to_group("239.255.2.1", 6000)]),
                t.rule("b", "239.255.1.1", 5000, [t.to_group("239.255.2.1", 6000)], interface="in1")])
    good = t.datagram("239.255.1.1", 5000, b"good")
    pcap(r.capture, [good])
    t.check("allowed are the inputs of the file's active rules: in0, in1" in r.run(status=2)[1], "no interface")
    t.check("--interface is \"out0\", allowed" in r.run("--interface", "out0", status=2)[1], "an output")
    t.equal(verdicts(json.loads(r.run("--interface", "in1", "--json")[0])), ["forwarded"], "the other input")
    one = ("--interface", "in0")
    t.check("cannot be opened: No such file" in r.run(*one, capture="/nowhere", status=2)[1], "no capture")
    said = r.run(*one, capture=r.config.file, status=2)[1]
    t.check("is no capture file" in said and "compressed" not in said, "another file")
    with open(r.capture, "rb") as f, gzip.open(f"{r.capture}.gz", "wb") as packed:
        packed.write(f.read())
    t.check("is no capture file" in (said := r.run(*one, capture=f"{r.capture}.gz", status=2)[1]) and
            said.rstrip().endswith("compressed? zcat FILE | mcrd --replay -"), said)
    os.link(r.capture, r.out)
    t.check("is the capture itself" in r.run(*one, "--out", r.out, status=2)[1], "the capture as output")
    t.equal(os.path.getsize(r.capture), 24 + 16 + len(good), "the capture is as it was")
    t.check("is the config itself" in r.run(*one, "--out", r.config.file, status=2)[1], "the config as output")
    if os.path.exists("/dev/full"):
        r.run(*one, "--out", "/dev/full", status=1)
    r.config.rules = [{**r.config.rules[0], "enabled": False}, r.config.rules[1]]
    r.config.write()
    t.check('rules: in1; rule "a" is not active: enabled = false' in r.run(*one, status=2)[1], "a rule that rests")
    r.config.write("version = 1;\nrules = ( ;\n")
    t.check(f"{r.config.file}:2: " in r.run(*one, status=2)[1], "a bad file")


@t.test("hostile captures: cut at every ninth byte, and hundreds of bytes changed at random")
def hostile():
    """A sample through the whole program: tests/fuzz has many more for the reader of captures."""
    r = by_hand()
    frames = [t.datagram("239.255.1.1", 5000, b"payload"), t.datagram("239.255.1.2", 5000, b"x" * 40),
              t.datagram6("ff15::1", 5000, b"six"), t.datagram("239.255.1.1", 5000, b"v", tags=((0x8100, 5),))]
    pcap(r.capture, frames)
    with open(r.capture, "rb") as f:
        whole = f.read()
    changed = random.Random(2)
    cases = [whole[:i] for i in range(0, len(whole), 9)]
    for link in (ETHERNET, SLL, SLL2, RAW):
        for _ in range(20):
            data = bytearray(whole)
            data[20:24] = struct.pack("<I", link)
            for _ in range(5):
                data[changed.randrange(len(data))] = changed.randrange(256)
            cases.append(bytes(data))
    seen = set()
    for data in cases:
        with open(r.capture, "wb") as f:
            f.write(data)
        status, _, err = t.run_command([t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", r.capture, "--config",
                                        r.config.file, "--json", "--out", r.out], check_status=False)
        t.check(status in (0, 1, 2) and "Sanitizer" not in err and "runtime error" not in err,
                f"status {status} after {data.hex()}: {err}")
        seen.add(status)
    t.equal(seen, {0, 1, 2}, "exit statuses")


@t.test("while it reads it has no capability and can open nothing; and it runs as nobody")
def rights():
    r = by_hand()
    frames = [t.datagram("239.255.1.1", 5000, b"one")]
    os.mkfifo(r.capture)
    argv = [t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", r.capture, "--config", r.config.file, "--json"]
    p = t.start_process(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with open(r.capture, "wb") as fifo:
        # It has opened the FIFO, and waits for the head.
        try:
            t.wait_for(lambda: int(t.process_status(p.pid)["CapPrm"], 16) == 0 and
                       (t.SANDBOX == "off" or t.process_status(p.pid)["Seccomp"] == "2"), 5, "the sandbox")
            for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                t.equal(int(t.process_status(p.pid)[name], 16), 0, name)
            pcap(r.out, frames)
            with open(r.out, "rb") as f:
                fifo.write(f.read())
        finally:
            fifo.close()
            out, err = p.communicate(timeout=10)
            t.end_process(p)
    t.equal(p.returncode, 0, f"exit status ({err})")
    t.equal(verdicts(json.loads(out)), ["forwarded"], "verdicts")
    if t.USER == "root":
        t.note("cannot become nobody here")
        return
    os.unlink(r.capture)
    pcap(r.capture, frames)
    uid = pwd.getpwnam(t.USER).pw_uid

    def become_nobody():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    p = t.start_process(argv, before=become_nobody, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = p.communicate(timeout=10)
    t.end_process(p)
    t.equal((p.returncode, err), (0, ""), "as nobody")
    t.equal(verdicts(json.loads(out)), ["forwarded"], "as nobody")


# --- several captures --------------------------------------------------------------------------------------------------


MS = SECOND // 1000


def rtp(group, number, **keys):
    return t.datagram(group, 5000, struct.pack("!BBHII", 0x80, 33, number, 90 * number, 7) + b"%d" % number, **keys)


def at(ms, data):
    return START + ms * MS, data, len(data)


def numbers(left):
    """What has left: (ms, number)."""
    return [((when - START) // MS, int(as_frame(data).payload[12:])) for when, data in left]


class Legs(Replay):
    """A rule of two legs by in0 and in1 that merges, and a capture of each."""

    def __init__(self, **merge):
        super().__init__([{"name": "merged", "max_payload": 200, "silence_ms": 1000, "merge": {"by": "rtp", **merge},
                           "inputs": [{"leg": "A", "interface": "in0", "group": "239.255.1.1", "port": 5000},
                                      {"leg": "B", "interface": "in1", "group": "239.255.1.2", "port": 5000}],
                           "outputs": [t.to_group("239.255.2.1", 6000)]}])
        self.other = os.path.join(self.config.directory, "in1.pcap")
        self.both = ("--replay", self.other, "--interface", "in0", "-i", "in1")

    def legs(self, a, b, status=0):
        """The report on frames (ms, number) of each leg, and for each packet (ms, interface, verdict, releases)."""
        pcap(self.capture, [at(ms, rtp("239.255.1.1", n)) for ms, n in a])
        pcap(self.other, [at(ms, rtp("239.255.1.2", n)) for ms, n in b])
        report = json.loads(self.run("--json", "--out", self.out, *self.both, status=status)[0])
        self.left = read_pcap(self.out)
        t.equal(report["count"], len(a) + len(b), "packets")
        t.equal(report["frames_out"], len(self.left), "frames out")
        rule = report["rules"][0]
        t.equal(rule["packets"], sum(rule["drops"].values()) + rule["outputs"][0]["packets"], "the account")
        return report, [((p["time_ns"] - START) // MS, p["interface"], p["verdict"], p.get("releases"))
                        for p in report["packets"]]


@t.test("several captures: frames of all in the order of their stamps, each by its interface; the first copy leaves")
def several():
    r = Legs()
    report, packets = r.legs([(0, 1), (1, 2), (9, 4), (9, 5)], [(0, 1), (5, 2), (6, 3), (9, 4)])
    t.equal(packets, [(0, "in0", "forwarded", None), (0, "in1", "copy", None), (1, "in0", "forwarded", None),
                      (5, "in1", "copy", None), (6, "in1", "forwarded", None), (9, "in0", "forwarded", None),
                      (9, "in0", "forwarded", None), (9, "in1", "copy", None)], "packets")
    t.equal(numbers(r.left), [(0, 1), (1, 2), (6, 3), (9, 4), (9, 5)], "what left")
    t.equal([p["line"] for p in report["packets"][:2]], [r.line('leg = "A"'), r.line("merge =")], "lines")
    t.equal(report["captures"], [{"capture": r.capture, "interface": "in0"}, {"capture": r.other, "interface": "in1"}],
            "captures")
    t.equal([(i["name"], i["received"]) for i in report["interfaces"]], [("in0", 4), ("in1", 4)], "interfaces")
    t.check("capture" not in report and "interface" not in report, "what is of one capture only")
    out = r.run(*r.both)[0]
    t.check("\n2 0.000000000 198.18.1.1:4000 > 239.255.1.2:5000, 13 bytes, in1: copy (" in "\n" + out, out)
    # One interface for all: the second leg's group is none of in0's.
    report = json.loads(r.run("--json", "--replay", r.other, "-i", "in0")[0])
    t.equal(report["verdicts"], {"forwarded": 4, "unmatched": 4}, "all by in0")
    t.equal([i["name"] for i in report["interfaces"]], ["in0"], "interfaces")
    t.equal([(u["interface"], u["destination"], u["packets"]) for u in report["unmatched"]],
            [("in0", "239.255.1.2", 4)], "unmatched")
    # Fragments of two interfaces are no datagram.
    for capture, i in ((r.capture, 0), (r.other, 1)):
        pcap(capture, [in_fragments("239.255.1.1", 5000, b"x" * 600, 9, 304)[i]])
    report = json.loads(r.run("--json", *r.both)[0])
    t.equal((report["verdicts"], [i["fragments"] for i in report["interfaces"]]), ({"held": 2}, [1, 1]), "fragments")


@t.test("what is held back: held; what releases it is judged by itself; it leaves at its time; at the end all leave")
def held_back():
    r = Legs(reorder_ms=20, window_ms=50)
    report, packets = r.legs([(0, 1), (1, 3), (2, 4), (30, 6), (60, 7), (61, 9)],
                             [(1, 1), (10, 2), (11, 3), (12, 4), (55, 6)])
    t.equal(packets, [
        (0, "in0", "forwarded", None), (1, "in0", "held", None), (1, "in1", "copy", None), (2, "in0", "held", None),
        (10, "in1", "forwarded", 2), (11, "in1", "copy", None), (12, "in1", "copy", None),
        (30, "in0", "held", None),   # 5 never comes: 6 leaves at 50, before its copy
        (55, "in1", "copy", None), (60, "in0", "forwarded", None), (61, "in0", "held", None)], "packets")
    t.equal(numbers(r.left), [(0, 1), (10, 2), (10, 3), (10, 4), (50, 6), (60, 7), (61, 9)], "what left")
    t.equal({p["line"] for p in report["packets"] if p["verdict"] == "held"}, {r.line("merge =")}, "the line")
    t.check("4 packets were held back" in " ".join(report["notes"]), report["notes"])
    out = r.run(*r.both)[0]
    t.check("out0 239.255.2.1:6000; releases 2\n" in out, out)
    # What comes at the very time at which others leave has not made them leave.
    r = Legs(reorder_ms=20, window_ms=20)
    _, packets = r.legs([(0, 1), (1, 3)], [(21, 3)])
    t.equal(packets[2], (21, "in1", "copy", None), "3 has left at 21, in time")
    t.equal(numbers(r.left), [(0, 1), (21, 3)], "what left")


@t.test("several captures, refused: interfaces that are too few, two streams; one that is damaged, the others go on")
def several_wrong():
    r = Legs()
    r.legs([(0, 1), (2, 2)], [(1, 1), (3, 3)])
    three = ("--replay", r.other, "--replay", r.other, "-i", "in0", "-i", "in1")
    t.check("--replay is given 3 times, --interface 2 times: allowed is one for each, or one for all"
            in r.run(*three, status=2)[1], "too few")
    t.check("--replay needs --interface, allowed" in r.run("--replay", r.other, status=2)[1], "none")
    t.check('--interface is "out0", allowed' in r.run("--replay", r.other, "-i", "in0", "-i", "out0", status=2)[1],
            "the second one")
    t.check("/nowhere: cannot be opened" in r.run("--replay", "/nowhere", "-i", "in0", status=2)[1], "the second capture")
    t.check("is the capture itself" in r.run(*r.both, "--out", r.other, status=2)[1], "the second one as output")
    t.check("--replay - is given twice" in r.run("--replay", "-", "-i", "in0", capture="-", status=2)[1], "two streams")
    t.check("--explain can only" not in r.run(*r.both)[1], "no message")
    status, _, err = t.run_command([t.MCRD, "--explain", "1.2.3.4", "239.255.1.1", "5000", "-c", r.config.file, "-i",
                                    "in0", "-i", "in1"], check_status=False)
    t.check(status == 2 and "--interface is given twice, which only --replay takes" in err, err)
    with open(r.capture, "rb") as f:
        whole = f.read()
    with open(r.capture, "wb") as f:
        f.write(whole[:-5])
    out, err = r.run("--json", *r.both, status=1)
    report = json.loads(out)
    t.equal((report["count"], report["damaged"], report["verdicts"]), (3, True, {"forwarded": 2, "copy": 1}),
            "of the first capture one, of the other all")
    t.check(err.startswith(f"mcrd: {r.capture}: is damaged behind packet 1: ") and err.count("\n") == 1, err)
    with open(r.capture, "wb") as f:
        f.write(whole[:10])
    t.check("is no capture file" in r.run(*r.both, status=2)[1], "none at all")
    # A stream and a file.
    pipe = subprocess.run([t.MCRD, f"--sandbox={t.SANDBOX}", "--replay", "-", "-c", r.config.file, *r.both, "--json"],
                          input=whole, capture_output=True, check=False)
    t.equal(json.loads(pipe.stdout)["verdicts"], {"forwarded": 3, "copy": 1}, "a stream and a file")


# --- beside the daemon -----------------------------------------------------------------------------------------------


def comparable(f):
    """All of a frame but the identification and the fragment flags, which the kernel chooses for a socket."""
    return (f.sender, f.to if t.is_group(f.destination) else None, f.source, f.source_port, f.destination, f.port, f.ttl,
            f.dscp, f.payload)


@t.test("the oracle: what is replayed from the input's capture is what the receiver has really got")
def oracle():
    with t.line() as net:
        for node, name in ((net.src, "s0"), (net.relay, "in0"), (net.relay, "out0")):
            node.ethtool(name, "tx", "off", "gso", "off", "gro", "off")
        r = Replay([
            t.rule("plain", "239.255.1.1", 5000, [t.to_group("239.255.2.1", 6000, ttl=4),
                                                  t.to_host("198.18.2.1", 7000, ttl=9, source_port=7001)],
                   sources=["198.18.1.0/25"], max_payload=1200),
            t.rule("keeps", "239.255.1.2", 5000, [t.to_group("239.255.2.2", 6000, source="preserve", ttl="decrement",
                                                             source_port="preserve", dscp=46)]),
            t.rule("range", "239.255.16.0/28", "5000-5003", [t.to_group("239.255.32.0/28", "6000-6003")]),
            t.rule("socket", "239.255.1.3", 5000, [t.to_group("239.255.2.3", 6000, mode="socket")])])
        inside = os.path.join(r.config.directory, "in0.pcap")
        rnd = random.Random(3)
        frames = []
        for i in range(2000):
            body = b"%d " % i + rnd.randbytes(rnd.choice((0, 1, 100, 1190, 1300, 1460)))
            keys = {"source": rnd.choice(("198.18.1.1", "198.18.1.7", "198.18.1.200")), "ttl": rnd.choice((1, 2, 64)),
                    "dscp": rnd.choice((0, 10)), "tags": rnd.choice(((), (), (), ((0x8100, 5),))),
                    "udp_keys": rnd.choice(({}, {}, {}, {"checksum": "bad"}, {"checksum": 0}))}
            group = rnd.choice(("239.255.1.1", "239.255.1.2", "239.255.1.3", "239.255.1.4", f"239.255.16.{i % 20}"))
            frames.append(t.datagram(group, rnd.choice((5000, 5000, 5000, 5003, 5004)), body[:1472], **keys))
            if i % 20 == 0:
                frames += in_fragments("239.255.1.2", 5000, body[:700] * 2, i, 360, ttl=9)
        fence = t.datagram("239.255.1.2", 5000, b"fence", ttl=5)
        with t.Mcrd(net.relay, r.config) as d:
            net.relay.run("ip", "neighbor", "replace", "198.18.2.1", "dev", "out0", "nud", "permanent", "lladdr",
                          t.mac(net, "dst", "d0").hex(":"))
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            tcpdump = start_tcpdump(net.relay, "in0", inside)
            for i in range(0, len(frames), 50):
                sender.send(*frames[i:i + 50])
                capture.poll()
            sender.send(fence)
            capture.wait_payload(b"fence")
            t.wait_for(lambda: fence in captured(inside), 5, "the whole capture")
            tcpdump.terminate()
            t.end_process(tcpdump)
            d.check_sums()
            stats = d.stats()
            got = capture.udp()

        r.capture = inside
        report = json.loads(r.run("--json", "--out", r.out, node=net.relay)[0])
        left = [as_frame(data) for _, data in read_pcap(r.out)]
        t.equal(sorted(map(comparable, left), key=repr), sorted(map(comparable, got), key=repr), "what left")
        t.check(len(left) > 400, f"only {len(left)} datagrams left")
        for f in left:
            t.check(f.ip_checksum_ok and f.udp_checksum_ok, f"{f}: checksums")
        # In order for each destination and port: batches of different ones may pass each other.
        for to in {(f.destination, f.port) for f in got}:
            mine, theirs = ([f.payload for f in x if (f.destination, f.port) == to] for x in (left, got))
            t.check(mine == theirs, f"the order of what left for {to}")
        for mine, theirs in zip(report["rules"], stats["rules"]):
            for key in ("name", "packets", "bytes", "drops"):
                t.equal(mine[key], theirs[key], f"rule {theirs['name']}: {key}, as the daemon counted it")
            for output, its in zip(mine["outputs"], theirs["outputs"]):
                output["unreachable"] = its["unreachable"]  # what the receiver's host answers is in no capture
                t.equal({k: its[k] for k in output}, output, f"rule {theirs['name']}: an output, as the daemon counted it")
        # The filter of the ring lets up only what some rule may take; all that it lets up is judged alike.
        mine, theirs = report["interface"], next(i for i in stats["interfaces"] if i["name"] == "in0")
        for key in ("malformed", "bad_checksum", "fragments", "overlapping"):
            t.equal(mine[key], theirs[key], f"in0: {key}, as the daemon counted it")
        t.check(mine["unmatched"] + mine["vlan"] >= theirs["unmatched"] + theirs["vlan"], "unmatched")
        t.note(f"{report['count']} packets in, {len(left)} out: {report['verdicts']}")


if __name__ == "__main__":
    t.main()
