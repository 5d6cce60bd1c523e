#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrstat for a script or a monitoring system: rules by name and by state in each form of output, a plugin's line and
exit status, and the words."""
import glob
import json
import os
import re
import shutil
import subprocess

import mcrtest as t
import reloadtest as r

PORT, OUT, OUT_PORT = 5000, "239.255.1.1", 6000
RULES = [t.rule("plain", "239.255.0.1", PORT, [t.to_group(OUT, OUT_PORT)]),
         t.rule("trial", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)], shadow=True),
         t.rule("late", "239.255.0.3", PORT, [t.to_group(OUT, OUT_PORT, "late0")])]


def mcrstat(d, *arguments, status=0):
    """What it prints, or what it says where it fails."""
    got, out, err = t.run_command([t.MCRSTAT, *arguments, "--stats", d.config.stats_file], check_status=False)
    t.equal(got, status, f"exit status of {arguments} ({out}{err})")
    return out or err


def names(d, *arguments):
    """The rules that each form of output shows, which are the same."""
    rules = [x["name"] for x in json.loads(mcrstat(d, "--json", *arguments))["rules"]]
    metrics = mcrstat(d, "--prometheus", *arguments)
    t.equal(re.findall(r'^mcr_rule_info{rule="(\w+)"', metrics, re.MULTILINE), rules, "metrics")
    t.check(re.search("^mcr_up{.*} 1$", metrics, re.MULTILINE), "the metrics of the relay itself")
    table = mcrstat(d, *arguments).split("\nRULE ")[1]
    t.equal(re.findall(r"^(\w+) +(?:active|shadow|waiting)", table, re.MULTILINE), rules, "table")
    return rules


@t.test("--rule and --state: the same rules in table, JSON and metrics; a rule or a state that there is not")
def select():
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        t.equal(names(d), ["plain", "trial", "late"], "all")
        t.equal(names(d, "--rule", "trial"), ["trial"], "by name")
        t.equal(names(d, "--state", "waiting"), ["late"], "by state")
        t.equal(names(d, "--state", "shadow"), ["trial"], "by state")
        t.equal(names(d, "--state", "down"), [], "by a state that none is in")
        t.equal(names(d, "--rule", "plain", "--state", "shadow"), [], "by both")
        for form in ((), ("--json",), ("--prometheus",), ("--watch", "1")):
            t.check('no rule "nosuch" runs' in mcrstat(d, *form, "--rule", "nosuch", status=1), "no such rule")
        said = mcrstat(d, "--state", "nosuch", status=2)
        t.check('--state is "nosuch", allowed are active shadow ' in said, said)


@t.test("--watch --rule: the rule's own rates, and its going and coming with a reload")
def watch():
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        p = t.start_process([t.MCRSTAT, "--watch", "0.1", "--json", "--rule", "trial", "--stats", d.config.stats_file],
                            stdout=subprocess.PIPE, text=True)

        def shown(wanted):
            for line in p.stdout:
                if [x["name"] for x in json.loads(line)["rules"]] == wanted:
                    return
            raise t.Failure("mcrstat has ended")

        shown(["trial"])
        for rules, wanted in ((RULES[:1], []), (RULES, ["trial"])):
            d.config.rules = rules
            d.config.write()
            r.accepted(d)
            shown(wanted)
        t.kill_process(p)


@t.test("--check: the worst of all rules; of one rule its own; a changed file; no daemon; UNKNOWN")
def check():
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        sandbox = "" if t.SANDBOX == "enforce" else ", the sandbox is not in force"
        line = mcrstat(d, "--check", status=2)
        t.check(line.startswith(f"MCR CRITICAL - late is waiting: interface late0 is missing{sandbox}; "
                                "1 rule active, 1 shadow, 1 waiting | packets=0c "), line)
        t.RawSender(net.src, "s0").send(t.datagram("239.255.0.2", PORT, b"x" * 10))
        t.wait_for(lambda: d.stats()["rules"][1]["packets"] == 1, 5, "the datagram")
        t.equal(mcrstat(d, "--check", "--rule", "trial"),
                "MCR OK - 1 rule shadow | packets=1c bytes=10c sent=0c dropped=1c errors=0c\n", "a rule on trial")
        t.equal(mcrstat(d, "--check", "--rule", "plain"),
                "MCR OK - 1 rule active | packets=0c bytes=0c sent=0c dropped=0c errors=0c\n", "a rule that is active")
        t.check(mcrstat(d, "--check", "--rule", "late", status=2).startswith("MCR CRITICAL - late is waiting:"), "late")
        line = mcrstat(d, "--check", "--rule", "nosuch", status=3)
        t.check(line.startswith('MCR UNKNOWN - no rule "nosuch"'), line)
        for wrong in (("--json",), ("--watch", "1"), ("--state", "down"), ("--nosuch",)):
            line = mcrstat(d, *wrong, "--check", status=3)
            t.check(line.startswith("MCR UNKNOWN - wrong usage: "), line)
        d.config.rules = RULES[:2]
        d.config.write()
        r.accepted(d)
        mcrstat(d, "--check", status=1 if sandbox else 0)
        d.config.write("rules = (")
        r.wait_config(d, "invalid")
        line = mcrstat(d, "--check", status=1)
        t.check("the file on disk is invalid" in line, line)
        mcrstat(d, "--check", "--rule", "plain")
    line = mcrstat(d, "--check", status=2)
    t.check(line.startswith("MCR CRITICAL - no daemon: mcrd ") and line.count("\n") == 1, line)


@t.test("the examples of the pages and documents with jq: each says something, with the jq that is installed")
def examples():
    if not shutil.which("jq"):
        raise t.Skip("jq is not installed")
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    shown = []
    for path in [os.path.join(top, "README.md"), *glob.glob(f"{top}/man/*.[1-9]"), *glob.glob(f"{top}/docs/*.md")]:
        with open(path, encoding="utf-8") as f:
            shown += re.findall(r"mcrstat[^|\n]*--json[^|\n]*\| jq (-[res]+ )?('[^']*'|[^ )\n]+)", f.read())
    t.check(len(shown) >= 3, f"few examples are found: {shown}")
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        t.RawSender(net.src, "s0").send(t.datagram("239.255.0.2", PORT, b"x" * 10))
        t.wait_for(lambda: d.stats()["rules"][1]["packets"] == 1, 5, "the datagram")
        told = os.path.join(d.config.directory, "told.json")
        with open(told, "w", encoding="utf-8") as f:
            f.write(mcrstat(d, "--json"))
        sent = json.loads(mcrstat(d, "--json"))
        for output in (o for rule in sent["rules"] for o in rule["outputs"]):
            output["packets"] += 1
        with open(f"{told}.sent", "w", encoding="utf-8") as f:
            json.dump(sent, f)
        for options, program in ((o, x.strip("'")) for o, x in shown):
            if "s" in options:  # two readings
                for second, found in ((told, "false\n"), (f"{told}.sent", "true\n")):
                    t.equal(t.run_command(["jq", "-c", "-s", program, told, second])[1], found, "whether each rule relays")
                continue
            said = t.run_command(["jq", "-c", program, told])[1]
            t.check(said.strip(), f"{program} says nothing")
            if "drops" in program:
                t.equal([json.loads(x)["name"] for x in said.splitlines()], ["trial"], "the rules that drop")


@t.test("--words needs no daemon: the words of tables and JSON, and what each means")
def words():
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        s = d.stats()
    lists = json.loads(t.run_command([t.MCRSTAT, "--words", "--json"])[1])
    t.equal(list(lists["rule_drops"]), list(s["rules"][0]["drops"]), "drops")
    t.equal(list(lists["features"]), list(s["features"]), "features")
    t.equal(list(lists["output_counters"]), [k for k in s["rules"][0]["outputs"][0] if k not in ("to", "largest_run")], "outputs")
    t.check({x["state"] for x in s["rules"]} <= set(lists["rule_states"]), "states")
    text = t.run_command([t.MCRSTAT, "--words"])[1]
    for name, told in lists.items():
        t.check(f"{name}\n" in text, name)
        for word, meaning in told.items():
            t.check(re.search(f"^  {word} +{re.escape(meaning)}$", text, re.MULTILINE), word)
    t.check(t.run_command([t.MCRSTAT, "--words", "--watch", "1"], check_status=False)[0] == 2, "not with --watch")


if __name__ == "__main__":
    t.main()
