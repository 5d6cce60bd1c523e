#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrstat --watch: into a pipe, and on a terminal with its keys, its size, and a daemon that goes and comes back."""
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import mcrtest as t

RULE = [t.rule("first", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000)]),
        t.rule("second", "239.255.0.2", 5000, [t.to_group("239.255.1.2", 6000)])]


def screen(written, rows, columns):
    """The lines that a terminal of this size shows, without wrapping, after what was written to it. Of the sequences
    it knows those that mcrstat uses. No character may be written behind the last column."""
    cells, row, column = [[" "] * columns for _ in range(rows)], 0, 0
    for sequence, parameters, last, char in re.findall(r"(\033\[([?0-9;]*)([A-Za-z]))|([^\033])", written):
        if last == "H":
            row, column = int(parameters.split(";")[0] or 1) - 1, 0
        elif last == "K":
            cells[row][column:] = [" "] * (columns - column)
        elif last == "J":
            cells[row:] = [cells[row][:column] + [" "] * (columns - column)] + [[" "] * columns for _ in cells[row + 1:]]
        elif sequence:
            t.check(last in "mhl", f"sequence {sequence!r}")
        elif char == "\n":
            t.check(row + 1 < rows, "it scrolls")
            row += 1
        elif char == "\r":
            column = 0
        else:
            t.check(column < columns, f"{char!r} behind the last column: {''.join(cells[row])}")
            cells[row][column] = char
            column += 1
    return ["".join(line).rstrip() for line in cells]


class Terminal:
    """mcrstat --watch on a terminal of its own. What it has written since the last key is in self.seen."""

    def __init__(self, d, seconds, rows=40, columns=100):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        self.process = t.start_process(
            [t.MCRSTAT, "--watch", str(seconds), "--stats", d.config.stats_file], before=self.own_terminal,
            stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
        self.shows("RULE")

    def own_terminal(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns=100):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode()
        return self.seen

    def type(self, keys):
        self.read()
        self.seen = ""
        os.write(self.master, keys.encode())

    def shows(self, *texts):
        try:
            t.wait_for(lambda: all(x in self.read() for x in texts), 5, f"{texts} on the terminal")
        except t.Failure as e:
            raise t.Failure(f"{e}: {self.seen!r}") from None

    def screen(self):
        """What it shows. Each frame is a whole one."""
        self.read()
        return screen(self.seen[max(self.seen.rfind("\033[H"), 0):], self.rows, self.columns)

    def ended(self, status, err=""):
        """It ends with this status, and leaves the terminal as it was."""
        t.equal((t.end_process(self.process), self.process.stderr.read()), (status, err), "exit status and stderr")
        t.equal(termios.tcgetattr(self.slave), self.before, "the terminal's modes")
        t.check(self.read().endswith("\033[?7h\033[?25h\033[?1049l"), f"the last screen: {self.seen!r}")
        os.close(self.master)
        os.close(self.slave)


@t.test("into a pipe: a table or an object each interval; a signal ends it with 0, the daemon's end with 1 and why")
def pipe():
    with t.line() as net:
        with t.Mcrd(net.relay, RULE) as d:
            watch = [t.MCRSTAT, "--watch", "0.1", "--stats", d.config.stats_file]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                p = t.start_process(watch + ["--json"], **pipes)
                for _ in range(3):
                    t.equal(json.loads(p.stdout.readline())["generation"], 1, "generation")
                p.send_signal(signal.SIGWINCH)
                p.stdout.readline()
                p.send_signal(number)
                t.equal((t.end_process(p), p.stderr.read()), (0, ""), f"exit status and stderr after {number}")
            p = t.start_process(watch, **pipes)
            lines = [p.stdout.readline() for _ in range(50)]
            t.check(sum(x.startswith("--- 20") for x in lines) > 1, "tables below their times")
            full = t.start_process(watch, **{**pipes, "stdout": open("/dev/full", "w", encoding="ascii")})
            t.equal((t.end_process(full), full.stderr.read()),
                    (1, "mcrstat: cannot write to the standard output\n"), "where nothing can be written")
        t.equal(t.end_process(p), 1, "exit status after the daemon's end")
        t.check("no daemon" in (err := p.stderr.read()), err)


@t.test("on a terminal: keys and its size are followed at once, between two snapshots, too; q ends it")
def keys():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        terminal = Terminal(d, 3600)
        terminal.shows("every 3600 s", "first", "second", "? help")
        for typed, texts in (("?", ["q, ^C       end"]), ("\033", ["second"]), ("ss", ["by drops"]), ("p", ["PAUSED"]),
                             ("/", ["Enter keeps it"]), ("none\r", ["none contains \"none\"", "/none"]),
                             ("/\033", ["first", "second"])):
            terminal.type(typed)
            terminal.shows(*texts)
        terminal.type("")
        terminal.resize(8)
        terminal.shows("lines below")
        terminal.type("\033[6~\033[6~\033[6~")
        terminal.shows("second")
        terminal.type("q")
        terminal.ended(0)


def once(d, env, *options):
    """What mcrstat writes to a terminal of 66 columns, until it has written the whole table."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 66, 0, 0))
    p = t.start_process([t.MCRSTAT, *options, "--stats", d.config.stats_file], stdout=slave, env={**os.environ, **env})
    written = ""
    while written.count("  > ") < 4:
        t.check(select.select([master], [], [], 5)[0], f"no more after {written!r}")
        written += os.read(master, 65536).decode().replace("\r", "")
    p.terminate()
    t.end_process(p)
    os.close(master)
    os.close(slave)
    return written


@t.test("on a terminal of any size nothing is written behind the last column, and no number is cut")
def sizes():
    rules = [t.rule(f"{name}-{i}", f"239.255.0.{i + 1}", 5000,
                    [t.to_group(f"239.255.1.{i + 1}", 6000), t.to_group("ff15::1234:5678:9abc:def0", 6000)], note=note)
             for i, (name, note) in enumerate([("short", "Ticket 7"), ("a-long-name-of-a-rule-" * 2 + "end", "note " * 30)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        terminal = Terminal(d, 3600)
        for columns in (40, 66, 80, 132, 200):
            for rows in (12, 24, 60):
                terminal.type("")
                terminal.resize(rows, columns)
                terminal.shows("? help")
                t.wait_for(lambda: terminal.screen()[-1].startswith(" ? help"), 5, "a frame")
                lines = terminal.screen()
                if rows == 12:
                    t.check("more line" in lines[-1], f"{columns} x {rows}: {lines[-1]!r}")
                if rows < 60:
                    continue
                text = "\n".join(lines)
                for word in ("PACKETS/S", "short-0", "[ff15::1234:5678:9abc:def0]:6000", rules[1]["name"] if columns > 45 else "a-long"):
                    t.check(word in text, f"{word} with {columns} columns: {text}")
                head = next(x for x in lines if x.startswith("RULE"))
                t.equal(["BIT/S" in head, "PACKETS " in head], [columns >= 65, columns >= 55], f"columns of {head!r}")
        terminal.type("")
        terminal.resize(24, 39)
        terminal.shows("Too narrow")
        terminal.resize(2, 1)
        terminal.type("/" + "x" * 63)
        terminal.type("\033")
        terminal.type("q")
        terminal.ended(0)
        for env, colours in (({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False), ({}, True)):
            written = once(d, {"TERM": "xterm", "NO_COLOR": "", **env})
            t.equal("\033" in written, colours, f"colours with {env}")
            plain = re.sub("\033\\[[0-9;]*m", "", written)
            t.check("2 rules: " in plain and max(map(len, plain.splitlines())) <= 66, plain)
        dumb = once(d, {"TERM": "dumb"}, "--watch", "0.1")
        t.check("\033" not in dumb and dumb.startswith("--- 20"), f"{dumb!r}")


@t.test("300 rules on a terminal: counted by state, heads that stay, those in trouble by a key; the digest of what is pending")
def many():
    rules = [t.rule(f"rule-{i}", f"239.255.{i // 250}.{i % 250 + 1}", 5000, [t.to_group(f"239.254.{i // 250}.{i % 250 + 1}", 6000)],
                    **{"silence_ms": 200} if i in (7, 290) else {"enabled": False} if i % 30 == 5 else {}) for i in range(300)]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        terminal = Terminal(d, 0.1, 24, 80)
        shows = lambda what: t.wait_for(lambda: what(terminal.screen()), 5, f"it: {terminal.screen()}")
        shows(lambda x: "300 rules: 288 active, 2 silent, 10 disabled" in x and x[22].startswith(("rule", "  ")))
        for keys in ("G", "gfff", "\033[F"):
            terminal.type(keys)
            shows(lambda x: x[0].startswith("300 rules: ") and x[1].startswith("RULE ") and x[2].startswith(("rule-", "  ")))
        shows(lambda x: x[22].startswith("  > ") and "239.254.1.50:6000" in x[22] and "below" not in x[23])
        terminal.type("t")
        shows(lambda x: any(y.endswith("(2 shown)") for y in x) and any(y.startswith("rule-290 ") for y in x) and
              "only in trouble" in x[23] and not any(y.startswith("rule-0 ") for y in x))
        terminal.type("tt")
        shows(lambda x: any(y.endswith("(2 shown)") for y in x) and "only silent" in x[23])
        terminal.type("\033ssss")
        shows(lambda x: any(y.startswith("RULE ") and z.startswith("rule-7 ") for y, z in zip(x, x[1:])) and "by state" in x[23])
        with open(d.config.file, "a", encoding="utf-8") as f:
            f.write("# another\n")
        with open(d.config.file, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        terminal.type("g")
        shows(lambda x: f"pending  sha256 {digest[:12]} lies on disk: mcrd --diff tells what it changes" in x)
        terminal.type("q")
        terminal.ended(0)


@t.test("on a terminal it outlasts a daemon that goes, and follows the next; a signal ends it, a wrong path at once")
def outlasts():
    with t.line() as net:
        with t.Mcrd(net.relay, RULE) as d:
            terminal, paused = Terminal(d, 0.1), Terminal(d, 0.1)
            terminal.type("")
            terminal.shows("first", "every 0.1 s", "PACKETS/S")
            paused.type("p")
            paused.shows("PAUSED")
        terminal.type("")
        terminal.shows("waiting for mcrd, last seen", "no daemon: mcrd")
        t.check("waiting" not in paused.read(), "what is paused looks for no daemon")
        paused.type("p")
        paused.shows("waiting for mcrd")
        with t.Mcrd(net.relay, d.config):
            terminal.type("")
            terminal.shows("every 0.1 s")
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.ended(0)
        paused.type("\x03")
        paused.ended(0)
        status, out, err = t.run_command([t.MCRSTAT, "--watch", "1", "--stats", "/nowhere"], check_status=False)
        t.equal((status, out), (1, ""), "exit status and output without statistics")
        t.check("does not exist" in err, err)


if __name__ == "__main__":
    t.main()
