#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links that go down, overflow or are too narrow: nothing is counted that was not sent, and it goes on by itself."""
import os
import signal
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]


def busy(pid):
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        words = f.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def idle(d):
    """The relay sleeps: in half a second it does not use a fifth of it."""
    before = busy(d.process.pid)
    time.sleep(0.5)
    used = busy(d.process.pid) - before
    t.check(used < 0.1, f"the relay has used {used:.2f} s of 0.5 s with nothing to do")


def arrived(report):
    """How many reached the receiver's socket: a burst may exceed its room, where an ordinary user cannot enlarge it."""
    t.equal((report["corrupt"], report["duplicates"], report["foreign"]), (0, 0, 0), "corrupt, duplicates, foreign")
    return report["received"] + report["socket_drops"]


@t.test("an idle relay sleeps")
def sleeps():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        idle(d)


@t.test("the output goes down and up again: errors meanwhile, and then it forwards again")
def output_down():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT), t.to_host("198.18.2.1", OUT_PORT)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        sender.send(t.datagram(IN, PORT, b"before"))
        capture.wait(2)
        d.account({"r": 1})
        net.relay.run("ip", "link", "set", "out0", "down")
        sender.send(*(t.datagram(IN, PORT, b"meanwhile") for _ in range(5)))
        d.account({"r": {"packets": 6, "outputs": [{"packets": 1, "errors": 5}] * 2}})
        idle(d)
        net.relay.run("ip", "link", "set", "out0", "up")
        net.relay.wait_running("out0")
        net.dst.wait_running("d0")
        sender.send(t.datagram(IN, PORT, b"after"))
        capture.wait(4)
        d.account({"r": {"packets": 7, "outputs": [{"packets": 2, "errors": 5}] * 2}})
        t.equal([f.payload for f in capture.udp(OUT)], [b"before", b"after"], "frames")
        t.equal([f.payload for f in capture.udp("198.18.2.1")], [b"before", b"after"], "datagrams to the host")


@t.test("the input goes down and up again: it forwards again, still joined")
def input_down():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        capture = t.Capture(net.dst, "d0")
        t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"before"))
        capture.wait_payload(b"before")
        for i in range(3):
            net.relay.run("ip", "link", "set", "in0", "down")
            idle(d)
            net.relay.run("ip", "link", "set", "in0", "up")
            net.relay.wait_running("in0")
            net.src.wait_running("s0")
            payload = f"after {i}".encode()
            t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, payload))
            capture.wait_payload(payload)
        d.account({"r": 4})
        t.joined(net.relay, "in0", {IN})


@t.test("the input goes away: the relay sleeps, other inputs forward, the stop is clean")
def input_gone():
    rules = [t.rule(f"r{i}", IN, PORT, [t.to_group(OUT, OUT_PORT)], f"in{i}") for i in range(2)]
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, rules) as d:
        capture = t.Capture(net.dst0, "d0")
        net.relay.run("ip", "link", "delete", "in0")
        idle(d)
        t.RawSender(net.src1, "s0").send(t.datagram(IN, PORT, b"the other one"))
        capture.wait_payload(b"the other one")
        d.account({"r1": 1})


@t.test("a ring that overflows: what the kernel lost is counted too")
def ring_overflow():
    with t.line() as net, t.Mcrd(net.relay, RULE, ring_mib=1) as d:
        r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, first=0)
        d.signal(signal.SIGSTOP)
        t.wait_for(lambda: t.process_status(d.process.pid)["State"].startswith("T"), 5, "the stop")
        t.send(net.src, "s0", IN, PORT, count=3000, rate=50000, size=200)
        d.signal(signal.SIGCONT)
        came = arrived(r.report())
        t.check(0 < came < 3000, f"{came} of 3000 came: the ring did not overflow")
        d.account({"r": came}, in0={"ring_drops": 3000 - came})


@t.test("super-frames that overflow the ring or the room for them: each is forwarded whole or counted")
def super_frame_overflow():
    with t.line() as net, t.Mcrd(net.relay, RULE, ring_mib=1) as d:
        r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, first=0)
        d.signal(signal.SIGSTOP)
        t.wait_for(lambda: t.process_status(d.process.pid)["State"].startswith("T"), 5, "the stop")
        t.send(net.src, "s0", IN, PORT, count=20000, rate=200000, size=1000, gso=20)
        d.signal(signal.SIGCONT)
        came = arrived(r.report())
        t.check(0 < came < 20000, f"{came} of 20000 came: nothing overflowed")

        def counted():
            i = d.stats()["interfaces"][0]
            # A truncated frame counts as its datagrams, one that never was in the ring as one.
            return came + i["truncated"] + 20 * i["ring_drops"] == 20000 and i

        i = t.wait_for(counted, 5, f"1000 super-frames, of which {came / 20} came, in: {d.stats()['interfaces'][0]}")
        d.account({"r": came}, in0={"truncated": i["truncated"], "ring_drops": i["ring_drops"]})
        t.send(net.src, "s0", IN, PORT, count=100, rate=1000, first=20000)
        d.account({"r": came + 100}, in0={"truncated": i["truncated"], "ring_drops": i["ring_drops"]})


@t.test("an output that is too narrow: what its queue refuses is errors, the rest arrives")
def narrow_output():
    with t.line() as net:
        status, _, err = net.relay.run("tc", "qdisc", "add", "dev", "out0", "root", "tbf", "rate", "20mbit", "burst",
                                       "10k", "limit", "20k", check_status=False)
        if status != 0:
            raise t.Skip(f"no tbf: {err.strip()}")
        # Of a super-frame tbf may take a part, which nobody can tell: so one by one.
        for output in (t.to_group(OUT, OUT_PORT), t.to_group(OUT, OUT_PORT, mode="socket")):
            with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [output])], ("--without", "packet-gso,udp-gso")) as d:
                r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, first=0)
                t.send(net.src, "s0", IN, PORT, count=3000, rate=10000, size=1000)
                came = arrived(r.report())
                t.check(0 < came < 3000, f"{came} of 3000 came: the output was not too narrow")
                d.account({"r": {"packets": 3000, "outputs": [{"packets": came, "errors": 3000 - came}]}})


if __name__ == "__main__":
    t.main()
