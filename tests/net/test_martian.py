#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Senders that cannot be: dropped as martian, whether an output keeps them or not; each beside one that passes."""
import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
IN6, OUT6 = "ff15::4d:1", "ff15::4d:2"
HOST, HOST6 = "198.18.2.1", "2001:db8:2::2"
BROADCAST, ALL = b"\xff" * 6, "255.255.255.255"

# This network, loopback, multicast, class E, the interface's own address and the broadcast of its subnet.
MARTIANS = ("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.255.0.1", "240.0.0.1", "255.255.255.254",
            ALL, "198.18.1.2", "198.18.1.255")
# Their neighbours, link-local senders, and what is the interface's no more beyond its subnet.
LEGAL = ("1.0.0.1", "126.255.255.254", "128.0.0.1", "223.255.255.254", "169.254.1.1", "198.18.1.1", "198.18.1.3",
         "198.18.1.254", "198.18.2.2", "198.18.3.255")
MARTIANS6 = ("::", "::1", "::2", "::198.18.1.1", "::ffff:198.18.1.1", "ff02::1", IN6, "2001:db8:1::1")
LEGAL6 = ("2001:db8:1::2", "2001:db8:2::1", "fe80::2", "fd00::1", "64:ff9b::c612:101", "e000::1")


def judged(net, rules, build, martians, legal, outputs, interface="in0", sender=("src", "s0"), captured=t.Capture.udp):
    """Sends one datagram of each sender. outputs: {destination: whether it keeps them}."""
    net.relay.ethtool("out0", "tx", "off")
    capture = t.Capture(net.dst, "d0")
    with t.Mcrd(net.relay, rules) as d:
        frames = [build(source, ("no: " if source in martians else "yes: ") + source) for source in martians + legal]
        t.RawSender(getattr(net, sender[0]), sender[1]).send(*frames)
        d.account({"r": len(legal)}, **{interface: {"martian": len(martians)}})
        t.wait_for(lambda: len(captured(capture)) >= len(legal) * len(outputs), 5, "what passes")
    for to, keeps in outputs.items():
        seen = [f for f in captured(capture) if f.destination == to]
        t.equal([f.payload.decode() for f in seen], ["yes: " + source for source in legal], f"what came to {to}")
        t.check(all(f.udp_checksum_ok for f in seen), f"{to}: checksums")
        if keeps:
            t.equal([f.source for f in seen], list(legal), f"senders, to {to}")


def datagram(source, text):
    return t.datagram(IN, PORT, text.encode(), source=source)


def datagram6(source, text):
    return t.datagram6(IN6, PORT, text.encode(), source=source)


@t.test("IPv4: by frames and raw that keep the sender, and by frames and sockets that do not")
def ipv4():
    keep = {"source": "preserve"}
    outputs = [t.to_group(OUT, OUT_PORT, **keep), t.to_host(HOST, OUT_PORT, **keep), t.to_group("239.255.1.2", OUT_PORT),
               t.to_group("239.255.1.3", OUT_PORT, mode="socket")]
    with t.line() as net:
        judged(net, [t.rule("r", IN, PORT, outputs)], datagram, MARTIANS, LEGAL,
               {OUT: True, HOST: True, "239.255.1.2": False, "239.255.1.3": False})


@t.test("IPv6: by frames and raw that keep the sender, and by frames that do not")
def ipv6():
    keep = {"source": "preserve"}
    outputs = [t.to_group(OUT6, OUT_PORT, **keep), t.to_host(HOST6, OUT_PORT, **keep), t.to_group("ff15::4d:3", OUT_PORT)]
    with t.line6() as net:
        judged(net, [t.rule("r", IN6, PORT, outputs)], datagram6, MARTIANS6, LEGAL6,
               {OUT6: True, HOST6: True, "ff15::4d:3": False}, captured=t.captured6)


@t.test("loopback: its own addresses and 127.0.0.0/8 are legal there, and nothing else that is not elsewhere")
def loopback():
    with t.line6() as net:
        net.relay.run("ip", "address", "add", "198.18.9.1/32", "dev", "lo")
        judged(net, [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], interface="lo")], datagram,
               ("0.0.0.0", "224.0.0.1", "240.0.0.1", ALL), ("127.0.0.1", "127.9.9.9", "198.18.9.1", "198.18.1.2"),
               {OUT: False}, "lo", ("relay", "lo"))
        judged(net, [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT)], interface="lo")], datagram6,
               ("::", "::ffff:127.0.0.1", "ff02::1"), ("::1", "2001:db8:1::1"), {OUT6: False}, "lo", ("relay", "lo"),
               captured=t.captured6)


def nameless(martians, legal, **keys):
    outputs = [{"interface": "out0", "broadcast": True, "port": 67}, t.to_group(OUT, 67, **keys)]
    with t.line() as net:
        judged(net, [t.rule_of("r", outputs, broadcast=True, port=67)],
               lambda source, text: t.datagram(ALL, 67, text.encode(), source=source, to=BROADCAST,
                                               udp_keys={"source_port": 68}),
               martians, legal, {ALL: False, OUT: keys.get("source") == "preserve"})


@t.test("0.0.0.0 into a broadcast input is a host without an address: forwarded, but never kept as the sender")
def without_address():
    nameless(("0.0.0.1", ALL, "198.18.1.255"), ("0.0.0.0", "198.18.1.1"))
    nameless(("0.0.0.1",), ("0.0.0.0", "198.18.1.1"), source_port="preserve")
    nameless(("0.0.0.0", "0.0.0.1"), ("198.18.1.1",), source="preserve")


@t.test("an address that the interface gets, or loses, at run time")
def address_changes():
    other = "198.18.1.77"
    with t.line() as net, t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]) as d:
        sender = t.RawSender(net.src, "s0")

        def until(key, of):
            """Sends until that counter grows."""
            before = of(d.stats())
            t.wait_for(lambda: sender.send(datagram(other, "x")) or of(d.stats()) > before, 5, key)

        def martian(stats):
            return next(i["martian"] for i in stats["interfaces"] if i["name"] == "in0")

        def passed(stats):
            return stats["rules"][0]["outputs"][0]["packets"]

        until("forwarded", passed)
        net.relay.run("ip", "address", "add", other + "/24", "dev", "in0")
        until("martian", martian)
        net.relay.run("ip", "address", "del", other + "/24", "dev", "in0")
        until("forwarded again", passed)


@t.test("in fragments, in super-frames, and in a VLAN")
def shapes():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)]),
             {"name": "v", "input": {"interface": "in0", "group": IN, "port": PORT, "vlan": 200},
              "outputs": [t.to_group(OUT, OUT_PORT + 1)]}]
    with t.line() as net:
        # The sender has an address that the relay's interface gets, too.
        net.relay.run("ip", "address", "add", t.SOURCE + "/24", "dev", "in0")
        with t.Mcrd(net.relay, rules) as d:
            sender = t.RawSender(net.src, "s0")
            sender.send(*t.fragments(IN, PORT, bytes(100), 48, source="127.0.0.1"),
                        t.datagram(IN, PORT, b"tagged", source="127.0.0.1", tags=((0x8100, 200),)))
            d.account({}, in0={"martian": 2})
            t.send(net.src, "s0", IN, PORT, count=40, gso=20)
            d.account({}, in0={"martian": 42})


if __name__ == "__main__":
    t.main()
