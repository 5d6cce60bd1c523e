#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/pictures/watch.svg: mcrstat --watch on a terminal of 80 columns, over real traffic between namespaces.

    cd build && srcdir=.. MCRD=$PWD/src/mcrd MCRSTAT=$PWD/src/mcrstat MCRGEN=$PWD/src/mcrgen python3 ../docs/pictures/watch.py
"""
import fcntl
import html
import os
import pty
import re
import select
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "net"))
import mcrtest as t  # noqa: E402

COLUMNS, ROWS, WIDTH, HEIGHT = 80, 36, 8.4, 18
COLOURS = {"1": "#ffffff", "2": "#8b949e", "31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "7": "#0d1117"}


def watch(stats_file, seconds):
    """What mcrstat --watch has written to a terminal after so many seconds."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(t.MCRSTAT, [t.MCRSTAT, "--watch", "1", "--stats", stats_file])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    text, until = "", time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 65536).decode()
    os.write(fd, b"q")
    os.waitpid(pid, 0)
    os.close(fd)
    return text


def lines_of(text):
    """The last screen, line by line, as (style, text) pieces."""
    screen = text[text.rindex("\033[H") + 3:]
    screen = re.sub(r"\033\[(\?[0-9]+[hl]|[0-9;]*[HJK])", lambda m: "\n" if m[0].endswith("H") else "", screen)
    for line in screen.replace("\r", "").rstrip().split("\n"):
        style, pieces = "0", []
        for part in re.split(r"(\033\[[0-9;]*m)", line):
            if part.startswith("\033["):
                style = part[2:-1] or "0"
            elif part:
                pieces.append((style, part))
        yield pieces


def draw(lines, out):
    lines = list(lines)
    w, h = COLUMNS * WIDTH + 24, len(lines) * HEIGHT + 24
    out.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h}" font-family="monospace" font-size="14">\n'
              f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n')
    for row, pieces in enumerate(lines):
        column, y = 0, 26 + row * HEIGHT
        for style, text in pieces:
            x = 12 + column * WIDTH
            codes = style.split(";")
            if "7" in codes:
                out.write(f'<rect x="{x:.1f}" y="{y - 14}" width="{len(text) * WIDTH:.1f}" height="{HEIGHT}" fill="#c9d1d9"/>\n')
            colour = next((COLOURS[c] for c in reversed(codes) if c in COLOURS), "#c9d1d9")
            weight = ' font-weight="bold"' if "1" in codes else ""
            if text.strip():
                out.write(f'<text x="{x:.1f}" y="{y}" fill="{colour}"{weight} textLength="{len(text) * WIDTH:.1f}" '
                          f'xml:space="preserve">{html.escape(text)}</text>\n')
            column += len(text)
    out.write("</svg>\n")


@t.test("docs/pictures/watch.svg")
def picture():
    rules = [t.rule("plc-telemetry", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000), t.to_host("198.18.2.1", 7000)],
                    note="CHG0031337, OT network team"),
             t.rule("video", "239.255.0.2", 5000, [t.to_group("239.255.1.2", 6000)], limit={"packets_per_second": 500}),
             t.rule("alarms", "239.255.16.0/28", "5000-5003", [t.to_group("239.255.32.0/28", "6000-6003")], silence_ms=500),
             {"name": "two-paths", "inputs": [{"leg": "A", "interface": "in0", "group": "239.255.0.4", "port": 5000},
                                              {"leg": "B", "interface": "in0", "group": "239.255.8.4", "port": 5000}],
              "merge": {"by": "rtp"}, "outputs": [t.to_group("239.255.1.4", 6000)]},
             t.rule("on-trial", "239.255.0.3", 5000, [t.to_group("239.255.1.3", 6000)], shadow=True)]
    with t.line() as net, t.Mcrd(net.relay, rules, instance="dmz-relay-1") as d, \
            net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM) as historian:
        historian.bind(("198.18.2.1", 7000))  # else nobody has that port, and its rule is down
        senders = [t.start_sending(net.src, "s0", group, 5000, count=100000, rate=rate, size=500)
                   for group, rate in (("239.255.0.1", 5000), ("239.255.0.2", 2000), ("239.255.0.3", 1000))]
        senders.append(t.start_sending_legs(net.src, ["s0,239.255.0.4,5000", "s0,239.255.8.4,5000,delay_ms=3,loss=3%"],
                                            count=100000, rate=4000, **{"as": "rtp"}))
        text = watch(d.config.stats_file, 4.5).replace(d.config.file, "/etc/mcr/mcr.conf")
        for s in senders:
            t.kill_process(s)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "watch.svg"), "w", encoding="utf-8") as out:
        draw(lines_of(text), out)


if __name__ == "__main__":
    t.main()
