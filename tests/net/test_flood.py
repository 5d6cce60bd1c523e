#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Floods: one stream at the highest rate that the machine offers, while another carries 1,000 a second."""
import mcrtest as t

PORT, OUT_PORT = 5000, 6000
FLOOD, QUIET, NONE = "239.255.0.1", "239.255.0.2", "239.255.0.3"
SECONDS = 3


def flooded(net, rules, quiet_source, quiet_interface, quiet_sink, flood_group=FLOOD, flood_options=None, flood_port=PORT):
    """Floods src0 while the quiet stream goes its way. Returns the report of its receiver and the statistics."""
    with t.Mcrd(net.relay, rules) as d:
        receiver = t.Receiver(quiet_sink, "d0", "239.255.1.2", OUT_PORT, expect=1000 * SECONDS, idle_ms=1000,
                              seconds=60)
        flood = t.start_sending(net.src0, "s0", flood_group, flood_port, rate=2000000, count=900000 * SECONDS,
                                **(flood_options or {"size": 64}))
        t.send(quiet_source, quiet_interface, QUIET, PORT, count=1000 * SECONDS, rate=1000, size=200)
        t.kill_process(flood)
        report = receiver.report()
        s = d.check_sums()
        passed = next((r["packets"] for r in s["rules"] if r["name"] == "flood"), 0)
        drops = {i["name"]: i["ring_drops"] for i in s["interfaces"]}
        t.note(f"flood: {passed / SECONDS:.0f}/s matched, ring drops {drops}; quiet stream: lost {report['lost']} of "
               f"{1000 * SECONDS}, p99 {report['latency_us']['p99']:.0f} us")
        return report, s


def rule(name, group, out, interface, out_interface, **keys):
    return t.rule(name, group, PORT, [t.to_group(out, OUT_PORT, interface=out_interface)], interface=interface, **keys)


@t.test("small datagrams without end on one interface: a stream of another interface loses nothing")
def other_interface():
    with t.star(inputs=2, outputs=2) as net:
        report, _ = flooded(net, [rule("flood", FLOOD, "239.255.1.1", "in0", "out0"),
                                  rule("quiet", QUIET, "239.255.1.2", "in1", "out1")], net.src1, "s0", net.dst1)
        t.equal((report["lost"], report["duplicates"], report["corrupt"]), (0, 0, 0), "of the quiet stream")


@t.test("the same with a limit on the flooded rule: what exceeds it is counted, and its output is spared")
def limited():
    limit = {"packets_per_second": 1000}
    with t.star(inputs=2, outputs=2) as net:
        report, s = flooded(net, [rule("flood", FLOOD, "239.255.1.1", "in0", "out0", limit=limit),
                                  rule("quiet", QUIET, "239.255.1.2", "in1", "out1")], net.src1, "s0", net.dst1)
        t.equal(report["lost"], 0, "of the quiet stream")
        flood = s["rules"][0]
        t.check(flood["drops"]["rate"] > 0, "nothing was dropped")
        t.equal(flood["outputs"][0]["packets"] + flood["drops"]["rate"], flood["packets"], "sent and dropped")


@t.test("a flood that no rule wants is dropped by the kernel's filter: the same interface carries on without loss")
def unwanted():
    with t.star(inputs=1, outputs=2) as net:
        report, s = flooded(net, [rule("quiet", QUIET, "239.255.1.2", "in0", "out1")], net.src0, "s0", net.dst1,
                            flood_group=NONE)
        t.equal(report["lost"], 0, "of the quiet stream")
        t.equal(s["interfaces"][0]["unmatched"], 0, "of the flood reached the relay")


@t.test("both on one interface share its ring: what the quiet stream loses is in ring_drops, and nothing else is lost")
def same_interface():
    with t.star(inputs=1, outputs=2) as net:
        report, s = flooded(net, [rule("flood", FLOOD, "239.255.1.1", "in0", "out0"),
                                  rule("quiet", QUIET, "239.255.1.2", "in0", "out1")], net.src0, "s0", net.dst1)
        t.equal((report["duplicates"], report["corrupt"]), (0, 0), "of the quiet stream")
        t.check(report["lost"] <= s["interfaces"][0]["ring_drops"], f"lost {report['lost']}")


if __name__ == "__main__":
    t.main()
