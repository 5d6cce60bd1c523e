# SPDX-License-Identifier: Apache-2.0
"""mcrd and its file."""
import contextlib
import json
import os
import pwd
import signal

from . import case
from .process import child_of, end_process, kill_process, process_status, run_command, start_process
from .result import Failure, check, equal, wait_for
from .system import CAP_NET_RAW, GROUP, LANDLOCK_KNOWN, MCRD, MCRSTAT, SANDBOX, USER, landlock_abi


def to_libconfig(value):
    """dict: group, list of dicts: list, other list: array."""
    if isinstance(value, dict):
        return "{ " + "".join(f"{k} = {to_libconfig(v)}; " for k, v in value.items()) + "}"
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        return "( " + ",\n  ".join(to_libconfig(v) for v in value) + " )"
    if isinstance(value, list):
        return "[ " + ", ".join(to_libconfig(v) for v in value) + " ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if abs(value) > 0x7fffffff else str(value)
    return json.dumps(value)


def rule(name, group, port, outputs, interface="in0", sources=None, **keys):
    """One rule of the config file."""
    taken = {"interface": interface, "group": group, "port": port}
    if sources:
        taken["sources"] = sources
    return {"name": name, "input": taken, "outputs": outputs, **keys}


def to_group(group, port, interface="out0", **keys):
    """One output of a rule."""
    return {"interface": interface, "group": group, "port": port, **keys}


def to_host(address, port, interface="out0", **keys):
    return {"interface": interface, "address": address, "port": port, **keys}


def rule_of(name, outputs, interface="in0", **taken):
    """A rule with any kind of input: address=, broadcast=, vlan=, ..."""
    return {"name": name, "input": {"interface": interface, **taken}, "outputs": outputs}


class Config:
    """A config file in a directory of its own, with the place of its statistics."""

    def __init__(self, rules, **top):
        self.directory = case.present.directory()
        self.file = os.path.join(self.directory, "mcr.conf")
        self.log = os.path.join(self.directory, "mcrd.log")
        self.stats_file = os.path.join(self.directory, "run", "stats")
        self.top = {"version": 1, "user": USER, "group": GROUP, "stats_file": self.stats_file, **top}
        self.rules = rules
        self.write()

    def write(self, text=None):
        """Replaces the file at once, as configuration management does."""
        if text is None:
            text = "".join(f"{k} = {to_libconfig(v)};\n" for k, v in self.top.items())
            text += f"rules = {to_libconfig(self.rules)};\n"
        with open(self.file + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(self.file + ".new", 0o644)
        os.rename(self.file + ".new", self.file)


class Mcrd:
    """The daemon in a node. As a with block it is started, checked, and at the end stopped and checked again."""

    STOPPED_WITHIN = 10  # s

    def __init__(self, node, rules, args=(), sandbox=None, before=(), **top):
        self.node = node
        self.config = rules if isinstance(rules, Config) else Config(rules, **top)
        self.args = list(args)
        self.sandbox = sandbox or SANDBOX
        self.before = list(before)  # a command that runs it
        self.process = self.broker = None
        self.broker_expected = True
        self.own_network = self.sandbox == "enforce"  # whether the relay gets a network namespace of its own
        case.present.daemons.append(self)

    def __enter__(self):
        self.launch()
        wait_for(self._started, 20, "mcrd's event=started")
        self.broker = wait_for(lambda: child_of(self.process.pid), 2, "the broker process")
        wait_for(self._has_stats, 5, "the statistics")
        self.check_rights()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            case.present.last_stats(self)
            kill_process(self.process)

    def log_to(self):
        """The file that its standard error becomes."""
        return open(self.config.log, "ab")

    def launch(self):
        with self.log_to() as log:
            self.process = start_process(
                [*self.before, MCRD, f"--sandbox={self.sandbox}", *self.args, "--config", self.config.file], self.node,
                stdout=log, stderr=log)

    def log_text(self):
        with open(self.config.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def logged(self, event, since=0):
        """The lines of this event."""
        return [x for x in self.log_text().splitlines()[since:] if f" event={event} " in x + " "]

    def _started(self):
        if self.logged("started"):
            return True
        check(self.process.poll() is None, f"mcrd ended at its start with status {self.process.poll()}")
        return False

    def _has_stats(self):
        """They get their name after the start, which may have been that of a daemon before."""
        status, out, _ = run_command([MCRSTAT, "--json", "--stats", self.config.stats_file], check_status=False)
        return status == 0 and json.loads(out)["pid"] == self.process.pid

    def landlock(self):
        """The ABI that must be in force."""
        if self.sandbox != "enforce" or any("landlock" in a for a in self.args):
            return 0
        return min(landlock_abi(), LANDLOCK_KNOWN)

    def check_rights(self):
        """What the kernel says of the two processes, and what the relay says of itself."""
        seccomp = "0" if self.sandbox == "off" else "2"
        for who, pid, kept in (("relay", self.process.pid, 0), ("broker", self.broker, CAP_NET_RAW)):
            if who == "broker" and not self.broker_expected:
                continue
            status = process_status(pid)
            check(status is not None, f"the {who} is gone")
            equal(status["Seccomp"], seccomp, f"{who}: Seccomp")
            equal(status["NoNewPrivs"], "1", f"{who}: NoNewPrivs")
            for name, expected in (("CapEff", kept), ("CapPrm", kept), ("CapInh", 0), ("CapAmb", 0), ("CapBnd", 0)):
                equal(f"{int(status[name], 16):x}", f"{expected:x}", f"{who}: {name}")
            uid = pwd.getpwnam(USER).pw_uid
            equal(status["Uid"].split(), [str(uid)] * 4, f"{who}: Uid")
            self._check_limits(who, pid)
        if not self.broker_expected:
            return  # it may have gone before its last statistics replaced the old ones
        isolated = self.sandbox == "enforce"
        equal(self.stats()["sandbox"],
              {"capabilities": [], "seccomp": self.sandbox, "landlock": self.landlock(),
               "network": "own" if self.own_network else "host", "root": "empty" if isolated else "host"}, "sandbox")

    def _check_limits(self, who, pid):
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
        check(int(limits["Max open files"][1]) <= 65536, f"{who}: open files: {limits['Max open files']}")
        for name in ("processes", "core file size", "locked memory", "msgqueue size"):
            if self.sandbox == "enforce":
                equal(limits[f"Max {name}"], ["0", "0"], f"{who}: limit of {name}")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.check_rights()
        self.signal(signal.SIGTERM)
        status = end_process(self.process, self.STOPPED_WITHIN)
        equal(status, 0, "mcrd's exit status after SIGTERM")
        wait_for(lambda: process_status(self.broker) is None, 3 * self.STOPPED_WITHIN, "the broker's end")
        self.check_log()

    def check_log(self):
        """The broker's exit status is seen by nobody, but what a sanitizer says is in the log."""
        found = [x for x in self.log_text().splitlines() if "Sanitizer" in x or "runtime error" in x]
        check(not found, f"mcrd's log: {found[:1]}")

    def run_to_end(self, seconds=20):
        """For a start that must fail. Returns (status, what it has said)."""
        self.launch()
        status = end_process(self.process, seconds)
        self.check_log()
        return status, self.log_text()

    def stats(self, *options):
        _, out, _ = run_command([MCRSTAT, "--json", "--stats", self.config.stats_file, *options])
        return json.loads(out)

    def reload(self):
        """SIGHUP, and waits for the answer. Returns its log line."""
        before = len(self.logged("reload"))
        self.signal(signal.SIGHUP)
        return wait_for(lambda: self.logged("reload")[before:], 10, "the answer to SIGHUP")[0]

    def account(self, rules=None, seconds=5, **interfaces):
        """Compares every counter with what is expected; what is not named is 0. See also check_sums().

        rules: {"name": {"packets": n, "drops": {...}, "outputs": [n or {"packets": n, "errors": n, ...}, ...]}}; where
        only n is given for a rule, that many came and all of them left by each output. interfaces: in0={"malformed":
        n, ...}; received is computed. Returns the statistics.
        """
        rules = rules or {}
        wanted_rules, wanted_interfaces = {}, {}
        for r in self.config.rules:
            wanted_rules[r["name"]] = _wanted_rule(r, rules.get(r["name"], 0))
        for name in {r["input"]["interface"] for r in self.config.rules}:
            counters = dict(interfaces.get(name, {}))
            counters["received"] = sum(v for k, v in counters.items() if k != "ring_drops") + sum(
                wanted_rules[r["name"]]["packets"] for r in self.config.rules if r["input"]["interface"] == name)
            wanted_interfaces[name] = counters

        def compare():
            self.last = self.stats()
            self.difference = _difference(self.last, wanted_rules, wanted_interfaces)
            return not self.difference

        try:
            wait_for(compare, seconds)
        except Failure:
            raise Failure("mcrd's counters: " + "; ".join(self.difference)) from None
        self.check_sums(self.last)
        return self.last

    def check_sums(self, stats=None):
        """Exact accounting (promise 3): each datagram is counted once under one name."""
        stats = stats or self.stats()
        rules = {r["name"]: r for r in stats["rules"]}
        for r in rules.values():
            for o in r["outputs"]:
                equal(sum(r["drops"].values()) + o["packets"] + o["errors"] + o["too_big"] + o["expired"],
                      r["packets"], f"rule {r['name']}, drops and output {o['to']}")
        for i in stats["interfaces"]:
            mine = [rules[r["name"]] for r in self.config.rules if r["input"]["interface"] == i["name"]]
            others = i.keys() - {"name", "state", "received", "ring_drops"}
            equal(sum(r["packets"] for r in mine) + sum(i[k] for k in others), i["received"],
                  f"interface {i['name']}: rules and drops")
        return stats


class PipedLog:
    """Before Mcrd or its like: the log is a pipe, which another process empties into the file."""

    def __enter__(self):
        reader, self.pipe = os.pipe()
        with open(self.config.log, "ab") as log:
            self.pump = start_process(["cat"], stdin=reader, stdout=log)
        os.close(reader)
        return super().__enter__()

    def log_to(self):
        return os.fdopen(os.dup(self.pipe), "wb")

    def stop_log(self):
        """Nobody reads, and the pipe is full."""
        self.pump.send_signal(signal.SIGSTOP)
        filler = os.open(f"/proc/self/fd/{self.pipe}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(filler, b"test: filler\n")
        os.close(filler)

    def start_log(self):
        self.pump.send_signal(signal.SIGCONT)


def _wanted_rule(r, given):
    wanted = {"packets": given} if isinstance(given, int) else dict(given)
    drops = wanted.setdefault("drops", {})
    left = wanted["packets"] - sum(drops.values())
    outputs = wanted.get("outputs", [left] * len(r["outputs"]))
    wanted["outputs"] = [{"packets": o} if isinstance(o, int) else o for o in outputs]
    return wanted


def _difference(stats, wanted_rules, wanted_interfaces):
    found = []

    def compare(where, have, want, names):
        for name in names:
            if have[name] != want.get(name, 0):
                found.append(f"{where} {name} is {have[name]}, expected {want.get(name, 0)}")

    for r in stats["rules"]:
        want = wanted_rules[r["name"]]
        compare(f"rule {r['name']}", r, want, ["packets"])
        compare(f"rule {r['name']} drops", r["drops"], want["drops"], r["drops"])
        for o, want_output in zip(r["outputs"], want["outputs"]):
            compare(f"rule {r['name']} output {o['to']}", o, want_output, ["packets", "errors", "too_big", "expired"])
    for i in stats["interfaces"]:
        if i["name"] in wanted_interfaces:
            compare(f"interface {i['name']}", i, wanted_interfaces[i["name"]],
                    [k for k, v in i.items() if isinstance(v, int) and not isinstance(v, bool)])
    return found
