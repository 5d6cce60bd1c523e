#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unicast and broadcast inputs, broadcast outputs."""
import re
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST6, HOST = "2001:db8:2::2", "198.18.2.1"
BROADCAST = b"\xff" * 6
IN6, OUT6, OTHER6 = "ff15::4d:1", "ff15::4d:2", "ff15::4d:99"


def icmp(capture, kind=0x0800):
    """The ICMP packets that came, but neighbour discovery and MLD: destination unreachable is what matters."""
    found = []
    for f in capture.poll():
        if f.outgoing or f.kind != kind:
            continue
        if kind == 0x0800 and f.data[23] == 1 and f.data[14 + (f.data[14] & 15) * 4] == 3:
            found.append(f)
        if kind == 0x86dd and f.data[20] == 58 and f.data[54] == 1:
            found.append(f)
    return found


@t.test("unicast input, IPv4 and IPv6: forwarded, no ICMP error to the sender; another port: an error, not forwarded")
def unicast_input():
    with t.line6() as net:
        for address, to, kind in (("198.18.1.2", OUT, 0x0800), ("2001:db8:1::1", OUT6, 0x86dd)):
            rules = [t.rule_of("r", [t.to_group(to, OUT_PORT), t.to_host(HOST, 6001)], address=address, port=PORT)]
            back = t.Capture(net.src, "s0")
            with t.Mcrd(net.relay, rules) as d:
                receivers = [t.Receiver(net.dst, "d0", a, p, expect=500) for a, p in ((to, OUT_PORT), (HOST, 6001))]
                # So slow that ICMP's rate limit lets errors through.
                t.send(net.src, "s0", address, PORT, count=480, rate=2000)
                t.send(net.src, "s0", address, PORT, count=20, first=480, gso=20)
                for r in receivers:
                    r.all_came()
                d.account({"r": 500})
                t.equal(len(icmp(back, kind)), 0, f"{address}: ICMP errors for the rule's port")
                t.send(net.src, "s0", address, PORT + 1, count=3, first=900, check_status=False)
                t.wait_for(lambda b=back, k=kind: icmp(b, k), 3, f"{address}: an ICMP error for another port")
                d.account({"r": 500})


@t.test("unicast input at a port below 1024: forwarded all the same, and the log says how to keep the kernel quiet")
def unicast_reserved():
    rules = [t.rule_of("r", [t.to_group(OUT, OUT_PORT)], address="198.18.1.2", port=514)]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        for start, quiet in ((1024, False), (514, True)):
            net.relay.run("sh", "-ec", f"echo {start} > /proc/sys/net/ipv4/ip_unprivileged_port_start")
            with t.Mcrd(net.relay, rules) as d:
                lines = d.logged("input_not_quiet")
                t.equal(len(lines), 0 if quiet else 1, "lines of input_not_quiet")
                t.check(quiet or "ip_unprivileged_port_start=514 " in lines[0], f"{lines}")
                sender.send(t.datagram("198.18.1.2", 514, b"%d" % start, to=t.mac(net, "relay", "in0")))
                capture.wait_payload(b"%d" % start)


@t.test("unicast input: an address that the interface does not have: effect and hint of the log say so")
def unicast_no_address():
    with t.line() as net, t.Mcrd(net.relay, [t.rule_of("r", [t.to_group(OUT, OUT_PORT)], address="198.18.1.77", port=PORT)]) as d:
        lines = d.logged("input_not_quiet")
        t.check(len(lines) == 1 and ' effect="its senders find no host" hint="give the interface this address, or mend address" '
                in lines[0], f"{lines}")


@t.test("unicast input: not what is for the group of the same port, nor for another address of the relay")
def unicast_input_only():
    rules = [t.rule_of("r", [t.to_group(OUT, OUT_PORT)], address="198.18.1.2", port=PORT)]
    with t.line() as net:
        net.relay.run("ip", "address", "add", "198.18.1.3/24", "dev", "in0")
        to = t.mac(net, "relay", "in0")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram(IN, PORT, b"group"), t.datagram("198.18.1.3", PORT, b"other address", to=to),
                        t.datagram("198.18.1.255", PORT, b"subnet", to=BROADCAST),
                        t.datagram("255.255.255.255", PORT, b"all", to=BROADCAST),
                        t.datagram("198.18.1.2", PORT, b"low source port", to=to, udp_keys={"source_port": 7}),
                        t.datagram("198.18.1.2", PORT, b"last", to=to))
            capture.wait_payload(b"last")
            d.account({"r": 2})
        t.equal([f.payload for f in capture.udp(OUT)], [b"low source port", b"last"], "forwarded")


@t.test("broadcast input: 255.255.255.255 and the subnet's; output broadcast = true")
def broadcast():
    # The address as "ip address add" sets it up without brd: the kernel takes the subnet's broadcasts all the same.
    broadcast_with(None)


@t.test("the same where the interface's broadcast address is set (brd +)")
def broadcast_set():
    broadcast_with("+")


def broadcast_with(brd):
    rules = [t.rule_of("r", [{"interface": "out0", "broadcast": True, "port": OUT_PORT}, t.to_group(OUT, OUT_PORT)],
                       broadcast=True, port=PORT)]
    with t.line() as net:
        if brd:
            net.relay.run("ip", "address", "flush", "dev", "in0")
            net.relay.run("ip", "address", "add", "198.18.1.2/24", "brd", brd, "dev", "in0")
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram("255.255.255.255", PORT, b"all", to=BROADCAST),
                        t.datagram("198.18.1.255", PORT, b"subnet", to=BROADCAST),
                        t.datagram("198.18.2.255", PORT, b"other subnet", to=BROADCAST),
                        t.datagram("255.255.255.255", PORT + 1, b"other port", to=BROADCAST),
                        t.datagram(IN, PORT, b"group"),
                        t.datagram("198.18.1.2", PORT, b"unicast", to=t.mac(net, "relay", "in0")),
                        t.datagram("255.255.255.255", PORT, b"last", to=BROADCAST))
            capture.wait_payload(b"last")
            capture.wait(6, port=OUT_PORT)
            d.account({"r": 3})
        seen = capture.udp(port=OUT_PORT)
        for to, hardware in (("255.255.255.255", BROADCAST), (OUT, t.group_mac(OUT))):
            mine = [f for f in seen if f.destination == to]
            t.equal([f.payload for f in mine], [b"all", b"subnet", b"last"], f"datagrams to {to}")
            for f in mine:
                t.equal((f.to, f.source, f.ttl), (hardware, "198.18.2.2", 1), f"addressing to {to}")
                t.check(f.ip_checksum_ok and f.udp_checksum_ok, "checksums")
        t.equal(len(seen), 6, "datagrams in all")


@t.test("the subnet's broadcast as the address of another rule: refused by start and reload, both rules are named")
def broadcast_as_address():
    first = t.rule_of("all", [t.to_group(OUT, OUT_PORT)], broadcast=True, port=PORT)
    other = [t.rule_of("port", [t.to_group(OUT, OUT_PORT + 1)], address="198.18.1.255", port=PORT + 1),
             t.rule_of("subnet", [t.to_group(OUT, OUT_PORT + 1)], address="198.18.2.255", port=PORT)]
    same = t.rule_of("one", [t.to_group(OUT, OUT_PORT + 1)], address="198.18.1.255", port=PORT)
    both = r'rules \W+%s\W+ and \W+%s\W+ both take in 198\.18\.1\.255, port 5000, a broadcast of interface \W+in0'
    with t.line() as net:
        status, said = t.Mcrd(net.relay, [first, same]).run_to_end()
        t.equal(status, 1, f"exit status ({said.strip()})")
        t.check(re.search(both % ("all", "one"), said), f"it said: {said.strip()}")
        # A rule that cannot match is as bad in the other order, and others are none.
        with t.Mcrd(net.relay, [first] + other) as d:
            d.config.rules = [same, first] + other
            d.config.write()
            answer = d.reload()
            t.check("result=refused" in answer and re.search(both % ("one", "all"), answer), answer)
            t.equal(d.stats()["generation"], 1, "generation")
        # What becomes one while the rules run is told, and they go on.
        rules = [first, t.rule_of("one", [t.to_group(OUT, OUT_PORT + 1)], address="198.18.3.255", port=PORT)]
        with t.Mcrd(net.relay, rules) as d:
            net.relay.run("ip", "address", "flush", "dev", "in0")
            net.relay.run("ip", "address", "add", "198.18.3.2/24", "brd", "+", "dev", "in0")
            t.wait_for(lambda: d.logged("rule_hidden"), 5, "the record")
            # Told when the table is made. It is in force once the broker waits for the next request, and not for a verdict.
            for _ in range(2):
                t.wait_for(lambda: t.waits_in(d.broker, "poll"), 5, "the table")
                time.sleep(.1)
            capture = t.Capture(net.dst, "d0")
            t.RawSender(net.src, "s0").send(t.datagram("198.18.3.255", PORT, b"subnet", to=BROADCAST))
            capture.wait_payload(b"subnet")
            d.account({"all": 1, "one": 0})


@t.test("broadcast to broadcast, mcrgen at both ends, also in socket mode")
def broadcast_volume():
    for mode in ("frame", "socket"):
        rules = [t.rule_of("r", [{"interface": "out0", "broadcast": True, "port": OUT_PORT, "mode": mode}],
                           broadcast=True, port=PORT)]
        with t.line() as net, t.Mcrd(net.relay, rules) as d:
            r = t.Receiver(net.dst, "d0", "255.255.255.255", OUT_PORT, expect=500)
            t.send(net.src, "s0", "255.255.255.255", PORT, count=500, rate=5000)
            r.all_came()
            d.account({"r": 500})


if __name__ == "__main__":
    t.main()
