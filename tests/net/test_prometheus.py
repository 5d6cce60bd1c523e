#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mcrstat --prometheus, and what contrib/prometheus makes of it: node_exporter, Prometheus, alerts, dashboard."""
import calendar
import json
import os
import re
import signal
import struct
import subprocess
import time
import urllib.parse
import urllib.request

import debtools
import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
SOURCE = "198.18.1.1"
CONTRIB = os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "../..")), "contrib/prometheus")
ALERTS, DASHBOARD = os.path.join(CONTRIB, "alerts.yml"), os.path.join(CONTRIB, "dashboard.json")
WRITER = os.path.join(os.path.dirname(os.path.dirname(t.MCRSTAT)), "contrib/prometheus/mcr-metrics")
PROGRAMS = {name: debtools.program(name, package) for name, package in (
    ("promtool", "prometheus"), ("prometheus", "prometheus"), ("prometheus-node-exporter", "prometheus-node-exporter"))}
RULES = [
    t.rule("plain", IN, PORT, [t.to_group(OUT, OUT_PORT), t.to_host("198.18.2.1", 7000)], note='say "a\\b"'),
    t.rule("from-one", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT)], sources=["198.18.1.99"]),
    t.rule("tags", "239.255.0.3", PORT, [t.to_group("239.255.1.3", OUT_PORT, vlan=v) for v in (100, 200)],
           monitor={"as": "ts"}),
    t.rule("quiet", "239.255.0.4", PORT, [t.to_group("239.255.1.4", OUT_PORT)], silence_ms=100),
    t.rule("gone", "239.255.0.6", PORT, [t.to_group("239.255.1.6", OUT_PORT)], active_until="2001-01-01T00:00:00Z"),
    t.rule("waits", "239.255.0.5", PORT, [t.to_group("239.255.1.5", OUT_PORT)], interface="late0"),
]


def program(name):
    if not PROGRAMS[name]:
        raise t.Skip(f"{name} is not installed, and its Debian package cannot be fetched")
    return PROGRAMS[name]


# --- the text format -------------------------------------------------------------------------------------------------

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z0-9_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z0-9_]+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """{(name, (label, value), ...): number}, without the label stats_file; of a histogram, how many; and the types by
    name."""
    found, types, current = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current, types[line.split()[2]] = line.split()[2], line.split()[3]
        elif not line.startswith("#"):
            m = LINE.fullmatch(line)
            t.check(m, f"no sample: {line!r}")
            suffix = "(_bucket|_sum|_count)" if types.get(current) == "histogram" else ""
            t.check(re.fullmatch(f"{current}{suffix}", m[1]), f"the metric that the line stands below: {line}")
            if suffix and not m[1].endswith("_count"):
                continue
            labels = {k: re.sub(r"\\(.)", lambda e: "\n" if e[1] == "n" else e[1], v)
                      for k, v in LABEL.findall(m[2] or "")}
            labels.pop("stats_file", None)
            key = (current, *sorted(labels.items()))
            t.check(key not in found, f"twice: {line}")
            found[key] = float(m[3])
    return found, types


def metrics(d, status=0):
    got, out, err = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file], check_status=False)
    t.equal(got, status, f"exit status ({err.strip()})")
    return out


def seconds_of(moment):
    return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))


def expected(stats):
    """The metrics that these statistics (JSON) must make, those that say when apart."""
    want = {}

    def add(name, value, **labels):
        want[(name, *sorted(labels.items()))] = float(value)

    c = stats["config"]
    add("mcr_up", 1)
    add("mcr_build_info", 1, version=stats["version"])
    add("mcr_broker_up", stats["broker"] == "alive")
    add("mcr_sandbox_enforced", stats["sandbox"]["seccomp"] == "enforce" and not stats["sandbox"]["capabilities"])
    add("mcr_config_info", 1, file=c["file"], sha256=c["sha256"], relay=stats["instance"] or "")
    add("mcr_config_generation", stats["generation"])
    add("mcr_config_last_reload_successful", c["last_load"] != "refused")
    add("mcr_config_pending", c["state"] == "pending")
    add("mcr_audit_records", c["audit"]["n"])
    add("mcr_audit_head_info", 1, n=str(c["audit"]["n"]), hash=c["audit"]["hash"])
    if c["audit"]["file"]:
        add("mcr_audit_file_ok", not c["audit"]["error"])
        add("mcr_audit_lost_total", c["audit"]["lost"])
        add("mcr_audit_file_changes_total", c["audit"]["changes"])
    add("mcr_config_invalid", c["state"] == "invalid")
    add("mcr_config_trial", c["state"] == "trial")
    add("mcr_config_trial_remaining_seconds", c["trial_remaining_s"] or 0)
    add("mcr_config_returned", c["returned"] is not None)
    add("mcr_config_signatures_required", c["signatures_required"])
    add("mcr_config_expired", c["expired"])
    if c["serial"]:
        add("mcr_config_serial", c["serial"])
    if c["valid_until"]:
        add("mcr_config_valid_until_seconds", seconds_of(c["valid_until"]))
    for state in ("set", "unsynchronised", "unset"):
        add("mcr_clock_state", c["clock"] == state, state=state)
    for i in stats["interfaces"]:
        add("mcr_interface_up", i["state"] == "up", interface=i["name"])
        add("mcr_interface_received_packets_total", i["received"], interface=i["name"])
        for k in set(i) - {"name", "state", "received"}:
            add("mcr_interface_dropped_packets_total", i[k], interface=i["name"], reason=k)
    for r in stats["rules"]:
        add("mcr_rule_info", 1, rule=r["name"], note=r["note"] or "")
        for state in ("active", "shadow", "waiting", "down", "silent", "slow", "disabled", "scheduled", "expired"):
            add("mcr_rule_state", r["state"] == state, rule=r["name"], state=state)
        if r["active_until"]:
            add("mcr_rule_active_until_seconds", seconds_of(r["active_until"]), rule=r["name"])
        if r["reason"]:
            add("mcr_rule_reason", 1, rule=r["name"], reason=r["reason"])
        for i in r["inputs"]:
            vlan = {"vlan": str(i["vlan"])} if i["vlan"] else {}
            add("mcr_rule_input_info", 1, rule=r["name"], leg=i["leg"], interface=i["interface"], to=i["to"], **vlan)
            for k in ("packets", "bytes"):
                add(f"mcr_rule_input_{k}_total", i[k], rule=r["name"], leg=i["leg"])
            stream = i["stream"] or {"ts": {}}
            figures = {k: stream[k] for k in stream if k not in ("as", "jitter_us", "ts")}
            figures |= {f"ts_{k}": v for k, v in stream["ts"].items()}
            for k, v in figures.items():
                total = "" if k in ("lost", "unjudged", "ts_pids") else "_total"  # they may fall, or are no counter
                add(f"mcr_rule_input_stream_{k}{total}", v, rule=r["name"], leg=i["leg"])
        add("mcr_rule_residence_seconds", r["residence_us"]["count"], rule=r["name"])
        add("mcr_rule_clock_steps_total", r["clock_steps"], rule=r["name"])
        for alarm in ("silence", "leg", "loss", "jitter", "residence", "rate"):
            add("mcr_rule_alarm", alarm in r["alarms"], rule=r["name"], alarm=alarm)
        add("mcr_rule_received_packets_total", r["packets"], rule=r["name"])
        add("mcr_rule_received_bytes_total", r["bytes"], rule=r["name"])
        for k, v in r["drops"].items():
            add("mcr_rule_dropped_packets_total", v, rule=r["name"], reason=k)
        for o in r["outputs"]:
            for k in ("packets", "bytes", "unreachable"):
                add(f"mcr_output_sent_{k}_total", o[k], rule=r["name"], output=o["to"])
            add("mcr_output_largest_run", o["largest_run"], rule=r["name"], output=o["to"])
            for k in set(o) - {"to", "packets", "bytes", "unreachable", "largest_run"}:
                add("mcr_output_dropped_packets_total", o[k], rule=r["name"], output=o["to"], reason=k)
    return want


def offer(net, d, each=3):
    """Each rule gets its datagrams but the last two; one port has no rule."""
    sender = t.RawSender(net.src, "s0")
    for group in ("239.255.0.1", "239.255.0.2"):
        sender.send(*[t.datagram(group, PORT, b"x" * 100, source=SOURCE) for _ in range(each)])
    # A transport stream in RTP.
    sender.send(*[t.datagram("239.255.0.3", PORT, struct.pack(">BBHII", 0x80, 33, n, 0, 7) + b"\x47" + bytes(187),
                             source=SOURCE) for n in range(each)])

    def came():
        rules = d.stats()["rules"]
        return (all(r["packets"] == each for r in rules[:3]) and
                rules[2]["inputs"][0]["stream"]["expected"] == each)
    t.wait_for(came, 5, "what was sent")


@t.test("every metric says what the statistics say, each counter under its name; times are times")
def values():
    with t.line() as net, t.Mcrd(net.relay, RULES, instance="relay-1") as d:
        before = time.time()
        offer(net, d)
        t.wait_for(lambda: d.stats()["rules"][3]["alarms"], 5, "the alarm of the rule quiet")
        stats = d.stats()
        found, types = parse(metrics(d))
        times = {k: v for k, v in found.items() if k[0].endswith("_seconds")}
        want = expected(stats)
        for key in sorted(want.keys() | (found.keys() - times.keys())):
            t.equal(found.get(key), want.get(key), f"{key}")
        t.equal(found["mcr_rule_received_bytes_total", ("rule", "plain")], 300, "bytes")
        t.equal(found["mcr_rule_dropped_packets_total", ("reason", "source"), ("rule", "from-one")], 3, "drops")
        t.equal(found["mcr_interface_up", ("interface", "late0")], 0, "late0")
        t.equal(found["mcr_rule_alarm", ("alarm", "silence"), ("rule", "quiet")], 1, "the alarm of silence")
        t.equal({k for k, v in types.items() if v == "counter"}, {k for k in types if k.endswith("_total")}, "counters")
        t.equal({k[0] for k in found}, set(types), "metrics with lines")
        rules = {dict(k[1:]).get("rule"): v for k, v in times.items() if k[0] == "mcr_rule_last_packet_seconds"}
        t.equal(set(rules), {"plain", "from-one", "tags"}, "rules with a last datagram")
        for v in rules.values():
            t.check(before - 0.01 <= v <= time.time(), f"last datagram at {v}, sent after {before}")
        for name in ("mcr_start_time_seconds", "mcr_heartbeat_seconds", "mcr_config_last_reload_success_seconds"):
            t.check(before - 30 < times[name,] <= time.time() + 0.01, f"{name} is {times[name,]}")


@t.test("the state of the file: pending, invalid, refused, taken over")
def config_states():
    with t.line() as net, t.Mcrd(net.relay, RULES[:1]) as d:
        def config():
            return tuple(int(parse(metrics(d))[0][f"mcr_config_{k}",])
                         for k in ("pending", "invalid", "last_reload_successful", "generation"))

        t.equal(config(), (0, 0, 1, 1), "at the start: pending, invalid, successful, generation")
        d.config.rules = RULES[:2]
        d.config.write()
        t.wait_for(lambda: config() == (1, 0, 1, 1), 5, "pending")
        d.config.write("rules = (")
        t.wait_for(lambda: config() == (0, 1, 1, 1), 5, "invalid")
        d.reload()
        t.wait_for(lambda: config() == (0, 1, 0, 1), 5, "refused")
        d.config.write()
        d.reload()
        t.wait_for(lambda: config() == (0, 0, 1, 2), 5, "taken over")


@t.test("promtool check metrics finds no fault, with and without a daemon")
def promtool_metrics():
    def clean(text):
        p = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True,
                           timeout=20, check=False)
        t.equal((p.returncode, p.stdout + p.stderr), (0, ""), "promtool's answer")

    program("promtool")
    with t.line() as net:
        with t.Mcrd(net.relay, RULES) as d:
            offer(net, d)
            clean(metrics(d))
        text = metrics(d, status=1)
        t.equal(parse(text)[0], {("mcr_up",): 0.0}, "without a daemon")
        clean(text)


@t.test("promtool check rules and test rules", released=True)
def promtool_rules():
    test = os.path.join(os.path.dirname(os.path.dirname(CONTRIB)), "tests/prometheus/alerts.test.yml")
    t.run_command([program("promtool"), "check", "rules", ALERTS])
    t.run_command([program("promtool"), "test", "rules", test])
    with open(test, encoding="utf-8") as f, open(ALERTS, encoding="utf-8") as g:
        tested = f.read()
        for alert in re.findall(r"- alert: (\w+)", g.read()):
            t.check(re.search(alert + r'\n\s+exp_alerts|alertname="' + alert + '"', tested), f"{alert} is not tested")


# --- what uses them --------------------------------------------------------------------------------------------------


def dashboard_queries():
    """Every query of the dashboard, its variables replaced as Grafana would."""
    with open(DASHBOARD, encoding="utf-8") as f:
        d = json.load(f)
    found = [target["expr"] for p in d["panels"] for target in p["targets"]]
    found += [a["expr"] for a in d["annotations"]["list"]]
    t.check(len(found) > 20, f"{len(found)} queries")
    for variable in d["templating"]["list"]:
        if variable["type"] == "query":
            found.append(re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1])
    for name, value in (("$host", ".*"), ("$rule", ".*"), ("$__rate_interval", "1m")):
        found = [q.replace(name, value) for q in found]
    return found


def alert_queries():
    with open(ALERTS, encoding="utf-8") as f:
        text = re.sub(r"expr: >-\n\s+(.*)\n\s+(or .*)", r"expr: \1 \2", f.read())
    found = re.findall(r"expr: (.*)", text)
    t.equal(len(found), text.count("- alert:"), "expressions of alerts")
    return found


def histogram_of(name):
    """The metric that a line's name belongs to."""
    return re.sub("(_seconds)_(bucket|sum|count)$", r"\1", name)


@t.test("dashboard and alerts use only metrics that mcrstat prints; mcrstat(1) names all of them")
def names():
    legs = [{"interface": "in0", "group": f"239.255.0.{i}", "port": PORT} for i in (8, 9)]
    merges = {"name": "merges", "inputs": legs, "merge": {"by": "rtp"}, "monitor": {"as": "ts"},
              "outputs": [t.to_group("239.255.1.8", OUT_PORT)]}
    c = t.Config([*RULES, merges])
    c.top["audit_file"] = os.path.join(c.directory, "audit", "log")
    c.top.update(serial=7, valid_until="9998-01-01T00:00:00Z")
    c.write()
    with t.line() as net, t.Mcrd(net.relay, c) as d:
        offer(net, d)
        printed = set(parse(metrics(d))[1])
    used = set(histogram_of(n) for q in dashboard_queries() + alert_queries() for n in re.findall(r"\bmcr_[a-z_]+", q))
    t.equal(used - printed, set(), "metrics that are used and not printed")
    t.check(len(used) > 15, f"only {sorted(used)}")
    with open(os.path.join(CONTRIB, "../../man/mcrstat.1"), encoding="utf-8") as f:
        named = {histogram_of(n) for n in re.findall(r"\bmcr_[a-z_]+", f.read())}
        t.equal(named, printed, "metrics of the manual page")


def write_metrics(d, file, status=0, mcrstat=None):
    p = subprocess.run(["sh", WRITER, d.config.stats_file, file], capture_output=True, text=True, timeout=20,
                       env={**os.environ, "MCRSTAT": mcrstat or t.MCRSTAT}, check=False)
    t.check((p.returncode == 0) == (status == 0), f"mcr-metrics: exit status {p.returncode}: {p.stderr}")


def get(node, url):
    with node.inside():
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return None


@t.test("mcr-metrics replaces its file at once; what cannot be had leaves the old file; no daemon is mcr_up 0")
def writer():
    with t.line() as net:
        with t.Mcrd(net.relay, RULES) as d:
            file = os.path.join(d.config.directory, "mcr.prom")
            write_metrics(d, file)
            with open(file, encoding="utf-8") as old:
                write_metrics(d, file)
                whole = old.read()  # the old file is still whole: it was replaced, not written to
            t.check(whole.endswith("\n"), "whole lines")
            t.equal(set(parse(whole)[1]), set(parse(metrics(d))[1]), "metrics")
            t.equal(os.stat(file).st_mode & 0o777, 0o644, "mode")
            inode = os.stat(file).st_ino
            write_metrics(d, file, status=1, mcrstat="/bin/false")
            t.equal(os.stat(file).st_ino, inode, "the file after a failure")
        write_metrics(d, file)
        with open(file, encoding="utf-8") as f:
            t.equal(parse(f.read())[0], {("mcr_up",): 0.0}, "after the daemon's end")
        t.equal([n for n in os.listdir(d.config.directory) if n.startswith("mcr.prom")], ["mcr.prom"], "files")


@t.test("the units replace the link to the metrics, and put none into a directory that has its name")
def link():
    for unit, name in (("mcr-metrics.service.in", "mcr"), ("mcr-metrics@.service.in", "mcr-one")):
        with open(os.path.join(CONTRIB, unit), encoding="utf-8") as f:
            command = re.search(r"^ExecStartPre=\+(/bin/ln .*)$", f.read(), re.MULTILINE)[1]
        directory = t.case.present.directory()
        made = os.path.join(directory, f"{name}.prom")
        command = command.replace("${TEXTFILE_DIRECTORY}", directory).replace("%i", "one").split()
        for _ in range(2):
            t.run_command(command)
            t.equal(os.readlink(made), f"/run/mcr-metrics/{name}.prom", unit)
        os.unlink(made)
        os.mkdir(made)
        t.check(t.run_command(command, check_status=False)[0] != 0, f"{unit}: a directory stands in the way")
        t.equal(os.listdir(made), [], f"{unit}: the directory")


@t.test("node_exporter shows them, Prometheus takes them: every query of dashboard and alerts; a refused reload alerts", released=True)
def scraped():
    exporter, prometheus = program("prometheus-node-exporter"), program("prometheus")
    with t.line() as net, t.Mcrd(net.relay, RULES, instance="relay-1") as d:
        directory, file = d.config.directory, os.path.join(d.config.directory, "mcr.prom")
        offer(net, d)
        write_metrics(d, file)
        with open(os.path.join(directory, "prometheus.yml"), "w", encoding="ascii") as f:
            f.write("global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
                    f"rule_files: [ {os.path.abspath(ALERTS)} ]\n"
                    "scrape_configs:\n  - job_name: node\n    static_configs: [ { targets: [ '127.0.0.1:9100' ] } ]\n")
        with open(os.path.join(directory, "prometheus.log"), "wb") as log:
            e = t.start_process([exporter, "--collector.disable-defaults", "--collector.textfile",
                                 f"--collector.textfile.directory={directory}", "--web.listen-address=127.0.0.1:9100"],
                                net.relay, stdout=log, stderr=log)
            p = t.start_process([prometheus, f"--config.file={directory}/prometheus.yml",
                                 f"--storage.tsdb.path={directory}/tsdb", "--web.listen-address=127.0.0.1:9090"],
                                net.relay, stdout=log, stderr=log)
        try:
            scrape = t.wait_for(lambda: get(net.relay, "http://127.0.0.1:9100/metrics"), 20, "node_exporter's answer")
            t.check("node_textfile_scrape_error 0\n" in scrape, "the textfile collector had an error")
            # It adds empty labels, sorts, and writes numbers its own way.
            shown, _ = parse("\n".join(x for x in scrape.splitlines() if re.match(r"(# \w+ )?mcr_", x)))
            with open(file, encoding="utf-8") as f:
                t.equal(shown, parse(f.read())[0], "what node_exporter shows")

            def query(q):
                answer = get(net.relay, "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": q}))
                t.check(answer, f"no answer to {q}")
                return json.loads(answer)["data"]["result"]

            t.wait_for(lambda: get(net.relay, "http://127.0.0.1:9090/-/ready") and query("mcr_up"), 30,
                       "Prometheus has scraped")
            t.equal([r["value"][1] for r in query('mcr_rule_received_packets_total{rule="plain"}')], ["3"], "packets")
            empty = [q for q in dashboard_queries() + alert_queries() if not query(q)]
            # What compares finds nothing as long as all is well; rates need a second scrape.
            t.equal([q for q in empty if not re.search(r"[<>=] ?\d|absent|rate\(|changes\(", q)], [], "queries without result")
            d.config.write("rules = (")
            d.reload()
            t.wait_for(lambda: d.stats()["config"]["last_load"] == "refused", 5, "the refusal")
            write_metrics(d, file)
            t.wait_for(lambda: query('ALERTS{alertname="McrReloadRefused",alertstate="firing"}'), 20, "the alert")
            t.equal(bool(query('ALERTS{alertname="McrSandboxOff"}')), t.SANDBOX != "enforce", "McrSandboxOff")
        finally:
            for process in (p, e):
                process.send_signal(signal.SIGTERM)
                t.end_process(process, 10)


if __name__ == "__main__":
    t.main()
