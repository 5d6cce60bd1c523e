#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tests of other files that need the machine for themselves: they judge what a busy machine changes."""
import mcrtest as t
import test_reload
import test_restart
import test_times

FILES = test_reload, test_restart, test_times  # each has registered its tests

if __name__ == "__main__":
    t.main(alone=True)
