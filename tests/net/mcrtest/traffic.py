# SPDX-License-Identifier: Apache-2.0
"""mcrgen."""
import json
import os
import subprocess

from .daemon import Mcrd
from .frames import is_group
from .process import end_process, kill_process, start_process
from .result import Failure, check
from .system import MCRGEN, SLOWNESS


def _options(options):
    """count=5, dont_fragment=True to --count 5 --dont-fragment"""
    argv = []
    factors = {"rate": 1 / SLOWNESS, "idle_ms": SLOWNESS, "missing_ms": SLOWNESS, "seconds": SLOWNESS}
    for key, value in options.items():
        if value and key in factors:
            value = max(1, int(value * factors[key]))
        name = "--" + key.replace("_", "-")
        if value is True:
            argv.append(name)
        elif isinstance(value, list):
            for one in value:
                argv += [name, str(one)]
        elif value is not None and value is not False:
            argv += [name, str(value)]
    return argv


def send(node, interface, group, port, check_status=True, seconds_allowed=60, **options):
    """mcrgen send to its end; its report."""
    status, out, err = node.run(
        MCRGEN, "send", "--json", "--interface", interface, "--group" if is_group(group) else "--address", group,
        "--port", port, *_options(options), check_status=False, seconds=seconds_allowed)
    if check_status:
        check(status == 0, f"mcrgen send: exit status {status}: {err.strip()} {out.strip()}")
    return json.loads(out)


def start_sending(node, interface, group, port, **options):
    """mcrgen send in the background: a process, for finish_sending()."""
    return start_process(
        [MCRGEN, "send", "--json", "--interface", interface, "--group" if is_group(group) else "--address", group,
         "--port", str(port), *_options(options)], node, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_sending_legs(node, legs, **options):
    """mcrgen send by several legs (--leg) in the background: a process, for finish_sending()."""
    return start_process([MCRGEN, "send", "--json", *_options({"leg": legs, **options})], node, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)


def send_legs(node, legs, **options):
    """The same to its end; its report."""
    return finish_sending(start_sending_legs(node, legs, **options))


def finish_sending(process, seconds=60):
    """Waits for its end; its report."""
    try:
        out, err = process.communicate(timeout=seconds * SLOWNESS)
    finally:
        kill_process(process)
    check(process.returncode == 0, f"mcrgen send: exit status {process.returncode}: {err.strip()} {out.strip()}")
    return json.loads(out)


class Receiver:
    """mcrgen recv in a node, ready when the constructor returns."""

    def __init__(self, node, interface, group, port, idle_ms=250, seconds=15, **options):
        # Two senders of one test may start far apart on a busy machine.
        if options.get("expect"):
            options.setdefault("missing_ms", max(2500, idle_ms))
        reader, writer = os.pipe()
        self.where = f"{node.name} {interface} {group}:{port}"
        self.process = start_process(
            [MCRGEN, "recv", "--json", "--interface", interface, "--group" if is_group(group) else "--address", group,
             "--port", str(port), "--ready-fd", str(writer),
             *_options({"idle_ms": idle_ms, "seconds": seconds, **options})], node, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[writer])
        os.close(writer)
        with os.fdopen(reader, "r") as ready:
            said = ready.readline()
        if said != "ready\n":
            _, err = self.process.communicate(timeout=5)
            end_process(self.process)
            raise Failure(f"mcrgen recv ({self.where}): {err.strip()}")

    def report(self, seconds=60):
        try:
            out, err = self.process.communicate(timeout=seconds * SLOWNESS)
        finally:
            kill_process(self.process)
        check(self.process.returncode in (0, 1) and out, f"mcrgen recv ({self.where}): {err.strip()}")
        return json.loads(out)

    def all_came(self):
        """All that was expected, each once and unchanged, and nothing else. Returns the report."""
        report = self.report()
        check(report["ok"] and report["foreign"] == 0, f"mcrgen recv ({self.where}): {describe(report)}")
        return report


def describe(report):
    names = ("expected", "received", "lost", "duplicates", "corrupt", "foreign", "unexpected", "too_old",
             "socket_drops", "checksum_errors", "stopped_by")
    return ", ".join(f"{k} {report[k]}" for k in names if report[k] not in (0, None))


def passes(net, rules, receivers, to, n=600, port=5000, args=(), **options):
    """Of n datagrams by mcrgen to an address and port of the source's link, each receiver (address, port) gets each one
    once and nothing else. Returns the statistics."""
    with Mcrd(net.relay, rules, args) as d:
        ready = [Receiver(net.dst, "d0", a, p, expect=n) for a, p in receivers]
        send(net.src, "s0", to, port, count=n, **{"rate": 10000, "size": 1000, **options})
        for r in ready:
            r.all_came()
        return d.account({"r": n})
