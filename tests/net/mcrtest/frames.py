# SPDX-License-Identifier: Apache-2.0
"""Frames by hand."""
import socket
import struct


def is_group(address):
    if ":" in address:
        return address.lower().startswith("ff")
    return 224 <= int(address.split(".")[0]) < 240


def group_mac(group):
    """RFC 1112, section 6.4"""
    b = socket.inet_aton(group)
    return bytes((0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]))


def ones_sum(data):
    """RFC 1071"""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def pseudo_header(source, destination, length):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, socket.IPPROTO_UDP, length)


def udp(source, destination, payload, port, source_port=4000, length=None, checksum=None):
    """A UDP datagram, right unless told otherwise. checksum: a number, or "bad"."""
    real = 8 + len(payload)
    length = real if length is None else length
    whole = struct.pack("!HHHH", source_port, port, length, 0) + payload
    right = 0xffff & ~ones_sum(pseudo_header(source, destination, length) + whole) or 0xffff
    if checksum is None:
        checksum = right
    elif checksum == "bad":
        checksum = right ^ 0x0101
    return whole[:6] + struct.pack("!H", checksum) + whole[8:]


def ipv4(source, destination, body, ttl=8, dscp=0, ident=0, flags=0, offset=0, protocol=socket.IPPROTO_UDP, options=b"",
         version=4, ihl=None, length=None, checksum=None):
    """An IPv4 packet, right unless told otherwise. flags: 2 DF, 1 MF; offset in bytes."""
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(body) if length is None else length
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, dscp << 2, length, ident, flags << 13 | offset // 8, ttl,
                         protocol, 0, socket.inet_aton(source), socket.inet_aton(destination)) + options
    right = 0xffff & ~ones_sum(header)
    if checksum is None:
        checksum = right
    elif checksum == "bad":
        checksum = right ^ 0x0101
    return header[:10] + struct.pack("!H", checksum) + header[12:] + body


SOURCE = "198.18.1.1"
SOURCE_MAC = bytes.fromhex("020000000101")


def frame(packet, to, source=SOURCE_MAC, tags=(), kind=0x0800):
    """An Ethernet frame. tags: (protocol, control information) from the outermost on."""
    return to + source + b"".join(struct.pack("!HH", *t) for t in tags) + struct.pack("!H", kind) + packet


def datagram(group, port, payload, source=SOURCE, to=None, tags=(), udp_keys=None, **ip_keys):
    """The frame of a datagram to a group. udp_keys goes to udp(), what is left to ipv4()."""
    body = udp(source, group, payload, port, **(udp_keys or {}))
    return frame(ipv4(source, group, body, **ip_keys), to or group_mac(group), tags=tags)


def udp6(source, destination, payload, port, source_port=4000, checksum=None):
    """A UDP datagram over IPv6."""
    whole = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    pseudo = pseudo_header6(source, destination, len(whole))
    right = 0xffff & ~ones_sum(pseudo + whole) or 0xffff
    return whole[:6] + struct.pack("!H", right if checksum is None else checksum) + whole[8:]


def pseudo_header6(source, destination, length):
    a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (source, destination))
    return a + b + struct.pack("!II", length, socket.IPPROTO_UDP)


SOURCE6 = "2001:db8:1::2"


def ipv6(source, destination, body, ttl=8, dscp=0, following=socket.IPPROTO_UDP):
    """An IPv6 packet. following: what the body begins with."""
    a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (source, destination))
    return struct.pack("!IHBB", 6 << 28 | dscp << 22, len(body), following, ttl) + a + b + body


def frame6(packet, to=None, tags=()):
    """The frame of an IPv6 packet; to its group unless the Ethernet address is given."""
    return frame(packet, to or b"\x33\x33" + packet[36:40], tags=tags, kind=0x86dd)


def datagram6(destination, port, payload, source=SOURCE6, to=None, ttl=8, dscp=0, tags=(), **udp_keys):
    """The frame of a datagram over IPv6; to its group unless the Ethernet address is given."""
    body = udp6(source, destination, payload, port, **udp_keys)
    return frame6(ipv6(source, destination, body, ttl, dscp), to, tags)


def cut(whole, *places):
    """(offset, bytes, whether more follow) of the pieces of an IP payload that is cut there."""
    ends = [*places, len(whole)]
    return [(start, whole[start:end], end < len(whole)) for start, end in zip([0, *places], ends)]


def fragments(group, port, payload, *places, ident=1, source=SOURCE, tags=(), udp_keys=None, **ip_keys):
    """The frames of a datagram to a group, cut at these places of its UDP header and payload."""
    return [frame(ipv4(source, group, part, ident=ident, flags=int(more), offset=offset, **ip_keys), group_mac(group),
                  tags=tags)
            for offset, part, more in cut(udp(source, group, payload, port, **(udp_keys or {})), *places)]


def fragments6(group, port, payload, *places, ident=1, source=SOURCE6, before=b"", tags=(), **ip_keys):
    """The same in IPv6. before: a destination options header, which leads to UDP."""
    whole, following = before + udp6(source, group, payload, port), 60 if before else socket.IPPROTO_UDP
    return [frame6(ipv6(source, group, struct.pack("!BBHI", following, 0, offset | more, ident) + part, following=44,
                        **ip_keys), tags=tags)
            for offset, part, more in cut(whole, *places)]


def router_advertisement(prefixes, lifetime=3600, autonomous=False, source="fe80::bad"):
    """What a router, or who says that he is one, tells all hosts of a link (RFC 4861, section 4.2): these prefixes of 64
    bits. lifetime: seconds; 0: they are there no more. autonomous: each host is to have an address of them."""
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0)
    for prefix in prefixes:
        body += struct.pack("!BBBBIII", 3, 4, 64, 0x80 | autonomous << 6, lifetime, lifetime, 0)
        body += socket.inet_pton(socket.AF_INET6, prefix)
    a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (source, "ff02::1"))
    pseudo = a + b + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6)
    body = body[:2] + struct.pack("!H", 0xffff & ~ones_sum(pseudo + body)) + body[4:]
    return frame6(ipv6(source, "ff02::1", body, 255, following=socket.IPPROTO_ICMPV6))
