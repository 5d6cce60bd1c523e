# SPDX-License-Identifier: Apache-2.0
"""Verdicts."""
import time

from .system import SLOWNESS


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
    seconds *= SLOWNESS
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
