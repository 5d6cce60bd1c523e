#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrgen's RTP, fields and legs: what it says that it sent, lost and judged, beside what a capture holds."""
import json
import os
import resource
import signal
import socket
import statistics
import struct
import subprocess
import time
import zlib

import mcrtest as t

A, B, PORT = "239.255.0.1", "239.255.0.2", 5000
HEADER = struct.Struct("!IIQQII")  # mcrgen(1), "Payload"
RTP = struct.Struct("!BBHII")      # RFC 3550, section 5.1


def two_links():
    """node "relay" has in0 and in1, which lead to s0 of src0 and src1: here it is the relay that sends."""
    return t.star(inputs=2, outputs=0)


def captures(net):
    return t.Capture(net.src0, "s0", to=A), t.Capture(net.src1, "s0", to=B)


def legs(a="", b=""):
    """Two of them, with what each does to the stream."""
    return [f"in0,{A},{PORT}" + a, f"in1,{B},{PORT}" + b]


def number_of(payload, prefix=0):
    """mcrgen's own number, of a payload in which every byte is as mcrgen(1) tells."""
    magic, stream, seq, _, length, crc = HEADER.unpack_from(payload, prefix)
    body = prefix + HEADER.size
    t.equal((magic, stream, length), (0x6d637267, 0, len(payload)), f"magic, stream, length of number {seq}")
    t.equal(zlib.crc32(payload[:body - 4] + bytes(4) + payload[body:]), crc, f"checksum of number {seq}")
    t.equal(payload[body:], bytes((seq + i) & 255 for i in range(body, len(payload))), f"body of number {seq}")
    return seq


def numbers(capture, n, prefix=0):
    """Those of n datagrams, in the order in which they came, and no more came."""
    frames = capture.wait(n)
    t.equal(len(frames), n, "datagrams")
    return [number_of(f.payload, prefix) for f in frames]


def read_lost(path):
    """What the sender's file says: the first number, how many, and of each leg what it lost."""
    with open(path, encoding="ascii") as f:
        first, *lines, last = (x.split() for x in f.read().splitlines())
    t.equal(first[:2] + first[3:4], ["mcrgen-lost", "first", "legs"], "the first line")
    t.equal(last[0], "count", "the last line")
    lost = [set() for _ in range(int(first[4]))]
    for number, *by in lines:
        for leg in by:
            lost[int(leg) - 1].add(int(number))
    return int(first[2]), int(last[1]), lost


def lost_file():
    return os.path.join(t.case.present.directory(), "lost")


@t.test("RTP: version, payload type, SSRC, numbers over the wrap, time stamps by rate; the payload behind is checksummed")
def rtp():
    with t.line() as net:
        capture = t.Capture(net.relay, "in0", to=A)
        t.send(net.src, "s0", A, PORT, count=300, rate=1000, size=200, first_number=65400, ssrc=0x01020304,
               **{"as": "rtp,payload_type=33,clock_hz=48000"})
        t.equal(numbers(capture, 300, RTP.size), list(range(300)), "mcrgen's numbers")
        headers = [RTP.unpack_from(f.payload) for f in capture.udp()]
        per_datagram = 48000 // int(1000 / t.SLOWNESS)
        t.equal({(x[0], x[1], x[4]) for x in headers}, {(0x80, 33, 0x01020304)}, "version and flags, type, SSRC")
        t.equal([x[2] for x in headers], [(65400 + i) % 65536 for i in range(300)], "RTP's numbers")
        t.equal([(x[3] - headers[0][3]) % 2**32 for x in headers], [i * per_datagram for i in range(300)], "time stamps")


@t.test("a field: a little-endian number at its place, a session before it, both new after a restart; also in trains (GSO)")
def field():
    form = {"as": "field,at=12,bytes=4,endian=little,session_at=2,session_bytes=10"}
    for gso in (1, 5):
        with t.line() as net:
            capture = t.Capture(net.relay, "in0", to=A)
            t.send(net.src, "s0", A, PORT, count=100, size=100, first_number=2**32 - 10, ssrc=7, restart=50, gso=gso,
                   **form)
            t.equal(numbers(capture, 100, 16), list(range(100)), "mcrgen's numbers")
            fields = [struct.unpack_from("<2s6xII", f.payload, 0) for f in capture.udp()]
            sessions = [int.from_bytes(f.payload[2:12], "big") for f in capture.udp()]
            t.equal({f[0] for f in fields}, {bytes(2)}, "what is left free")
            t.equal([f[2] for f in fields[:50]], [(2**32 - 10 + i) % 2**32 for i in range(50)], "numbers")
            t.equal([(f[2] - fields[50][2]) % 2**32 for f in fields[50:]], list(range(50)), "numbers after the restart")
            t.check(fields[50][2] not in (0, 40), "the restart begins at a random number")
            t.equal(set(sessions[:50]), {7}, "session")
            t.check(len(set(sessions[50:])) == 1 and sessions[50] != 7, f"session after the restart: {sessions[50]}")


@t.test("two legs: each loses by pattern what it says, all numbers leave by one or the other, copies are the same bytes; also in trains (GSO)")
def patterns():
    for gso in (1, 7):
        check_patterns(gso)


def check_patterns(gso):
    with two_links() as net:
        a, b = captures(net)
        file = lost_file()
        sent = t.send_legs(net.relay, legs(",pattern=3/100@10,pattern=50@1000", ",pattern=80@990"), count=2000, first=5,
                           rate=20000, size=150, lost_file=file, gso=gso, **{"as": "rtp"})
        lost = ({5 + i for i in range(2000) if i >= 10 and (i - 10) % 100 < 3 or 1000 <= i < 1050},
                {5 + i for i in range(990, 1070)})
        everything = set(range(5, 2005))
        t.equal((sent["first_seq"], sent["last_seq"], sent["lost_by_all"]), (5, 2004, len(lost[0] & lost[1])), "report")
        for i, capture in enumerate((a, b)):
            leg = sent["legs"][i]
            t.equal((leg["interface"], leg["destination"], leg["port"]), (f"in{i}", (A, B)[i], PORT), "leg")
            t.equal((leg["sent"], leg["lost"], leg["failed"]), (2000 - len(lost[i]), len(lost[i]), 0), f"leg {i + 1}")
            t.equal(numbers(capture, leg["sent"], RTP.size), sorted(everything - lost[i]), f"numbers by leg {i + 1}")
        t.equal(sent["sent"], sum(x["sent"] for x in sent["legs"]), "sent by all legs")
        t.equal(read_lost(file), (5, 2000, list(lost)), "the file")
        copies = {number_of(f.payload, RTP.size): f.payload for f in a.udp()}
        same = [copies[n] == f.payload for f in b.udp() if (n := number_of(f.payload, RTP.size)) in copies]
        t.check(len(same) > 1800 and all(same), f"{same.count(False)} of {len(same)} copies differ")


@t.test("losses by probability: independent by leg, the same by the same seed whatever the rate, others by another")
def probability():
    seen = []
    for rate, seed in ((20000, 7), (5000, 7), (20000, 8)):
        with two_links() as net:
            a, b = captures(net)
            file = lost_file()
            sent = t.send_legs(net.relay, legs(",loss=10%", ",loss=10%"), count=3000, rate=rate, size=100, seed=seed,
                               lost_file=file)
            _, _, lost = read_lost(file)
            for i, capture in enumerate((a, b)):
                t.equal(set(range(3000)) - set(numbers(capture, sent["legs"][i]["sent"])), lost[i], f"leg {i + 1} lost")
                t.check(200 < len(lost[i]) < 400, f"leg {i + 1} lost {len(lost[i])} of 3000")
            t.equal(sent["lost_by_all"], len(lost[0] & lost[1]), "lost by all")
            t.check(5 < sent["lost_by_all"] < 70, f"lost by all: {sent['lost_by_all']} of 3000")
            seen.append(lost)
    t.equal(seen[0], seen[1], "lost by seed 7, twice")
    t.check(seen[0][0] != seen[2][0] and seen[0][1] != seen[2][1], "another seed loses others")


@t.test("a leg that reorders, one that repeats: exactly so, also what is both and at the end of the stream")
def order():
    with two_links() as net:
        a, b = captures(net)
        sent = t.send_legs(net.relay, legs(",reorder=4", ",reorder=2,repeat=2,pattern=1@4"), count=102, rate=5000, size=64)
        late = [x + i for x in range(0, 100, 5) for i in (1, 2, 3, 4, 0)] + [101, 100]
        t.equal(numbers(a, 102), late, "leg 1")
        both = [x + i for x in range(0, 102, 3) for i in (1, 2, 0) if x + i != 4]
        t.equal(numbers(b, 303), [n for n in both for _ in range(3)], "leg 2")
        t.equal([(x["reordered"], x["repeated"]) for x in sent["legs"]], [(21, 0), (34, 202)], "report")


@t.test("a leg that is late by 40 ms: by the kernel's stamps; a restart, and the late leg still sends the old SSRC")
def delay():
    with two_links() as net:
        a, b = captures(net)
        t.send_legs(net.relay, legs("", ",delay_ms=40"), count=2000, rate=10000, size=100, restart=1000, **{"as": "rtp"})
        frames = [c.wait(2000) for c in (a, b)]
        t.equal([numbers(c, 2000, RTP.size) for c in (a, b)], [list(range(2000))] * 2, "numbers")
        skews = [sorted(f.at_ns - HEADER.unpack_from(f.payload, RTP.size)[3] for f in x) for x in frames]
        # 50 us early, as mcrgen(1) says; and no clock of a machine that was set meanwhile.
        t.check(39e6 < skews[1][0] < skews[0][0] + 45e6 * t.SLOWNESS, f"least delay: {skews[0][0]}, {skews[1][0]} ns")
        t.check(statistics.median(skews[1]) < 80e6 * t.SLOWNESS, f"median delay: {statistics.median(skews[1])} ns")
        ssrcs = [[RTP.unpack_from(f.payload)[4] for f in x] for x in frames]
        t.equal(ssrcs[0], ssrcs[1], "SSRCs")
        t.equal([len(set(ssrcs[0][:1000])), len(set(ssrcs[0]))], [1, 2], "SSRCs before the restart, and in all")
        t.check(frames[1][999].at_ns > frames[0][1000].at_ns, "the late leg sends the old SSRC beside the new one")


@t.test("SIGINT: what was made leaves by every leg, and the file is complete")
def interrupted():
    with two_links() as net:
        a, b = captures(net)
        file = lost_file()
        process = t.start_sending_legs(net.relay, legs(",loss=20%,reorder=7", ",loss=20%,delay_ms=300"), rate=2000, size=100,
                                       lost_file=file)
        a.wait(500)
        process.send_signal(signal.SIGINT)
        sent = t.finish_sending(process)
        first, count, lost = read_lost(file)
        t.check(500 < count < 20000 and first == 0 and count == sent["last_seq"] + 1, f"the file tells of {count} numbers")
        for i, capture in enumerate((a, b)):
            came = numbers(capture, sent["legs"][i]["sent"])
            t.equal(sorted(came), [n for n in range(count) if n not in lost[i]], f"leg {i + 1}")


@t.test("what a leg cannot send is counted as failed by that leg, and is no loss on purpose: exit status 1")
def failed():
    with two_links() as net:
        a, _ = captures(net)
        net.relay.run("ip", "link", "set", "dev", "in0", "mtu", 2000)
        net.src0.run("ip", "link", "set", "dev", "s0", "mtu", 2000)
        status, out, err = net.relay.run(t.MCRGEN, "send", "--json", "--size", 1800, "--dont-fragment", "--count", 20,
                                         *(x for leg in legs("", ",pattern=5") for x in ("--leg", leg)), check_status=False)
        sent = json.loads(out)
        t.equal([(x["sent"], x["failed"], x["lost"]) for x in sent["legs"]], [(20, 0, 0), (0, 15, 5)], err)
        t.equal((status, sent["sent"], sent["failed"], sent["errors"], sent["lost_by_all"]), (1, 20, 15, {"EMSGSIZE": 15}, 0),
                err)
        t.equal(numbers(a, 20), list(range(20)), "leg 1")


def drained(sockets, process):
    """All that comes until the process has ended: mere payloads, which is faster than a capture."""
    came, pairs = [[] for _ in sockets], list(enumerate(sockets))
    ended = False
    while True:
        n = 0
        for i, s in pairs:
            try:
                while True:
                    came[i].append(s.recv(2048))
                    n += 1
            except BlockingIOError:
                pass
        if n == 0 and ended:
            return came
        ended = n == 0 and process.poll() is not None


def processor_s():
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def group_socket(node, interface, group, port):
    s = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with node.inside():
        index = socket.if_nametoindex(interface)
    s.setblocking(False)
    try:
        s.setsockopt(socket.SOL_SOCKET, t.SO_RCVBUFFORCE, 64 << 20)
    except PermissionError:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    s.bind((group, port))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index))
    return s


@t.test("50,000/s by each of two legs, one of them 20 ms late, each losing 10 %: one core is enough, exactly the rest comes")
def volume():
    for attempt in range(3):
        with two_links() as net:
            sockets = [group_socket(net.src0, "s0", A, PORT), group_socket(net.src1, "s0", B, PORT)]
            file = lost_file()
            before = processor_s()
            process = t.start_sending_legs(net.relay, legs(",loss=10%", ",loss=10%,delay_ms=20"), count=100000, rate=50000,
                                           size=100, lost_file=file, **{"as": "rtp"})
            came = drained(sockets, process)
            sent = t.finish_sending(process)
            used = processor_s() - before
            _, count, lost = read_lost(file)
            t.equal(count, 100000, "numbers")
            if attempt < 2 and [len(x) for x in came] != [x["sent"] for x in sent["legs"]]:
                t.note(f"the receivers' own sockets lost some: {[len(x) for x in came]} of {sent['legs']}; once more")
                continue
            t.check(used < 2 * t.SLOWNESS, f"{used} s of the processor for 2 s of the stream")
            for i in range(2):
                found = [HEADER.unpack_from(x, RTP.size)[2] for x in came[i]]
                t.check(found == [n for n in range(count) if n not in lost[i]], f"leg {i + 1}: {len(found)} came: {sent}")
            return


# Each leg brings what the other loses, and both lose a run: to one group, that is what a merge makes of two legs; in order,
# as long as neither sends several at once.
HALVES = [f"in0,{A},{PORT},pattern=1/2,pattern=20@101", f"in0,{A},{PORT},pattern=1/2@1,pattern=20@101"]


@t.test("mcrgen recv by the sender's file: ok when exactly what all legs lost is missing; in order, as RTP")
def accepted():
    with t.line() as net:
        capture = t.Capture(net.relay, "in0", to=A)
        file = lost_file()
        r = t.Receiver(net.relay, "in0", A, PORT, lost_file=file, in_order=True, **{"as": "rtp"})
        t.send_legs(net.src, [x.replace("in0", "s0") for x in HALVES], count=1000, rate=2000, size=100, batch=1,
                    lost_file=file, **{"as": "rtp"})
        report = r.report()
        came = numbers(capture, 980, RTP.size)
        # The first of all is lost by leg 1 alone, and comes by leg 2.
        t.equal(came, [n for n in range(1000) if not 101 <= n < 121], "captured")
        t.equal([report[k] for k in ("ok", "expected", "received", "lost", "lost_by_all", "unexpected", "reordered")],
                [True, 980, 980, 0, 20, 0, 0], "judged")


@t.test("mcrgen recv by the sender's file: FAILED for one more that is missing, one that should be, a copy, disorder")
def refused():
    cases = (({}, [0, 1, 3, 5, 6, 7, 8, 9], {}),
             ({}, [0, 1, 3, 6, 7, 8, 9], {"lost": 1}),
             ({}, [0, 1, 2, 3, 5, 6, 7, 8, 9], {"unexpected": 1}),
             ({}, [0, 1, 3, 5, 6, 7, 8, 9, 10], {"unexpected": 1}),
             ({}, [0, 1, 3, 5, 5, 6, 7, 8, 9], {"duplicates": 1}),
             ({}, [0, 1, 5, 3, 6, 7, 8, 9], {"reordered": 1}),
             ({"in_order": True}, [0, 1, 5, 3, 6, 7, 8, 9], {"reordered": 1}))
    with t.line() as net:
        # What one leg sends, taken down and sent again by hand.
        capture = t.Capture(net.relay, "in0", to=A)
        t.send(net.src, "s0", A, PORT, count=11, rate=1000, size=60)
        frames = [bytes(f.data) for f in capture.wait(11)]
        file = os.path.join(t.case.present.directory(), "lost")
        with open(file, "w", encoding="ascii") as f:
            f.write("mcrgen-lost first 0 legs 2\n2 1 2\n4 1 2\n7 2\ncount 10\n")
        sender = t.RawSender(net.src, "s0")
        for options, came, wrong in cases:
            ok = not wrong or wrong == {"reordered": 1} and not options
            r = t.Receiver(net.relay, "in0", A, PORT, lost_file=file, **options)
            sender.send(*(finished(frames[n]) for n in came))
            report = r.report()
            t.equal(report["ok"], ok, f"{came} {options}: {t.describe(report)}")
            t.equal({k: v for k in ("lost", "unexpected", "duplicates", "reordered") if (v := report[k])}, wrong, f"{came}")


def finished(frame):
    """With its UDP checksum, which the capture may have seen before a device would have written it."""
    f = t.Frame(frame, None, False, False)
    return t.datagram(f.destination, f.port, f.payload, source=f.source)


@t.test("mcrgen recv --missing-ms: a pause beyond --idle-ms does not end it while some are missing, and it ends soon after")
def pause():
    with t.line() as net:
        for missing_ms, received in ((None, 20), (20000, 40)):
            r = t.Receiver(net.relay, "in0", A, PORT, idle_ms=200, seconds=40, expect=40, missing_ms=missing_ms)
            t.send(net.src, "s0", A, PORT, count=20)
            time.sleep(0.8 * t.SLOWNESS)
            t.send(net.src, "s0", A, PORT, count=20, first=20)
            began = time.monotonic()
            report = r.report()
            t.equal((report["received"], report["stopped_by"]), (received, "idle"), f"missing_ms {missing_ms}")
            t.check(time.monotonic() - began < 10 * t.SLOWNESS, "it waited for what had come")


@t.test("mcrgen recv without the sender's file, or with half of it: nothing is judged, exit status 2, the report says so")
def not_judged():
    with t.line() as net:
        file = os.path.join(t.case.present.directory(), "lost")
        for text in (None, "mcrgen-lost first 0 legs 1\n", "mcrgen-lost first 0 legs 1\ncount 20"):
            if text:
                with open(file, "w", encoding="ascii") as f:
                    f.write(text)
            reader, writer = os.pipe()
            p = t.start_process([t.MCRGEN, "recv", "-i", "in0", "-g", A, "-p", str(PORT), "--idle-ms", "300", "--lost-file",
                                 file, "--ready-fd", str(writer)], net.relay, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, pass_fds=[writer])
            os.close(writer)
            with os.fdopen(reader, "r") as ready:
                t.equal(ready.readline(), "ready\n", "ready")
            t.send(net.src, "s0", A, PORT, count=20)
            out, err = p.communicate(timeout=20 * t.SLOWNESS)
            t.equal((p.returncode, out.splitlines()[-1]), (2, "FAILED: what was lost on purpose is not known"), err)
            t.check(err.startswith(f"mcrgen: {file}: " + ("line" if text else "No such file")), f"it said: {err}")


if __name__ == "__main__":
    t.main()
