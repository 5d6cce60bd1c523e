#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A restart is a reload: what the service manager keeps of mcrd while it does not run, and what the next one makes of it."""
import signal

import mcrtest as t

GROUP, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", GROUP, PORT, [t.to_group(OUT, OUT_PORT)])]


@t.test("20 restarts by SIGTERM and 20 by SIGKILL under traffic: nothing is lost, and after SIGTERM nothing comes twice")
def restarts():
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
            source = t.start_sending(net.src, "s0", GROUP, PORT, seconds=30, rate=5000, size=200)
            for _ in range(20):
                line = d.restart(number, status)
                t.check(line, "event=continued")
            source.send_signal(signal.SIGINT)
            sent = t.finish_sending(source)
            report = receiver.report()
            print("#", line, sent["sent"], report["received"], report["duplicates"], report["reordered"])
            t.equal((report["lost"], report["corrupt"]), (0, 0), "lost, corrupt")


if __name__ == "__main__":
    t.main()
