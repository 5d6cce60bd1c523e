#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links without Ethernet headers, and without addresses."""
import fcntl
import os
import select
import socket
import struct
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST = "198.18.2.1"
KEEP = {"source": "preserve", "source_port": "preserve"}
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 1, 2, 0x1000, 0x4000
VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP = 1, 3


def tun(node, name, *addresses, flags=IFF_TUN):
    """A tun device in a node; its file descriptor."""
    try:
        with node.inside():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags | IFF_NO_PI))
    except OSError as e:
        raise t.Skip(f"no tun device: {e}") from None
    for a in addresses:
        node.run("ip", "address", "add", a, "dev", name)
    node.run("ip", "link", "set", name, "up")
    return fd


@t.test("from a tun device: groups and this host's address; another port and another group are not taken")
def tun_input():
    rules = [t.rule("g", IN, PORT, [t.to_group(OUT, 6000)], interface="tun0"),
             t.rule_of("u", [t.to_group(OUT, 6001), t.to_host(HOST, 6002, **KEEP)], interface="tun0",
                       address="198.18.5.2", port=PORT)]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        fd = tun(net.relay, "tun0", "198.18.5.2/24")
        capture = t.Capture(net.dst, "d0")

        def packet(to, port, payload):
            return t.ipv4("198.18.5.9", to, t.udp("198.18.5.9", to, payload, port))

        with t.Mcrd(net.relay, rules) as d:
            for p in (packet(IN, PORT, b"group"), packet(IN, PORT + 1, b"other port"),
                      packet("239.255.0.9", PORT, b"other group"), packet("198.18.5.2", PORT, b"host"),
                      packet("198.18.5.2", PORT + 1, b"other port"), packet(IN, PORT, b"last")):
                os.write(fd, p)
            capture.wait_payload(b"last")
            capture.wait(4)
            d.account({"g": 2, "u": 1})
        os.close(fd)
        t.equal(sorted((f.port, f.source, f.payload) for f in capture.udp()),
                [(6000, "198.18.2.2", b"group"), (6000, "198.18.2.2", b"last"), (6001, "198.18.2.2", b"host"),
                 (6002, "198.18.5.9", b"host")], "forwarded")
        t.check(all(f.udp_checksum_ok for f in capture.udp()), "checksums")


@t.test("to a tun device: to a host, to a group, and with the sender's address kept")
def tun_output():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.5.9", 6000, interface="tun0", ttl=7),
                                    t.to_group(OUT, 6001, interface="tun0"),
                                    t.to_host("198.18.5.9", 6002, interface="tun0", **KEEP)])]
    payloads = [bytes((i + k) & 0xff for k in range(700)) for i in range(30)]
    with t.line() as net:
        fd = tun(net.relay, "tun0", "198.18.5.2/24")
        sender = t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*(t.datagram(IN, PORT, p) for p in payloads), t.datagram(IN, PORT + 1, b"not for us"))
            d.account({"r": 30})
            packets = []
            deadline = time.monotonic() + 5
            while len(packets) < 90 and time.monotonic() < deadline:
                if select.select([fd], [], [], 0.1)[0]:
                    p = os.read(fd, 70000)
                    if p[0] >> 4 == 4 and p[9] == socket.IPPROTO_UDP:
                        packets.append(t.Frame(bytes(12) + b"\x08\0" + p, None, False, False))
        os.close(fd)
        for port, to, source, source_port, ttl in ((6000, "198.18.5.9", "198.18.5.2", 6000, 7),
                                                   (6001, OUT, "198.18.5.2", 6001, 1),
                                                   (6002, "198.18.5.9", t.SOURCE, 4000, 1)):
            seen = [f for f in packets if f.port == port]
            t.check([f.payload for f in seen] == payloads, f"port {port}: {len(seen)} datagrams, or contents")
            for f in seen:
                t.equal((f.destination, f.source, f.source_port, f.ttl), (to, source, source_port, ttl), f"port {port}")
                t.check(f.ip_checksum_ok and f.udp_checksum_ok, f"port {port}: checksums")
        t.equal(len(packets), 90, "packets in all")


@t.test("a frame by UDP fragmentation offload of a virtual machine is lost alone: the ring takes in what follows")
def fragmentation_offload():
    with t.line() as net:
        fd = tun(net.relay, "tap0", flags=IFF_TAP | IFF_VNET_HDR)
        capture = t.Capture(net.dst, "d0")

        def write(payload, flags=0, kind=0, segment=0):
            header = struct.pack("=BBHHHH", flags, kind, 42 if kind else 0, segment, 34 if flags else 0, 6 if flags else 0)
            os.write(fd, header + t.datagram(IN, PORT, payload))

        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(OUT, 6000)], interface="tap0")]) as d:
            write(b"first")
            capture.wait_payload(b"first")
            write(bytes(3000), VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP, 1000)
            sent = 2

            def passes():
                nonlocal sent
                write(b"after it")
                sent += 1
                return any(f.payload == b"after it" for f in capture.udp(OUT))

            t.wait_for(passes, 5, "what follows")
            stats = t.wait_for(lambda: (lambda i: i if i["received"] + i["ring_drops"] == sent else None)(
                d.stats()["interfaces"][0]), 5, "everything received or dropped")
            d.check_sums()
            t.equal(stats["truncated"], 0 if t.SUPER_FRAMES else 1, "truncated")
            t.equal(len(d.logged("ring_stuck")), 1 if t.SUPER_FRAMES else 0, "event=ring_stuck")
            t.equal({f.payload for f in capture.udp(OUT)}, {b"first", b"after it"}, "payloads")
        os.close(fd)


if __name__ == "__main__":
    t.main()
