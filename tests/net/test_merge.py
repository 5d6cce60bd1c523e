#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two copies of a stream merged into one: the first copy of each number leaves, once, whatever the legs lose."""
import contextlib
import os
import tempfile

import mcrtest as t
import reloadtest as r

A, B, OUT = "239.255.0.1", "239.255.10.1", "239.255.1.1"
PORT, OUT_PORT = 5000, 6000
RTP, FIELD = "rtp", "field,at=0,bytes=4"


@contextlib.contextmanager
def two_paths():
    """src s0 --- in0 relay, src s1 --- in1 relay, relay out0 --- d0 dst"""
    with t.Net() as net:
        for name in ("src", "relay", "dst"):
            net.node(name)
        for i in range(2):
            net.link(net.src, f"s{i}", f"198.18.1{i}.1/24", net.relay, f"in{i}", f"198.18.1{i}.2/24")
        net.link(net.relay, "out0", "198.18.2.2/24", net.dst, "d0", "198.18.2.1/24")
        yield net


def rule(by="rtp", outputs=None, rule_keys=None, **keys):
    return {"name": "r", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in1", "group": B, "port": PORT}],
            "merge": {"by": by, **keys}, "outputs": outputs or [t.to_group(OUT, OUT_PORT)], **(rule_keys or {})}


FIELD_MERGE = {"by": "field", "field": {"at": 0, "bytes": 4}}
REORDER = {"reorder_ms": 40, "window_ms": 50, "rule_keys": {"max_payload": 1472}}


def legs(a="", b=""):
    return [f"s0,{A},{PORT}{a}", f"s1,{B},{PORT}{b}"]


def through(net, d, sent_legs, framing=RTP, in_order=False, count=5000, rate=10000, **options):
    """A stream by both legs: exactly what both lose is missing at the receiver. Returns the sender's report and rule."""
    with tempfile.TemporaryDirectory() as directory:
        lost = os.path.join(directory, "lost")
        receiver = t.start_receiving(net.dst, "d0", OUT, OUT_PORT, as_=framing, lost_file=lost, idle_ms=1500,
                                     seconds=60, **({"in_order": True} if in_order else {}))
        sent = t.send_legs(net.src, sent_legs, as_=framing, count=count, rate=rate, lost_file=lost, **options)
        report = t.finish_receiving(receiver)
    t.equal([report[k] for k in ("verdict", "duplicates", "received")] if "verdict" in report else
            [report["duplicates"], report["received"]], [0, count - sent["lost_by_all"]], f"the receiver: {report}")
    shown = t.wait_for(lambda: accounted(d, sent), 5, f"the accounts of {sent}")
    return sent, shown


def accounted(d, sent):
    """The rule, once the sum over its legs is what was sent, and what left with the drops."""
    rule = d.stats()["rules"][0]
    came = sum(leg["sent"] for leg in sent["legs"])
    left = rule["outputs"][0]["packets"] + sum(rule["drops"].values())
    return rule if rule["packets"] == came == left and sum(i["packets"] for i in rule["inputs"]) == came else None


@t.test("RTP by two legs that lose 10 % each: what both lost is missing, nothing comes twice")
def rtp():
    with two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        sent, shown = through(net, d, legs(",loss=10%", ",loss=10%"), seed=7)
        t.check(sent["lost_by_all"] > 10, f"the sender lost too little: {sent}")
        t.equal(shown["drops"]["copy"], sum(leg["sent"] for leg in sent["legs"]) - (5000 - sent["lost_by_all"]), "copies")
        t.wait_for(lambda: d.stats()["rules"][0]["merge"]["lost"] >= sent["lost_by_all"] - 3, 5, "lost")


t.main()
