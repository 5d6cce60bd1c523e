#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Transmit rings: datagrams of many flows leave an interface by one call, each as it came, and in order.

The relay is stopped while the datagrams arrive, so that one pass finds them all.
"""
import os
import random
import re
import shutil
import signal
import time

import mcrtest as t

PORT, OUT_PORT = 5000, 6000
FLOWS = 60
ALONE = ("--without", "tx-ring")
SLOTS = 256  # of a ring


def group(flow):
    return f"239.255.0.{1 + flow}"


def out_group(flow):
    return f"239.255.1.{1 + flow}"


def rules(n=FLOWS, **output):
    return [t.rule(f"r{i}", group(i), PORT, [t.to_group(out_group(i), OUT_PORT, **output)]) for i in range(n)]


def in_one_pass(net, d, frames):
    """Sends them while the relay stands still."""
    sender = t.RawSender(net.src, "s0")

    def stopped():  # where it is traced, each call is a short stop, too
        seen = [t.process_status(d.process.pid)["State"][0] for _ in range(3) if not time.sleep(0.01)]
        return all(x in "Tt" for x in seen)

    d.signal(signal.SIGSTOP)
    try:
        t.wait_for(stopped, 5, "the relay to stop")
        sender.send(*frames)
    finally:
        d.signal(signal.SIGCONT)


def sends(path, pid):
    """How many system calls of this process send by a ring, and how many by themselves."""
    with open(path, encoding="utf-8", errors="replace") as f:
        calls = [x for x in f if x.startswith(f"{pid} ")]
    return sum(bool(re.search(r' write\(\d+, "", 0\)', x)) for x in calls), sum(" writev(" in x for x in calls)


def mapped(pid):
    """Sizes of the transmit rings that a process has mapped, in slots' bytes."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        sizes = [int(b, 16) - int(a, 16) for a, b in (x.split()[0].split("-") for x in f if "socket:[" in x)]
    return [x // SLOTS for x in sizes if x <= SLOTS * 16384]


def index_of(node, name):
    return int(node.run("ip", "-o", "link", "show", "dev", name)[1].split(":")[0])


def passes_one(net, size=5):
    """Whether a datagram comes through in one frame, of those that are sent until one does."""
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(group(0), PORT, bytes(size)))
    time.sleep(0.02)
    return any(f.payload == bytes(size) for f in capture.udp())


def calls(args, configured, frames, expected):
    """Sends frames in one pass. expected: the calls that send by a ring, and by themselves. Returns what came: each frame
    by each output of its rule."""
    if not shutil.which("strace"):
        raise t.Skip("strace is not installed")
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")  # checksums that can be verified
        c = t.Config(configured)
        trace = os.path.join(c.directory, "strace")
        # Leaks cannot be looked for in a process that is traced.
        tracer = ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-D", "-f", "-e", "trace=write,writev", "-o", trace]
        status, _, err = t.run_command([*tracer, "true"], check_status=False)
        if status != 0:
            raise t.Skip(f"strace cannot trace here: {err.strip()}")
        capture = t.Capture(net.dst, "d0")
        with t.Mcrd(net.relay, c, args, before=tracer) as d:
            before = sends(trace, d.process.pid)
            in_one_pass(net, d, frames)
            seen = capture.wait(len(frames) * len(configured[0]["outputs"]))
            d.check_sums()
        t.check(all(f.ip_checksum_ok and f.udp_checksum_ok for f in seen), "checksums")
        t.equal(len({f.ident for f in seen}), len(seen), "distinct ids")
        after = sends(trace, d.process.pid)
        t.equal((after[0] - before[0], after[1] - before[1]), expected, "calls by the ring, and by themselves")
        return [(f.destination, f.payload) for f in seen]


def one_of_each(args, expected, **output):
    """A datagram of each flow in one pass."""
    seen = calls(args, rules(**output), [t.datagram(group(i), PORT, b"%d" % i * 50) for i in range(FLOWS)], expected)
    t.equal(seen, [(out_group(i), b"%d" % i * 50) for i in range(FLOWS)], "seen")


@t.test("a datagram of each of 60 flows: one call sends them all")
def many_flows():
    one_of_each((), (1, 0))


@t.test("without transmit rings: 60 calls")
def many_flows_alone():
    one_of_each(ALONE, (0, FLOWS))


@t.test("a datagram that nobody follows needs no ring, to 16 outputs it does; a batch is one call as ever")
def outputs():
    to = [t.to_group(out_group(i), OUT_PORT) for i in range(16)]
    one = [t.datagram(group(0), PORT, b"alone")]
    t.equal(calls((), [t.rule("r", group(0), PORT, to[:1])], one, (0, 1)), [(out_group(0), b"alone")], "seen")
    t.equal(calls((), [t.rule("r", group(0), PORT, to)], one, (1, 0)), [(out_group(i), b"alone") for i in range(16)],
            "seen")
    if t.SUPER_FRAMES:  # such a kernel segments frames
        calls((), [t.rule("r", group(0), PORT, to[:1])], 50 * one, (0, 1))


def mixture(net, args, n_flows=8, rounds=6, **output):
    """Datagrams of some flows in any order and of any size; of each flow the receiver gets all, in order."""
    random.seed(7)
    net.relay.ethtool("out0", "tx", "off")
    capture = t.Capture(net.dst, "d0")
    sent = {i: [] for i in range(n_flows)}
    with t.Mcrd(net.relay, rules(n_flows, **output), args) as d:
        for r in range(rounds):
            frames = []
            for i in range(240):
                flow = random.randrange(n_flows)
                size = random.choice((0, 1, 100, 100, 100, 700, 1472))
                payload = (b"%d/%d/" % (r, i) + bytes(size))[:size]
                sent[flow].append(payload)
                frames.append(t.datagram(group(flow), PORT, payload, dscp=random.choice((0, 0, 0, 46))))
            in_one_pass(net, d, frames)
            for i in range(n_flows):
                capture.wait(len(sent[i]), out_group(i))
        d.account({f"r{i}": len(sent[i]) for i in range(n_flows)})
    for i in range(n_flows):
        seen = capture.udp(out_group(i))
        t.check([f.payload for f in seen] == sent[i], f"flow {i}: {len(seen)} of {len(sent[i])}, or another order")
        t.check(all(f.ip_checksum_ok and f.udp_checksum_ok for f in seen), f"flow {i}: checksums")
        t.check(all(f.vlan == output.get("vlan") for f in seen), f"flow {i}: tags")


@t.test("sizes and flows in any mixture: all of each flow comes, unchanged and in order")
def mixtures():
    with t.line() as net:
        mixture(net, ())
        mixture(net, ALONE, rounds=1)


@t.test("the same where the kernel takes no UDP GSO of packet sockets")
def mixtures_without_gso():
    with t.line() as net:
        mixture(net, ("--without", "packet-gso"))
        mixture(net, ("--without", "packet-gso,tx-ring"), rounds=1)


@t.test("the same with a VLAN tag on the output")
def mixtures_tagged():
    with t.line() as net:
        mixture(net, (), rounds=2, vlan=300)


@t.test("the output's MTU grows: slots grow with it, as far as they may; what is larger leaves by itself")
def larger_mtu():
    with t.line() as net:
        for node, name in ((net.src, "s0"), (net.relay, "in0"), (net.dst, "d0")):
            node.run("ip", "link", "set", name, "mtu", "9000")
        net.relay.ethtool("out0", "tx", "off")
        seen, sent = [], []
        with t.Mcrd(net.relay, rules()) as d:
            for mtu, slot, size in ((1500, 2048, 1472), (1900, 2048, 1800), (4000, 4096, 3900), (9000, 4096, 8900)):
                net.relay.run("ip", "link", "set", "out0", "mtu", mtu)
                t.wait_for(lambda s=slot: mapped(d.process.pid) == [s], 5, f"a ring for {mtu}, and the old one's end")
                t.wait_for(lambda n=size: passes_one(net, n), 5, f"a frame of {size} bytes")
                capture = t.Capture(net.dst, "d0")

                def ours(probe=bytes(size), capture=capture):
                    return [f for f in capture.udp() if f.payload != probe]

                for n in (20, size, 20):
                    some = [(b"%03d/" % i + bytes(n))[:n] for i in range(FLOWS)]
                    in_one_pass(net, d, [t.datagram(group(i), PORT, x) for i, x in enumerate(some)])
                    sent += some
                    t.wait_for(lambda: len(seen) + len(ours()) >= len(sent), 5, "all")
                seen += ours()
            d.check_sums()
        came = sorted(f.payload for f in seen)
        t.check(came == sorted(sent), f"{len(came)} of {len(sent)} came, or others: lengths "
                f"{sorted({len(x) for x in came})} of {sorted({len(x) for x in sent})}")
        t.check(all(f.udp_checksum_ok and not f.more and f.offset == 0 for f in seen), "checksums, in one frame each")


@t.test("the output's MTU shrinks where no broker is left to see it: what exceeds it is too_big, and never on the wire")
def smaller_mtu():
    with t.line() as net:
        capture = t.Capture(net.dst, "d0")
        with t.Mcrd(net.relay, rules()) as d:
            os.kill(d.broker, signal.SIGKILL)
            t.wait_for(lambda: d.logged("broker"), 5, "the relay to know it")
            d.broker_expected = False
            net.relay.run("ip", "link", "set", "out0", "mtu", "1000")
            for size in (1400, 900):
                in_one_pass(net, d, [t.datagram(group(i), PORT, bytes(size)) for i in range(FLOWS)])
            capture.wait(FLOWS)
            d.account({f"r{i}": {"packets": 2, "outputs": [{"packets": 1, "too_big": 1}]} for i in range(FLOWS)})
            t.equal({len(f.payload) for f in capture.udp()}, {900}, "sizes that came")


@t.test("the output is deleted and made again under the same index: another ring, and the old one goes")
def made_again():
    with t.line() as net:
        with t.Mcrd(net.relay, rules()) as d:
            def all_pass():
                capture = t.Capture(net.dst, "d0")
                in_one_pass(net, d, [t.datagram(group(i), PORT, b"%d" % i) for i in range(FLOWS)])
                t.equal(sorted(f.payload for f in capture.wait(FLOWS)), sorted(b"%d" % i for i in range(FLOWS)), "came")

            all_pass()
            index = index_of(net.relay, "out0")
            for _ in range(3):
                net.relay.run("ip", "link", "delete", "out0")
                net.relay.run("ip", "link", "add", "out0", "index", index, "type", "veth", "peer", "name", "d0", "netns",
                              net.dst.holder.pid)
                net.relay.run("ip", "address", "add", "198.18.2.2/24", "dev", "out0")
                for node, name in ((net.relay, "out0"), (net.dst, "d0")):
                    node.run("ip", "link", "set", name, "up")
                t.wait_for(lambda: "UP" in net.relay.run("ip", "-br", "link", "show", "dev", "out0")[1], 5, "out0 up")
                t.wait_for(lambda: [i["state"] for i in d.stats()["interfaces"]] == ["up", "up"], 5, "the relay to see it")
                t.wait_for(lambda: mapped(d.process.pid) == [2048] and passes_one(net), 5, "one ring, and a way")
                all_pass()


@t.test("a narrow link behind many flows: what its queue has no room for is an error, and what was counted as sent came")
def narrow():
    n = 40
    with t.line() as net:
        status, _, err = net.relay.run("tc", "qdisc", "add", "dev", "out0", "root", "tbf", "rate", "20mbit", "burst",
                                       "10k", "limit", "60k", check_status=False)
        if status != 0:
            raise t.Skip(f"no tbf: {err.strip()}")
        capture = t.Capture(net.dst, "d0")
        with t.Mcrd(net.relay, rules()) as d:
            for r in range(n):
                in_one_pass(net, d, [t.datagram(group(i), PORT, b"%03d/" % r + bytes(1300)) for i in range(FLOWS)])

            def counted():
                outputs = [r["outputs"][0] for r in d.stats()["rules"]]
                return sum(o["packets"] for o in outputs), sum(o["errors"] for o in outputs)

            packets, errors = t.wait_for(lambda: sum(c := counted()) == n * FLOWS and c, 10, "all to be counted")
            t.check(packets > 0 and errors > 0, f"{packets} sent, {errors} errors: this is not what the test is about")
            t.wait_for(lambda: len(capture.udp()) >= packets, 10, "what was sent")
            t.equal(len(capture.udp()), packets, "datagrams at the receiver")
            for i in range(FLOWS):
                got = [f.payload[:4] for f in capture.udp(out_group(i))]
                t.check(got == sorted(set(got)), f"flow {i}: another order, or twice: {got}")
            d.check_sums()


if __name__ == "__main__":
    t.main()
