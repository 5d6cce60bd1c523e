# SPDX-License-Identifier: Apache-2.0
"""world: where the benchmark runs: namespaces, cores, offloads, and who counts.

    src  s0 ─────────── in0  relay  out0 ─────────── d0  dst
                                    out1 ─────────── d1        up to 15, for the kernel's fan-out only

The source and what the harness itself does run on SOURCE_CORE, the relay on RELAY_CORE. veth hands a frame over on the
core that sent it: what arrives at in0 is received (tap, ring, IP stack) on the source's core, unless receive packet
steering (RPS) moves that to the relay's; what leaves by out0 is received by dst on the relay's core, where it is
dropped at once by nftables' ingress hook, but for a sample that mcrgen recv checks. The interface counters of d0 count,
by bytes, so that a super-frame counts as its datagrams.
"""
import contextlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "net"))
import mcrtest as t  # noqa: E402
from mcrtest import case  # noqa: E402

SOURCE_CORE, RELAY_CORE = 0, 1
IN_ADDRESS, OUT_ADDRESS, SOURCE_ADDRESS, SINK_ADDRESS = "198.18.1.2", "198.18.2.2", "198.18.1.1", "198.18.2.1"
PORT, OUT_PORT = 5000, 6000
GRO_WAIT_NS = 50000  # gro_flush_timeout, with napi_defer_hard_irqs
WIDTH = 16  # of out0, out1, ...
OVERHEAD = 14 + 20 + 8  # of a frame, as the counters see it, but for the payload


def in_group(flow):
    return f"239.255.0.{1 + flow}"


def out_group(flow, output):
    return f"239.255.{1 + flow}.{output}"


@contextlib.contextmanager
def on_core(core):
    """What is started within runs on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class World:
    def __init__(self, mtu, width=1):
        self.net = t.Net()
        self.width, self.mtu, self.inputs = width, mtu, 1
        self.settings = {}
        self.reason = {}  # of what cannot be set here
        src, relay, dst = (self.net.node(n) for n in ("src", "relay", "dst"))
        self.src, self.relay, self.dst = src, relay, dst
        self.net.link(src, "s0", f"{SOURCE_ADDRESS}/24", relay, "in0", f"{IN_ADDRESS}/24", mtu)
        for i in range(width):
            self.net.link(relay, f"out{i}", f"198.18.{2 + i}.2/24", dst, f"d{i}", f"198.18.{2 + i}.1/24", mtu)

    def set(self, segmentation=False, gro=False, rps=False, cut=False, inputs=1, doubled=False, sample=1):
        """segmentation: out0 takes UDP super-frames; gro: in0 makes them; cut: the source's kernel cuts those that the
        source hands over; inputs: in0, in1, ... of so many; doubled: what comes by in0 comes by in1 too; sample: one of
        so many reaches the receiver."""
        self._add_inputs(inputs)
        self._change("segmentation", segmentation, lambda: [
            self.relay.ethtool(f"out{i}", "tx-udp-segmentation", _on(segmentation)) for i in range(self.width)])
        self._change(f"cut {self.inputs}", cut, lambda: [
            self.src.ethtool(f"s{i}", "tx-udp-segmentation", _on(not cut)) for i in range(self.inputs)])
        self._change("gro", gro, lambda: self._merge(gro))
        self._change("rps", rps, lambda: self._write_sysfs(
            f"echo {1 << RELAY_CORE if rps else 0:x} > queues/rx-0/rps_cpus"))
        self._change("doubled", doubled, lambda: self._double(doubled))
        self._change("sample", sample, lambda: self._drop_all_but(sample))

    def _add_inputs(self, n):
        for i in range(self.inputs, n):
            self.net.link(self.src, f"s{i}", f"198.19.{i}.1/24", self.relay, f"in{i}", f"198.19.{i}.2/24", self.mtu)
        self.inputs = max(self.inputs, n)

    def _change(self, name, value, how):
        if self.settings.get(name) != value:
            how()
            self.settings[name] = value

    def _merge(self, gro):
        # veth polls after each frame: without a time to wait there is never a second one to merge.
        self.relay.ethtool("in0", "gro", _on(gro), "rx-udp-gro-forwarding", _on(gro))
        self._write_sysfs(f"echo {GRO_WAIT_NS if gro else 0} > gro_flush_timeout; "
                          f"echo {2 if gro else 0} > napi_defer_hard_irqs")

    def _double(self, doubled):
        # tc's hook is behind the taps: in0's ring has what goes on to in1's.
        if doubled:
            self.relay.run("tc", "qdisc", "add", "dev", "in0", "clsact")
            self.relay.run("tc", "filter", "add", "dev", "in0", "ingress", "protocol", "ip", "u32", "match", "u32", "0",
                           "0", "action", "mirred", "ingress", "redirect", "dev", "in1")
        elif "doubled" in self.settings:
            self.relay.run("tc", "qdisc", "del", "dev", "in0", "clsact")

    def _write_sysfs(self, commands):
        self.relay.run("unshare", "-m", "sh", "-ec", f"mount -t sysfs none /sys; cd /sys/class/net/in0; {commands}")

    def _drop_all_but(self, sample):
        devices = ", ".join(f"d{i}" for i in range(self.width))
        rules = "table netdev bench\ndelete table netdev bench\n"
        if sample > 1:
            rules += (f"table netdev bench {{\nchain sink {{\ntype filter hook ingress devices = {{ {devices} }} "
                      f"priority 0; policy drop;\nnumgen random mod {sample} 0 accept\n}}\n}}\n")
        path = os.path.join(case.base, "sink.nft")
        with open(path, "w", encoding="ascii") as f:
            f.write(rules)
        self.dst.run("nft", "-f", path)

    def arrived(self):
        """(frames, bytes) that dst has received so far."""
        return _received(self.dst, "d")

    def close(self):
        self.net.__exit__()


def _on(flag):
    return "on" if flag else "off"


def _received(node, prefix):
    frames = size = 0
    for line in node.read_proc("dev").splitlines()[2:]:
        name, _, values = line.partition(":")
        if name.strip().startswith(prefix):
            words = values.split()
            size += int(words[0])
            frames += int(words[1])
    return frames, size


def datagrams(before, after, payload):
    """How many datagrams of this payload came between two arrived()."""
    return round((after[1] - before[1] - (after[0] - before[0]) * OVERHEAD) / payload)


def missing():
    """What the benchmark cannot do without, or None."""
    if os.geteuid() != 0:
        return "it needs root (idle priority, RPS, nftables): run it with sudo"
    if len(os.sched_getaffinity(0)) < 2:
        return "it needs two cores"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [p for p in ("ip", "ethtool", "nft", "unshare") if not shutil.which(p, path=path)]
    return f"not installed: {', '.join(absent)} (Debian: iproute2 ethtool nftables)" if absent else None


def output_of(*argv):
    """The first line that a program prints, or None."""
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              timeout=10).stdout.splitlines()[0].strip()
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return None
