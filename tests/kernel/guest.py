#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""First program on the guest's root: runs the tests and makes one TAP of theirs.

Here everything that the tests use is there: what is skipped has failed, but for what needs a newer kernel, or a machine that is not emulated.
"""
import os
import re
import resource
import subprocess
import sys
import termios
import time
import traceback

# Functions of each file, or none for all: what depends on the kernel rather than on mcr alone.
TESTS = {
    "test_basic": [],
    "test_offload": [],
    "test_vlan": [],
    "test_tunnel": [],
    "test_inputs": [],
    "test_ipv6": [],
    "test_keep": [],
    "test_fanout": [],
    "test_tx_ring": [],
    "test_fragments": ["large", "large6", "any_order", "any_order6", "interfaces", "vlans"],
    "test_firewall": ["routed", "bridged_ipv6", "tags", "host_every_kind", "at_boot"],
    "test_links": ["late_input", "down_and_up", "late_route", "new_index_input", "new_index_output", "renamed",
                   "mtu_changes"],
    "test_reload": ["ring_size", "broker_killed", "counters", "record"],
}
# What the tests need, and what their users' machines have; since which Linux.
MODULES = {"veth": (0,), "8021q": (0,), "tun": (0,), "dummy": (0,), "wireguard": (5, 6), "ppp_async": (0,),
           "sch_netem": (0,), "sch_tbf": (0,), "nf_tables": (0,)}

number = failed = 0


# What may be skipped: what needs a newer kernel, and where all is emulated also what judges a rate.
EMULATED = float(os.environ.get("MCR_TEST_SLOWNESS") or 1) > 1
ALLOWED = re.compile(" # SKIP (needs Linux |this mcrd is too slow)" if EMULATED else " # SKIP needs Linux ")


def say(text):
    print(text, flush=True)


def result(ok, title):
    global number, failed
    number += 1
    failed += not ok
    say(f"{'ok' if ok else 'not ok'} {number} - {title}")


def run_file(name, functions, deadline):
    """Its results under numbers of our own; what it did not say has failed."""
    path = os.path.join(os.environ["srcdir"], "tests/net", name + ".py")
    seconds = max(1, deadline - time.monotonic())
    p = subprocess.Popen(["timeout", "-k", "5", str(int(seconds)), sys.executable, path, *functions],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace")
    planned, seen = None, 0
    for line in p.stdout:
        line = line.rstrip("\n")
        plan = re.fullmatch(r"1\.\.(\d+)(.*)", line)
        verdict = re.fullmatch(r"(not )?ok \d+ - (.*)", line)
        if plan:
            planned = int(plan[1])
            if plan[2]:
                result(False, f"{name}: {plan[2].strip(' #')}")
        elif verdict:
            seen += 1
            skipped = " # SKIP " in line and not ALLOWED.search(line)
            result(not verdict[1] and not skipped,
                   f"{name}: {verdict[2].replace('# SKIP', 'skipped:') if skipped else verdict[2]}")
        elif not line.startswith("TAP version"):
            say(line if line.startswith("#") else f"# {line}")
    p.wait()
    if planned is None or seen != planned or (p.returncode not in (0, 1)):
        result(False, f"{name}: {seen} of {planned} tests ran, exit status {p.returncode}")


def chosen():
    """FILE or FILE:FUNCTION of MCR_KERNEL_TESTS, else TESTS."""
    tests = {}
    for word in os.environ["MCR_KERNEL_TESTS"].split():
        name, _, function = word.partition(":")
        tests.setdefault(name, []).extend([function] if function else [])
    return tests or TESTS


def main():
    began = time.monotonic()
    release = os.uname().release
    say(f"# kernel {release}")
    result(release.startswith(os.environ["KERNEL"] + "."), f"the kernel is Linux {os.environ['KERNEL']}")
    present = tuple(int(x) for x in os.environ["KERNEL"].split("."))
    for module in (m for m, since in MODULES.items() if present >= since):
        result(subprocess.call(["/run/modprobe", module]) == 0, f"module {module}")
    for name, functions in chosen().items():
        start = time.monotonic()
        run_file(name, functions, began + float(os.environ["GUEST_SECONDS"]))
        say(f"# {name}: {time.monotonic() - start:.0f} s")
    say(f"1..{number}")


os.chdir("/run/tmp")
# As systemd's.
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 524288))
# An emulated processor sends in bursts: the room for them that mcrd asks for.
for limit in ("rmem_max", "wmem_max"):
    with open(f"/proc/sys/net/core/{limit}", "w", encoding="ascii") as file:
        file.write("8388608")
# For what the kernel asks for by itself, such as the expressions of nftables.
with open("/proc/sys/kernel/modprobe", "w", encoding="ascii") as file:
    file.write("/run/modprobe")
os.dup2(os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY), 1)
subprocess.call(["stty", "-F", "/dev/ttyS1", "raw"])
os.dup2(1, 2)
try:
    main()
except BaseException:
    say("Bail out! " + traceback.format_exc().replace("\n", "\n# "))
termios.tcdrain(1)
with open("/proc/sysrq-trigger", "w", encoding="ascii") as f:
    f.write("b")
