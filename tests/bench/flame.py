# SPDX-License-Identifier: Apache-2.0
"""flame: where the relay's core spends its time while mcrd relays all that the source can offer, as a flame graph."""
import collections
import html
import os
import re
import shutil
import subprocess
import time

import measure
import plot
import world as w
from world import case, t

SECONDS = 5
HERTZ = 1999
# Ways into the kernel, which say nothing.
DULL = re.compile(r"^(entry_SYSCALL|do_syscall_64|x64_sys_call|__x64_sys|ksys_|asm_|sysvec_|_start$|__libc_start|main$|"
                  r"\[unknown\]|ret_from_fork|kthread$|smpboot_thread_fn|srso_|__x86_return)")


def missing():
    if not shutil.which("perf"):
        return "perf is not installed (Debian: linux-perf)"
    status, out, err = t.run_command(["perf", "record", "-o", os.devnull, "-e", "cpu-clock", "true"],
                                     check_status=False)
    return None if status == 0 else (err or out).strip().splitlines()[0]


def record(world, relay, s):
    """Folded stacks, from the outermost function on, with their samples; of mcrd and of what the network does on its core."""
    data = os.path.join(case.base, "perf.data")
    world.set(sample=500)
    with relay.running(world, s), measure.sending(world, s, SECONDS + 2):
        time.sleep(0.5)
        t.run_command(["perf", "record", "-q", "-e", "cpu-clock", "-F", HERTZ, "--call-graph", "dwarf,16384", "-C",
                       w.RELAY_CORE, "-o", data, "--", "sleep", SECONDS], seconds=SECONDS + 60)
    _, text, _ = t.run_command(["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"], seconds=600)
    return fold(text)


def fold(text):
    stacks = collections.Counter()
    for sample in text.split("\n\n"):
        lines = sample.strip().splitlines()
        # Whatever else the core did meanwhile is not the relay's doing; softirqs run on top of anybody.
        if not lines or not lines[0].strip().startswith("mcrd") and "net_rx_action" not in sample:
            continue
        stack = []
        for line in lines[1:]:
            m = re.match(r"\s*[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$", line)
            if m and not DULL.match(m[1]):
                stack.append((m[1].split(".")[0], "kernel" in m[2] or m[2].startswith("[")))
        if stack:
            stacks[tuple(reversed(stack))] += 1
    return stacks


def _tree(stacks):
    root = {"n": 0, "children": {}}
    for stack, n in stacks.items():
        root["n"] += n
        node = root
        for frame in stack:
            node = node["children"].setdefault(frame, {"n": 0, "children": {}})
            node["n"] += n
    return root


def draw(stacks, about):
    """The SVG."""
    root, rows, left, width, row = _tree(stacks), [], 12, plot.WIDTH - 24, 17
    total = root["n"]

    def walk(node, depth, x):
        for frame, child in sorted(node["children"].items(), key=lambda c: -c[1]["n"]):
            share = child["n"] / total
            if share >= 0.004:
                rows.append((depth, x, share, *frame))
                walk(child, depth + 1, x)
            x += share

    walk(root, 0, 0.0)
    deepest = max(r[0] for r in rows)
    base, parts = 60 + deepest * row, []
    for depth, x, share, name, kernel in rows:
        x0, y = left + x * width, base - depth * row
        room = int((share * width - 6) / 6.6)
        shown = name if len(name) <= room else name[:room - 1] + "…" if room > 3 else ""
        parts.append(f'<g><title>{html.escape(name)}: {100 * share:.1f} %</title><rect x="{x0:.1f}" y="{y}" '
                     f'width="{max(share * width - 0.5, 0.5):.1f}" height="{row - 1}" class="{"k" if kernel else "u"}"/>'
                     + (plot.text(x0 + 3, y + 12, shown, "f") if shown else "") + "</g>")
    style = ("<style>.k{fill:#f3c9a5}.u{fill:#a9cdf5}.f{font:11px system-ui,sans-serif;fill:#1d1d1b!important}"
             "@media(prefers-color-scheme:dark){.k{fill:#d99a63}.u{fill:#76abeb}}</style>")
    return plot.whole("Where the relay's core spends its time, single flow, all that the source can offer",
                      f"width: share of {total:,} samples of mcrd and the network; blue: mcrd, orange: the kernel; "
                      "from the bottom upwards: who calls whom", about, base + row + 30, [style] + parts,
                      f"by perf, cpu-clock at {HERTZ} Hz")
