# SPDX-License-Identifier: Apache-2.0
"""Raw sockets: frames as they are, out and in."""
import copy
import ctypes
import socket
import struct
import time

from .frames import ones_sum, pseudo_header, pseudo_header6
from .result import Failure, check, wait_for
from .system import SLOWNESS

SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
ETH_P_ALL = 3
UDP_SEGMENT = 103
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
VIRTIO_NET_HDR_GSO_UDP_L4 = 5


class RawSender:
    """Sends frames as they are."""

    def __init__(self, node, interface):
        self.socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with node.inside():
            self.socket.bind((interface, 0))

    def send(self, *frames):
        for f in frames:
            self.socket.send(f)


class Frame:
    """A captured frame, taken apart as far as it goes. Of a super-frame, one datagram."""

    def __init__(self, data, vlan, outgoing, unfinished):
        self.data = data
        self.vlan = vlan  # tag control information, or None
        self.at_ns = 0  # the kernel's stamp, CLOCK_REALTIME
        self.outgoing = outgoing
        self.unfinished = unfinished  # its UDP checksum is left to the device
        self.super_frame = False
        self.to, self.sender = data[:6], data[6:12]
        self.kind, = struct.unpack_from("!H", data, 12)
        self.payload = None
        if self.kind == 0x0800 and len(data) >= 34:
            self._take_ip(data[14:])

    def _take_ip(self, ip):
        (first, tos, self.length, self.ident, fragment, self.ttl, self.protocol, _, source,
         destination) = struct.unpack_from("!BBHHHBBH4s4s", ip)
        header = (first & 15) * 4
        self.header_length = header
        self.dscp, self.ecn = tos >> 2, tos & 3
        self.dont_fragment, self.more, self.offset = bool(fragment & 0x4000), bool(fragment & 0x2000), fragment & 0x1fff
        self.source, self.destination = socket.inet_ntoa(source), socket.inet_ntoa(destination)
        self.ip_checksum_ok = ones_sum(ip[:header]) == 0xffff
        if self.protocol == socket.IPPROTO_UDP and self.offset == 0 and self.length >= header + 8:
            whole = ip[header:self.length]
            self.source_port, self.port, self.udp_length, self.udp_checksum = struct.unpack_from("!HHHH", whole)
            self.payload = whole[8:]
            pseudo = pseudo_header(self.source, self.destination, len(whole))
            self.udp_checksum_ok = not self.unfinished and ones_sum(pseudo + whole) == 0xffff

    def datagrams(self, size):
        """Those of a super-frame, as a device would cut them."""
        parts = []
        for i in range(0, len(self.payload), size):
            part = copy.copy(self)
            part.super_frame = True
            part.payload = self.payload[i:i + size]
            part.length = part.header_length + 8 + len(part.payload)
            part.udp_length = 8 + len(part.payload)
            part.ident = (self.ident + len(parts)) & 0xffff
            parts.append(part)
        return parts

    def is_udp(self, destination=None, port=None):
        return (self.payload is not None and (destination is None or self.destination == destination) and
                (port is None or self.port == port))

    def __repr__(self):
        if self.payload is not None:
            return f"<UDP {self.source}:{self.source_port} > {self.destination}:{self.port} {self.payload[:24]!r}>"
        return f"<frame {self.kind:04x} {self.data[:48].hex()}>"


def attach_filter(sock, code):
    """Instructions of classic BPF: (code, jump if true, jump if false, k)."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *x) for x in code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(program)))


class Capture:
    """Everything that comes in (and goes out) by an interface, from the constructor's return on.

    to: only UDP to this IPv4 address, picked out by the kernel: beside a stream a slow machine has enough to do."""

    def __init__(self, node, interface, to=None):
        self.socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        if to:
            address, = struct.unpack("!I", socket.inet_aton(to))
            # ldh [12]; jne IPv4: drop; ldb [23]; jne UDP: drop; ld [30]; jne address: drop
            attach_filter(self.socket, [(0x28, 0, 0, 12), (0x15, 0, 5, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 3, 17),
                                        (0x20, 0, 0, 30), (0x15, 0, 1, address), (0x06, 0, 0, 1 << 18), (0x06, 0, 0, 0)])
        with node.inside():
            self.socket.bind((interface, ETH_P_ALL))
        self.frames = []
        self.super_frames = 0

    def poll(self):
        """Takes what has come; all frames so far."""
        until = time.monotonic() + 15 * SLOWNESS
        while True:
            check(time.monotonic() < until, "frames come faster than the test takes them: too slow a machine")
            try:
                data, extra, _, address = self.socket.recvmsg(1 << 17, 256)
            except BlockingIOError:
                return self.frames
            vlan, unfinished, at_ns = None, False, 0
            for level, kind, value in extra:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", value)
                    vlan = tci if status & TP_STATUS_VLAN_VALID else None
                    unfinished = bool(status & TP_STATUS_CSUMNOTREADY)
                elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, ns = struct.unpack("@ll", value)
                    at_ns = seconds * 10**9 + ns
            _, gso_type, _, gso_size, _, _ = struct.unpack_from("=BBHHHH", data)
            f = Frame(data[10:], vlan, address[2] == PACKET_OUTGOING, unfinished)
            f.at_ns = at_ns
            if gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 and f.payload is not None:
                self.super_frames += 1
                self.frames += f.datagrams(gso_size)
            else:
                self.frames.append(f)

    def udp(self, destination=None, port=None, outgoing=False):
        """The datagrams so far."""
        return [f for f in self.poll() if f.outgoing == outgoing and f.is_udp(destination, port)]

    def wait(self, n, destination=None, port=None, seconds=5):
        """Waits until n such datagrams have come. Returns them."""
        try:
            wait_for(lambda: len(self.udp(destination, port)) >= n, seconds)
        except Failure:
            raise Failure(f"captured {len(self.udp(destination, port))} of {n} datagrams to {destination}:{port}; "
                          f"all: {self.udp()[:20]}") from None
        return self.udp(destination, port)

    def wait_payload(self, payload, seconds=5):
        """Waits for a datagram with this payload (a fence: what was sent before it has been dealt with)."""
        try:
            wait_for(lambda: any(f.payload == payload for f in self.udp()), seconds)
        except Failure:
            raise Failure(f"{payload!r} was not captured; all: {self.udp()[:20]}") from None


class Datagram6:
    """A captured UDP datagram over IPv6."""

    def __init__(self, f):
        ip = f.data[14:]
        first, self.length, _, self.ttl = struct.unpack_from("!IHBB", ip)
        self.dscp, self.ecn = first >> 22 & 0x3f, first >> 20 & 3
        self.to, self.sender, self.vlan = f.to, f.sender, f.vlan
        self.source, self.destination = (socket.inet_ntop(socket.AF_INET6, ip[i:i + 16]) for i in (8, 24))
        whole = ip[40:40 + self.length]
        self.source_port, self.port, self.udp_length, check = struct.unpack_from("!HHHH", whole)
        self.payload = whole[8:]
        pseudo = pseudo_header6(self.source, self.destination, len(whole))
        self.udp_checksum_ok = not f.unfinished and check != 0 and ones_sum(pseudo + whole) == 0xffff

    def __repr__(self):
        return f"<UDP [{self.source}]:{self.source_port} > [{self.destination}]:{self.port} {self.payload[:24]!r}>"


def captured6(capture):
    """The UDP datagrams over IPv6 a capture has taken in. Not for links that carry super-frames."""
    return [Datagram6(f) for f in capture.poll()
            if not f.outgoing and f.kind == 0x86dd and len(f.data) >= 62 and f.data[20] == socket.IPPROTO_UDP]
