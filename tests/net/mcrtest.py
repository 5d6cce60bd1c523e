# SPDX-License-Identifier: Apache-2.0
"""mcrtest: namespace tests of mcr with real packets.

Nodes are network namespaces, links are veth pairs, and every verdict is that of an independent receiver (mcrgen recv,
a raw AF_PACKET capture, a plain socket). Only then it is compared with the daemon's own counters.

Nothing of the machine is touched: the test itself moves into a network namespace of its own first. Nothing is left
behind, not even when the test is killed: see Guardian.
"""
import contextlib
import copy
import ctypes
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

# --- environment -----------------------------------------------------------------------------------------------------


def _program(variable, name):
    """MCRD and its like, else the built program, wherever below the build directory the test runs."""
    if os.environ.get(variable):
        return os.path.abspath(os.environ[variable])
    places = [os.path.join(os.environ["top_builddir"], "src")] if os.environ.get("top_builddir") else []
    for place in places + ["src", "../../src"]:
        if os.access(os.path.join(place, name), os.X_OK):
            return os.path.abspath(os.path.join(place, name))
    return os.path.abspath(os.path.join("../../src", name))


MCRD = _program("MCRD", "mcrd")
MCRSTAT = _program("MCRSTAT", "mcrstat")
MCRGEN = _program("MCRGEN", "mcrgen")
SANDBOX = os.environ.get("MCR_SANDBOX", "enforce")
KEEP = os.environ.get("MCR_KEEP", "") not in ("", "0")  # leave the temporary directory in place

CAP_NET_RAW = 1 << 13

# Whom mcrd becomes; set by _enter_namespaces().
USER, GROUP = "root", "root"

# --- what Python 3.11 lacks ------------------------------------------------------------------------------------------

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
ETH_P_ALL = 3
UDP_SEGMENT = 103
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
VIRTIO_NET_HDR_GSO_UDP_L4 = 5

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _die_with_parent():
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def drop_from_bounding_set(capability):
    """For start_process(before=...): the program cannot have this capability."""
    _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)


# --- results ---------------------------------------------------------------------------------------------------------


class Failure(Exception):
    """The test shows that something is not as it must be."""


class Skip(Exception):
    """The test cannot be run here."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(found, expected, what):
    if found != expected:
        raise Failure(f"{what}: found {found!r}, expected {expected!r}")


def wait_for(condition, seconds, what="the condition"):
    """Returns the first true value of condition(), or fails after so many seconds."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def note(text):
    """A TAP diagnostic."""
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


# --- nothing is left behind ------------------------------------------------------------------------------------------


class Guardian:
    """A process of its own session that ends what the test has started, should the test die.

    It is told of each process and of the temporary directory through a pipe that only the test holds open; the end of
    the pipe is the end of the test, whatever ended it. (PR_SET_PDEATHSIG alone is not enough: a process that changes
    its user, as mcrd does, loses it.) Processes are held by pidfd, so that no other can ever be meant.
    """

    def __init__(self):
        reader, self.pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            try:
                self._watch(reader)
            finally:
                os._exit(0)
        os.close(reader)

    def _watch(self, reader):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        processes, directories = {}, set()
        for line in os.fdopen(reader, "r"):
            what, _, value = line.rstrip("\n").partition(" ")
            if what == "process":
                with contextlib.suppress(OSError):
                    processes[value] = os.pidfd_open(int(value))
            elif what == "ended" and value in processes:
                os.close(processes.pop(value))
            elif what == "directory":
                directories.add(value)
            elif what == "keep":
                directories.discard(value)
        for fd in processes.values():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)

    def tell(self, what, value):
        os.write(self.pipe, f"{what} {value}\n".encode())

    def dismiss(self):
        os.close(self.pipe)
        os.waitpid(self.pid, 0)


_guardian = None
_directory = None  # temporary, of this test file
_processes = set()  # Popen objects that are to be ended


def start_process(argv, node=None, before=None, **options):
    """subprocess.Popen inside a node. before(), if given, runs in the child before the program."""

    def prepare():
        _die_with_parent()
        if node is not None:
            _call("setns", node.fd, CLONE_NEWNET)
        if before is not None:
            before()

    # One thread only, and prepare() calls nothing that could wait.
    p = subprocess.Popen(argv, preexec_fn=prepare, stdin=subprocess.DEVNULL, **options)
    _guardian.tell("process", p.pid)
    _processes.add(p)
    return p


def end_process(p, seconds=5):
    """Waits for a process that is about to end; kills it when it does not. Returns its status."""
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
    if p in _processes:
        _processes.discard(p)
        _guardian.tell("ended", p.pid)
    return p.returncode


def kill_process(p):
    if p.poll() is None:
        p.kill()
    end_process(p)


def run_command(argv, node=None, check_status=True, seconds=20):
    """Runs a short command to its end. Returns (status, stdout, stderr)."""
    p = start_process([str(a) for a in argv], node, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_process(p)
        raise Failure(f"{' '.join(map(str, argv))}: not done within {seconds} s") from None
    end_process(p)
    if check_status and p.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit status {p.returncode}: {err.strip() or out.strip()}")
    return p.returncode, out, err


# --- topology --------------------------------------------------------------------------------------------------------


class Node:
    """A network namespace, held by a process that sleeps in it."""

    def __init__(self, name):
        self.name = name
        self.fd = -1
        # Popen returns once the program runs, and so the namespace is there.
        self.holder = start_process(["sleep", "infinity"], before=lambda: _call("unshare", CLONE_NEWNET))
        self.fd = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        settings = {"net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/default/rp_filter": 0}
        # No autoconfiguration, no router solicitations, no MLD.
        settings |= {f"net/ipv6/conf/{i}/disable_ipv6": 1 for i in ("all", "default")}
        script = "".join(f"if [ -e /proc/sys/{k} ]; then echo {v} > /proc/sys/{k}; fi\n" for k, v in settings.items())
        self.run("sh", "-ec", script + "ip link set lo up\n")

    def run(self, *argv, **options):
        return run_command(argv, self, **options)

    @contextlib.contextmanager
    def inside(self):
        """The test process itself, inside the node."""
        _call("setns", self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", _home, CLONE_NEWNET)

    def socket(self, *args):
        with self.inside():
            return socket.socket(*args)

    def read_proc(self, path):
        """/proc/net/... of this node."""
        with open(f"/proc/{self.holder.pid}/net/{path}", encoding="ascii") as f:
            return f.read()

    def ethtool(self, interface, *settings):
        """For instance ethtool("out0", "tx", "off"). Skips the test where there is no ethtool."""
        if not shutil.which("ethtool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise Skip("ethtool is not installed")
        self.run("ethtool", "-K", interface, *settings)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        kill_process(self.holder)


class Net:
    """Nodes and links of one test, gone at the end of its with block."""

    def __init__(self):
        self.nodes = []
        self.links = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()

    def node(self, name):
        n = Node(name)
        self.nodes.append(n)
        setattr(self, name, n)
        return n

    def link(self, a, a_name, a_address, b, b_name, b_address, mtu=1500):
        """A veth pair; the addresses have a prefix length, or are None."""
        self.links += 1
        run_command(["ip", "link", "add", a_name, "address", f"02:00:00:00:{self.links:02x}:01", "mtu", mtu,
                     "netns", a.holder.pid, "type", "veth", "peer", "name", b_name,
                     "address", f"02:00:00:00:{self.links:02x}:02", "mtu", mtu, "netns", b.holder.pid])
        for node, name, address in ((a, a_name, a_address), (b, b_name, b_address)):
            if address:
                node.run("ip", "address", "add", address, "dev", name)
            node.run("ip", "link", "set", name, "up")
        # Until then the queue discipline drops everything.
        for node, name in ((a, a_name), (b, b_name)):
            wait_for(lambda n=node, i=name: '"operstate":"UP"' in n.run("ip", "-j", "link", "show", "dev", i)[1], 5,
                     f"{node.name} {name} up")


def line(mtu=1500):
    """src s0 --- in0 relay out0 --- d0 dst"""
    net = Net()
    try:
        src, relay, dst = net.node("src"), net.node("relay"), net.node("dst")
        net.link(src, "s0", "198.18.1.1/24", relay, "in0", "198.18.1.2/24", mtu)
        net.link(relay, "out0", "198.18.2.2/24", dst, "d0", "198.18.2.1/24", mtu)
    except BaseException:
        net.__exit__()
        raise
    return net


def star(inputs=1, outputs=3):
    """src0.. s0 --- in0.. relay out0.. --- d0 dst0.."""
    net = Net()
    try:
        relay = net.node("relay")
        for i in range(inputs):
            net.link(net.node(f"src{i}"), "s0", f"198.18.{10 + i}.1/24", relay, f"in{i}", f"198.18.{10 + i}.2/24")
        for i in range(outputs):
            net.link(relay, f"out{i}", f"198.18.{20 + i}.2/24", net.node(f"dst{i}"), "d0", f"198.18.{20 + i}.1/24")
    except BaseException:
        net.__exit__()
        raise
    return net


def memberships(node, interface):
    """The groups that are joined on an interface, but 224.0.0.1."""
    groups, mine = set(), False
    # A line for each interface, then one for each of its groups: the address in network order, as hexadecimal number.
    for words in (x.split() for x in node.read_proc("igmp").splitlines()[1:]):
        if ":" in words:
            mine = words[1] == interface
        elif mine:
            groups.add(".".join(str(b) for b in reversed(bytes.fromhex(words[0]))))
    return groups - {"224.0.0.1"}


def joined(node, interface, groups, seconds=5):
    """Waits until exactly these groups are joined: groups are joined before a swap of the rules and left after it."""
    try:
        wait_for(lambda: memberships(node, interface) == groups, seconds)
    except Failure:
        found = sorted(memberships(node, interface))
        raise Failure(f"joined on {interface}: found {found}, expected {sorted(groups)}") from None


def mac(net, node, interface):
    """The hardware address of an interface, as bytes."""
    _, out, _ = getattr(net, node).run("ip", "-j", "link", "show", "dev", interface)
    return bytes.fromhex(json.loads(out)[0]["address"].replace(":", ""))


# --- mcrd ------------------------------------------------------------------------------------------------------------


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


_present = None  # the test that runs, for its artefacts


class Config:
    """A config file in a directory of its own, with the place of its statistics."""

    def __init__(self, rules, **top):
        self.directory = _present.directory()
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

    def __init__(self, node, rules, args=(), **top):
        self.node = node
        self.config = rules if isinstance(rules, Config) else Config(rules, **top)
        self.args = list(args)
        self.process = self.broker = None
        self.broker_expected = True
        _present.daemons.append(self)

    def __enter__(self):
        self.launch()
        wait_for(self._started, 20, "mcrd's event=started")
        self.broker = wait_for(lambda: child_of(self.process.pid), 2, "the broker process")
        self.check_rights()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            _present.last_stats(self)
            kill_process(self.process)

    def launch(self):
        with open(self.config.log, "ab") as log:
            self.process = start_process(
                [MCRD, f"--sandbox={SANDBOX}", *self.args, "--config", self.config.file], self.node,
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

    def check_rights(self):
        """What the kernel says of the two processes."""
        seccomp = "0" if SANDBOX == "off" else "2"
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

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.check_rights()
        self.signal(signal.SIGTERM)
        status = end_process(self.process, self.STOPPED_WITHIN)
        equal(status, 0, "mcrd's exit status after SIGTERM")
        wait_for(lambda: process_status(self.broker) is None, self.STOPPED_WITHIN, "the broker's end")
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

    def stats(self):
        _, out, _ = run_command([MCRSTAT, "--json", "--stats", self.config.stats_file])
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
            others = ("unmatched", "malformed", "truncated", "fragments", "bad_checksum", "vlan", "own")
            equal(sum(r["packets"] for r in mine) + sum(i[k] for k in others), i["received"],
                  f"interface {i['name']}: rules and drops")
        return stats


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


def process_status(pid):
    """/proc/PID/status, or None when there is no such process or it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            fields = dict(x.split(":", 1) for x in f.read().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = {k: v.strip() for k, v in fields.items()}
    return None if fields["State"].startswith(("Z", "X")) else fields


def child_of(parent):
    for name in os.listdir("/proc"):
        status = process_status(name) if name.isdigit() else None
        if status and status["PPid"] == str(parent):
            return int(name)
    return None


# --- mcrgen ----------------------------------------------------------------------------------------------------------


def _options(options):
    """count=5, dont_fragment=True to --count 5 --dont-fragment"""
    argv = []
    for key, value in options.items():
        name = "--" + key.replace("_", "-")
        if value is True:
            argv.append(name)
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


def finish_sending(process, seconds=60):
    """Waits for its end; its report."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        kill_process(process)
    check(process.returncode == 0, f"mcrgen send: exit status {process.returncode}: {err.strip()} {out.strip()}")
    return json.loads(out)


class Receiver:
    """mcrgen recv in a node, ready when the constructor returns."""

    def __init__(self, node, interface, group, port, idle_ms=250, seconds=15, **options):
        reader, writer = os.pipe()
        self.where = f"{node.name} {interface} {group}:{port}"
        self.process = start_process(
            [MCRGEN, "recv", "--json", "--interface", interface, "--group" if is_group(group) else "--address", group,
             "--port", str(port), "--ready-fd", str(writer), "--idle-ms", str(idle_ms), "--seconds", str(seconds),
             *_options(options)], node, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[writer])
        os.close(writer)
        with os.fdopen(reader, "r") as ready:
            said = ready.readline()
        if said != "ready\n":
            _, err = self.process.communicate(timeout=5)
            end_process(self.process)
            raise Failure(f"mcrgen recv ({self.where}): {err.strip()}")

    def report(self, seconds=60):
        try:
            out, err = self.process.communicate(timeout=seconds)
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


# --- frames by hand --------------------------------------------------------------------------------------------------


def is_group(address):
    return 224 <= int(address.split(".")[0]) < 240


def group_mac(group):
    """RFC 1112, section 6.4"""
    b = socket.inet_aton(group)
    return bytes((0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]))


def ones_sum(data):
    """RFC 1071"""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def pseudo_header(source, destination, length):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, socket.IPPROTO_UDP, length)


def udp(source, destination, payload, port, source_port=4000, length=None, checksum=None):
    """A UDP datagram, right unless told otherwise. checksum: a number, or "bad"."""
    real = 8 + len(payload)
    length = real if length is None else length
    whole = struct.pack("!HHHH", source_port, port, length, 0) + payload
    right = 0xffff & ~ones_sum(pseudo_header(source, destination, length) + whole) or 0xffff
    if checksum is None:
        checksum = right
    elif checksum == "bad":
        checksum = right ^ 0x0101
    return whole[:6] + struct.pack("!H", checksum) + whole[8:]


def ipv4(source, destination, body, ttl=8, dscp=0, ident=0, flags=0, offset=0, protocol=socket.IPPROTO_UDP, options=b"",
         version=4, ihl=None, length=None, checksum=None):
    """An IPv4 packet, right unless told otherwise. flags: 2 DF, 1 MF; offset in bytes."""
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(body) if length is None else length
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, dscp << 2, length, ident, flags << 13 | offset // 8, ttl,
                         protocol, 0, socket.inet_aton(source), socket.inet_aton(destination)) + options
    right = 0xffff & ~ones_sum(header)
    if checksum is None:
        checksum = right
    elif checksum == "bad":
        checksum = right ^ 0x0101
    return header[:10] + struct.pack("!H", checksum) + header[12:] + body


SOURCE = "198.18.1.1"
SOURCE_MAC = bytes.fromhex("020000000101")


def frame(packet, to, source=SOURCE_MAC, tags=(), kind=0x0800):
    """An Ethernet frame. tags: (protocol, control information) from the outermost on."""
    return to + source + b"".join(struct.pack("!HH", *t) for t in tags) + struct.pack("!H", kind) + packet


def datagram(group, port, payload, source=SOURCE, to=None, tags=(), udp_keys=None, **ip_keys):
    """The frame of a datagram to a group. udp_keys goes to udp(), what is left to ipv4()."""
    body = udp(source, group, payload, port, **(udp_keys or {}))
    return frame(ipv4(source, group, body, **ip_keys), to or group_mac(group), tags=tags)


class RawSender:
    """Sends frames as they are."""

    def __init__(self, node, interface):
        self.socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with node.inside():
            self.socket.bind((interface, 0))

    def send(self, *frames):
        for f in frames:
            self.socket.send(f)


class Frame:
    """A captured frame, taken apart as far as it goes. Of a super-frame, one datagram."""

    def __init__(self, data, vlan, outgoing, unfinished):
        self.data = data
        self.vlan = vlan  # tag control information, or None
        self.outgoing = outgoing
        self.unfinished = unfinished  # its UDP checksum is left to the device
        self.super_frame = False
        self.to, self.sender = data[:6], data[6:12]
        self.kind, = struct.unpack_from("!H", data, 12)
        self.payload = None
        if self.kind == 0x0800 and len(data) >= 34:
            self._take_ip(data[14:])

    def _take_ip(self, ip):
        (first, tos, self.length, self.ident, fragment, self.ttl, self.protocol, _, source,
         destination) = struct.unpack_from("!BBHHHBBH4s4s", ip)
        header = (first & 15) * 4
        self.header_length = header
        self.dscp, self.ecn = tos >> 2, tos & 3
        self.dont_fragment, self.more, self.offset = bool(fragment & 0x4000), bool(fragment & 0x2000), fragment & 0x1fff
        self.source, self.destination = socket.inet_ntoa(source), socket.inet_ntoa(destination)
        self.ip_checksum_ok = ones_sum(ip[:header]) == 0xffff
        if self.protocol == socket.IPPROTO_UDP and self.offset == 0 and self.length >= header + 8:
            whole = ip[header:self.length]
            self.source_port, self.port, self.udp_length, self.udp_checksum = struct.unpack_from("!HHHH", whole)
            self.payload = whole[8:]
            pseudo = pseudo_header(self.source, self.destination, len(whole))
            self.udp_checksum_ok = not self.unfinished and ones_sum(pseudo + whole) == 0xffff

    def datagrams(self, size):
        """Those of a super-frame, as a device would cut them."""
        parts = []
        for i in range(0, len(self.payload), size):
            part = copy.copy(self)
            part.super_frame = True
            part.payload = self.payload[i:i + size]
            part.length = part.header_length + 8 + len(part.payload)
            part.udp_length = 8 + len(part.payload)
            part.ident = (self.ident + len(parts)) & 0xffff
            parts.append(part)
        return parts

    def is_udp(self, destination=None, port=None):
        return (self.payload is not None and (destination is None or self.destination == destination) and
                (port is None or self.port == port))

    def __repr__(self):
        if self.payload is not None:
            return f"<UDP {self.source}:{self.source_port} > {self.destination}:{self.port} {self.payload[:24]!r}>"
        return f"<frame {self.kind:04x} {self.data[:48].hex()}>"


class Capture:
    """Everything that comes in (and goes out) by an interface, from the constructor's return on."""

    def __init__(self, node, interface):
        self.socket = node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        with node.inside():
            self.socket.bind((interface, ETH_P_ALL))
        self.frames = []
        self.super_frames = 0

    def poll(self):
        """Takes what has come; all frames so far."""
        while True:
            try:
                data, extra, _, address = self.socket.recvmsg(1 << 17, 256)
            except BlockingIOError:
                return self.frames
            vlan, unfinished = None, False
            for level, kind, value in extra:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", value)
                    vlan = tci if status & TP_STATUS_VLAN_VALID else None
                    unfinished = bool(status & TP_STATUS_CSUMNOTREADY)
            _, gso_type, _, gso_size, _, _ = struct.unpack_from("=BBHHHH", data)
            f = Frame(data[10:], vlan, address[2] == PACKET_OUTGOING, unfinished)
            if gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 and f.payload is not None:
                self.super_frames += 1
                self.frames += f.datagrams(gso_size)
            else:
                self.frames.append(f)

    def udp(self, destination=None, port=None, outgoing=False):
        """The datagrams so far."""
        return [f for f in self.poll() if f.outgoing == outgoing and f.is_udp(destination, port)]

    def wait(self, n, destination=None, port=None, seconds=5):
        """Waits until n such datagrams have come. Returns them."""
        try:
            wait_for(lambda: len(self.udp(destination, port)) >= n, seconds)
        except Failure:
            raise Failure(f"captured {len(self.udp(destination, port))} of {n} datagrams to {destination}:{port}; "
                          f"all: {self.udp()[:20]}") from None
        return self.udp(destination, port)

    def wait_payload(self, payload, seconds=5):
        """Waits for a datagram with this payload (a fence: what was sent before it has been dealt with)."""
        try:
            wait_for(lambda: any(f.payload == payload for f in self.udp()), seconds)
        except Failure:
            raise Failure(f"{payload!r} was not captured; all: {self.udp()[:20]}") from None


# --- the run ---------------------------------------------------------------------------------------------------------


class Test:
    def __init__(self, function, title):
        self.function, self.title = function, title
        self.daemons, self.saved, self.n_directories = [], {}, 0
        self.tcpdump = None

    def directory(self):
        self.n_directories += 1
        path = os.path.join(_directory, f"{self.function.__name__}-{self.n_directories}")
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
        if self.tcpdump is not None:
            self.tcpdump.append(path)
        return path

    def last_stats(self, daemon):
        """Before a daemon is killed in a failed test."""
        with contextlib.suppress(Exception):
            self.saved[daemon] = json.dumps(daemon.stats())

    def print_artefacts(self):
        for d in self.daemons[-1:]:
            with contextlib.suppress(OSError):
                with open(d.config.file, encoding="utf-8") as f:
                    note("--- mcr.conf\n" + f.read())
            with contextlib.suppress(OSError):
                lines = d.log_text().splitlines()
                note("--- mcrd.log\n" + "\n".join(lines[-60:]))
            if d in self.saved:
                note("--- mcrstat --json\n" + self.saved[d])


_tests = []


def test(title):
    def add(function):
        _tests.append(Test(function, title))
        return function

    return add


def _clean_up():
    for p in list(_processes):
        kill_process(p)


def _run_one(t):
    """"ok", "skip: reason" or the failure."""
    global _present
    _present = t
    try:
        t.function()
        return True, ""
    except Skip as e:
        return True, f" # SKIP {e}"
    except Failure as e:
        return False, str(e)
    except Exception:
        return False, traceback.format_exc()
    finally:
        _clean_up()


def _tcpdump_again(t):
    """A failed test once more, only to look at its packets: capturing alters timing, so it is not done at first."""
    if USER == "root":
        # tcpdump gives up groups, which a user namespace of one user does not permit, and then ends.
        return
    if not shutil.which("tcpdump", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        return
    captures = []
    again = Test(t.function, t.title)
    again.n_directories = 100
    real_enter = Mcrd.__enter__

    def enter(daemon):
        real_enter(daemon)
        log = os.path.join(daemon.config.directory, "tcpdump.log")
        with open(log, "wb") as f:
            p = start_process(["tcpdump", "-Z", "root", "-l", "-n", "-e", "-v", "-c", "200", "-i", "any",
                               "udp or igmp or icmp"], daemon.node, stdout=f, stderr=subprocess.STDOUT)
        captures.append(log)
        with contextlib.suppress(Failure):
            wait_for(lambda: b"listening on" in open(log, "rb").read() or p.poll() is not None, 5)
        return daemon

    Mcrd.__enter__ = enter
    try:
        ok, why = _run_one(again)
    finally:
        Mcrd.__enter__ = real_enter
    note(f"--- again, with tcpdump in the relay: {'passed' if ok else why.splitlines()[-1] if why else 'failed'}")
    for log in captures:
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        note("\n".join(lines[:40]))


def _skip_all(reason):
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(0)


def _enter_namespaces():
    """Into a network namespace of our own, and as an ordinary user into a user namespace first."""
    global USER, GROUP, _home
    if os.geteuid() != 0:
        if subprocess.run(["unshare", "-Urn", "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            _skip_all("not root, and user namespaces are not permitted (unshare -Urn)")
        sys.stdout.flush()
        os.execvp("unshare", ["unshare", "-Urn", sys.executable, *sys.argv])
    try:
        _call("unshare", CLONE_NEWNET)
    except OSError as e:
        _skip_all(f"network namespaces are not permitted ({e.strerror})")
    _home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    if _may_become_nobody():
        USER = "nobody"
        GROUP = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


_home = -1


def _may_become_nobody():
    """Not in a user namespace that maps one user alone."""
    try:
        with open("/proc/self/setgroups", encoding="ascii") as f:
            if f.read().strip() == "deny":
                return False
        uid = pwd.getpwnam("nobody").pw_uid
        with open("/proc/self/uid_map", encoding="ascii") as f:
            return any(int(a) <= uid < int(a) + int(n) for a, _, n in (x.split() for x in f))
    except (OSError, KeyError):
        return False


def _check_programs():
    for path in (MCRD, MCRSTAT, MCRGEN):
        if not os.access(path, os.X_OK):
            print(f"Bail out! {path} is not there: build it, or set MCRD, MCRSTAT and MCRGEN", flush=True)
            sys.exit(1)
    for name in ("ip", "unshare", "sleep"):
        if not shutil.which(name):
            _skip_all(f"{name} is not installed")


def _try_network():
    """Whether nodes and links can be made here at all."""
    try:
        with Net() as net:
            net.link(net.node("a"), "a0", None, net.node("b"), "b0", None)
            net.a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (Failure, OSError) as e:
        _clean_up()
        _skip_all(f"nodes and links cannot be made here: {e}")


def main():
    """Runs the tests of the calling file, or those whose function names are the arguments."""
    global _guardian, _directory, _present
    _enter_namespaces()
    _check_programs()
    _guardian = Guardian()
    _directory = tempfile.mkdtemp(prefix="mcr-net-")
    os.chmod(_directory, 0o755)
    _guardian.tell("keep" if KEEP else "directory", _directory)
    # A signal ends the test in the ordinary way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        print("TAP version 13", flush=True)
        _try_network()
        chosen = [t for t in _tests if len(sys.argv) < 2 or t.function.__name__ in sys.argv[1:]]
        failed = 0
        print(f"1..{len(chosen)}", flush=True)
        note(f"user={USER} sandbox={SANDBOX} kernel={os.uname().release}")
        if KEEP:
            note(f"directory={_directory}")
        for number, t in enumerate(chosen, 1):
            start = time.monotonic()
            ok, text = _run_one(t)
            seconds = time.monotonic() - start
            if ok:
                print(f"ok {number} - {t.title}{text or f' ({seconds:.1f} s)'}", flush=True)
                continue
            failed += 1
            print(f"not ok {number} - {t.title}", flush=True)
            note(text)
            t.print_artefacts()
            _tcpdump_again(t)
    finally:
        _clean_up()
        if not KEEP:
            shutil.rmtree(_directory, ignore_errors=True)
        _guardian.dismiss()
    sys.exit(1 if failed else 0)


# --- IPv6, and inputs and outputs of every kind ----------------------------------------------------------------------

_is_group4 = is_group


def is_group(address):  # for send() and Receiver too
    return address.lower().startswith("ff") if ":" in address else _is_group4(address)


def line6(mtu=1500):
    """line() with IPv6 beside IPv4: 2001:db8:1::2 s0 --- 2001:db8:1::1 in0, out0 2001:db8:2::1 --- 2001:db8:2::2 d0"""
    if not os.path.exists("/proc/sys/net/ipv6"):
        raise Skip("the kernel has no IPv6")
    net = line(mtu)
    try:
        for node, name, address in ((net.src, "s0", "2001:db8:1::2"), (net.relay, "in0", "2001:db8:1::1"),
                                    (net.relay, "out0", "2001:db8:2::1"), (net.dst, "d0", "2001:db8:2::2")):
            enable_ipv6(node, name, address)
    except BaseException:
        net.__exit__()
        raise
    return net


def enable_ipv6(node, interface, address):
    """IPv6 with this address, usable at once."""
    conf = f"/proc/sys/net/ipv6/conf/{interface}"
    node.run("sh", "-ec", f"echo 0 > {conf}/accept_dad; echo 0 > {conf}/router_solicitations; "
                          f"echo 0 > {conf}/disable_ipv6; ip -6 address add {address}/64 dev {interface} nodad")
    wait_for(lambda: "tentative" not in node.run("ip", "-6", "address", "show", "dev", interface)[1], 5,
             f"{interface}: no tentative address")


def memberships6(node, interface):
    """The IPv6 groups that are joined on an interface, as inet_ntop writes them."""
    lines = (x.split() for x in node.read_proc("igmp6").splitlines())
    return {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(w[2])) for w in lines if w[1] == interface}


def rule_of(name, outputs, interface="in0", **taken):
    """A rule with any kind of input: address=, broadcast=, vlan=, ..."""
    return {"name": name, "input": {"interface": interface, **taken}, "outputs": outputs}


def udp6(source, destination, payload, port, source_port=4000, checksum=None):
    """A UDP datagram over IPv6."""
    whole = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    pseudo = pseudo_header6(source, destination, len(whole))
    right = 0xffff & ~ones_sum(pseudo + whole) or 0xffff
    return whole[:6] + struct.pack("!H", right if checksum is None else checksum) + whole[8:]


def pseudo_header6(source, destination, length):
    a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (source, destination))
    return a + b + struct.pack("!II", length, socket.IPPROTO_UDP)


def datagram6(destination, port, payload, source="2001:db8:1::2", source_port=4000, to=None, ttl=8, dscp=0, **udp_keys):
    """The frame of a datagram over IPv6; to its group unless the Ethernet address is given."""
    body = udp6(source, destination, payload, port, source_port, **udp_keys)
    a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (source, destination))
    header = struct.pack("!IHBB", 6 << 28 | dscp << 22, len(body), socket.IPPROTO_UDP, ttl) + a + b
    return frame(header + body, to or b"\x33\x33" + b[12:], kind=0x86dd)


class Datagram6:
    """A captured UDP datagram over IPv6."""

    def __init__(self, f):
        ip = f.data[14:]
        first, self.length, _, self.ttl = struct.unpack_from("!IHBB", ip)
        self.dscp, self.ecn = first >> 22 & 0x3f, first >> 20 & 3
        self.to, self.sender, self.vlan = f.to, f.sender, f.vlan
        self.source, self.destination = (socket.inet_ntop(socket.AF_INET6, ip[i:i + 16]) for i in (8, 24))
        whole = ip[40:40 + self.length]
        self.source_port, self.port, self.udp_length, check = struct.unpack_from("!HHHH", whole)
        self.payload = whole[8:]
        pseudo = pseudo_header6(self.source, self.destination, len(whole))
        self.udp_checksum_ok = not f.unfinished and check != 0 and ones_sum(pseudo + whole) == 0xffff

    def __repr__(self):
        return f"<UDP [{self.source}]:{self.source_port} > [{self.destination}]:{self.port} {self.payload[:24]!r}>"


def captured6(capture):
    """The UDP datagrams over IPv6 a capture has taken in. Not for links that carry super-frames."""
    return [Datagram6(f) for f in capture.poll()
            if not f.outgoing and f.kind == 0x86dd and len(f.data) >= 62 and f.data[20] == socket.IPPROTO_UDP]
