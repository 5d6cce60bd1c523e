# SPDX-License-Identifier: Apache-2.0
"""Nodes and links."""
import contextlib
import fcntl
import json
import os
import shutil
import socket
import struct

from . import system
from .process import kill_process, run_command, start_process
from .result import Failure, Skip, check, wait_for
from .system import CLONE_NEWNET, SUPER_FRAMES, call


SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP, IFF_RUNNING = 0x1, 0x40
RTM_NEWADDR, IFA_ADDRESS, IFA_LOCAL = 20, 1, 2
NLMSG_REQUEST, NLMSG_ACK, NLMSG_EXCLUSIVE, NLMSG_CREATE = 0x1, 0x4, 0x200, 0x400


class Node:
    """A network namespace, held by a process that sleeps in it."""

    def __init__(self, name):
        self.name = name
        self.fd = -1
        # Popen returns once the program runs, and so the namespace is there.
        self.holder = start_process(["sleep", "infinity"], before=lambda: call("unshare", CLONE_NEWNET))
        self.fd = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        settings = {"ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0}
        if os.path.exists("/proc/sys/net/ipv6"):
            # No autoconfiguration, no router solicitations, no MLD.
            settings |= {f"ipv6/conf/{i}/disable_ipv6": 1 for i in ("all", "default")}
        for path, value in settings.items():
            self.set(path, value)
        self.up("lo")

    def run(self, *argv, **options):
        return run_command(argv, self, **options)

    @contextlib.contextmanager
    def inside(self):
        """The test process itself, inside the node."""
        call("setns", self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            call("setns", system.home, CLONE_NEWNET)

    def socket(self, *args):
        with self.inside():
            return socket.socket(*args)

    def set(self, path, value):
        """Writes a file below /proc/sys/net of this node."""
        with self.inside(), open(f"/proc/sys/net/{path}", "w", encoding="ascii") as f:
            f.write(str(value))

    def _flags(self, interface, add=0):
        """The interface's flags, after those to add were added."""
        with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            name = interface.encode().ljust(16, b"\0")
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(s, SIOCGIFFLAGS, name.ljust(40, b"\0")), 16)
            if add:
                fcntl.ioctl(s, SIOCSIFFLAGS, (name + struct.pack("=H", flags | add)).ljust(40, b"\0"))
        return flags | add

    def add_address(self, interface, address):
        """An IPv4 address with prefix length. What "ip address add" does, without a process for each."""
        host, length = address.split("/")
        attributes = b"".join(struct.pack("=HH4s", 8, x, socket.inet_aton(host)) for x in (IFA_LOCAL, IFA_ADDRESS))
        with self.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            with self.inside():
                index = socket.if_nametoindex(interface)
            body = struct.pack("=BBBBi", socket.AF_INET, int(length), 0, 0, index) + attributes
            s.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWADDR,
                               NLMSG_REQUEST | NLMSG_ACK | NLMSG_EXCLUSIVE | NLMSG_CREATE, 1, 0) + body)
            (error,) = struct.unpack_from("=i", s.recv(4096), 16)
        check(error == 0, f"{self.name} {interface} {address}: {os.strerror(-error)}")

    def up(self, interface):
        self._flags(interface, IFF_UP)

    def wait_running(self, interface):
        """Until then the queue discipline drops everything."""
        wait_for(lambda: self._flags(interface) & IFF_RUNNING, 5, f"{self.name} {interface} up")

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
        # Where both ends have the same index the kernel takes up to a second to call them running.
        ends = [("index", 10 * self.links + i, "address", f"02:00:00:00:{self.links:02x}:{i:02x}", "mtu", mtu,
                 "netns", node.holder.pid) for i, node in ((1, a), (2, b))]
        run_command(["ip", "link", "add", a_name, *ends[0], "type", "veth", "peer", "name", b_name, *ends[1]])
        for node, name, address in ((a, a_name, a_address), (b, b_name, b_address)):
            if address:
                node.add_address(name, address)
            if not SUPER_FRAMES:
                # Neither mcrd nor a capture takes super-frames there: the sender's kernel cuts them.
                node.ethtool(name, "tx-udp-segmentation", "off")
            node.up(name)
        for node, name in ((a, a_name), (b, b_name)):
            node.wait_running(name)


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


@contextlib.contextmanager
def two_paths():
    """src s0 --- in0 relay, src s1 --- in1 relay, relay out0 --- d0 dst"""
    with Net() as net:
        for name in ("src", "relay", "dst"):
            net.node(name)
        for i in range(2):
            net.link(net.src, f"s{i}", f"198.18.1{i}.1/24", net.relay, f"in{i}", f"198.18.1{i}.2/24")
        net.link(net.relay, "out0", "198.18.2.2/24", net.dst, "d0", "198.18.2.1/24")
        yield net


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
    for name in ("accept_dad", "router_solicitations", "disable_ipv6"):
        node.set(f"ipv6/conf/{interface}/{name}", 0)
    node.run("ip", "-6", "address", "add", f"{address}/64", "dev", interface, "nodad")
    wait_for(lambda: "tentative" not in node.run("ip", "-6", "address", "show", "dev", interface)[1], 5,
             f"{interface}: no tentative address")


def memberships6(node, interface):
    """The IPv6 groups that are joined on an interface, as inet_ntop writes them."""
    lines = (x.split() for x in node.read_proc("igmp6").splitlines())
    return {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(w[2])) for w in lines if w[1] == interface}


def local_address6(node, interface):
    """The interface's own link-local address."""
    _, out, _ = node.run("ip", "-j", "-6", "address", "show", "dev", interface)
    return next(a["local"] for a in json.loads(out)[0]["addr_info"] if a.get("scope") == "link")
