#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Super-frames in and out, unfinished checksums, and links that can do none of it: the datagrams are the same."""
import random
import socket
import struct

import mcrtest as t

IN, PORT = "239.255.0.1", 5000
FRAME, SOCKET, HOST = "239.255.1.1", "239.255.1.2", "198.18.2.1"
RULES = [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000, mode="frame"), t.to_group(SOCKET, 6001, mode="socket"),
                                t.to_host(HOST, 6002)])]
ALL_OFF = ("tx", "off", "gso", "off", "tx-udp-segmentation", "off")
FALLBACKS = ("--without", "packet-gso,udp-gso,ignore-outgoing")


def stream(net, args=(), n=3000, evidence=None, **options):
    """n datagrams through every kind of output. evidence: None, or whether the relay must get super-frames."""
    sight = t.Capture(net.relay, "in0") if evidence is not None else None
    with t.Mcrd(net.relay, RULES, args) as d:
        receivers = [t.Receiver(net.dst, "d0", to, port, expect=n) for to, port in ((FRAME, 6000), (SOCKET, 6001),
                                                                                  (HOST, 6002))]
        t.send(net.src, "s0", IN, PORT, count=n, **{"rate": 30000, "size": 1000, **options})
        for r in receivers:
            r.all_came()
        d.account({"r": n})
    if sight:
        sight.poll()
        t.check((sight.super_frames > 0) == (evidence and t.SUPER_FRAMES),
                f"the relay got {sight.super_frames} super-frames: this is not what the test is about")


def exact(net, payload_runs, args=(), rules=None, expected=None, **counters):
    """Sends each run as one super-frame (payload, segment size), and compares what the receiver's link carries."""
    net.relay.ethtool("out0", "tx", "off")
    capture = t.Capture(net.dst, "d0")
    into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
    sent = [p[i:i + size] for p, size in payload_runs for i in range(0, len(p), size)]
    expected = sent if expected is None else expected
    with t.Mcrd(net.relay, rules or RULES, args) as d:
        for payload, size in payload_runs:
            into.sendmsg([payload], [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", size))], 0, (IN, PORT))
        for o in (rules or RULES)[0]["outputs"]:
            capture.wait(len(expected), o.get("group") or o["address"])
        d.account({"r": counters or len(sent)})
    for o in (rules or RULES)[0]["outputs"]:
        seen = capture.udp(o.get("group") or o["address"])
        t.check([f.payload for f in seen] == expected,
                f"{o}: lengths {[len(f.payload) for f in seen]}, expected {[len(p) for p in expected]}, or contents")
        t.check(all(f.ip_checksum_ok and f.udp_checksum_ok for f in seen), f"{o}: checksums")
        # In socket mode they are the kernel's, which counts a super-frame of a UDP socket as one.
        if o.get("mode") != "socket" and "group" in o:
            t.equal(len({f.ident for f in seen}), len(seen), f"{o}: distinct ids")


def pattern(n, first=0):
    return bytes((first + i * 7 + i // 256) & 0xff for i in range(n))


@t.test("the source hands over super-frames (GSO), all offloads on")
def source_gso():
    with t.line() as net:
        stream(net, gso=20, evidence=True)


@t.test("super-frames of the largest size")
def source_gso_largest():
    with t.line() as net:
        stream(net, gso=44, size=1472, evidence=True)


@t.test("the source's link has no offloads at all")
def source_off():
    with t.line() as net:
        net.src.ethtool("s0", *ALL_OFF)
        stream(net, evidence=False)
        if t.KERNEL >= (6, 11):  # before, UDP sockets segment nothing that needs a checksum in software
            stream(net, gso=20, evidence=False)


@t.test("the output's link has no offloads at all")
def output_off():
    with t.line() as net:
        net.relay.ethtool("out0", *ALL_OFF)
        stream(net)
        stream(net, gso=20, evidence=True)


@t.test("the output's link has checksums but no UDP segmentation")
def output_without_segmentation():
    with t.line() as net:
        net.relay.ethtool("out0", "tx-udp-segmentation", "off")
        stream(net)
        stream(net, gso=20, evidence=True)


@t.test("no offloads on either link")
def both_off():
    with t.line() as net:
        net.src.ethtool("s0", *ALL_OFF)
        net.relay.ethtool("out0", *ALL_OFF)
        stream(net)


@t.test("the relay's link coalesces (GRO)")
def input_gro():
    with t.line() as net:
        net.relay.ethtool("in0", "gro", "on")
        stream(net, rate=0, n=2000)


def coalescing(net, *features):
    """GRO on the relay's side. Only what comes in one turn of the softirq is merged: that is what the link of the
    source makes when it has to cut super-frames itself."""
    if not t.SUPER_FRAMES:
        raise t.Skip("needs Linux 6.4")
    net.src.ethtool("s0", "tx-udp-segmentation", "off")
    try:
        net.relay.ethtool("in0", "gro", "on", *features)
    except t.Failure as e:
        raise t.Skip(str(e)) from None


@t.test("the relay's link coalesces UDP (rx-udp-gro-forwarding): super-frames of what came one by one")
def input_udp_gro():
    with t.line() as net:
        coalescing(net, "rx-udp-gro-forwarding", "on")
        stream(net, gso=20, evidence=True)
        stream(net, gso=20, evidence=True, dont_fragment=True)
        stream(net, FALLBACKS, gso=20, evidence=True)
        net.relay.ethtool("out0", *ALL_OFF)
        stream(net, gso=30, size=300, evidence=True)


@t.test("the same of frames with finished checksums")
def input_udp_gro_checksums():
    with t.line() as net:
        coalescing(net, "rx-udp-gro-forwarding", "on")
        net.src.ethtool("s0", "tx", "off")
        stream(net, gso=20)


@t.test("the relay's link makes lists of frames (rx-gro-list)")
def input_gro_list():
    with t.line() as net:
        coalescing(net, "rx-gro-list", "on")
        stream(net, gso=20)


@t.test("without the kernel's help: --without packet-gso,udp-gso,ignore-outgoing")
def fallbacks():
    with t.line() as net:
        stream(net, FALLBACKS)
        stream(net, FALLBACKS, gso=20, evidence=True)
        net.relay.ethtool("out0", *ALL_OFF)
        stream(net, FALLBACKS, gso=20)


@t.test("each feature left out alone")
def fallbacks_alone():
    for feature in ("packet-gso", "udp-gso", "ignore-outgoing"):
        with t.line() as net:
            stream(net, ("--without", feature), gso=7, n=1000)


@t.test("a super-frame whose last datagram is shorter")
def shorter_last():
    runs = [(pattern(5 * 500 + 123), 500), (pattern(2 * 1472 + 1, 3), 1472), (pattern(40 * 1400 + 1399, 5), 1400),
            (pattern(64 * 3 + 2, 9), 3), (pattern(501, 1), 500), (pattern(77, 2), 500), (pattern(128 * 100, 11), 100)]
    if t.KERNEL < (6, 1):  # headers count as well against a sender's bound of 64 segments
        runs = [(p, size) for p, size in runs if size < len(p) <= 63 * size]
    for args in ((), FALLBACKS):
        with t.line() as net:
            exact(net, runs, args)


@t.test("the source cuts them itself: the same")
def shorter_last_cut():
    with t.line() as net:
        net.src.ethtool("s0", "tx-udp-segmentation", "off")
        exact(net, [(pattern(5 * 500 + 123), 500), (pattern(40 * 1400 + 1399, 5), 1400)])


@t.test("max_payload inside of a super-frame: only its shorter last datagram passes")
def max_payload():
    payload = pattern(4 * 1200 + 600)
    rules = [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)], max_payload=1000)]
    with t.line() as net:
        exact(net, [(payload, 1200)], rules=rules, expected=[payload[4800:]], packets=5, drops={"size": 4})


@t.test("a limit inside of a super-frame: what exceeds it is cut off, datagram by datagram")
def limit():
    payload = pattern(30 * 1000)
    # 10 at once, and the next one a second later.
    rules = [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)], limit={"packets_per_second": 1, "burst_ms": 10000})]
    with t.line() as net:
        exact(net, [(payload, 1000)], rules=rules, expected=[payload[i:i + 1000] for i in range(0, 10000, 1000)],
              packets=30, drops={"rate": 20})


def mixture(net, args=()):
    """Three flows, two of them of one rule, in super-frames and plain datagrams of any size, in turn at random."""
    chance = random.Random(7)
    keep = {"source": "preserve", "source_port": "preserve"}
    rules = [t.rule(f"r{k}", IN, PORT + k, [t.to_group(FRAME, 6000 + k, mode="frame"),
                                            t.to_group(SOCKET, 6000 + k, mode="socket"), t.to_host(HOST, 6000 + k),
                                            t.to_group("239.255.1.3", 6000 + k, **keep)]) for k in range(2)]
    flows = [net.src.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for i, f in enumerate(flows):
        f.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        f.bind(("198.18.1.1", 4000 + i))
    sent = {0: [], 1: []}
    capture = t.Capture(net.dst, "d0")
    with t.Mcrd(net.relay, rules, args) as d:
        for n in range(300):
            i = chance.randrange(3)
            # Older kernels count the headers as well against their bound of 64 segments.
            size, count = chance.choice((2, 7, 188, 500, 1316, 1472)), chance.choice((1, 1, 1, 2, 5, 20, 40))
            payload = chance.randbytes(size * (count - 1) + chance.randrange(size) + 1)
            control = [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", size))] if count > 1 else []
            flows[i].sendmsg([payload], control, 0, (IN, PORT + i % 2))
            sent[i % 2] += [(4000 + i, payload[at:at + size]) for at in range(0, len(payload), size)]
            if n % 50 == 49:
                capture.poll()
        for to in (FRAME, SOCKET, HOST, "239.255.1.3"):
            for k in range(2):
                capture.wait(len(sent[k]), to, 6000 + k)
        d.account({f"r{k}": len(sent[k]) for k in range(2)})
    for to in (FRAME, SOCKET, HOST, "239.255.1.3"):
        for k in range(2):
            seen = capture.udp(to, 6000 + k)
            t.check([f.payload for f in seen] == [p for _, p in sent[k]], f"{to}, rule {k}: order or contents")
            if to == "239.255.1.3":
                t.check([f.source_port for f in seen] == [port for port, _ in sent[k]], f"rule {k}: whose they are")


@t.test("super-frames and plain datagrams of three flows in turn, any sizes, to every kind of output and link")
def mixed_flows():
    for relay, args in (((), ()), (("tx-udp-segmentation", "off"), ()), (ALL_OFF, ()), (ALL_OFF, FALLBACKS)):
        with t.line() as net:
            if relay:
                net.relay.ethtool("out0", *relay)
            mixture(net, args)
    with t.line() as net:
        # Cut by the source's link, and put together again by the relay's.
        net.src.ethtool("s0", "tx-udp-segmentation", "off")
        coalescing(net, "rx-udp-gro-forwarding", "on")
        mixture(net)


@t.test("super-frames of jumbo datagrams")
def jumbo():
    with t.line(9000) as net:
        stream(net, gso=7, size=8972, n=700, rate=10000, evidence=True)


@t.test("super-frames beyond the output's MTU")
def beyond_the_mtu():
    with t.line(9000) as net:
        for node, name in ((net.relay, "out0"), (net.dst, "d0")):
            node.run("ip", "link", "set", name, "mtu", "1500")
        # The last one is small enough.
        payload = pattern(3 * 2000 + 400)
        rules = [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)])]
        # The receiver's kernel puts the fragments together.
        sink = net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton(FRAME) + socket.inet_aton("198.18.2.1"))
        sink.bind((FRAME, 6000))
        sink.settimeout(5)
        into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        with t.Mcrd(net.relay, rules) as d:
            into.sendmsg([payload], [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", 2000))], 0, (IN, PORT))
            came = [sink.recv(65536) for _ in range(4)]
            t.check(came == [payload[i:i + 2000] for i in range(0, len(payload), 2000)],
                    f"lengths {[len(p) for p in came]}, or contents")
            d.account({"r": 4})


@t.test("without super-frames (before Linux 6.4): each counts as truncated, and what comes beside it passes")
def super_frames_missing():
    with t.line() as net:
        if net.src.run("ethtool", "-K", "s0", "tx-udp-segmentation", "on", check_status=False)[0] != 0 or t.KERNEL < (5, 10):
            raise t.Skip("needs Linux with veth that carries UDP super-frames")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000)])], ("--without", "super-frames")) as d:
            sent = []
            for i in range(5):
                into.sendmsg([pattern(10 * 500, i)], [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", 500))], 0,
                             (IN, PORT))
                sent.append(pattern(1472, i))
                sender.send(t.datagram(IN, PORT, sent[-1]))
            capture.wait(5, FRAME)
            d.account({"r": 5}, in0={"truncated": 5})
            t.equal([f.payload for f in capture.udp(FRAME)], sent, "payloads")
            t.equal(d.stats()["features"]["super_frames"], "no", "features")


@t.test("batches of frames: before Linux 6.2 one by one, and mcrd says so once; since, it does not")
def frames_one_by_one():
    with t.line() as net:
        net.src.ethtool("s0", "tx-udp-segmentation", "off")
        capture = t.Capture(net.dst, "d0")
        into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(FRAME, 6000, mode="frame")])]) as d:
            for i in range(5):
                into.sendmsg([pattern(10 * 500, i)], [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", 500))], 0,
                             (IN, PORT))
            capture.wait(50, FRAME)
            d.account({"r": 50})
            t.equal(len(d.logged("gso_missing")), 1 if t.KERNEL < (6, 2) else 0, "event=gso_missing")
        t.equal(capture.super_frames > 0, t.KERNEL >= (6, 2), "super-frames to the destination")


if __name__ == "__main__":
    t.main()
