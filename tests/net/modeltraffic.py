# SPDX-License-Identifier: Apache-2.0
"""What test_model.py sends and receives, each in a process of its own: datagrams of mcrgen's form (src/gen/payload.h).

    modeltraffic.py send FD... -- and the streams on stdin; modeltraffic.py receive FD...

Both end with SIGTERM, and write what they have seen to stdout. Packet sockets outlive the interfaces that come and go.
While it sends, stdin may say "hold STREAM...", "go STREAM..." or "flood STREAM NUMBER".
"""
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import mcrtest as t
from mcrtest.frames import pseudo_header, pseudo_header6

MAGIC = 0x6d637267  # src/gen/payload.h
SIZE = 76           # of each payload: what of a super-frame is one datagram
TS, LARGE = 188, 3000  # of one packet of a transport stream; of what is sent in fragments
FRAGMENT = 1480        # of an IP payload, on a link of 1500
PACKET_STATISTICS, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 6, 23, 33, 35
BODY = bytes(i & 0xff for i in range(4096))


def payload(stream, seq, ns, rtp=None, size=SIZE):
    """rtp: the number of the source, where a header of RTP stands before it. size: TS is a packet of a transport stream."""
    prefix = b""
    if size == TS:
        prefix = struct.pack("!BHB", 0x47, 0x100, 0x10 | seq & 15)
    elif rtp is not None:
        prefix = struct.pack("!BBHII", 0x80, 96, seq & 0xffff, seq & 0xffffffff, rtp)
    head = struct.pack("!IIQQI", MAGIC, stream, seq, ns, size)
    length = size - len(prefix) - 32
    start = (seq + len(prefix) + 32) & 0xff
    body = BODY[start:start + length]
    return prefix + head + struct.pack("!I", zlib.crc32(prefix + head + bytes(4) + body)) + body


def take_apart(data):
    """(stream, number, size) of the payload that data begins with; None: it is not one of ours, or not as it was sent."""
    for prefix in 0, 4, 12:
        if len(data) >= prefix + 32:
            magic, stream, seq, ns, size = struct.unpack_from("!IIQQI", data, prefix)
            if magic == MAGIC:
                rtp = struct.unpack_from("!I", data, 8)[0] if prefix == 12 else None
                return (stream, seq, size) if data[:size] == payload(stream, seq, ns, rtp, size) else None
    return None


class Maker:
    """Frames of one stream. to_mac: of an address of the relay."""

    def __init__(self, stream, to, source, to_mac, port, rtp=None, size=SIZE):
        self.stream, self.rtp, self.size = stream, rtp, size
        self.where = to, port, source
        empty = bytes(size)
        if ":" in to:
            whole, pseudo = t.datagram6(to, port, empty, source=source, ttl=8), pseudo_header6(source, to, 8 + size)
            to_udp = 14 + 40
        else:
            whole = t.datagram(to, port, empty, source=source, to=None if t.is_group(to) else to_mac)
            pseudo, to_udp = pseudo_header(source, to, 8 + size), 14 + 20
        self.before, self.ports = whole[:to_udp], whole[to_udp:to_udp + 6]
        self.sum = int.from_bytes(pseudo + self.ports, "big") % 0xffff  # RFC 1071: a sum to the base 2^16 - 1

    def frames(self, seq, ns):
        data = payload(self.stream, seq, ns, self.rtp, self.size)
        if self.size + 8 > FRAGMENT:
            to, port, source = self.where
            return t.fragments(to, port, data, *range(FRAGMENT, self.size + 8, FRAGMENT), ident=seq & 0xffff, source=source)
        checksum = 0xffff - (self.sum + int.from_bytes(data, "big")) % 0xffff
        return [self.before + self.ports + struct.pack("!H", checksum or 0xffff) + data]


# --- the sender ------------------------------------------------------------------------------------------------------


def _send(stopping, *fds):
    """stdin: (datagrams a second of each, [(place of its descriptor, interface, arguments of Maker, first number, (modulus,
    rests): numbers that are left out)])."""
    sockets = [socket.socket(fileno=int(fd)) for fd in fds]
    rate, wanted = pickle.load(sys.stdin.buffer)
    os.set_blocking(sys.stdin.fileno(), False)
    streams = [(sockets[i], interface, Maker(*arguments), first, left_out, [])
               for i, interface, arguments, first, left_out in wanted]
    pause, n, began, held = 1 / rate, 0, time.monotonic(), set()

    def send(s, interface, maker, first, left_out, sent):
        ns, seq = time.time_ns(), first + len(sent)
        if maker.stream in held or seq % left_out[0] in left_out[1]:
            ns = 0
        else:
            try:
                for frame in maker.frames(seq, ns):
                    s.sendto(frame, (interface, 0))
            except OSError:  # the interface is not there, or not up
                ns = 0
        sent.append(ns)

    while not stopping:
        what, *numbers = (sys.stdin.buffer.readline() or b"-").split()
        numbers = list(map(int, numbers))
        held = held | set(numbers) if what == b"hold" else held - set(numbers) if what == b"go" else held
        for stream in streams:
            for _ in range(1 + (numbers[1] if what == b"flood" and stream[2].stream == numbers[0] else 0)):
                send(*stream)
        n += 1
        time.sleep(max(0, began + n * pause - time.monotonic()))
    return {maker.stream: sent for _, _, maker, _, _, sent in streams}


class Sending:
    def __init__(self, sockets, rate, streams):
        fds = [s.fileno() for s in sockets]
        self.process = _start("send", fds)
        pickle.dump((rate, streams), self.process.stdin)
        self.process.stdin.flush()

    def tell(self, *words):
        """A line for its stdin."""
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()

    def finish(self):
        """{stream: [when each number from the first on was sent, or 0]}"""
        return _finish(self.process)


# --- the receiver ----------------------------------------------------------------------------------------------------


def _whole(parts, data):
    """The datagram of which this IPv4 frame is the last fragment to come; None: it is not the last."""
    offset, length = int.from_bytes(data[20:22], "big"), int.from_bytes(data[16:18], "big")
    key = data[18:20] + data[26:34]
    mine = parts.setdefault(key, {})
    mine[(offset & 0x1fff) * 8] = data[34:14 + length], offset & 0x2000
    body = b""
    while len(body) in mine:
        part, more = mine[len(body)]
        body += part
        if not more:
            del parts[key]
            return data[:34] + body
    return None


def _receive(stopping, *fds):
    """Every datagram that comes in by any interface of the nodes."""
    found, foreign, parts = {}, [], {}
    poll, sockets = select.epoll(), {}
    for i, fd in enumerate(map(int, fds)):
        s = sockets[fd] = socket.socket(fileno=fd)
        s.setblocking(False)
        poll.register(fd, select.EPOLLIN)
        found[i] = {}
    by = {fd: found[i] for i, fd in enumerate(sockets)}
    while True:
        ready = poll.poll(0 if stopping else .1)
        if not ready and stopping:
            break
        for fd, _ in ready:
            for _ in range(512):
                try:
                    data = sockets[fd].recv(65536)
                except (BlockingIOError, OSError):  # also: an interface is gone
                    break
                if data[12:14] == b"\x08\x00" and data[23] == socket.IPPROTO_UDP:
                    if int.from_bytes(data[20:22], "big") & 0x3fff:
                        data = _whole(parts, data)
                        if not data:
                            continue
                    to, udp = socket.inet_ntop(socket.AF_INET, data[30:34]), 14 + (data[14] & 15) * 4
                elif data[12:14] == b"\x86\xdd" and data[20] == socket.IPPROTO_UDP:
                    to, udp = socket.inet_ntop(socket.AF_INET6, data[38:54]), 54
                else:
                    continue
                port, = struct.unpack_from("!H", data, udp + 2)
                rest = data[udp + 8:]
                while rest:  # a super-frame has several
                    what = take_apart(rest)
                    if what:
                        by[fd].setdefault((to, port), []).append(what[:2])
                    else:
                        foreign.append((to, port, rest))
                    rest = rest[what[2] if what else len(rest):]
    drops = [struct.unpack("=II", s.getsockopt(t.SOL_PACKET, PACKET_STATISTICS, 8))[1] for s in sockets.values()]
    return found, foreign, drops


class Receiving:
    """Everything that arrives at these nodes."""

    def __init__(self, nodes):
        sockets = []
        for node in nodes:
            s = node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(t.ETH_P_ALL))
            s.setsockopt(t.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            try:
                s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
            except OSError:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
            sockets.append(s)
        self.process = _start("receive", [s.fileno() for s in sockets])
        for s in sockets:
            s.close()

    def finish(self):
        """{place of its node: {(address, port): [(stream, number)]}}"""
        found, foreign, drops = _finish(self.process)
        t.equal(sum(drops), 0, "dropped by the test's own receiver: too slow a machine")
        t.equal(foreign[:3], [], "datagrams that are not as they were sent")
        return found


def _start(what, fds):
    return t.start_process([sys.executable, os.path.abspath(__file__), what, *map(str, fds)], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, pass_fds=fds)


def _finish(process):
    process.send_signal(signal.SIGTERM)
    try:
        out, _ = process.communicate(timeout=30 * t.SLOWNESS)
    finally:
        t.kill_process(process)
    t.equal(process.returncode, 0, "exit status of sender or receiver")
    return pickle.loads(out)


if __name__ == "__main__":
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    pickle.dump({"send": _send, "receive": _receive}[sys.argv[1]](ended, *sys.argv[2:]), sys.stdout.buffer)
