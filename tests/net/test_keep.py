#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sender's address and port are kept."""
import socket
import struct

import mcrtest as t

IN6, OUT6, OTHER6 = "ff15::4d:1", "ff15::4d:2", "ff15::4d:99"
IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST6, HOST = "2001:db8:2::2", "198.18.2.1"


KEEP = {"source": "preserve", "source_port": "preserve"}


@t.test("source and source_port = \"preserve\": group and unicast outputs, two senders in turn")
def preserve():
    outputs = [t.to_group(OUT, OUT_PORT, **KEEP), t.to_host(HOST, OUT_PORT, **KEEP),
               t.to_group("239.255.1.2", OUT_PORT)]
    who = [("198.18.1.1", 4000), ("198.18.1.77", 514), ("198.18.1.1", 4001), ("198.18.9.9", 65535)]
    sent = [(*who[i % 4 if i % 7 else 0], f"datagram {i}".encode().ljust(64)) for i in range(60)]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, p, source=a, udp_keys={"source_port": n}) for a, n, p in sent))
            for o in (OUT, HOST, "239.255.1.2"):
                capture.wait(len(sent), o)
            d.account({"r": len(sent)})
        for to in (OUT, HOST):
            seen = capture.udp(to)
            t.equal([(f.source, f.source_port, f.payload) for f in seen], sent, f"what came to {to}")
            t.check(all(f.ip_checksum_ok and f.udp_checksum_ok and f.ttl == 1 for f in seen), f"{to}: checksums, ttl")
            hardware = t.mac(net, "dst", "d0") if to == HOST else t.group_mac(OUT)
            t.equal({f.to for f in seen}, {hardware}, f"frames to {to}")
        t.equal({(f.source, f.source_port) for f in capture.udp("239.255.1.2")}, {("198.18.2.2", OUT_PORT)},
                "the output that does not keep them")


@t.test("preserve over IPv6: group and unicast outputs, two senders in turn")
def preserve6():
    outputs = [t.to_group(OUT6, OUT_PORT, **KEEP), t.to_host(HOST6, OUT_PORT, **KEEP)]
    who = [("2001:db8:1::2", 4000), ("2001:db8:9::77", 514), ("2001:db8:1::2", 4001)]
    sent = [(*who[i % 3], f"datagram {i}".encode().ljust(64)) for i in range(60)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN6, PORT, outputs)]) as d:
            sender.send(*(t.datagram6(IN6, PORT, p, source=a, source_port=n) for a, n, p in sent))
            t.wait_for(lambda: len(t.captured6(capture)) >= 2 * len(sent), 5,
                       f"{2 * len(sent)} datagrams")
            d.account({"r": len(sent)})
        for to in (OUT6, HOST6):
            seen = [f for f in t.captured6(capture) if f.destination == to]
            t.equal([(f.source, f.source_port, f.payload) for f in seen], sent, f"what came to {to}")
            t.check(all(f.udp_checksum_ok for f in seen), f"{to}: checksums")


@t.test("preserve with ttl = \"decrement\": of each datagram its own, and what has expired does not come")
def preserve_ttl():
    outputs = [t.to_group(OUT, OUT_PORT, ttl="decrement", **KEEP), t.to_host(HOST, OUT_PORT, ttl="decrement", **KEEP)]
    ttls = [64, 64, 3, 1, 2, 255, 64]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, bytes([i]) * 50, ttl=k, source=f"198.18.1.{7 + i % 2}", dscp=i)
                          for i, k in enumerate(ttls)))
            for o in (OUT, HOST):
                capture.wait(6, o)
            d.account({"r": {"packets": 7, "drops": {"ttl": 1}}})
        for to in (OUT, HOST):
            t.equal([(f.payload[0], f.ttl, f.source, f.source_port, f.dscp) for f in capture.udp(to)],
                    [(i, k - 1, f"198.18.1.{7 + i % 2}", 4000, i) for i, k in enumerate(ttls) if k > 1], to)


def preserve_volume(**options):
    outputs = [t.to_group(OUT, 6000, **KEEP), t.to_host(HOST, 6001, **KEEP)]
    with t.line() as net:
        t.passes(net, [t.rule("r", IN, PORT, outputs)], [(OUT, 6000), (HOST, 6001)], IN, source="198.18.1.1",
               source_port=514, **options)


@t.test("preserve: super-frames, to a group and a host")
def preserve_super_frames():
    preserve_volume(n=2000, gso=20)


@t.test("preserve: datagrams in fragments, to a group and a host, from the first one on")
def preserve_fragments():
    # A raw socket gives a packet with the id 0 an id of its own: each fragment another one.
    preserve_volume(n=40, size=20000, rate=200)


@t.test("source_port = \"preserve\" alone: to hosts of either family, two senders in turn, in fragments")
def preserve_port():
    outputs = [t.to_host(HOST, OUT_PORT, source_port="preserve", ttl=9, dscp=10),
               t.to_host(HOST6, OUT_PORT, source_port="preserve", ttl="decrement")]
    who = [("198.18.1.1", 4000), ("198.18.9.9", 514)]
    sent = [(*who[i % 2], f"datagram {i}".encode().ljust(64)) for i in range(40)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, p, source=a, dscp=i % 2, ttl=i + 2, udp_keys={"source_port": n})
                          for i, (a, n, p) in enumerate(sent)))
            capture.wait(len(sent), HOST)
            t.wait_for(lambda: len(t.captured6(capture)) >= len(sent), 5, "IPv6 datagrams")
            d.account({"r": len(sent)})
            t.equal(open_sockets(net.relay), {("raw", RAW_UDP, "198.18.2.2"), ("raw6", RAW_UDP, "2001:db8:2::1")},
                    "sockets")
        t.equal([(f.source, f.source_port, f.payload, f.ttl, f.dscp) for f in capture.udp(HOST)],
                [("198.18.2.2", n, p, 9, 10) for _, n, p in sent], HOST)
        t.equal([(f.source, f.source_port, f.payload, f.ttl, f.dscp) for f in t.captured6(capture)],
                [("2001:db8:2::1", n, p, i + 1, i % 2) for i, (_, n, p) in enumerate(sent)], HOST6)
        t.check(all(f.udp_checksum_ok for f in capture.udp(HOST) + t.captured6(capture)), "checksums")
        t.check(all(f.ip_checksum_ok and f.ident for f in capture.udp(HOST)), "IPv4 headers")
        t.passes(net, [t.rule("r", IN, PORT, outputs)], [(HOST, OUT_PORT), (HOST6, OUT_PORT)], IN, n=40, size=20000, ttl=8,
                 rate=200)


RAW_UDP, RAW_IP = 17, 255  # the protocols of raw sockets


def open_sockets(node):
    """The connected sockets of outputs in a node, from /proc/net: table, port or protocol, source."""
    found = set()
    for table in ("udp", "udp6", "raw", "raw6"):
        for words in (line.split() for line in node.read_proc(table).splitlines()[1:]):
            address, port = words[1].split(":")
            if words[3] == "01":  # established
                # 32-bit words in the machine's order.
                number = b"".join(struct.pack("=I", int(address[i:i + 8], 16)) for i in range(0, len(address), 8))
                family = socket.AF_INET if len(number) == 4 else socket.AF_INET6
                found.add((table, int(port, 16), socket.inet_ntop(family, number)))
    return found


LOW = [t.to_host(HOST, 6000, source_port=514, ttl=7, dscp=12), t.to_host(HOST6, 6003, source_port=515, ttl=8, dscp=13)]


def check_low(net, d, payloads):
    """Each output has sent the payloads, from its port below 1024, with its ttl and dscp."""
    capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
    sender.send(*(t.datagram(IN, PORT, p) for p in payloads))
    capture.wait(len(payloads), HOST)
    t.wait_for(lambda: len(t.captured6(capture)) >= len(payloads), 5, "IPv6 datagrams")
    found4, found6 = capture.udp(HOST), t.captured6(capture)
    t.equal([(f.source, f.source_port, f.port, f.ttl, f.dscp, f.payload) for f in found4],
            [("198.18.2.2", 514, 6000, 7, 12, p) for p in payloads], HOST)
    t.equal([(f.source, f.source_port, f.port, f.ttl, f.dscp, f.payload) for f in found6],
            [("2001:db8:2::1", 515, 6003, 8, 13, p) for p in payloads], HOST6)
    t.check(all(f.udp_checksum_ok for f in found4 + found6), "UDP checksums")
    t.check(all(f.ip_checksum_ok for f in found4), "IPv4 checksums")
    d.account({"r": len(payloads)})


def allow_ports_from(node, port):
    node.run("sh", "-ec", f"echo {port} > /proc/sys/net/ipv4/ip_unprivileged_port_start")


@t.test("source ports below 1024 to hosts: UDP sockets where the host allows it, which a reload finds, else raw UDP ones")
def low_source_port_bound():
    raw = {("raw", RAW_UDP, "198.18.2.2"), ("raw6", RAW_UDP, "2001:db8:2::1")}
    udp = {("udp", 514, "198.18.2.2"), ("udp6", 515, "2001:db8:2::1")}
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, LOW)]) as d:
            t.equal(open_sockets(net.relay), raw, "sockets")
            t.equal(len(d.logged("port_not_bound")), 1, "lines of port_not_bound")
            line = d.logged("port_not_bound")[0]
            t.check(" outputs=2 source_port=514 " in line and "ip_unprivileged_port_start=514 " in line, line)
            check_low(net, d, [b"raw", b""])
            d.reload()
            t.equal(len(d.logged("port_not_bound")), 1, "lines of port_not_bound after a reload")
        allow_ports_from(net.relay, 515)
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, LOW)]) as d:
            t.equal(open_sockets(net.relay), {("raw", RAW_UDP, "198.18.2.2"), ("udp6", 515, "2001:db8:2::1")}, "sockets")
            t.check(" outputs=1 source_port=514 " in d.logged("port_not_bound")[0], d.logged("port_not_bound")[0])
            allow_ports_from(net.relay, 514)
            t.check("result=accepted" in (answer := d.reload()), answer)
            t.wait_for(lambda: open_sockets(net.relay) == udp, 5, "the raw socket's end")
            check_low(net, d, [b"bound", b""])
            t.equal(len(d.logged("port_not_bound")), 1, "lines of port_not_bound")
        with net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("198.18.2.2", 514))
            with t.Mcrd(net.relay, [t.rule("r", IN, PORT, LOW)]) as d:
                t.equal(open_sockets(net.relay), {("raw", RAW_UDP, "198.18.2.2"), ("udp6", 515, "2001:db8:2::1")},
                        "sockets beside one that has the port")
                t.check("another program has the port" in d.logged("port_not_bound")[0], d.logged("port_not_bound")[0])
                check_low(net, d, [b"in use"])
        t.passes(net, [t.rule("r", IN, PORT, LOW)], [(HOST, 6000), (HOST6, 6003)], IN, n=2000, gso=20)


@t.test("an output whose source port another program has waits and says so, the others run; a reload tries again")
def source_port_taken():
    rules = [t.rule("blocked", IN, PORT, [t.to_host(HOST, 4840)]),
             t.rule("runs", IN, PORT + 1, [t.to_host(HOST, 4841)])]
    reason = "another program has source port 4840 (ss -ulpn): end it and reload, or set source_port"

    def states(d):
        return [(x["name"], x["state"], x["reason"]) for x in d.stats()["rules"]]

    waits = [("blocked", "waiting", reason), ("runs", "active", None)]
    with t.line() as net:
        with net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", 4840))
            with t.Mcrd(net.relay, rules) as d:
                t.equal(states(d), waits, "states after the start")
                t.check(f'reason="{reason}: Address already in use"' in d.logged("output_waiting")[0], "the log")
                t.check("result=accepted" in (answer := d.reload()), answer)
                t.equal(states(d), waits, "states after a reload")
                t.equal(len(d.logged("output_waiting")), 1, "lines of what waits")
                other.close()
                t.check("result=accepted" in (answer := d.reload()), answer)
                t.equal(states(d), [("blocked", "active", None), ("runs", "active", None)], "states with a free port")
                t.equal(len(d.logged("output_opened")), 1, "lines of what is open")
        with net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", 4840))
            d = t.Mcrd(net.relay, rules, missing_interface="reject")
            status, text = d.run_to_end()
            t.check(status == 1 and reason in text, f"where nothing may wait: {status} {text}")


@t.test("source_port = 514 to a host, a group in both modes, and over IPv6")
def low_source_port():
    outputs = [t.to_host(HOST, 6000, source_port=514), t.to_group(OUT, 6001, source_port=514, mode="socket"),
               t.to_group(OUT, 6002, source_port=514), t.to_host(HOST6, 6003, source_port=514)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(t.datagram(IN, PORT, b"one"), t.datagram(IN, PORT, b"two"))
            capture.wait(6)
            t.wait_for(lambda: len(t.captured6(capture)) >= 2, 5, "IPv6 datagrams")
            d.account({"r": 2})
        seen = capture.udp() + t.captured6(capture)
        t.equal(sorted((f.port, f.source_port, f.payload) for f in seen),
                sorted((p, 514, x) for p in range(6000, 6004) for x in (b"one", b"two")), "datagrams")
        t.check(all(f.udp_checksum_ok for f in seen), "checksums")


if __name__ == "__main__":
    t.main()
