# SPDX-License-Identifier: Apache-2.0
"""Capture files: made by hand, taken by tcpdump, read."""
import shutil
import struct

from .process import start_process
from .result import Skip, equal, wait_for
from .system import USER

ETHERNET, RAW, SLL, SLL2 = 1, 101, 113, 276
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def pcap(path, frames, link=ETHERNET, order="<", nanoseconds=True):
    """frames: bytes a millisecond apart, or (time in ns, bytes, length on the wire)."""
    magic, unit = (0xa1b23c4d, 1) if nanoseconds else (0xa1b2c3d4, 1000)
    with open(path, "wb") as f:
        f.write(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link))
        for i, frame in enumerate(frames):
            when, data, length = frame if isinstance(frame, tuple) else (START + i * SECOND // 1000, frame, len(frame))
            f.write(struct.pack(order + "IIII", when // SECOND, when % SECOND // unit, len(data), length) + data)
    return path


def read_pcap(path):
    """[(time in ns, frame)] of what mcrd has written."""
    with open(path, "rb") as f:
        data = f.read()
    magic, *_, link = struct.unpack_from("=IHHiIII", data)
    equal((magic, link), (0xa1b23c4d, ETHERNET), "head of the capture")
    at, frames = 24, []
    while at < len(data):
        seconds, rest, kept, length = struct.unpack_from("=IIII", data, at)
        equal(kept, length, "bytes of a frame")
        frames.append((seconds * SECOND + rest, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    equal(at, len(data), "end of the capture")
    return frames


def need_tcpdump():
    if not shutil.which("tcpdump"):
        raise Skip("tcpdump is not installed")
    if USER == "root":
        raise Skip("tcpdump gives up groups, which a user namespace of one user does not permit")


def start_tcpdump(node, interface, path):
    need_tcpdump()
    log = path + ".log"
    with open(log, "wb") as f:
        p = start_process(["tcpdump", "-Z", "root", "-i", interface, "-U", "-B", "8192", "-w", path], node, stdout=f,
                            stderr=f)
    wait_for(lambda: b"listening on" in open(log, "rb").read(), 5, "tcpdump")
    return p


def captured(path):
    """The frames of a capture by tcpdump, as far as it has been written."""
    with open(path, "rb") as f:
        data = f.read()
    at, frames = 24, []
    while at + 16 <= len(data):
        kept, = struct.unpack_from("=I", data, at + 8)
        if at + 16 + kept > len(data):
            break
        frames.append(data[at + 16:at + 16 + kept])
        at += 16 + kept
    return frames
