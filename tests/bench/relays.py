# SPDX-License-Identifier: Apache-2.0
"""relays: what is compared, each started by the same few lines: name, start, where its output is found."""
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from unittest import mock

import world as w
from world import case, t

MINIMAL = os.environ.get("MINIMAL", "tests/bench/minimal")
RING = os.environ.get("RING", "tests/bench/ring")


class Relay:
    name = "?"
    most_flows = most_outputs = 1024

    def missing(self):
        """Why it cannot take part, or None."""
        return None

    def takes(self, s):
        return s.flows <= self.most_flows and s.fanout <= self.most_outputs

    def first_output(self):
        """The group and port of the first flow's first output."""
        return w.out_group(0, 0), w.OUT_PORT

    @contextlib.contextmanager
    def running(self, world, s):
        """Runs on the relay's core; yields a function that returns what the relay says of itself."""
        with w.on_core(w.RELAY_CORE):
            processes = self.start(world, s)
        try:
            yield dict
        finally:
            for p in processes:
                t.kill_process(p)

    def start(self, world, s):
        raise NotImplementedError

    def tells(self):
        """What only the relay itself can tell of the run that is about to end, by the columns' keys."""
        return {}


class Minimal(Relay):
    name = "recv/send"

    def start(self, world, s):
        flows = [f"{w.in_group(f)}:{w.PORT}=" + ",".join(f"{w.out_group(f, o)}:{w.OUT_PORT}" for o in range(s.fanout))
                 for f in range(s.flows)]
        p = t.start_process([MINIMAL, w.IN_ADDRESS, w.OUT_ADDRESS, *flows], world.relay, stdout=subprocess.PIPE)
        t.check(p.stdout.readline() == b"ready\n", "the recv/send relay has not started")
        return [p]


class Ring(Relay):
    """The least of mcrd, with either version of the packet ring; usecs: the longest wait, by default mcrd's."""
    most_flows, most_outputs = 64, 1

    def __init__(self, name, version, usecs=150):
        self.name, self.version, self.usecs = name, version, usecs

    def start(self, world, s):
        flows = [f"{w.in_group(f)}:{w.PORT}={w.out_group(f, 0)}:{w.OUT_PORT}" for f in range(s.flows)]
        self.process = t.start_process([RING, self.version, "in0", "out0", str(self.usecs), *flows], world.relay,
                                       stdout=subprocess.PIPE)
        t.check(self.process.stdout.readline() == b"ready\n", f"{self.name} has not started")
        return [self.process]

    def tells(self):
        """How many datagrams left by a system call."""
        self.process.send_signal(signal.SIGUSR1)
        return {"batch": float(self.process.stdout.readline())}


class Socat(Relay):
    name = "socat"
    most_flows, most_outputs = 1, 4  # a process for each output

    def missing(self):
        return None if shutil.which("socat") else "socat is not installed"

    def start(self, world, s):
        processes = []
        for o in range(s.fanout):
            processes.append(t.start_process(
                ["socat", "-u", "-b", "65536",
                 f"UDP4-RECV:{w.PORT},bind={w.in_group(0)},ip-add-membership={w.in_group(0)}:in0,reuseaddr,"
                 "rcvbuf-late=8388608",
                 f"UDP4-DATAGRAM:{w.out_group(0, o)}:{w.OUT_PORT},ip-multicast-if={w.OUT_ADDRESS}"], world.relay))
        t.wait_for(lambda: w.in_group(0) in t.memberships(world.relay, "in0"), 5, "socat's membership")
        return processes


class Kernel(Relay):
    """Multicast routing, set by smcrouted. It cannot change a group, so that each copy has an interface of its own."""
    name = "kernel"
    most_outputs = w.WIDTH

    def missing(self):
        return None if shutil.which("smcrouted") else "smcroute is not installed"

    def first_output(self):
        return w.in_group(0), w.PORT

    def start(self, world, s):
        outputs = [f"out{i}" for i in range(s.fanout)]
        lines = [f"phyint {i} enable" for i in ["in0", *outputs]]
        for f in range(s.flows):
            lines.append(f"mgroup from in0 group {w.in_group(f)}")
            lines.append(f"mroute from in0 group {w.in_group(f)} source {w.SOURCE_ADDRESS} to {' '.join(outputs)}")
        base = os.path.join(case.base, "smcroute")
        with open(base + ".conf", "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        with open(base + ".log", "ab") as log:
            p = t.start_process(["smcrouted", "-n", "-N", "-f", base + ".conf", "-P", base + ".pid", "-u",
                                 base + ".sock"], world.relay, stdout=log, stderr=log)
        t.wait_for(lambda: len(world.relay.read_proc("ip_mr_cache").splitlines()) > s.flows, 10, "multicast routes")
        # IP_MAX_MEMBERSHIPS bounds smcrouted's one socket; a route needs no membership to work on veth.
        return [p]


class Mcrd(Relay):
    """The daemon, with further keys of the config file."""

    def __init__(self, name="mcrd", firewall=False, **top):
        self.name, self.firewall, self.top = name, firewall, top

    def missing(self):
        directory = case.present.directory()
        path = os.path.join(directory, "mcr.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write("version = 1;\n" + "".join(f"{k} = {t.to_libconfig(v)};\n" for k, v in self.top.items()) +
                    'rules = ( { name = "r"; input = { interface = "in0"; group = "239.255.0.1"; port = 5000; }; '
                    'outputs = ( { interface = "out0"; group = "239.255.1.1"; port = 6000; } ); } );\n')
        os.chmod(path, 0o644)
        commands = [["--check"]] + ([["--firewall", "--role", "host"]] if self.firewall else [])
        for command in commands:
            status, out, err = t.run_command([t.MCRD, *command, "--config", path], check_status=False)
            if status != 0:
                return f"mcrd {' '.join(command)}: {(err or out).strip().splitlines()[0].replace(path, 'mcr.conf')}"
        return None

    def rules(self, s):
        if s.merge:
            legs = [{"leg": "AB"[i], "interface": f"in{i}", "group": w.in_group(0), "port": w.PORT} for i in range(2)]
            return [{"name": "merged", "inputs": legs, "merge": s.merge, **s.keys,
                     "outputs": [t.to_group(w.out_group(0, 0), w.OUT_PORT)]}]
        keys = {"silence_ms": 86400000, "max_residence_us": 10000000} if s.during == "alarms" else s.keys
        sources = [f"198.18.100.{i}" for i in range(s.sources - 1)] + [w.SOURCE_ADDRESS] if s.sources else None
        rules = [t.rule(f"flow-{f}", w.in_group(f), w.PORT,
                        [t.to_group(w.out_group(f, o), w.OUT_PORT, **s.output) for o in range(s.fanout)], sources=sources,
                        **keys) for f in range(s.flows)]
        # Others, which nobody sends to: as many groups as memberships would take are not the question here.
        rules += [t.rule(f"idle-{i}", w.in_group(100 + i % 100), 10000 + i,
                         [t.to_group(w.out_group(100, 0), 10000 + i, "out1" if s.during == "news" else "out0")], **keys)
                  for i in range(s.rules - s.flows)]
        rules += [t.rule(f"in-{i}", w.in_group(0), w.PORT, [t.to_group(w.out_group(101, i), w.OUT_PORT)], f"in{i}")
                  for i in range(1, s.inputs)]
        return rules

    def before(self):
        """A command that runs it."""
        return []

    def tells(self):
        """From the request for the file to the first verdict: read, check, open, join, compile, hand over."""
        return {"start_ms": float(re.search(r"took_ms=([0-9.]+)", self.daemon.log_text())[1])}

    @contextlib.contextmanager
    def running(self, world, s):
        daemon = t.Mcrd(world.relay, self.rules(s), before=self.before(), **self.top)
        self.daemon = daemon
        with w.on_core(w.RELAY_CORE):
            daemon.__enter__()
        try:
            if self.firewall:
                _, rules, _ = t.run_command([t.MCRD, "--firewall", "--role", "host", "--config", daemon.config.file])
                path = os.path.join(daemon.config.directory, "host.nft")
                with open(path, "w", encoding="ascii") as f:
                    f.write(rules)
                world.relay.run("nft", "-f", path)
            yield lambda: _account(daemon)
        finally:
            try:
                daemon.stop()
            finally:
                t.kill_process(daemon.process)
                if self.firewall:
                    world.relay.run("nft", "flush", "ruleset")


class Before(Mcrd):
    """Another build of mcrd, with its mcrstat beside it: what a change has cost."""

    def __init__(self, path):
        super().__init__("before")
        self.programs = {"MCRD": path, "MCRSTAT": os.path.join(os.path.dirname(path), "mcrstat")}

    @contextlib.contextmanager
    def running(self, world, s):
        with mock.patch.multiple(t.daemon, **self.programs), super().running(world, s) as tells:
            yield tells


def _account(daemon):
    stats = daemon.stats()
    i = next(x for x in stats["interfaces"] if x["name"] == "in0")
    r = stats["rules"][0]
    return {**{k: v for k, v in i.items() if isinstance(v, int) and v and not isinstance(v, bool)},
            "sent": sum(o["packets"] for o in r["outputs"]), "drops": sum(r["drops"].values()),
            "errors": sum(o["errors"] for o in r["outputs"]),
            "stayed": r.get("residence_us", {}).get("p50"), "stayed99.9": r.get("residence_us", {}).get("p999")}


class Other(Relay):
    """Given on the command line: a shell command with placeholders. One flow; several outputs if it says {outputs}."""

    def __init__(self, template):
        name, separator, command = template.partition(":")
        self.name, self.command = (name.strip(), command.strip()) if separator else ("other", template)
        self.most_flows, self.most_outputs = 1, 256 if "{outputs}" in template else 1

    def start(self, world, s):
        words = {"in_if": "in0", "in_addr": w.IN_ADDRESS, "in_group": w.in_group(0), "in_port": w.PORT,
                 "source": w.SOURCE_ADDRESS, "out_if": "out0", "out_addr": w.OUT_ADDRESS,
                 "out_group": w.out_group(0, 0), "out_port": w.OUT_PORT, "dir": case.present.directory(),
                 "outputs": ",".join(f"{w.out_group(0, o)}:{w.OUT_PORT}" for o in range(s.fanout))}
        p = t.start_process(["sh", "-c", "exec " + self.command.format(
            **{k: shlex.quote(str(v)) for k, v in words.items()})], world.relay, stdout=subprocess.DEVNULL)
        # Until it has joined, if it joins at all.
        with contextlib.suppress(t.Failure):
            t.wait_for(lambda: w.in_group(0) in t.memberships(world.relay, "in0"), 3)
        t.check(p.poll() is None, f"{self.name}: the command has ended")
        return [p]


def everything(template):
    """All relays by name, and why those that are missing are."""
    before = [Before(os.environ["BEFORE"])] if os.environ.get("BEFORE") else []
    relays = [Mcrd(), *before, Minimal(), Socat(), Kernel(), Mcrd("mcrd busy_poll", busy_poll=True),
              Mcrd("mcrd host firewall", firewall=True), Mcrd("mcrd 1 ms", coalesce_usecs=1000),
              Mcrd("mcrd no wait", coalesce_usecs=0)]
    relays += [Ring("ring v2", "2"), Ring("ring v2, 180 frames", "2:180", 1000), Ring("ring v3", "3"),
               Ring("ring v3, 64 KiB", "3:64")]
    if template:
        relays.append(Other(template))
    reasons = {r.name: r.missing() for r in relays}
    return {r.name: r for r in relays if not reasons[r.name]}, {k: v for k, v in reasons.items() if v}
