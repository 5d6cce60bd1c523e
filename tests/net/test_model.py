#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random sequences of reloads, trials, links that go and come, kills and restarts of one mcrd under a manager, while every
input has its stream: model.py says what must arrive.

MCR_MODEL_SEED=n runs one sequence again (random: any); MCR_MODEL_SEEDS=1000 so many, from MCR_MODEL_SEED or 1 on;
MCR_MODEL_TELL=1 tells the steps; MCR_MODEL_STEPS=30 makes them longer. make check-model runs many.
"""
import os
import random

import mcrtest as t
import model as m
from modelrun import Links, Run, config_rules, daemon

STEPS = int(os.environ.get("MCR_MODEL_STEPS") or 12)
SEEDS = int(os.environ.get("MCR_MODEL_SEEDS") or 0)
SEED = os.environ.get("MCR_MODEL_SEED") or ""
FIXED = (2, 3, 4)[:2 if t.SANITIZED else 3]
TELL = os.environ.get("MCR_MODEL_TELL", "")


def run_seed(seed):
    first, sequence = m.sequence(seed, STEPS)
    with Links() as net, t.Manager() as manager:
        d = daemon(manager, net.relay, config_rules(first.rules.items()))
        run = Run(random.Random(f"links {seed}"), net, d, first, sequence)
        try:
            with d:
                run.go()
            if TELL:
                t.note(run.describe())
        except t.Failure as e:
            raise t.Failure(f"{e}\n{run.describe()}\nagain: MCR_MODEL_SEED={seed}"
                            f"{f' MCR_MODEL_STEPS={STEPS}' if STEPS != 12 else ''} python3 tests/net/test_model.py") from None


def seeds():
    if SEED == "random":
        first = random.SystemRandom().randrange(1 << 32)
        t.note(f"MCR_MODEL_SEED={first}")
    else:
        first = int(SEED or 1)
    return range(first, first + max(1, SEEDS)) if SEED or SEEDS else FIXED


@t.test("random sequences of reloads, trials, links, kills and restarts: what must arrive does, once; counters and states are true",
        again=False)
def sequences():
    failed = []
    for seed in seeds():
        try:
            run_seed(seed)
        except t.Failure as e:
            failed.append(f"seed {seed}: {e}")
            if SEEDS:
                t.note(failed[-1])
            t.check(len(failed) < 10, "\n".join(failed))
    t.check(not failed, "\n".join(failed))


if __name__ == "__main__":
    t.main()
