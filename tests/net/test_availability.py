#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two relay hosts, one active: contrib/keepalived with the real keepalived."""
import os
import re
import shutil
import signal
import time

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
SHARED = "198.18.2.9"
SHIPPED = os.path.join(os.environ.get("srcdir", "."), "contrib", "keepalived", "keepalived.conf")


class Host:
    """A relay host with its keepalived, which starts and stops mcrd as the shipped file says."""

    def __init__(self, node, priority):
        self.node = node
        self.config = t.Config([t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, source=SHARED)])])
        self.pid_file = os.path.join(self.config.directory, "mcrd.pid")
        self.script = os.path.join(self.config.directory, "mcrd.sh")
        with open(self.script, "w", encoding="ascii") as f:
            f.write(f"""#!/bin/sh
case $1 in
start)
    setsid {t.MCRD} --sandbox={t.SANDBOX} --config {self.config.file} >>{self.config.log} 2>&1 </dev/null &
    echo $! >{self.pid_file} ;;
stop)
    [ ! -e {self.pid_file} ] || kill "$(cat {self.pid_file})"
    rm -f {self.pid_file} ;;
esac
exit 0
""")
        os.chmod(self.script, 0o700)
        with open(SHIPPED, encoding="ascii") as f:
            text = f.read()
        # The test's script lies below /tmp, where others may write.
        text = text.replace("enable_script_security", "")
        text = re.sub(r"/usr/bin/systemctl (start|stop) mcrd", rf"{self.script} \1", text)
        text = text.replace("ot0", "in0").replace("dmz0", "out0").replace("192.0.2.9", SHARED).replace("priority 100", f"priority {priority}")
        self.file = os.path.join(self.config.directory, "keepalived.conf")
        with open(self.file, "w", encoding="ascii") as f:
            f.write(text)
        self.keepalived = None

    def start(self):
        d = self.config.directory
        log = open(os.path.join(d, "keepalived.log"), "ab")
        self.keepalived = t.start_process(
            ["keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", self.file,
             "--pid", f"{d}/keepalived.pid", "--vrrp_pid", f"{d}/vrrp.pid"], self.node, stdout=log, stderr=log,
            env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})

    def mcrd(self):
        """The pid of its mcrd, once it relays; None without one."""
        try:
            with open(self.pid_file, encoding="ascii") as f:
                pid = int(f.read())
            with open(self.config.log, encoding="ascii") as f:
                return pid if "event=started" in f.read() and t.process_status(pid) else None
        except (OSError, ValueError):
            return None

    def die(self):
        """As if the power failed: nobody says goodbye."""
        self.node.run("ip", "link", "set", "out0", "down")
        self.node.run("ip", "link", "set", "in0", "down")
        pid = self.mcrd()
        broker, vrrp = t.child_of(pid), t.child_of(self.keepalived.pid)
        t.kill_process(self.keepalived)
        for p in (vrrp, pid, broker):
            if t.process_status(p):
                os.kill(p, signal.SIGKILL)
        if os.path.exists(self.pid_file):
            os.unlink(self.pid_file)

    def end(self):
        if self.keepalived and self.keepalived.poll() is None:
            vrrp = t.child_of(self.keepalived.pid)
            for p in (vrrp, self.keepalived.pid):
                os.kill(p, signal.SIGKILL)
            self.keepalived.wait()
        pid = self.mcrd()
        if pid:
            os.kill(pid, signal.SIGTERM)
            t.wait_for(lambda: t.process_status(pid) is None, 5, "the end of mcrd")


def switch(net, name):
    """A node that is a bridge."""
    node = net.node(name)
    node.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
    node.run("ip", "link", "set", "br0", "up")
    return node


def plug(net, node, interface, address, bridge, port):
    net.link(node, interface, address, bridge, port, None)
    bridge.run("ip", "link", "set", port, "master", "br0")


@t.test("the shipped keepalived.conf as it is, on a host with these interfaces: keepalived --config-test finds nothing")
def shipped():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if not shutil.which("keepalived", path=path) or not os.path.exists("/usr/bin/systemctl"):
        raise t.Skip("keepalived or systemctl, which the file names, is not installed")
    with t.Net() as net:
        host, other = net.node("host"), net.node("other")
        net.link(host, "ot0", "198.18.1.2/24", other, "p0", None)
        net.link(host, "dmz0", "192.0.2.2/24", other, "p1", None)
        _, out, told = host.run("env", f"PATH={path}", "keepalived", "--config-test", "--use-file", os.path.abspath(SHIPPED))
        t.equal(out + told, "", "what keepalived tells")


@t.test("keepalived: the active host dies; the other one relays after a second or two, and no datagram comes twice")
def takes_over():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if not shutil.which("keepalived", path=path):
        raise t.Skip("keepalived is not installed")
    net = t.Net()
    hosts = []
    with net:
        try:
            src, dst, a, b = (net.node(n) for n in ("src", "dst", "a", "b"))
            zone_in, zone_out = switch(net, "zin"), switch(net, "zout")
            plug(net, src, "s0", "198.18.1.1/24", zone_in, "p0")
            plug(net, a, "in0", "198.18.1.2/24", zone_in, "p1")
            plug(net, b, "in0", "198.18.1.3/24", zone_in, "p2")
            plug(net, dst, "d0", "198.18.2.1/24", zone_out, "p0")
            plug(net, a, "out0", "198.18.2.2/24", zone_out, "p1")
            plug(net, b, "out0", "198.18.2.3/24", zone_out, "p2")
            hosts = [Host(a, 100), Host(b, 90)]
            hosts[0].start()
            t.wait_for(hosts[0].mcrd, 20, "the first host relays")
            hosts[1].start()
            time.sleep(2)
            t.check(not hosts[1].mcrd(), "the second host relays too")
            rate, count = 1000, 8000
            receiver = t.Receiver(dst, "d0", OUT, OUT_PORT, expect=count, idle_ms=3000, seconds=30)
            sending = t.start_sending(src, "s0", IN, PORT, count=count, rate=rate, size=200)
            t.wait_for(lambda: t.memberships(a, "in0") == {IN}, 5, "joined")
            # Some of it passes by the first host.
            t.wait_for(lambda: '"packets": 0' not in t.run_command(
                [t.MCRSTAT, "--json", "--stats", hosts[0].config.stats_file])[1], 5, "the first host's datagrams")
            hosts[0].die()
            t.wait_for(hosts[1].mcrd, 20, "the second host takes over")
            t.finish_sending(sending)
            report = receiver.report()
            t.note(f"lost {report['lost']} of {count} at {rate}/s: interrupted for {report['lost'] / rate:.2f} s")
            t.equal((report["duplicates"], report["corrupt"]), (0, 0), "duplicates and corrupt")
            t.check(0 < report["lost"] < 5 * rate, f"lost {report['lost']}")
            # The one that comes back waits: no second interruption.
            a.run("ip", "link", "set", "in0", "up")
            a.run("ip", "link", "set", "out0", "up")
            hosts[0].start()
            for _ in range(20):
                time.sleep(0.1)
                t.check(not hosts[0].mcrd() and hosts[1].mcrd(), "the first host takes over again")
        finally:
            for h in hosts:
                h.end()


if __name__ == "__main__":
    t.main()
