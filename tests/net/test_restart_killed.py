#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills at the worst moments of a restart, and many in a row: nothing is lost, and at most a pass each comes twice."""
import os
import signal

import mcrtest as t

A, B, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.10.1", "239.255.1.1", 5000, 6000
PLAIN = t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])
WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(t.MCRD), "../tests/net/witness.so"))
ROUNDS = 5 if t.SANITIZED else 20
SENDS = range(1, 9)  # of a start, before each of which it is killed
PASS = 256           # frames of a pass at most


def merged(**keys):
    return {"name": "r", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in1", "group": B, "port": PORT}],
            "merge": {"by": "rtp", "window_ms": 2000, **keys}, "max_payload": 300, "outputs": [t.to_group(OUT, OUT_PORT)]}


def preloaded(variable):
    if not os.access(WITNESS, os.R_OK):
        raise t.Skip("tests/net/witness.so is not built")
    # A sanitizer's library wants to be the first.
    return ["env", f"LD_PRELOAD={WITNESS}", variable,
            f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0:handle_sigill=0"]


def begin(net):
    receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=6000, seconds=90, **{"as": "rtp"})
    legs = [f"s0,{A},{PORT},pattern=3/100", f"s1,{B},{PORT},pattern=5/100@50,delay_ms=50"]
    return receiver, t.start_sending_legs(net.src, legs, seconds=80, rate=2000, size=200, **{"as": "rtp"})


def finish(receiver, source):
    source.send_signal(signal.SIGINT)
    t.finish_sending(source)
    return receiver.report()


@t.test("merges: a start that goes on is killed before each of its first sends: nothing is lost; at most a pass each comes twice")
def first_sends():
    for keys in ({}, {"reorder_ms": 300}):
        with t.two_paths() as net, t.Manager() as manager, \
                t.KeptMcrd(manager, net.relay, [merged(**keys)], args=["--without=tx-ring"]) as d:
            receiver, source = begin(net)
            for at in SENDS:
                d.restart_killed(signal.SIGTERM, preloaded(f"DIE_AT_SEND={at}"), -signal.SIGILL)
            report = finish(receiver, source)
            t.equal((report["lost"], report["corrupt"]), (0, 0), f"lost, corrupt with {keys}")
            t.check(report["duplicates"] <= PASS * len(SENDS), f"{report['duplicates']} came twice with {keys}")


@t.test("a plain rule: the same; counters go on")
def first_sends_of_one_leg():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [PLAIN], args=["--without=tx-ring"]) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=90)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=80, rate=2000, size=200)
        for at in SENDS:
            d.restart_killed(signal.SIGTERM, preloaded(f"DIE_AT_SEND={at}"), -signal.SIGILL)
        source.send_signal(signal.SIGINT)
        sent, report = t.finish_sending(source), receiver.report()
        t.equal((report["lost"], report["corrupt"]), (0, 0), "lost, corrupt")
        t.check(report["duplicates"] <= PASS * len(SENDS), f"{report['duplicates']} came twice")
        n = d.stats()["rules"][0]["packets"]
        t.check(abs(n - sent["sent"]) <= PASS * len(SENDS), f"the rule has counted {n} of {sent['sent']}")


@t.test("the broker is killed 20 times in a row: both are started anew, nothing is lost or comes twice, the next reload works",
        released=True)
def brokers():
    # A relay lives for 5 s at least; this one believes to have done so.
    with t.line() as net, t.Manager() as manager, \
            t.KeptMcrd(manager, net.relay, [PLAIN], ring_mib=16, before=preloaded("OLDER_BY=6")) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=90)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=80, rate=5000, size=200)
        for i in range(ROUNDS):
            t.check(d.restart(signal.SIGKILL, 1, "broker"), "nothing was taken over")
            t.check(i % 5 != 4 or "result=accepted" in d.reload(), "a reload")
        source.send_signal(signal.SIGINT)
        sent, report = t.finish_sending(source), receiver.report()
        t.equal((report["lost"], report["duplicates"], report["reordered"]), (0, 0, 0), "lost, twice, reordered")
        t.equal(d.stats()["rules"][0]["packets"], sent["sent"], "packets of the rule")
        t.equal(d.stats()["broker"], "alive", "broker")


if __name__ == "__main__":
    t.main()
