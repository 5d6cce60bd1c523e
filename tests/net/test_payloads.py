#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Payloads of every size leave as they came or not at all."""
import random
import socket

import mcrtest as t

IN, PORT = "239.255.0.1", 5000
FRAME, SOCKET, HOST = "239.255.1.1", "239.255.1.2", "198.18.2.1"


def every_mode():
    """One rule with an output of each kind."""
    return [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000, mode="frame"), t.to_group(SOCKET, 6001, mode="socket"),
                                   t.to_host(HOST, 6002)])]


def receivers(net, **options):
    return [t.Receiver(net.dst, "d0", to, port, **options)
            for to, port in ((FRAME, 6000), (SOCKET, 6001), (HOST, 6002))]


def one_size(mtu, size):
    with t.line(mtu) as net, t.Mcrd(net.relay, every_mode()) as d:
        sinks = receivers(net, size=size, expect=200)
        t.send(net.src, "s0", IN, PORT, size=size, count=200, rate=4000)
        for r in sinks:
            t.equal(r.all_came()["received"], 200, "received")
        s = d.account({"r": 200})
        t.equal(s["rules"][0]["bytes"], 200 * size, "bytes")
        t.equal([o["bytes"] for o in s["rules"][0]["outputs"]], [200 * size] * 3, "bytes of the outputs")


@t.test("payloads of 0, 1, 18 and 46 bytes, in every mode")
def small():
    for size in (0, 1, 18, 46):
        one_size(1500, size)


@t.test("payloads of 1471 and 1472 bytes, in every mode")
def full():
    for size in (1471, 1472):
        one_size(1500, size)


def mixed_sizes(mtu, sizes, mode_args=()):
    """Payloads of these sizes, sent in bursts by a plain socket, against what a capture of each output sees."""
    rng = random.Random(20)
    payloads = [rng.randbytes(n) for n in sizes]
    with t.line(mtu) as net:
        net.relay.ethtool("out0", "tx", "off")
        capture = t.Capture(net.dst, "d0")
        into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        with t.Mcrd(net.relay, every_mode(), mode_args) as d:
            for i in range(0, len(payloads), 40):
                for p in payloads[i:i + 40]:
                    into.sendto(p, (IN, PORT))
                capture.wait(min(i + 40, len(payloads)), HOST, 6002)
            d.account({"r": len(payloads)})
        for to in (FRAME, SOCKET, HOST):
            seen = capture.udp(to)
            t.check([f.payload for f in seen] == payloads, f"{to}: payloads differ, or are in another order")
            t.check(all(f.ip_checksum_ok and f.udp_checksum_ok for f in seen), f"{to}: checksums")


@t.test("a mix of sizes in one stream keeps order and content, in every mode")
def mix():
    rng = random.Random(10)
    # Runs of equal sizes, with shorter and longer ones, and empty ones, in between.
    sizes = [n for _ in range(60) for n in [rng.choice((0, 1, 2, 100, 1316, 1471, 1472))] * rng.randint(1, 8)]
    mixed_sizes(1500, sizes)


@t.test("the same without GSO of any kind")
def mix_without_gso():
    rng = random.Random(11)
    sizes = [n for _ in range(60) for n in [rng.choice((0, 1, 2, 100, 1316, 1471, 1472))] * rng.randint(1, 8)]
    mixed_sizes(1500, sizes, ("--without", "packet-gso,udp-gso"))


@t.test("more datagrams of one size than a batch holds, and the largest total of a batch")
def long_runs():
    mixed_sizes(1500, [1] * 200 + [0] * 70 + [1472] * 150 + [1022] * 140)


@t.test("jumbo payloads of 8972 bytes at MTU 9000, in every mode")
def jumbo():
    one_size(9000, 8972)


@t.test("a mix of sizes up to jumbo")
def jumbo_mix():
    rng = random.Random(12)
    mixed_sizes(9000, [n for _ in range(30) for n in [rng.choice((1, 1472, 4000, 8971, 8972))] * rng.randint(1, 6)])


@t.test("jumbo in, MTU 1500 out: fragments in every mode")
def jumbo_to_small():
    with t.line(9000) as net:
        for node, name in ((net.relay, "out0"), (net.dst, "d0")):
            node.run("ip", "link", "set", name, "mtu", "1500")
        with t.Mcrd(net.relay, every_mode()) as d:
            sinks = [t.Receiver(net.dst, "d0", to, port, size=8972, expect=50)
                     for to, port in ((FRAME, 6000), (SOCKET, 6001), (HOST, 6002))]
            t.send(net.src, "s0", IN, PORT, size=8972, count=50, rate=1000)
            for r in sinks:
                r.all_came()
            d.account({"r": 50})


@t.test("exactly the MTU passes whole, one byte more in fragments, whatever comes before or behind")
def at_the_mtu():
    with t.line(9000) as net:
        for node, name in ((net.relay, "out0"), (net.dst, "d0")):
            node.run("ip", "link", "set", name, "mtu", "1500")
        for sizes in ((1473, 1472), (1472, 1473), (1473, 1473, 5), (1472, 1472, 1473, 1472)):
            sender = t.RawSender(net.src, "s0")
            sink = net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sink.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                            socket.inet_aton(FRAME) + socket.inet_aton("198.18.2.1"))
            sink.bind((FRAME, 6000))
            sink.settimeout(5)
            with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)])]) as d:
                sender.send(*(t.datagram(IN, PORT, bytes([i]) * n) for i, n in enumerate(sizes)))
                came = [sink.recv(65536) for _ in sizes]
                t.check(came == [bytes([i]) * n for i, n in enumerate(sizes)], f"{[len(p) for p in came]} of {sizes} came")
                d.account({"r": len(sizes)})
            sink.close()


@t.test("20 datagrams of one size with DF set, back to back")
def twenty_with_df():
    for _ in range(3):
        with t.line() as net, t.Mcrd(net.relay, every_mode()) as d:
            sinks = receivers(net, expect=20)
            t.send(net.src, "s0", IN, PORT, size=1000, count=20, rate=0, dont_fragment=True)
            for r in sinks:
                r.all_came()
            d.account({"r": 20})


@t.test("max_payload: up to it passes, beyond it drops.size")
def max_payload():
    rules = [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)], max_payload=1000),
             t.rule("none", "239.255.0.2", PORT, [t.to_group("239.255.1.9", 6000)], max_payload=0)]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*(t.datagram(IN, PORT, bytes(n)) for n in (1001, 0, 1000, 1472, 999)),
                        t.datagram("239.255.0.2", PORT, b"x"), t.datagram("239.255.0.2", PORT, b""))
            capture.wait(4)
            d.account({"r": {"packets": 5, "drops": {"size": 2}}, "none": {"packets": 2, "drops": {"size": 1}}})
        t.equal([(f.destination, len(f.payload)) for f in capture.udp()],
                [(FRAME, 0), (FRAME, 1000), (FRAME, 999), ("239.255.1.9", 0)], "what came")


if __name__ == "__main__":
    t.main()
