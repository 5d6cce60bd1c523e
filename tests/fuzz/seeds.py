#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds that are made by hand into DIRECTORY/TARGET/, in the input format of each target:

    seeds.py DIRECTORY

The rest of the corpora was found by libFuzzer (names of 40 hexadecimal digits). The texts of tests/config and of the
example are seeds of the config target as they lie there.
"""

import hashlib
import os
import socket
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


def write(target, name, *parts):
    directory = os.path.join(sys.argv[1], target)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, name), "wb") as f:
        f.write(b"".join(parts))


def u16(n):
    return struct.pack("<H", n)


def patch(*changes):
    """As fuzz_patch() reads it: (offset, bytes)..."""
    return bytes([len(changes)]) + b"".join(u16(at) + bytes([len(b)]) + b for at, b in changes)


# --- packets ----------------------------------------------------------------------------------------------------------

def udp(payload, port=5000):
    return struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload


def ipv4(payload, protocol=17, options=b"", fragment=0, destination="239.255.0.1"):
    return struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0xB8, 20 + len(options) + len(payload), 1, fragment,
                       64, protocol, 0, socket.inet_aton("198.18.0.1"), socket.inet_aton(destination)) + options + payload


def ipv6(payload, following=17):
    return struct.pack(">IHBB16s16s", 0x62E00000, len(payload), following, 64,
                       socket.inet_pton(socket.AF_INET6, "2001:db8::1"), socket.inet_pton(socket.AF_INET6, "ff15::4")) + payload


def ethernet(packet, kind):
    return bytes.fromhex("01005e7f0001" "020000000001") + struct.pack(">H", kind) + packet


def packets():
    MEND = 4 | 8

    def frame(name, packet, flags=MEND, vlan=0, segment=0):
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        write("packet", name, bytes([flags | 1]), u16(vlan), u16(segment), ethernet(packet, kind))

    frame("ipv4", ipv4(udp(b"0123456789")))
    frame("ipv4-empty", ipv4(udp(b"")))
    frame("ipv4-options", ipv4(udp(b"0123456789"), options=bytes(8)))
    frame("ipv4-padded", ipv4(udp(b"x")) + bytes(17), vlan=7)
    frame("ipv4-no-sum", ipv4(udp(b"0123456789")), flags=4)
    frame("ipv4-wrong-sum", ipv4(udp(b"0123456789")[:6] + b"\x12\x34" + b"0123456789"), flags=4)
    frame("ipv4-vouched", ipv4(udp(b"0123456789")), flags=2)
    frame("ipv4-super", ipv4(udp(bytes(100))), segment=40)
    frame("ipv4-fragment", ipv4(udp(b"0123456789"), fragment=0x2000))
    frame("ipv4-tcp", ipv4(bytes(20), protocol=6))
    frame("ipv6", ipv6(udp(b"0123456789")))
    frame("ipv6-no-sum", ipv6(udp(b"0123456789")), flags=0)
    frame("ipv6-options", ipv6(b"\x11\x00\x01\x04\0\0\0\0" + udp(b"0123"), following=0))
    frame("ipv6-routing", ipv6(b"\x3c\x00\x00\x00\0\0\0\0" + b"\x11\x00\x01\x04\0\0\0\0" + udp(b"0123"), following=43))
    frame("ipv6-atomic", ipv6(b"\x11\x00\x00\x00\0\0\0\1" + udp(b"0123"), following=44))
    frame("ipv6-fragment", ipv6(b"\x11\x00\x00\x01\0\0\0\1" + udp(b"0123"), following=44))
    write("packet", "arp", bytes([1]), u16(0), u16(0), ethernet(bytes(28), 0x0806))
    write("packet", "bare-ipv4", bytes([MEND]), u16(0), u16(0), ipv4(udp(b"0123456789")))
    write("packet", "bare-ipv6", bytes([MEND]), u16(0), u16(3), ipv6(udp(b"0123456789")))


# --- forwarding -------------------------------------------------------------------------------------------------------

TAGGED, VERIFIED, UNFINISHED, QUEUED, PASS, HOSTILE, SUPER, CUT = (1 << i for i in range(8))


def slot(flags, kind=0, gso=0, tci=0, header=()):
    return bytes([kind]) + u16(gso) + u16(tci) + (patch(*header) if flags & HOSTILE else b"")


def arrival(which, flags=0, ms=1, payload=100, sender=1, ttl=64, mend=2, changes=(), **of_slot):
    return (bytes([which, flags, ms]) + u16(payload) + bytes([sender, ttl, mend]) + patch(*changes)
            + slot(flags, **of_slot))


def raw_arrival(frame, flags=0, interface=0, **of_slot):
    return bytes([0xFF, flags, 1]) + u16(len(frame)) + bytes([interface]) + frame + slot(flags, **of_slot)


def captures():
    def pcap(link, *frames, order="<", magic=0xA1B2C3D4):
        return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link) + b"".join(
            struct.pack(order + "IIII", 1700000000 + i, 1000 * i, len(f), len(f) + more) + f for i, (f, more) in enumerate(frames))

    def whole(*frames):
        return [(f, 0) for f in frames]

    def sll(packet, kind=0, protocol=0x0800):
        return struct.pack(">HHH8sH", kind, 1, 6, bytes(8), protocol) + packet

    def sll2(packet, kind=0, protocol=0x0800):
        return struct.pack(">HHIHBB8s", protocol, 0, 1, 1, kind, 6, bytes(8)) + packet

    def tagged(packet, tag, kind=0x8100):
        f = ethernet(packet, 0x0800)
        return f[:12] + struct.pack(">HH", kind, tag) + f[12:]

    v4 = [ipv4(udp(bytes([i] * 20)), destination=f"239.255.0.{i}") for i in range(1, 6)]
    v6 = ipv6(udp(b"x" * 20))
    ends = [ipv4((udp(bytes(24)))[:16], fragment=0x2000), ipv4((udp(bytes(24)))[16:], fragment=2)]
    # The capture has no one to mend its checksums: those of IPv4 headers are made here.

    def mended(packet):
        if packet[0] >> 4 == 6:
            return packet
        total = sum(struct.unpack(">10H", packet[:20]))
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        return packet[:10] + struct.pack(">H", ~total & 0xFFFF) + packet[12:]

    v4, ends = [mended(p) for p in v4], [mended(p) for p in ends]
    write("capture", "ethernet", pcap(1, *whole(*(ethernet(p, 0x0800) for p in v4), ethernet(v6, 0x86DD))))
    write("capture", "big-endian", pcap(1, *whole(ethernet(v4[0], 0x0800)), order=">"))
    write("capture", "nanoseconds", pcap(1, *whole(ethernet(v4[1], 0x0800)), magic=0xA1B23C4D))
    write("capture", "fragments", pcap(1, *whole(*(ethernet(p, 0x0800) for p in ends))))
    write("capture", "tags", pcap(1, *whole(tagged(v4[0], 7), tagged(v4[0], 8), tagged(v4[0], 7, 0x88A8))))
    write("capture", "cooked", pcap(113, *whole(*(sll(p, kind) for kind, p in enumerate(v4)), b"short")))
    write("capture", "cooked-2", pcap(276, *whole(*(sll2(p, kind) for kind, p in enumerate(v4)), b"short")))
    write("capture", "raw", pcap(101, *whole(*v4, v6)))
    write("capture", "cut", pcap(1, (ethernet(v4[0], 0x0800), 100), (b"", 0), (ethernet(v4[0], 0x0800)[:20], 0)))
    write("capture", "damaged", pcap(1, *whole(ethernet(v4[0], 0x0800)))[:-5])
    write("capture", "other-link", pcap(105, *whole(v4[0])))
    write("capture", "no-frames", pcap(1))

    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    frame = ethernet(v4[1], 0x0800)
    write("capture", "pcapng", block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 65535))
          + block(6, struct.pack("<IIIII", 0, 0, 1000, len(frame), len(frame)) + frame))


def reassembling():
    def fragment(which, offset, length, more=1, ms=0, flags=0, udp_length=None):
        first = u16(udp_length if udp_length is not None else 24) if offset == 0 and length >= 8 and not flags & 16 else b""
        return bytes([which, ms, flags | more]) + u16(offset) + u16(length) + first

    def write_all(name, *fragments):
        write("reassembly", name, *fragments)

    for which in (0, 1, 2, 7):
        write_all(f"two-{which}", fragment(which, 0, 16), fragment(which, 16, 8, 0))
        write_all(f"two-backwards-{which}", fragment(which, 16, 8, 0), fragment(which, 0, 16))
    write_all("three", fragment(1, 0, 1480, udp_length=4000), fragment(1, 2960, 1040, 0), fragment(1, 1480, 1480))
    write_all("largest", *(fragment(1, 8000 * i, 8000, flags=64, udp_length=65515) for i in range(8)), fragment(1, 64000, 1515, 0, flags=64))
    write_all("beyond", fragment(1, 65528, 100, 0), fragment(1, 65528, 8, 0))
    write_all("repeated", fragment(1, 0, 16), fragment(1, 0, 16), fragment(1, 16, 8, 0), fragment(1, 16, 8, 0))
    write_all("overlapping", fragment(1, 0, 16), fragment(1, 8, 16), fragment(1, 24, 8, 0), fragment(1, 0, 16))
    write_all("two-ends", fragment(1, 16, 8, 0), fragment(1, 24, 8, 0), fragment(1, 0, 16))
    write_all("shorter-end", fragment(1, 0, 64), fragment(1, 16, 8, 0))
    write_all("late", fragment(1, 0, 16), fragment(1, 16, 8, 0, ms=200))
    write_all("odd", fragment(1, 0, 15, flags=4), fragment(1, 16, 0, 0), fragment(1, 16, 0))
    write_all("extension", fragment(2, 0, 16, flags=2), fragment(2, 16, 24, 0))
    write_all("other-bytes", fragment(1, 0, 16), bytes([1, 0, 9]) + u16(0) + u16(16) + patch((9, b"x")) + u16(24), fragment(1, 16, 8, 0))
    write_all("many", *(fragment(i, 0, 16) for i in range(100)), *(fragment(i, 16, 8, 0) for i in range(100)))


def forwarding():
    write("forward", "each", b"\0\0", *(arrival(i) for i in range(10)))
    write("forward", "batch", b"\0\0", *(arrival(1, payload=200) for _ in range(12)), arrival(1, payload=50, flags=PASS))
    write("forward", "sizes", b"\0\0", *(arrival(1, payload=n, flags=PASS) for n in (0, 1, 1471, 1472, 1473, 1800)))
    write("forward", "super", b"\0\0", arrival(1, payload=1800, flags=SUPER | UNFINISHED, gso=100),
          arrival(2, payload=1801, flags=SUPER | VERIFIED, gso=100), arrival(0, payload=1000, flags=SUPER | VERIFIED, gso=9))
    write("forward", "queued", b"\0\0", arrival(1, payload=9000, flags=QUEUED), arrival(3, payload=15000, flags=QUEUED | SUPER,
          gso=1400), arrival(1, payload=3000, flags=QUEUED | PASS))
    write("forward", "senders", b"\0\0", *(arrival(i, sender=s) for i in range(4) for s in (0, 1, 0x10, 0x21)))
    write("forward", "ttl", b"\0\0", *(arrival(i, ttl=t) for i in range(4) for t in (0, 1, 2)))
    write("forward", "limited", b"\0\0", *(arrival(0, ms=i % 3, payload=1000, sender=0x10) for i in range(40)))
    write("forward", "tags", b"\0\0", *(arrival(i, flags=TAGGED, tci=t) for i in (0, 4) for t in (0, 7, 8, 0xF007)))
    write("forward", "kinds", b"\0\0", *(arrival(1, kind=k) for k in range(8)))
    write("forward", "wrong", b"\0\0", arrival(0, mend=0), arrival(0, mend=1, changes=((40, b"\1\2"),)),
          arrival(0, mend=1, changes=((20, b"\x20\0"),)), arrival(0, changes=((23, b"\6"),)), arrival(0, changes=((38, b"\xff\xff"),)))
    write("forward", "hostile-slots", b"\0\0", *(arrival(1, flags=HOSTILE, header=((at, struct.pack("<I", n)),))
                                                for at in (4, 8, 12) for n in (0, 2000, 0xFFFF, 0xFFFFFFFF)),
          arrival(1, payload=5000, flags=HOSTILE, header=((8, struct.pack("<I", 5042)),)))
    write("forward", "raw", b"\0\0", raw_arrival(ethernet(ipv4(udp(b"x")), 0x0800)), raw_arrival(ethernet(ipv6(udp(b"x")), 0x86DD), TAGGED),
          raw_arrival(ipv4(udp(b"x")), interface=3), raw_arrival(b""))
    for error in range(8):
        for often in (0, 2):
            write("forward", f"error-{error}-{often}", b"\0", bytes([8 * often + error]), *(arrival(i, payload=200) for i in range(8)),
                  arrival(1, payload=1800), arrival(1, payload=1800, flags=SUPER | UNFINISHED, gso=100), arrival(6))
    write("forward", "too-large", b"\0\0", arrival(0, payload=1300), arrival(0, payload=1201, flags=SUPER | UNFINISHED, gso=1200))
    for where in (1, 10, 0x81, 0x8A):
        write("forward", f"cut-{where:02x}", b"\0\0", *(arrival(i, payload=100, flags=CUT)[:-5] + bytes([where]) + 2 * slot(CUT)
                                                      for i in range(8)))
    write("forward", "other-table", b"\1\0", *(arrival(i, payload=10 * i) for i in range(8)))


# --- the others -------------------------------------------------------------------------------------------------------

def filters():
    def key(flags, last):
        return bytes([flags, last])

    def frame(which, near=0, *changes):
        return bytes([which, near]) + patch(*changes)

    few = [key(8 * (i % 3), i // 3) for i in range(9)] + [key(1 + 8 * (i % 3), i // 3) for i in range(9)]
    every = [frame(i, near) for i in range(18) for near in (0, 1, 4)]
    for ether in (0, 1):
        for coarser in (0, 1, 2):
            write("filter", f"few-{ether}-{coarser}", bytes([ether + 2 * coarser, 18]), *few, *every)
    write("filter", "none", bytes([1, 0, 0, 60]), ethernet(ipv4(udp(b"x" * 18)), 0x0800))
    write("filter", "changes", bytes([1, 18]), *few, frame(0, 0, (20, b"\x20")), frame(0, 0, (14, b"\x46")), frame(0, 0, (23, b"\6")),
          frame(9, 0, (20, b"\0")), frame(9, 0, (20, b"\x2c")), frame(9, 0, (20, b"\6")), frame(9, 0, (38, b"\xfe")), frame(0, 16), frame(9, 31))
    write("filter", "many", bytes([1, 250]), *(key(64 * (i % 2) + 8 * (i % 5), i) for i in range(250)),
          *(frame(i, near) for i in range(0, 250, 7) for near in (0, 1)))
    write("filter", "whole", bytes([1, 4]), *(bytes([2 | 4]) + bytes([239, 255, i, i]) + u16(7 * i) for i in range(2)),
          *(bytes([1 | 2 | 4]) + bytes([255, 21]) + bytes(13) + bytes([i]) + u16(9 * i) for i in range(2)), *(frame(i) for i in range(4)))


def addresses():
    texts = ["198.18.0.1", "198.18.0.0/24", "0.0.0.0/0", "239.255.0.1/32", "198.18.0.1/24", "198.18.0.0/33", "198.18.0.0/", "198.18.0",
             "2001:db8::1", "2001:db8::/32", "::/0", "ff15::1/128", "::ffff:198.18.0.1", "fe80::1%eth0", "2001:db8::/129", "01.2.3.4", ""]
    for i, text in enumerate(texts):
        six = ":" in text
        write("addr", f"text-{i:02}", bytes([i << 1 & 254 | six]), bytes([32, 1, 13, 184] + [0] * 12) if six else bytes([198, 18, 0, 1]), text.encode())


def tables():
    for i in range(3):
        write("table", f"table-{i}", bytes([i]), patch())
    for name, at in (("size", 12), ("interfaces", 120), ("rules", 128), ("outputs", 136), ("egress", 144), ("sources", 152),
                     ("own", 160), ("holds", 168), ("destinations", 176), ("slots", 184), ("probe", 192)):
        write("table", f"header-{name}", b"\0", patch((at, b"\xff\xff\xff\x7f")))
        write("table", f"count-{name}", b"\0", patch((at + 4, b"\xff\xff\xff\x7f")))
    write("table", "raw", b"\xff", b"MCRTAB01" + bytes(400))


def statistics():
    for name, how in (("plain", 0), ("colour", 1), ("rates", 3), ("one-line", 4), ("wide", 8 + 3)):
        write("stats", name, bytes([how, 2, 3, 6]), patch())
    write("stats", "empty", bytes([0, 0, 0, 0]), patch())
    FILE, NOT_LOCKED = 16, 32
    write("stats", "file", bytes([FILE, 2, 3, 6]), patch())
    write("stats", "file-not-locked", bytes([FILE | NOT_LOCKED, 2, 3, 6]), patch())
    for state in range(5):
        write("stats", f"file-state-{state}", bytes([FILE, 2, 3, 6]), patch((28, bytes([state]))))
    write("stats", "file-changing", bytes([FILE, 2, 3, 6]), patch((640, b"\1"), (3000, b"\1")))
    write("stats", "file-raw", bytes([FILE, 0xFF]), b"MCTATS01" + bytes(3000))
    write("stats", "file-short", bytes([FILE, 0xFF]), b"MCTATS01" + bytes(100))
    write("stats", "many", bytes([0, 3, 7, 31]), patch())
    for at in (8, 12, 16, 20, 24, 28, 32, 64, 128, 640, 700, 760, 1700, 2700, 3000):
        write("stats", f"change-{at:04}", bytes([2, 2, 3, 6]), patch((at, b"\xff" * 8), (at + 100, b"\x1b[31m\xc3\xa9\n")))
    write("stats", "raw", bytes([0, 0xFF]), b"MCTATS01" + bytes(3000))


def handover():
    ANY, OFFER, SOCKETS, COMMIT, REFUSED, UNCHANGED, PROBED, LOAD, LINKS, PROBE, RUN, POOL = range(12)

    def offer(which, flags=0, *changes):
        return bytes([OFFER, flags, which]) + (patch(*changes) if flags & 4 else b"")

    def text(kind, state=0, length=0):
        return bytes([kind, state]) + u16(length) + patch()

    def take(which):
        return offer(which) + bytes([POOL, 12, SOCKETS]) + patch() + text(COMMIT) + bytes([RUN])

    write("relay", "start", take(0))
    write("relay", "reload", take(0), bytes([LOAD]), take(1), bytes([LOAD]), take(0), bytes([LINKS]), take(2))
    write("relay", "refused", take(0), bytes([LOAD]), text(REFUSED, length=100), bytes([LOAD]), text(REFUSED, length=1024))
    write("relay", "probed", take(1), *(bytes([PROBE]) + text(PROBED, state, 20) for state in range(4)))
    write("relay", "unchanged", take(0), bytes([LINKS]), text(UNCHANGED), bytes([LOAD]), text(UNCHANGED))
    write("relay", "unasked", take(0), text(COMMIT))
    for flags in (1, 2, 8):
        write("relay", f"offer-{flags}", offer(0, flags), bytes([POOL, 12, SOCKETS]), patch(), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "offer-changed", offer(0, 4, (200, b"\0\0")), bytes([POOL, 12, SOCKETS]), patch(), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "no-sockets", take(1), bytes([LOAD]), offer(0), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "wrong-socket", offer(0), bytes([POOL, 12, SOCKETS]), patch((8, b"\1")), text(COMMIT), bytes([LOAD]), take(0))
    for i in range(5):
        write("relay", f"other-id-{i}", offer(0), bytes([POOL, 12, SOCKETS]), patch((16 * i, b"\xff\xff")), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "ring-zero", offer(0), bytes([POOL, 12, SOCKETS]), patch((0, bytes(8))), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "ring-twice", offer(0), bytes([POOL, 12, SOCKETS]), patch((40, bytes(4))), bytes([POOL, 12, SOCKETS]), patch(), text(COMMIT))
    write("relay", "commit-alone", text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "twice", offer(0), offer(1), bytes([POOL, 12, SOCKETS]), patch(), text(COMMIT))
    for kind in range(15):
        write("relay", f"any-{kind:02}", take(0), bytes([LOAD, ANY, kind, 2]), patch(), bytes([LOAD]), take(1))
    write("relay", "short", bytes([ANY, 8, 0]), patch((12, b"\xee")), u16(100))
    write("relay", "empty-with-descriptors", bytes([ANY, 8, 7]), patch((12, b"\xee")), u16(0))
    write("relay", "load-unchanged", text(UNCHANGED), bytes([PROBE]), text(PROBED, 1))
    for name, kind, ask in (("refused", REFUSED, LOAD), ("unchanged", UNCHANGED, LINKS)):
        write("relay", f"withdrawn-{name}", take(0), bytes([ask]), offer(1), bytes([POOL, 12, SOCKETS]), patch(), text(kind), bytes([ask]),
              text(COMMIT))
    write("relay", "pool-missing", offer(0), bytes([SOCKETS]), patch(), text(COMMIT), bytes([LOAD]), take(0))
    write("relay", "pool-late", take(0), bytes([LOAD]), offer(1), bytes([POOL, 12, SOCKETS]), patch(), text(COMMIT))
    write("relay", "pool-many", offer(0), bytes([POOL, 23] * 8))
    write("relay", "pool-small", offer(0), bytes([POOL, 1, SOCKETS]), patch(), text(COMMIT))
    write("relay", "count", bytes([ANY, 8, 0x82]), patch())

    ANY, FILE, FLAP, STRAY, PROBE, LINKS, ADOPT, REJECT = range(8)
    write("broker", "start", bytes([ADOPT, 0, PROBE]))
    write("broker", "reload", bytes([ADOPT, 0, FILE, 1, PROBE, ADOPT, 0, FILE, 2, ADOPT, 1, FILE, 0, ADOPT, 0, PROBE]))
    write("broker", "rejected", bytes([REJECT, 0, ADOPT, 0, FILE, 1, REJECT, 0, LINKS, 0]))
    write("broker", "links", bytes([FILE, 1, ADOPT, 0, FLAP, LINKS, 0, FLAP, LINKS, 0, LINKS, 0]))
    write("broker", "links-first", bytes([LINKS, 0]))
    write("broker", "rings", bytes([ADOPT, 0] + [byte for ring in range(1, 40) for byte in (LINKS, ring)]))
    for name, which in (("writable", 16), ("other-user", 32), ("nonsense", 64), ("gone", 128)):
        write("broker", f"file-{name}", bytes([ADOPT, 0, FILE, which, PROBE, ADOPT, 0, FILE, 0, ADOPT, 0]))
    write("broker", "stray", bytes([ADOPT, 0, STRAY, PROBE]))
    for kind in range(14):
        write("broker", f"any-{kind:02}", bytes([ADOPT, 0, ANY, kind, 0]), patch())
    write("broker", "descriptors", bytes([ANY, 2, 2]), patch())
    write("broker", "short", bytes([ANY, 2, 0]), patch((12, b"\xee")), u16(3))


def configs():
    write("config", "bad-byte-lines", 8 * b"a = \xca\n")
    rule = (b'{name="%c";input={interface="in0";group="239.255.0.1";port=5000;};'
            b'outputs=({interface="out0";group="239.255.1.1";port=6000;});}')
    off = (b'{name="%d";enabled=false;input={interface="in%d";group="239.%d.0.0/20";port=5000;};'
           b'outputs=({interface="out0";group="239.255.1.1";port=6000;});}')
    write("config", "disabled-ranges", b"version=1;rules=(", b",".join(off % (i, i % 3, i) for i in range(25)), b");")
    write("config", "same-inputs", b"version=1;rules=(", rule % b"a", b",", rule % b"b", b");")
    directory = os.path.join(TOP, "tests", "config", "diff")
    for name in sorted(os.listdir(directory)):
        if name.endswith(".running.conf"):
            with open(os.path.join(directory, name), "rb") as f, open(os.path.join(directory, name.replace(".running", "")), "rb") as g:
                pair = f.read() + b"\0" + g.read()
                write("config", "diff-" + name[:-len(".running.conf")], pair.replace(b"@DIR@", b"/run/mcr"))


def texts():
    def values(*texts):
        return b" ".join(b"%c = %s;" % (ord("a") + i, text) for i, text in enumerate(texts))

    write("lexical", "numbers", values(b"0", b"-1", b"+2147483647", b"-2147483648", b"0x7fFFffff", b"5L", b"-5LL", b"4294967296L"))
    write("lexical", "stuck", b"a = 4294968296enabled = true;")
    # Each alone: the first would hide the others.
    for i, text in enumerate((b"010", b"-010", b"010L", b"0b1", b"0o7", b"0q7", b"0xffffffff", b"0xffffffffL", b"0x10000000000000001L",
                              b"0x00000000000000001", b"-0x1", b"1(2)", b"4294967297", b"-4294967297", b"18446744073709551617L")):
        write("lexical", f"not-alike-{i:02}", values(text))
    write("lexical", "floats", values(b"1.", b".5", b"-1.5e-3", b"1E5", b"1.e+5"))
    write("lexical", "no-floats", values(b".", b"1e", b"-.", b".e5"))
    write("lexical", "strings", values(b'""', b'"\\x41\\\\\\"\\n\\r\\t\\f"', b'"\xc3\xa9 /* // #"'))
    write("lexical", "joined", values(b'"a" "b"'))
    write("lexical", "nested", b"a : ( 1,\n( ), [ ],[ 1,2 ]\n,{ b = 1, c = ( \"d\"\n, { } ) e = 2 } # f\n, /* g\n*/ \"h\" ) i = TRUE j : false")
    write("lexical", "commas", b"c = { d = 1, }, e = [ \"f\" , \"g\" ];")
    write("lexical", "more-commas", b"a = ( 1,,2 ); b = ( 1, ); e = [ \"f\" , ];")
    write("lexical", "comments", b"a = 1/**/; b = 2# c\nd = 3// e\n/*/ f = 4; /*/ g = 5 //* h\n; //\r\n#")
    write("lexical", "identity", b'version = 1; user : "\\x61b" group="c", stats_file = "/run/d/e" instance = "f"; rules = ( );')
    write("lexical", "identity-wrong", b'version = 1; user = ( "a" ); group = "b b"; a = { user = "c"; }; stats_file = "/' + 200 * b"d" + b'"; rules = ( );')


def merging():
    RTP, FIELD, PAYLOAD, ACTIVE = range(4)
    REORDER, LARGE, FAR, SHORT, PATCH = 16, 8, 0x20, 0x40, 0x80

    def settings(by, legs=2, flags=0, window=1, reorder=9, at=10, session_at=0, session_bytes=0, count_at=18,
                 count=0):
        return bytes([by | (legs - 1) << 2, flags, window] + [reorder] * bool(flags & REORDER and by < PAYLOAD)
                     + [at, session_at, session_bytes, count_at, count])

    def datagram(leg, step, ms=1, flags=0, *changes):
        return bytes([flags, leg, ms, step & 0xFF]) + (patch(*changes) if flags & PATCH else b"")

    def both(*steps, flags=0, changes=()):
        return b"".join(datagram(0, step, 1, flags, *changes) + datagram(1, 0, 1, flags, *changes) for step in steps)

    lossy = b"".join(datagram(i % 3 == 0, 1 + (i % 7 == 0), i % 5) + datagram(i % 2, -(i % 3), 1) for i in range(60))
    for name, by, flags in (("rtp", RTP, 0), ("rtp-wide", RTP, LARGE), ("field-8", FIELD, 0), ("field-16", FIELD, 0x20),
                            ("field-32", FIELD, 0x40), ("field-64", FIELD, 0xE0), ("payload", PAYLOAD, 0), ("active", ACTIVE, 4)):
        write("merge", name, settings(by, 2, flags), both(*[1] * 20), lossy)
        write("merge", name + "-in-order", settings(by, 3, flags | REORDER), both(*[1] * 20), lossy, both(*[1] * 5))
    another = (8, b"abcd")
    write("merge", "another-source", settings(RTP), both(1, 1, 1), both(1, 1, 1, flags=PATCH, changes=(another,)), both(1, 1))
    write("merge", "jumps", settings(RTP), both(1, 1), both(3, 1, 1, flags=FAR), both(1, 1, 1), both(-3, flags=FAR), both(1, 1))
    write("merge", "forged", settings(RTP), *(both(1) + datagram(1, 0, 0, PATCH, (8, u16(i) + u16(i))) for i in range(60)))
    write("merge", "session", settings(FIELD, 2, 0xE0, session_bytes=10), both(1, 1), both(1, 1, flags=PATCH, changes=((0, b"X"),)))
    write("merge", "heartbeats", settings(FIELD, 2, 0x60), *(datagram(leg, 0, 60, SHORT) + b"\x14" for leg in (0, 1, 0, 1)), both(1, 1))
    counted = settings(FIELD, 2, 0x60 | REORDER, count=3)
    write("merge", "counted", counted, *(both(3, 5, 3, flags=PATCH, changes=((18, b"\x03\0"),)) for _ in range(9)))
    write("merge", "counted-much", counted, *(both(n, flags=PATCH, changes=((18, b"\xff" + bytes([n])),)) for n in range(9)))
    write("merge", "counted-none", counted, both(1, 1), both(0, 0, flags=PATCH, changes=((18, b"\0\0"),)), both(1))
    write("merge", "short", settings(RTP), *(datagram(0, 1, 1, SHORT) + bytes([n]) for n in (0, 1, 11, 12, 13)))
    write("merge", "clock-back", settings(RTP, 2, REORDER), both(1, 2, 2), datagram(0, 2, 200, 14), both(1, 1), datagram(0, 2, 200, 15))
    write("merge", "reload", settings(RTP, 2, REORDER), both(1, 2, 2), bytes([13, 0, 1, 2] + [0] * 8 + [2]), both(1, 1, 1))
    write("merge", "full", settings(RTP, 1, REORDER, window=250, reorder=255), datagram(0, 1), *(datagram(0, 2, 0) for _ in range(90)))


# --- records ----------------------------------------------------------------------------------------------------------

def records():
    TEXT, WHOLE, COMPLETE = 1, 2, 4
    PATCH, DROP, DOUBLE, MOVE = range(4)
    before, lines = b"0" * 64, []
    for n in range(1, 5):
        body = b'level=notice event=reload reason="a \\"b\\" \xff" uid=0%s n=%d time=2026-11-30T10:00:00.000Z prev=%s' % (
            b" chain=begins" if n == 1 else b"", n, before)
        before = hashlib.sha256(body).hexdigest().encode()
        lines.append(body + b" hash=" + before + b"\n")
    for how in (0, WHOLE, WHOLE | COMPLETE):
        write("audit", f"text-{how}", bytes([TEXT | how]), *lines)
        write("audit", f"other-lines-{how}", bytes([TEXT | how]), lines[0], b"level=notice\n\n", lines[2], lines[1], *lines)
    write("audit", "nothing", bytes([0]))
    write("audit", "patch", bytes([WHOLE]), u16(0), u16(0), bytes([PATCH]), patch((300, b"n=2")))
    write("audit", "drop", bytes([COMPLETE]), u16(0), u16(274), bytes([DROP]))
    write("audit", "double", bytes([WHOLE]), u16(0), u16(274), bytes([DOUBLE]))
    write("audit", "move", bytes([WHOLE]), u16(0), u16(274), bytes([MOVE]), u16(261))


def trust():
    """The vectors of tests/trust, and texts beside them."""
    def read(name):
        with open(os.path.join(TOP, "tests", "trust", name), "rb") as f:
            return f.read()

    conf, signatures = read("trust.conf"), [read(f"mcr.conf.{name}.minisig") for name in "abc"]
    write("trust", "trust", b"\x01", conf)
    write("trust", "trust-one", b"\x01", conf.replace(b"required = 2", b"required = 1"))
    write("trust", "trust-twice", b"\x01", conf.replace(read("b.pub").splitlines()[1], read("a.pub").splitlines()[1]))
    write("trust", "trust-nested", b"\x01", b"required = (1); keys = ({name = {key = [1];};}, 1, [2]);")
    write("trust", "trust-many", b"\x01", b"required = 1; keys = (", b",".join([b"{name = \"a\";}"] * 18), b");")
    for name, text in zip("abc", signatures):
        write("trust", f"signature-{name}", b"\0", text)
    write("trust", "signatures", b"\0", *signatures)
    write("trust", "signature-cr", b"\0", signatures[0].replace(b"\n", b"\r\n"))
    write("trust", "signature-long", b"\0", signatures[0].replace(b"ticket", b"t" * 8100))


for make in (packets, forwarding, captures, reassembling, merging, filters, addresses, tables, statistics, handover, configs, texts, records, trust):
    make()
