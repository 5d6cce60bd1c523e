# SPDX-License-Identifier: Apache-2.0
"""during: what happens beside the traffic while a run is measured. What it costs others runs on the source's core."""
import signal
import subprocess
import time

import world as w
from world import t


class Reloads:
    """Each adds or removes one other rule."""

    def __init__(self, daemon):
        self.daemon, self.n, self.as_before = daemon, 0, daemon.config.rules

    def once(self):
        """Returns how long it took."""
        other = t.rule("other", "239.255.0.250", 5001, [t.to_group("239.255.1.250", 6001)])
        self.daemon.config.rules = self.as_before + ([other] if self.n % 2 == 0 else [])
        self.daemon.config.write()
        self.n += 1
        begin = time.monotonic()
        t.check("result=accepted" in self.daemon.reload(), "a reload was refused")
        return time.monotonic() - begin


class News:
    """A link that an idle rule sends by goes down and up."""
    PAUSE = 0.1

    def __init__(self, _, world):
        self.world, self.up = world, True

    def once(self):
        self.up = not self.up
        self.world.dst.run("ip", "link", "set", "d1", "up" if self.up else "down")

    def end(self):
        self.world.dst.run("ip", "link", "set", "d1", "up")


class Watch:
    """mcrstat --watch looks as often as it may."""
    PAUSE = 0.2

    def __init__(self, daemon, *_):
        with w.on_core(w.SOURCE_CORE):
            self.process = t.start_process([t.MCRSTAT, "--watch=0.1", "--json", "--stats", daemon.config.stats_file],
                                           stdout=subprocess.DEVNULL)

    def once(self):
        pass

    def end(self):
        t.kill_process(self.process)


class Summary:
    PAUSE = 0.2

    def __init__(self, daemon, *_):
        self.daemon = daemon

    def once(self):
        self.daemon.signal(signal.SIGUSR1)

    def end(self):
        pass


KINDS = {"news": News, "watch": Watch, "summary": Summary}


def spend(seconds, name, world, relay):
    """Passes the time with this; name: of KINDS. Any other is in the relay's rules, or nothing."""
    if name not in KINDS:
        time.sleep(seconds)
        return
    until, thing = time.monotonic() + seconds, KINDS[name](relay.daemon, world)
    try:
        with w.on_core(w.SOURCE_CORE):
            while time.monotonic() < until:
                thing.once()
                time.sleep(thing.PAUSE)
    finally:
        thing.end()
