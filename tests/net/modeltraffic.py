# SPDX-License-Identifier: Apache-2.0
"""What test_model.py sends and receives, each in a process of its own: datagrams of mcrgen's form (src/gen/payload.h).

    modeltraffic.py send FD... -- and the streams on stdin; modeltraffic.py receive FD...

Both end with SIGTERM, and write what they have seen to stdout. Packet sockets outlive the interfaces that come and go.
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
PACKET_STATISTICS, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 6, 23, 33, 35
BODY = bytes(i & 0xff for i in range(512))


def payload(stream, seq, ns, rtp=None):
    """rtp: the number of the source, where a header of RTP stands before it."""
    prefix = b"" if rtp is None else struct.pack("!BBHII", 0x80, 96, seq & 0xffff, seq & 0xffffffff, rtp)
    head = struct.pack("!IIQQI", MAGIC, stream, seq, ns, SIZE)
    length = SIZE - len(prefix) - 32
    start = (seq + len(prefix) + 32) & 0xff
    body = BODY[start:start + length]
    return prefix + head + struct.pack("!I", zlib.crc32(prefix + head + bytes(4) + body)) + body


def take_apart(data):
    """(stream, number) of a payload; None: it is not one of ours, or not as it was sent."""
    for prefix in 0, 12:
        magic, stream, seq, ns, _ = struct.unpack_from("!IIQQI", data, prefix)
        if magic == MAGIC:
            rtp = struct.unpack_from("!I", data, 8)[0] if prefix else None
            return (stream, seq) if data == payload(stream, seq, ns, rtp) else None
    return None


class Maker:
    """Frames of one stream. to_mac: of an address of the relay."""

    def __init__(self, stream, to, source, to_mac, port, rtp=None):
        self.stream, self.rtp = stream, rtp
        empty = bytes(SIZE)
        if ":" in to:
            whole, pseudo = t.datagram6(to, port, empty, source=source, ttl=8), pseudo_header6(source, to, 8 + SIZE)
            to_udp = 14 + 40
        else:
            whole = t.datagram(to, port, empty, source=source, to=None if t.is_group(to) else to_mac)
            pseudo, to_udp = pseudo_header(source, to, 8 + SIZE), 14 + 20
        self.before, self.ports = whole[:to_udp], whole[to_udp:to_udp + 6]
        self.sum = int.from_bytes(pseudo + self.ports, "big") % 0xffff  # RFC 1071: a sum to the base 2^16 - 1

    def frame(self, seq, ns):
        data = payload(self.stream, seq, ns, self.rtp)
        checksum = 0xffff - (self.sum + int.from_bytes(data, "big")) % 0xffff
        return self.before + self.ports + struct.pack("!H", checksum or 0xffff) + data


# --- the sender ------------------------------------------------------------------------------------------------------


def _send(stopping, *fds):
    """stdin: (datagrams a second of each, [(place of its descriptor, interface, arguments of Maker, numbers left out)])."""
    sockets = [socket.socket(fileno=int(fd)) for fd in fds]
    rate, wanted = pickle.load(sys.stdin.buffer)
    streams = [(sockets[i], interface, Maker(*arguments), left_out, []) for i, interface, arguments, left_out in wanted]
    pause, n, began = 1 / rate, 0, time.monotonic()
    while not stopping:
        for s, interface, maker, (modulus, rest), sent in streams:
            ns = time.time_ns()
            if n % modulus == rest:
                sent.append(0)
                continue
            try:
                s.sendto(maker.frame(n, ns), (interface, 0))
                sent.append(ns)
            except OSError:  # the interface is not there, or not up
                sent.append(0)
        n += 1
        time.sleep(max(0, began + n * pause - time.monotonic()))
    return {maker.stream: sent for _, _, maker, _, sent in streams}


class Sending:
    def __init__(self, sockets, rate, streams):
        fds = [s.fileno() for s in sockets]
        self.process = _start("send", fds)
        pickle.dump((rate, streams), self.process.stdin)
        self.process.stdin.close()
        self.process.stdin = None

    def finish(self):
        """{stream: [when each number was sent, or 0]}"""
        return _finish(self.process)


# --- the receiver ----------------------------------------------------------------------------------------------------


def _receive(stopping, *fds):
    """Every datagram that comes in by any interface of the nodes."""
    found, foreign = {}, []
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
                    to, udp = socket.inet_ntop(socket.AF_INET, data[30:34]), 14 + (data[14] & 15) * 4
                elif data[12:14] == b"\x86\xdd" and data[20] == socket.IPPROTO_UDP:
                    to, udp = socket.inet_ntop(socket.AF_INET6, data[38:54]), 54
                else:
                    continue
                port, = struct.unpack_from("!H", data, udp + 2)
                for begin in range(udp + 8, len(data), SIZE):
                    one = data[begin:begin + SIZE]
                    what = len(one) == SIZE and take_apart(one)
                    if what:
                        by[fd].setdefault((to, port), []).append(what)
                    else:
                        foreign.append((to, port, one))
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
