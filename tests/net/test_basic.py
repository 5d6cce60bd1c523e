#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One rule and its output: who gets what, and how it is addressed."""
import socket
import struct

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000


def one_rule(**output):
    return [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, **output)])]


def rewritten(net, rules, frames, n=None):
    """Sends frames by hand and returns what the receiver's link sees, with finished checksums."""
    net.relay.ethtool("out0", "tx", "off")
    capture = t.Capture(net.dst, "d0")
    sender = t.RawSender(net.src, "s0")
    with t.Mcrd(net.relay, rules) as d:
        sender.send(*frames)
        capture.wait(len(frames) if n is None else n)
        d.account({r["name"]: len(frames) for r in rules})
    return capture.udp()


@t.test("one rule, group to group: 1000 datagrams, each once and unchanged")
def one_rule_group():
    with t.line() as net, t.Mcrd(net.relay, one_rule()) as d:
        r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=1000)
        t.send(net.src, "s0", IN, PORT, count=1000, rate=10000)
        t.equal(r.all_came()["received"], 1000, "received")
        s = d.account({"r": 1000})
        t.equal(s["rules"][0]["state"], "active", "state")
        t.equal(s["rules"][0]["bytes"], 1000 * 1316, "bytes")
        t.equal(s["rules"][0]["outputs"][0]["bytes"], 1000 * 1316, "bytes of the output")
        t.equal(s["pid"], d.process.pid, "pid")


@t.test("one rule, group to group, mode = \"socket\"")
def one_rule_group_socket():
    with t.line() as net, t.Mcrd(net.relay, one_rule(mode="socket", ttl=3, dscp="af41")) as d:
        net.relay.ethtool("out0", "tx", "off")
        capture = t.Capture(net.dst, "d0")
        r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=500)
        t.send(net.src, "s0", IN, PORT, count=500, rate=10000)
        r.all_came()
        d.account({"r": 500})
        for f in capture.udp():
            t.equal((f.to, f.source, f.source_port, f.ttl, f.dscp), (t.group_mac(OUT), "198.18.2.2", OUT_PORT, 3, 34),
                    "addressing")
            t.check(f.ip_checksum_ok and f.udp_checksum_ok, "checksums")


@t.test("unicast output: what comes while ARP resolves the receiver arrives too")
def unicast_through_arp():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.2.1", OUT_PORT)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        net.relay.run("ip", "neighbour", "flush", "dev", "out0")
        r = t.Receiver(net.dst, "d0", "198.18.2.1", OUT_PORT, expect=300)
        t.send(net.src, "s0", IN, PORT, count=40, rate=0)
        t.send(net.src, "s0", IN, PORT, count=260, first=40, rate=5000)
        r.all_came()
        d.account({"r": 300})


@t.test("unicast output to a host behind a router")
def unicast_through_router():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.3.1", OUT_PORT, ttl=2)])]
    with t.line() as net:
        far = net.node("far")
        net.link(net.dst, "d1", "198.18.3.2/24", far, "f0", "198.18.3.1/24")
        net.relay.run("ip", "route", "add", "198.18.3.0/24", "via", "198.18.2.1")
        net.dst.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        with t.Mcrd(net.relay, rules) as d:
            r = t.Receiver(far, "f0", "198.18.3.1", OUT_PORT, expect=200)
            t.send(net.src, "s0", IN, PORT, count=200, rate=5000)
            r.all_came()
            d.account({"r": 200})


@t.test("the receiver of a unicast output is not listening: no datagram is charged to the wrong side")
def unicast_refused():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.2.1", OUT_PORT)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        capture = t.Capture(net.dst, "d0")
        # One by one, so that the ICMP error of each is there before the next one is sent.
        for i in range(20):
            t.send(net.src, "s0", IN, PORT, count=1, first=i)
            capture.wait(i + 1, "198.18.2.1", OUT_PORT)
        d.account({"r": 20})


@t.test("the emitted frame: addresses, ports, default ttl, no DF, rising ids, checksums")
def emitted_frame():
    payloads = [bytes([i]) * (i + 1) for i in range(40)]
    with t.line() as net:
        frames = [t.datagram(IN, PORT, p, ttl=64, flags=2) for p in payloads]
        seen = rewritten(net, one_rule(), frames)
        sender = t.mac(net, "relay", "out0")
        t.equal([f.payload for f in seen], payloads, "payloads")
        for f in seen:
            t.equal(f.to.hex(":"), "01:00:5e:7f:01:01", "destination address of the frame")
            t.equal(f.sender, sender, "source address of the frame")
            t.equal((f.source, f.destination), ("198.18.2.2", OUT), "addresses")
            t.equal((f.source_port, f.port), (OUT_PORT, OUT_PORT), "ports")
            t.equal((f.ttl, f.header_length), (1, 20), "ttl and header length")
            t.equal((f.dont_fragment, f.more, f.offset), (False, False, 0), "fragmentation")
            t.equal(f.udp_length, len(f.payload) + 8, "UDP length")
            t.check(f.ip_checksum_ok, "IP header checksum")
            t.check(f.udp_checksum_ok and f.udp_checksum != 0, "UDP checksum")
        # RFC 6864: of a datagram that may be fragmented the id must not repeat.
        t.equal(len({f.ident for f in seen}), len(seen), "distinct ids")


@t.test("group addresses whose Ethernet address drops bits (RFC 1112)")
def group_mac_mapping():
    rules = [t.rule("high", "239.255.0.1", PORT, [t.to_group("239.255.129.7", OUT_PORT)]),
             t.rule("low", "239.255.0.2", PORT, [t.to_group("233.252.0.255", OUT_PORT)])]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram("239.255.0.1", PORT, b"high"), t.datagram("239.255.0.2", PORT, b"low"))
            capture.wait(2)
            d.account({"high": 1, "low": 1})
        t.equal({f.payload: f.to.hex(":") for f in capture.udp()},
                {b"high": "01:00:5e:7f:81:07", b"low": "01:00:5e:7c:00:ff"}, "Ethernet addresses")


@t.test("ttl = N")
def ttl_number():
    with t.line() as net:
        seen = rewritten(net, one_rule(ttl=200), [t.datagram(IN, PORT, b"x", ttl=k) for k in (1, 64, 255)])
        t.equal([f.ttl for f in seen], [200, 200, 200], "ttl")


@t.test("ttl = \"decrement\", and its end")
def ttl_decrement():
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, one_rule(ttl="decrement")) as d:
            sender.send(*(t.datagram(IN, PORT, bytes([k]), ttl=k) for k in (1, 2, 0, 64, 1, 255)))
            capture.wait(3)
            d.account({"r": {"packets": 6, "drops": {"ttl": 3}}})
        t.equal([(f.payload[0], f.ttl) for f in capture.udp()], [(2, 1), (64, 63), (255, 254)], "ttl")


@t.test("ttl = \"decrement\" beside an output with a ttl of its own: expired is that output's alone")
def ttl_expired_at_one_output():
    outputs = [t.to_group(OUT, OUT_PORT, ttl="decrement"), t.to_group("239.255.1.2", OUT_PORT, ttl=7)]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, bytes([k]), ttl=k) for k in (1, 9)))
            capture.wait(3)
            d.account({"r": {"packets": 2, "outputs": [{"packets": 1, "expired": 1}, 2]}})
        t.equal(sorted((f.destination, f.ttl) for f in capture.udp()),
                [(OUT, 8), ("239.255.1.2", 7), ("239.255.1.2", 7)], "ttl")


@t.test("ttl = \"decrement\" in socket mode, changing from datagram to datagram")
def ttl_decrement_socket():
    with t.line() as net:
        ttls = [5, 5, 9, 2, 255, 9]
        seen = rewritten(net, one_rule(ttl="decrement", mode="socket"),
                         [t.datagram(IN, PORT, b"x", ttl=k) for k in ttls])
        t.equal([f.ttl for f in seen], [k - 1 for k in ttls], "ttl")


@t.test("dscp: preserved by default, in both modes, without ECN bits")
def dscp_preserve():
    codes = [0, 46, 46, 10, 63, 1]
    for mode in ("frame", "socket"):
        with t.line() as net:
            seen = rewritten(net, one_rule(mode=mode), [t.datagram(IN, PORT, b"x", dscp=k) for k in codes])
            t.equal([(f.dscp, f.ecn) for f in seen], [(k, 0) for k in codes], f"dscp in {mode} mode")


@t.test("dscp: a number, a name")
def dscp_set():
    outputs = [t.to_group(OUT, OUT_PORT, dscp=17), t.to_group("239.255.1.2", OUT_PORT, dscp="ef"),
               t.to_group("239.255.1.3", OUT_PORT, dscp="cs1", mode="socket")]
    with t.line() as net:
        seen = rewritten(net, [t.rule("r", IN, PORT, outputs)], [t.datagram(IN, PORT, b"x", dscp=46)], 3)
        t.equal({f.destination: f.dscp for f in seen}, {OUT: 17, "239.255.1.2": 46, "239.255.1.3": 8}, "dscp")


@t.test("a source address that is given, also one that the interface does not have (frame mode)")
def source_given():
    outputs = [t.to_group(OUT, OUT_PORT, source="198.19.7.7"), t.to_group("239.255.1.2", OUT_PORT, source="198.18.2.2")]
    with t.line() as net:
        seen = rewritten(net, [t.rule("r", IN, PORT, outputs)], [t.datagram(IN, PORT, b"x")], 2)
        t.equal({f.destination: f.source for f in seen}, {OUT: "198.19.7.7", "239.255.1.2": "198.18.2.2"}, "source")
        t.check(all(f.udp_checksum_ok for f in seen), "UDP checksum")


@t.test("source_port given, in both modes, and below 1024 in frame mode")
def source_port_given():
    outputs = [t.to_group(OUT, OUT_PORT, source_port=319), t.to_group("239.255.1.2", OUT_PORT, source_port=40000,
                                                                     mode="socket"),
               t.to_host("198.18.2.1", OUT_PORT, source_port=40001), t.to_group("239.255.1.3", OUT_PORT)]
    with t.line() as net:
        seen = rewritten(net, [t.rule("r", IN, PORT, outputs)], [t.datagram(IN, PORT, b"x")], 4)
        t.equal({f.destination: f.source_port for f in seen},
                {OUT: 319, "239.255.1.2": 40000, "198.18.2.1": 40001, "239.255.1.3": OUT_PORT}, "source port")


@t.test("an IP header with options is taken, the emitted one has none")
def ip_options():
    with t.line() as net:
        frames = [t.datagram(IN, PORT, b"with options", options=bytes([148, 4, 0, 0])),
                  t.datagram(IN, PORT, b"longest header", options=b"\1" * 40)]
        seen = rewritten(net, one_rule(), frames)
        t.equal([(f.payload, f.header_length) for f in seen],
                [(b"with options", 20), (b"longest header", 20)], "frames")


@t.test("UDP checksums at the edge: none, one that is written 0xffff, one that becomes 0xffff")
def checksum_edges():
    with t.line() as net:
        # Two bytes more in the payload make the sum of the datagram what we want: as it comes in, and as it leaves.
        def tuned(source, group, source_port, port):
            sum_without = t.udp(source, group, b"\0\0\0\0", port, source_port=source_port)
            value, = struct.unpack_from("!H", sum_without, 6)
            return b"\0\0" + struct.pack("!H", value)

        incoming = tuned(t.SOURCE, IN, 4000, PORT)
        outgoing = tuned("198.18.2.2", OUT, OUT_PORT, OUT_PORT)
        frames = [t.datagram(IN, PORT, b"no checksum", udp_keys={"checksum": 0}), t.datagram(IN, PORT, incoming),
                  t.datagram(IN, PORT, outgoing)]
        t.equal(frames[1][-6:-4], b"\xff\xff", "the checksum of the second frame")
        seen = rewritten(net, one_rule(), frames)
        t.equal([f.payload for f in seen], [b"no checksum", incoming, outgoing], "payloads")
        t.check(all(f.udp_checksum_ok and f.udp_checksum for f in seen), "UDP checksums")
        t.equal(seen[2].udp_checksum, 0xffff, "the checksum that would be 0")


@t.test("the payload of a plain socket comes out of a plain socket")
def plain_sockets():
    with t.line() as net, t.Mcrd(net.relay, one_rule()) as d:
        out = net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.settimeout(5)
        with net.dst.inside():
            out.bind((OUT, OUT_PORT))
            out.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                           socket.inet_aton(OUT) + socket.inet_aton("198.18.2.1"))
        into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
        into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
        into.sendto(b"hello", (IN, PORT))
        t.equal(out.recvfrom(2000), (b"hello", ("198.18.2.2", OUT_PORT)), "received")
        d.account({"r": 1})


if __name__ == "__main__":
    t.main()
