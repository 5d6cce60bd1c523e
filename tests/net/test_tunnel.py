#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links without Ethernet headers (tun, WireGuard, ppp), the loopback interface, and interfaces without any address."""
import contextlib
import errno
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
IN6, OUT6 = "ff15::4d:1", "ff15::4d:2"
HOST, HOST6 = "198.18.2.1", "2001:db8:2::2"
KEEP = {"source": "preserve", "source_port": "preserve"}


# --- tun -------------------------------------------------------------------------------------------------------------


TUNSETIFF, TUNSETLINK = 0x400454ca, 0x400454cd
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 1, 2, 0x1000, 0x4000
VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 = 1, 3, 5
# net/if_arp.h: what tun and WireGuard say, ppp, and modems.
ARPHRD = {"NONE": 0xfffe, "PPP": 512, "RAWIP": 519}


def give_addresses(node, name, addresses):
    for a in addresses:
        if ":" in a:
            node.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        node.run("ip", "address", "add", a, "dev", name, *(["nodad"] if ":" in a else []))


class Tun:
    """A tun device in a node: what the test writes comes in by it, what leaves by it the test reads."""

    def __init__(self, node, name, *addresses, kind="NONE", mtu=1500, flags=IFF_TUN):
        self.left = []
        try:
            with node.inside():
                self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags | IFF_NO_PI))
                if flags & IFF_TUN:
                    fcntl.ioctl(self.fd, TUNSETLINK, ARPHRD[kind])
        except OSError as e:
            raise t.Skip(f"no tun device: {e}") from None
        node.run("ip", "link", "set", name, "mtu", mtu)
        give_addresses(node, name, addresses)
        node.run("ip", "link", "set", name, "up")
        if any(":" in a for a in addresses):
            # The kernel makes it for some types of links only.
            node.run("ip", "-6", "route", "replace", "multicast", "ff00::/8", "dev", name, "table", "local")

    def write(self, *packets):
        for p in packets:
            os.write(self.fd, p)

    def read(self, n, seconds=5):
        """Waits for n IP packets of UDP, fragments included."""
        deadline = time.monotonic() + seconds
        while len(self.left) < n and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.1)[0]:
                p = os.read(self.fd, 70000)
                if p[9 if p[0] >> 4 == 4 else 6] in (socket.IPPROTO_UDP, 44):
                    self.left.append(p)
        return self.left

    def frames(self, n):
        return [t.Frame(bytes(12) + (b"\x08\0" if p[0] >> 4 == 4 else b"\x86\xdd") + p, None, False, False)
                for p in self.read(n)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)


def packet(to, port, payload, source="198.18.5.9"):
    return t.ipv4(source, to, t.udp(source, to, payload, port))


def packet6(to, port, payload, source="2001:db8:5::9", **keys):
    return t.ipv6(source, to, t.udp6(source, to, payload, port, **keys))


@t.test("from a tun device: groups and this host's address; not another port, group or family, nor a wrong checksum")
def tun_input():
    rules = [t.rule("g", IN, PORT, [t.to_group(OUT, 6000)], interface="tun0"),
             t.rule_of("u", [t.to_group(OUT, 6001), t.to_host(HOST, 6002, **KEEP)], interface="tun0",
                       address="198.18.5.2", port=PORT),
             t.rule("g6", IN6, PORT, [t.to_group(OUT, 6003)], interface="tun0")]
    for kind in ARPHRD:
        with t.line6() as net, Tun(net.relay, "tun0", "198.18.5.2/24", "2001:db8:5::2/64", kind=kind) as tun:
            net.relay.ethtool("out0", "tx", "off")
            capture = t.Capture(net.dst, "d0")
            bad = bytearray(packet(IN, PORT, b"wrong checksum"))
            bad[27] ^= 1
            with t.Mcrd(net.relay, rules) as d:
                tun.write(packet(IN, PORT, b"group"), packet(IN, PORT + 1, b"other port"),
                          packet("239.255.0.9", PORT, b"other group"), packet("198.18.5.2", PORT, b"host"),
                          packet("198.18.5.2", PORT + 1, b"other port"), bytes(bad),
                          packet6(IN6, PORT, b"group of IPv6"), packet6(OUT6, PORT, b"other group"),
                          packet6(IN6, PORT, b"no checksum", checksum=0), packet(IN, PORT, b"last"))
                capture.wait_payload(b"last")
                capture.wait(5)
                d.account({"g": 2, "u": 1, "g6": 1}, tun0={"bad_checksum": 2})
            t.equal(sorted((f.port, f.source, f.payload) for f in capture.udp()),
                    [(6000, "198.18.2.2", b"group"), (6000, "198.18.2.2", b"last"), (6001, "198.18.2.2", b"host"),
                     (6002, "198.18.5.9", b"host"), (6003, "198.18.2.2", b"group of IPv6")], f"forwarded ({kind})")
            t.check(all(f.udp_checksum_ok for f in capture.udp()), "checksums")


@t.test("to a tun device: to a host, to a group, with the sender's address kept, and in the other family")
def tun_output():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.5.9", 6000, interface="tun0", ttl=7),
                                    t.to_group(OUT, 6001, interface="tun0"),
                                    t.to_host("198.18.5.9", 6002, interface="tun0", **KEEP),
                                    t.to_group(OUT, 6003, interface="tun0", **KEEP),
                                    t.to_group(OUT6, 6004, interface="tun0", ttl=9)])]
    payloads = [bytes((i + k) & 0xff for k in range(700)) for i in range(30)]
    for kind in ARPHRD:
        with t.line6() as net, Tun(net.relay, "tun0", "198.18.5.2/24", "2001:db8:5::2/64", kind=kind) as tun:
            sender = t.RawSender(net.src, "s0")
            with t.Mcrd(net.relay, rules) as d:
                sender.send(*(t.datagram(IN, PORT, p) for p in payloads), t.datagram(IN, PORT + 1, b"not for us"))
                d.account({"r": 30})
                frames = tun.frames(150)
            t.equal(len(frames), 150, "packets in all")
            for port, to, source, source_port, ttl in ((6000, "198.18.5.9", "198.18.5.2", 6000, 7),
                                                       (6001, OUT, "198.18.5.2", 6001, 1),
                                                       (6002, "198.18.5.9", t.SOURCE, 4000, 1),
                                                       (6003, OUT, t.SOURCE, 4000, 1)):
                seen = [f for f in frames if f.kind == 0x0800 and f.port == port]
                t.check([f.payload for f in seen] == payloads, f"port {port}: {len(seen)} datagrams, or contents")
                for f in seen:
                    t.equal((f.destination, f.source, f.source_port, f.ttl), (to, source, source_port, ttl), f"{port}")
                    t.check(f.ip_checksum_ok and f.udp_checksum_ok, f"port {port}: checksums")
            seen = [t.Datagram6(f) for f in frames if f.kind == 0x86dd]
            t.check([f.payload for f in seen] == payloads, f"IPv6: {len(seen)} datagrams, or contents")
            for f in seen:
                t.equal((f.destination, f.source, f.source_port, f.ttl), (OUT6, "2001:db8:5::2", 6004, 9), "IPv6")
                t.check(f.udp_checksum_ok, "checksums")


@t.test("super-frames from a tun device (WireGuard has them), with a shorter last datagram, among plain ones")
def tun_super_frames():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT), t.to_host(HOST, 6001, mode="socket")], interface="tun0")]
    content = bytes(i * 7 & 0xff for i in range(19 * 1000 + 123))
    body = bytearray(t.udp("198.18.5.9", IN, content, PORT))
    struct.pack_into("!H", body, 6, t.ones_sum(t.pseudo_header("198.18.5.9", IN, len(body))))
    # virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
    large = struct.pack("=BBHHHH", VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP_L4, 28, 1000, 20, 6) + t.ipv4("198.18.5.9", IN, bytes(body))
    plain = [bytes(10) + packet(IN, PORT, p) for p in (b"before", b"behind")]
    with t.line() as net, Tun(net.relay, "tun0", "198.18.5.2/24", flags=IFF_TUN | IFF_VNET_HDR) as tun:
        capture = t.Capture(net.dst, "d0")
        with t.Mcrd(net.relay, rules) as d:
            try:
                tun.write(plain[0], large, plain[1])
            except OSError as e:
                if e.errno == errno.EINVAL:
                    raise t.Skip("needs Linux 6.2: UDP super-frames from a tun device") from None
                raise
            if not t.SUPER_FRAMES:
                capture.wait_payload(b"behind")
                d.account({"r": 2}, tun0={"truncated": 1})
                return
            expected = [b"before", *(content[i:i + 1000] for i in range(0, len(content), 1000)), b"behind"]
            for port in (OUT_PORT, 6001):
                t.check([f.payload for f in capture.wait(22, port=port)] == expected, f"port {port}: payloads")
            d.account({"r": 22})


@t.test("datagrams of 5000 bytes to a tun device with an MTU of 1280: fragments, in every mode and both families")
def tun_fragments():
    outputs = [t.to_host("198.18.5.9", 6000, interface="tun0"), t.to_host("198.18.5.9", 6001, interface="tun0", **KEEP),
               t.to_group(OUT6, 6002, interface="tun0")]
    body = bytes(i * 3 & 0xff for i in range(5000))
    with t.line6(mtu=9000) as net, Tun(net.relay, "tun0", "198.18.5.2/24", "2001:db8:5::2/64", mtu=1280) as tun:
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, body))
            d.account({"r": 1})
            packets = tun.read(4 + 4 + 5)
        t.check(all(len(p) <= 1280 for p in packets), "no packet above the MTU")
        whole = {}
        for p in packets:
            if p[0] >> 4 == 4:
                key, start, at = p[12:16], (struct.unpack_from("!H", p, 6)[0] & 0x1fff) * 8, 20
            else:
                key, start, at = p[8:24], struct.unpack_from("!H", p, 42)[0] & 0xfff8, 48
            whole.setdefault(key, {})[start] = p[at:]
        t.equal(len(whole), 3, "datagrams")
        for key, parts in whole.items():
            t.check(b"".join(parts[i] for i in sorted(parts))[8:] == body, f"{key.hex()}: contents")


@t.test("a frame by UDP fragmentation offload of a virtual machine is lost alone: the ring takes in what follows")
def fragmentation_offload():
    with t.line() as net, Tun(net.relay, "tap0", flags=IFF_TAP | IFF_VNET_HDR) as tap:
        capture = t.Capture(net.dst, "d0")

        def write(payload, flags=0, kind=0, segment=0):
            header = struct.pack("=BBHHHH", flags, kind, 42 if kind else 0, segment, 34 if flags else 0, 6 if flags else 0)
            tap.write(header + t.datagram(IN, PORT, payload))

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


# --- WireGuard and ppp -----------------------------------------------------------------------------------------------


PEERS = (("198.18.5.1/24", "2001:db8:5::1/64"), ("198.18.5.2/24", "2001:db8:5::2/64"))


def with_run(program, node, **options):
    """A process with a /run of its own, where such programs keep sockets and pid files by the interface's name."""
    script = 'mount -t tmpfs tmpfs /run && exec "$@"'
    return t.start_process(["unshare", "-m", "sh", "-c", script, "sh", *program], node, **options)


def wireguard(node, name, addresses, keys, peer):
    """A WireGuard interface: the kernel's, or wireguard-go's. keys: private, the peer's public one."""
    inside = []
    if node.run("ip", "link", "add", name, "type", "wireguard", check_status=False)[0] != 0:
        if not shutil.which("wireguard-go"):
            raise t.Skip("neither the kernel has WireGuard nor is wireguard-go installed")
        p = with_run(["wireguard-go", "-f", name], node, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        t.wait_for(lambda: p.poll() is not None or os.path.exists(f"/proc/{p.pid}/root/run/wireguard/{name}.sock"), 5,
                   "wireguard-go's socket")
        if p.poll() is not None:
            raise t.Skip("wireguard-go cannot run here")
        inside = ["nsenter", f"--mount=/proc/{p.pid}/ns/mnt"]
    node.run(*inside, "sh", "-c", 'printf %s "$0" | wg set "$@"', keys[0], name, "listen-port", 51820, "private-key",
             "/proc/self/fd/0", "peer", keys[1], "allowed-ips", "0.0.0.0/0,::/0", "endpoint", f"{peer}:51820")
    node.run("ip", "link", "set", name, "mtu", 1420)
    give_addresses(node, name, addresses)
    node.run("ip", "link", "set", name, "multicast", "on", "up")


def wireguard_link(net):
    if not shutil.which("wg"):
        raise t.Skip("wireguard-tools is not installed")
    private = [t.run_command(["wg", "genkey"])[1].strip() for _ in range(2)]
    public = []
    for k in private:
        reader, writer = os.pipe()
        os.write(writer, k.encode())
        os.close(writer)
        p = t.start_process(["wg", "pubkey"], stdin=reader, stdout=subprocess.PIPE, text=True)
        os.close(reader)
        public.append(p.communicate(timeout=5)[0].strip())
        t.end_process(p)
    wireguard(net.src, "wg0", PEERS[0], (private[0], public[1]), "198.18.1.2")
    wireguard(net.relay, "wg0", PEERS[1], (private[1], public[0]), "198.18.1.1")
    return "wg0"


def ppp_link(net):
    if not shutil.which("pppd"):
        raise t.Skip("pppd is not installed")
    if not os.path.exists("/dev/ppp"):
        raise t.Skip("the kernel has no ppp (no /dev/ppp)")
    ends = socket.socketpair()
    for node in (net.src, net.relay):
        # Without it pppd settles for IPv4.
        node.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    options = ["notty", "nodetach", "logfd", "2", "noauth", "local", "nodefaultroute", "noproxyarp", "nolock", "unit", "7",
               "mtu", "1400", "mru", "1400", "+ipv6"]
    log = os.path.join(t.Config([]).directory, "pppd.log")
    with open(log, "wb") as said:
        processes = [with_run(["pppd", *options, addresses], node, stdin=end, stdout=end, stderr=said)
                     for node, end, addresses in ((net.src, ends[0], "198.18.5.1:198.18.5.2"),
                                                  (net.relay, ends[1], "198.18.5.2:198.18.5.1"))]
    for end in ends:
        end.close()

    def is_up():
        if any(p.poll() is not None for p in processes):
            with open(log, encoding="utf-8", errors="replace") as f:
                raise t.Skip(f"pppd cannot run here: {'; '.join(f.read().splitlines()[-3:])}")
        shown = [n.run("ip", "address", "show", "dev", "ppp7", check_status=False)[1] for n in (net.src, net.relay)]
        return all("inet " in x and "inet6 fe80" in x for x in shown)

    t.wait_for(is_up, 20, "ppp7 with its addresses at both ends")
    for node, (_, address) in ((net.src, PEERS[0]), (net.relay, PEERS[1])):
        give_addresses(node, "ppp7", [address])
        node.run("ip", "-6", "route", "replace", "multicast", "ff00::/8", "dev", "ppp7", "table", "local")
        node.run("ip", "link", "set", "ppp7", "multicast", "on")
    return "ppp7"


def both_directions(link):
    """Streams from src by the link and the relay to dst, and back, and datagrams larger than the link's MTU."""
    with t.line6() as net:
        name = link(net)
        rules = [t.rule("in", IN, PORT, [t.to_group(OUT, 6000), t.to_host(HOST, 6001), t.to_group(OUT6, 6002)],
                        interface=name),
                 t.rule_of("unicast", [t.to_group(OUT, 6003)], interface=name, address="198.18.5.2", port=PORT + 1),
                 t.rule("in6", IN6, PORT, [t.to_group(OUT, 6004)], interface=name),
                 t.rule("back", IN, PORT, [t.to_group(OUT, 6005, interface=name),
                                           t.to_host("198.18.5.1", 6006, interface=name),
                                           t.to_group(OUT6, 6007, interface=name),
                                           t.to_group(OUT, 6008, interface=name, **KEEP)], interface="out0")]
        there = [(OUT, 6000), (HOST, 6001), (OUT6, 6002)]
        back = [(OUT, 6005), ("198.18.5.1", 6006), (OUT6, 6007), (OUT, 6008)]
        with t.Mcrd(net.relay, rules) as d:
            n = {r["name"]: 0 for r in rules}

            def stream(rule, receivers, sender, interface, to, port, count, size=1000):
                first = n[rule]
                ready = [t.Receiver(*where, a, p, expect=count, first=first, idle_ms=800) for where, a, p in receivers]
                # So slow that no queue of wireguard-go overflows.
                t.send(sender, interface, to, port, count=count, first=first, size=size,
                       rate=400 if size == 1000 else 50)
                for r in ready:
                    r.all_came()
                n[rule] += count

            for size in (1000, 5000):
                count = 200 if size == 1000 else 20
                stream("in", [((net.dst, "d0"), a, p) for a, p in there], net.src, name, IN, PORT, count, size=size)
                stream("unicast", [((net.dst, "d0"), OUT, 6003)], net.src, name, "198.18.5.2", PORT + 1, count, size)
                stream("in6", [((net.dst, "d0"), OUT, 6004)], net.src, name, IN6, PORT, count, size=size)
                stream("back", [((net.src, name), a, p) for a, p in back], net.dst, "d0", IN, PORT, count, size=size)
            # Another port and another group of the link.
            nothing = t.Capture(net.dst, "d0")
            t.send(net.src, name, IN, PORT + 7, count=5)
            t.send(net.src, name, "239.255.0.9", PORT, count=5)
            stream("in", [((net.dst, "d0"), OUT, 6000)], net.src, name, IN, PORT, 1)
            t.equal({f.destination for f in nothing.udp()}, {OUT, HOST}, "where datagrams came")
            d.account(n)


@t.test("WireGuard in both directions, IPv4 and IPv6, also beyond its MTU", released=True)
def wireguard_both():
    both_directions(wireguard_link)


@t.test("ppp in both directions, IPv4 and IPv6, also beyond its MTU")
def ppp_both():
    both_directions(ppp_link)


# --- loopback --------------------------------------------------------------------------------------------------------


@t.test("the loopback interface as input and as output: programs of the relay's host send and receive")
def loopback():
    rules = [t.rule("from", IN, PORT, [t.to_group(OUT, 6000), t.to_host(HOST, 6001)], interface="lo"),
             t.rule_of("host", [t.to_group(OUT, 6002)], interface="lo", address="127.0.0.1", port=PORT),
             t.rule("to", IN, PORT, [t.to_group("239.255.2.1", 6003, interface="lo"),
                                     # A port of its own, as the receiver has 6004.
                                     t.to_host("127.0.0.1", 6004, interface="lo", source_port=6999)])]
    for args in ((), ("--without", "ignore-outgoing")):
        own = 300 if args or t.KERNEL < (4, 20) else 0
        with t.line() as net:
            # Groups by lo.
            net.relay.run("ip", "link", "set", "lo", "multicast", "on")
            net.relay.run("ip", "route", "add", "239.255.0.0/16", "dev", "lo")
            with t.Mcrd(net.relay, rules, args) as d:
                away = [t.Receiver(net.dst, "d0", a, p, expect=200) for a, p in ((OUT, 6000), (HOST, 6001))]
                t.send(net.relay, "lo", IN, PORT, count=100, rate=5000)
                t.send(net.relay, "lo", IN, PORT, count=100, first=100, gso=20 if t.SUPER_FRAMES else None)
                host = t.Receiver(net.dst, "d0", OUT, 6002, expect=100)
                t.send(net.relay, "lo", "127.0.0.1", PORT, count=100, rate=5000)
                here = [t.Receiver(net.relay, "lo", a, p, expect=100)
                        for a, p in (("239.255.2.1", 6003), ("127.0.0.1", 6004))]
                t.send(net.src, "s0", IN, PORT, count=100, rate=5000)
                for r in (*away, host, *here):
                    r.all_came()
                if own:
                    # On their way out, too; what the relay has sent itself by lo is nothing that its filter lets in.
                    t.wait_for(lambda d=d, own=own: d.stats()["interfaces"][0]["own"] == own, 5, "own frames")
                d.account({"from": 200, "host": 100, "to": 100}, **({"lo": {"own": own}} if own else {}))


@t.test("two_way by way of lo is refused: what is sent there comes in again")
def loopback_circle():
    rules = [t.rule("a", IN, PORT, [t.to_group(IN, PORT, interface="lo")], two_way=True),
             t.rule("b", IN, PORT, [t.to_group(IN, PORT, interface="in0")], interface="lo", two_way=True)]
    with t.line() as net:
        status, said = t.Mcrd(net.relay, rules).run_to_end()
        t.equal(status, 1, "exit status")
        t.check('never by way of "lo"' in said, said)


# --- no address ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare(mtu=1500):
    """line() whose relay has no address of any family on either link."""
    with t.Net() as net:
        src, relay, dst = net.node("src"), net.node("relay"), net.node("dst")
        net.link(src, "s0", "198.18.1.1/24", relay, "in0", None, mtu)
        net.link(relay, "out0", None, dst, "d0", "198.18.2.1/24", mtu)
        for node, name, address in ((src, "s0", "2001:db8:1::2"), (dst, "d0", "2001:db8:2::2")):
            t.enable_ipv6(node, name, address)
        for name in ("in0", "out0"):
            relay.run("ip", "link", "set", "dev", name, "addrgenmode", "none")
            relay.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
            t.equal(relay.run("ip", "-o", "address", "show", "dev", name)[1], "", f"addresses of {name}")
        yield net


@t.test("a relay that neither zone can address: input and frame outputs without any address, both families")
def no_address():
    rules = [t.rule("kept", IN, PORT, [t.to_group(OUT, 6000, **KEEP)]),
             t.rule("given", IN, PORT + 1, [t.to_group(OUT, 6001, source="198.18.2.9"),
                                            t.to_group(OUT6, 6002, source="2001:db8:2::9")]),
             t.rule("six", IN6, PORT, [t.to_group(OUT6, 6003, **KEEP)]),
             t.rule("none", IN, PORT + 2, [t.to_group(OUT, 6004)])]
    with bare() as net:
        with t.Mcrd(net.relay, rules) as d:
            t.check({IN} <= t.memberships(net.relay, "in0") and IN6 in t.memberships6(net.relay, "in0"), "joined")
            for to, port, receivers in ((IN, PORT, [(OUT, 6000)]), (IN, PORT + 1, [(OUT, 6001), (OUT6, 6002)]),
                                        (IN6, PORT, [(OUT6, 6003)])):
                ready = [t.Receiver(net.dst, "d0", a, p, expect=500) for a, p in receivers]
                t.send(net.src, "s0", to, port, count=480, rate=10000)
                t.send(net.src, "s0", to, port, count=20, first=480, size=3000)
                for r in ready:
                    r.all_came()
            capture = t.Capture(net.dst, "d0")
            # Without a source an output waits for an address.
            t.equal([r["state"] for r in d.stats()["rules"]], ["active", "active", "active", "waiting"], "states")
            t.send(net.src, "s0", IN, PORT + 2, count=10)
            t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"last"))
            capture.wait_payload(b"last")
            t.equal(capture.udp(), [f for f in capture.udp() if (f.source, f.port) == (t.SOURCE, 6000)], "what came")
            d.account({"kept": 501, "given": 500, "six": 500,
                       "none": {"packets": 10, "outputs": [{"errors": 10}]}})


if __name__ == "__main__":
    t.main()
