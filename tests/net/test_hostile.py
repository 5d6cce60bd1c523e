#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What no rule names, and what cannot be, is not forwarded; each has its own counter or never leaves the kernel."""
import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]
STRANGER = bytes.fromhex("020000009999")


def nothing_but(net, configured, frames, expected, args=(), **counters):
    """Sends frames and then one that must pass; what passes must be `expected` (payloads), in this order, and that one.

    counters: rules and interfaces as in Mcrd.account(), the last one not counted.
    """
    capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
    counted = dict(counters.pop("rules", {}))
    last = counted.setdefault(configured[0]["name"], 0)
    counted[configured[0]["name"]] = last + 1 if isinstance(last, int) else {**last, "packets": last["packets"] + 1}
    fence = t.datagram(configured[0]["input"]["group"], configured[0]["input"]["port"], b"the last one",
                       source=(configured[0]["input"].get("sources") or [t.SOURCE])[0])
    with t.Mcrd(net.relay, configured, args) as d:
        sender.send(*frames, fence)
        capture.wait_payload(b"the last one")
        d.account(counted, **counters)
    t.equal([f.payload for f in capture.udp()], [*expected, b"the last one"], "what was forwarded")


@t.test("wrong group, wrong port: never leave the kernel")
def wrong_destination():
    with t.line() as net:
        nothing_but(net, RULE, [
            t.datagram("239.255.0.2", PORT, b"group"), t.datagram(IN, PORT + 1, b"port"),
            t.datagram(IN, PORT - 1, b"port"), t.datagram("224.0.0.1", PORT, b"all hosts"),
            t.datagram("239.127.0.1", PORT, b"same Ethernet address"),
            t.datagram("198.18.1.2", PORT, b"unicast", to=t.mac(net, "relay", "in0")),
            t.datagram("198.18.1.255", PORT, b"broadcast", to=b"\xff" * 6),
            t.datagram(OUT, OUT_PORT, b"the output's address"),
        ], [])


@t.test("the neighbours of several rules: only the exact pairs of group and port")
def exact_pairs():
    inputs = [("239.255.0.1", 5000), ("239.255.0.1", 5002), ("239.255.0.3", 5000), ("239.255.1.1", 5001),
              ("239.255.2.0", 80), ("239.255.2.0", 65535), ("239.255.2.0", 1)]
    rules = [t.rule(f"r{i}", g, p, [t.to_group(f"239.255.9.{i}", OUT_PORT)]) for i, (g, p) in enumerate(inputs)]
    groups, ports = sorted({g for g, _ in inputs} | {"239.255.0.0", "239.255.0.2", "239.255.3.0"}), (
        1, 2, 79, 80, 81, 4999, 5000, 5001, 5002, 5003, 65534, 65535)
    frames = [t.datagram(g, p, f"{g} {p}".encode()) for g in groups for p in ports]
    wanted = [f"{g} {p}".encode() for g in groups for p in ports if (g, p) in inputs]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*frames)
            capture.wait(len(wanted))
            d.account({r["name"]: 1 for r in rules})
        # Rules that wait in the same pass leave in the order in which each was hit first.
        t.equal(sorted(f.payload for f in capture.udp()), sorted(wanted), "what was forwarded")


@t.test("a wrong UDP checksum is dropped and counted, never signed anew")
def bad_udp_checksum():
    def changed(payload, at):
        f = bytearray(t.datagram(IN, PORT, payload))
        f[at] ^= 0x10
        return bytes(f)

    frames = [t.datagram(IN, PORT, b"checksum", udp_keys={"checksum": "bad"}),
              t.datagram(IN, PORT, b"checksum of ones", udp_keys={"checksum": 0xffff}),
              changed(b"a bit of the payload", 50), changed(b"the last bit of an odd payload!", 42 + 30),
              changed(b"source port", 34), changed(b"\0", 42), t.datagram(IN, PORT, b"", udp_keys={"checksum": 1})]
    with t.line() as net:
        nothing_but(net, RULE, frames, [], in0={"bad_checksum": len(frames)})
        nothing_but(net, RULE, [t.datagram(IN, PORT, b"none", udp_keys={"checksum": 0})], [b"none"], rules={"r": 1})


@t.test("the same where the link coalesces (GRO)")
def bad_udp_checksum_gro():
    with t.line() as net:
        net.relay.ethtool("in0", "gro", "on")
        good, bad = t.datagram(IN, PORT, b"g" * 100), t.datagram(IN, PORT, b"b" * 100, udp_keys={"checksum": "bad"})
        nothing_but(net, RULE, [good, bad, good, good, bad, good], [b"g" * 100] * 4, rules={"r": 4},
                    in0={"bad_checksum": 2})


@t.test("a wrong IP header checksum, version or length is malformed")
def malformed():
    whole = t.datagram(IN, PORT, b"0123456789")
    body = t.udp(t.SOURCE, IN, b"0123456789", PORT)

    def ip(**keys):
        return t.frame(t.ipv4(t.SOURCE, IN, keys.pop("body", body), **keys), t.group_mac(IN))

    frames = [
        ip(checksum="bad"), ip(checksum=0), ip(version=6), ip(version=0),
        ip(length=len(body) + 21),  # beyond the frame
        ip(length=65535), ip(length=0), ip(length=19),
        ip(length=27),  # no room for a UDP header
        ip(length=20 + len(body) - 1),  # cuts the datagram off
        ip(body=t.udp(t.SOURCE, IN, b"0123456789", PORT, length=19)),  # beyond the packet
        ip(body=t.udp(t.SOURCE, IN, b"0123456789", PORT, length=65535)),
        ip(body=t.udp(t.SOURCE, IN, b"0123456789", PORT, length=7)),
        ip(body=t.udp(t.SOURCE, IN, b"0123456789", PORT, length=0)),
        whole[:38],  # ends behind the ports
        whole[:-1], whole[:42],
    ]
    with t.line() as net:
        nothing_but(net, RULE, frames, [], in0={"malformed": len(frames)})


@t.test("UDP length below the packet's: the datagram ends there, what is behind it is not payload")
def short_udp_length():
    inner = t.udp(t.SOURCE, IN, b"0123", PORT)
    with t.line() as net:
        nothing_but(net, RULE, [t.frame(t.ipv4(t.SOURCE, IN, inner + b"behind it"), t.group_mac(IN))], [b"0123"],
                    rules={"r": 1})


@t.test("an IP header length below 5 words never passes, wherever the port then seems to be")
def short_header():
    # With a length of 4 words the filter looks for the port in the lower half of the group's address: 19.136 is 5000.
    group = "239.255.19.136"
    rules = [t.rule("r", group, PORT, [t.to_group(OUT, OUT_PORT)])]
    body = t.udp(t.SOURCE, group, b"0123456789", PORT)
    frames = [t.frame(t.ipv4(t.SOURCE, group, body, ihl=n), t.group_mac(group)) for n in (4, 3, 0, 15)]
    with t.line() as net:
        nothing_but(net, rules, frames, [], in0={"malformed": 1})


@t.test("frames that end early")
def cut_frames():
    whole = t.datagram(IN, PORT, b"0123456789")
    with t.line() as net:
        # Without the ports the filter drops them.
        nothing_but(net, RULE, [whole[:n] for n in (14, 15, 24, 33, 34, 37)], [])


@t.test("VLAN tags: 200 is counted and not forwarded, a priority tag (0) passes")
def vlan_tags():
    def tagged(payload, *tags):
        return t.datagram(IN, PORT, payload, tags=tags)

    frames = [tagged(b"200", (0x8100, 200)), tagged(b"priority 0", (0x8100, 0)),
              tagged(b"priority 5", (0x8100, 5 << 13)), tagged(b"1 priority 5", (0x8100, 5 << 13 | 1)),
              tagged(b"4095", (0x8100, 4095)), tagged(b"provider 200", (0x88a8, 200))]
    with t.line() as net:
        nothing_but(net, RULE, frames, [b"priority 0", b"priority 5"], rules={"r": 2}, in0={"vlan": 4})
        # The type behind the outer tag is a tag again: no IPv4 to the filter.
        nothing_but(net, RULE, [tagged(b"200 in 300", (0x88a8, 300), (0x8100, 200)),
                                tagged(b"0 in 0", (0x8100, 0), (0x8100, 0))], [])


@t.test("a tagged stream of a VLAN interface of the source")
def vlan_interface():
    with t.line() as net:
        status, _, err = net.src.run("ip", "link", "add", "link", "s0", "name", "s0.200", "type", "vlan", "id", "200",
                                     check_status=False)
        if status != 0:
            raise t.Skip(f"no VLAN interface: {err.strip()}")
        net.src.run("ip", "link", "set", "s0.200", "up")
        net.src.run("ip", "address", "add", "198.18.7.1/24", "dev", "s0.200")
        with t.Mcrd(net.relay, RULE) as d:
            capture = t.Capture(net.dst, "d0")
            t.send(net.src, "s0.200", IN, PORT, count=50, rate=5000)
            d.account(in0={"vlan": 50})
            t.equal(capture.udp(), [], "what was forwarded")


@t.test("Ethernet padding is not payload")
def padding():
    def padded(payload, pad):
        return t.datagram(IN, PORT, payload) + pad

    with t.line() as net:
        nothing_but(net, RULE, [padded(b"12345", bytes(13)), padded(b"", b"\xff" * 18), padded(b"odd", b"garbage"),
                                padded(b"long", b"p" * 1000)], [b"12345", b"", b"odd", b"long"], rules={"r": 4})


@t.test("a frame to another station's address is not forwarded")
def other_station():
    with t.line() as net:
        other = t.datagram(IN, PORT, b"other station", to=STRANGER)
        nothing_but(net, RULE, [other], [], in0={"unmatched": 1})
        net.relay.run("ip", "link", "set", "in0", "promisc", "on")
        nothing_but(net, RULE, [other], [], in0={"unmatched": 1})


@t.test("other protocols to the group never leave the kernel")
def other_protocols():
    body = t.udp(t.SOURCE, IN, b"0123456789", PORT)
    frames = [t.frame(t.ipv4(t.SOURCE, IN, body, protocol=p), t.group_mac(IN)) for p in (6, 2, 136, 0, 255)]
    frames += [t.frame(t.ipv4(t.SOURCE, IN, body), t.group_mac(IN), kind=k) for k in (0x86dd, 0x0806, 0x88b5, 46)]
    with t.line() as net:
        nothing_but(net, RULE, frames, [])


@t.test("what the relay host itself sends on the input interface is not forwarded")
def own_frames():
    for args, counted in (((), 0), (("--without", "ignore-outgoing"), 100)):
        with t.line() as net, t.Mcrd(net.relay, RULE, args) as d:
            capture = t.Capture(net.dst, "d0")
            seen = t.Capture(net.src, "s0")
            t.send(net.relay, "in0", IN, PORT, count=100, rate=0)
            seen.wait(100, IN, PORT)
            t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"fence"))
            capture.wait_payload(b"fence")
            d.account({"r": 1}, in0={"own": counted})
            t.equal([f.payload for f in capture.udp()], [b"fence"], "what was forwarded")


@t.test("one-way: nothing of the output's side reaches the source's side")
def one_way():
    rules = RULE + [t.rule("u", "239.255.0.2", PORT, [t.to_host("198.18.2.1", OUT_PORT)]),
                    t.rule("s", "239.255.0.3", PORT, [t.to_group("239.255.1.3", OUT_PORT, mode="socket")])]
    with t.line() as net:
        relay_mac = t.mac(net, "relay", "out0")
        seen, back = t.Capture(net.dst, "d0"), t.Capture(net.src, "s0")
        forward, reverse = t.RawSender(net.src, "s0"), t.RawSender(net.dst, "d0")
        with t.Mcrd(net.relay, rules) as d:
            # Also where the relay's own addresses and ports are aimed at.
            for to, port in ((IN, PORT), (OUT, OUT_PORT), ("239.255.0.2", PORT), ("239.255.1.3", OUT_PORT),
                             ("198.18.2.2", OUT_PORT), ("198.18.1.2", PORT), ("198.18.1.1", PORT)):
                mac = t.group_mac(to) if t.is_group(to) else relay_mac
                for source_port in (4000, OUT_PORT, PORT):
                    reverse.send(t.datagram(to, port, b"reverse", source="198.18.2.1", to=mac,
                                            udp_keys={"source_port": source_port}))
            forward.send(*(t.datagram(g, PORT, b"forward") for g in (IN, "239.255.0.2", "239.255.0.3")))
            seen.wait(3)
            d.account({"r": 1, "u": 1, "s": 1})
        coming = [f for f in back.poll() if not f.outgoing]
        # The relay's memberships are all that it says there.
        t.equal([f for f in coming if f.kind != 0x0800 or f.protocol != 2], [], "frames into the source's side")


@t.test("nothing listens: the relay's sockets are connected, write-only, or unbound")
def nothing_listens():
    rules = RULE + [t.rule("u", "239.255.0.2", PORT, [t.to_host("198.18.2.1", OUT_PORT)]),
                    t.rule("s", "239.255.0.3", PORT, [t.to_group("239.255.1.3", OUT_PORT, mode="socket")])]

    def table(net, name):
        try:
            return [x.split() for x in net.relay.read_proc(name).splitlines()[1:]]
        except FileNotFoundError:
            return []

    def address(text):
        number, port = text.split(":")
        return ".".join(str(b) for b in reversed(bytes.fromhex(number))), int(port, 16)

    with t.line() as net, t.Mcrd(net.relay, rules):
        t.equal(sorted((address(w[1]), address(w[2]), w[3]) for w in table(net, "udp")),
                [(("198.18.2.2", OUT_PORT), ("198.18.2.1", OUT_PORT), "01"),
                 (("198.18.2.2", OUT_PORT), ("239.255.1.3", OUT_PORT), "01")], "UDP sockets (01: connected)")
        for name in ("udp6", "tcp", "tcp6", "raw", "raw6", "udplite"):
            t.equal(table(net, name), [], name)
        # Packet sockets: one that receives (protocol 3, all) on in0, two that only send (0) on out0, with and without a ring.
        # Those that later rings will be made of are bound to nothing.
        interfaces = {line.split(":")[0]: line.split(": ")[1].split("@")[0] for line in
                      net.relay.run("ip", "-o", "link")[1].splitlines()}
        interfaces["0"] = "none"
        sockets = sorted((interfaces[w[4]], w[3]) for w in table(net, "packet"))
        t.equal([x for x in sockets if x != ("none", "0000")], [("in0", "0003"), ("out0", "0000"), ("out0", "0000")],
                "packet sockets")


if __name__ == "__main__":
    t.main()
