# SPDX-License-Identifier: Apache-2.0
"""report: medians and spread of all rounds, as tables, as JSON, and against what is to be reached."""
import json
import statistics

COLUMNS = {  # title, what is shown of the median
    "offered": ("offered/s", lambda r: _count(r.get("offered_pps"))),
    "out": ("out/s", lambda r: _count(r.get("out_pps"))),
    "loss": ("loss", lambda r: _percent(r.get("loss"), r.get("lost"))),
    "lost": ("lost", lambda r: _count(r.get("lost"))),
    "left": ("core left", lambda r: _percent(r.get("left"))),
    "cpu": ("ns/packet", lambda r: _count(r.get("cpu_ns"))),
    "cpu in": ("ns/packet in", lambda r: _count(r.get("cpu_in_ns"))),
    "stayed": ("p50 by mcrd", lambda r: _number(r.get("stayed"))),
    "stayed99.9": ("p99.9 by mcrd", lambda r: _number(r.get("stayed99.9"))),
    "batch": ("datagrams/send", lambda r: _number(r.get("batch"))),
    "start": ("start, ms", lambda r: _number(r.get("start_ms"))),
    "reload": ("longest reload, ms", lambda r: _number(r.get("reload_ms"))),
} | {p: (p, lambda r, p=p: _number(r.get(p))) for p in ("p50", "p90", "p99", "p99.9")}
MAIN = {"out": "out_pps", "p50": "p50", "lost": "lost"}  # whose spread is shown


def _count(value):
    return "" if value is None else f"{value:,.0f}"


def _number(value):
    return "" if value is None else f"{value:,.1f}"


def _percent(value, exact=None):
    if value is None:
        return ""
    return "none" if exact == 0 else f"{100 * value:.2f} %" if value < 0.01 else f"{100 * value:.1f} %"


TITLES = ("measure", "target", "measured", "spread", "reached")


class Results:
    def __init__(self, about, records=(), left_out=None):
        self.about, self.records, self.left_out = about, list(records), dict(left_out or {})

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            whole = json.load(f)
        return cls(whole["about"], whole["records"], whole["left_out"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            # A record is a line.
            f.write('{"about": ' + json.dumps(self.about, indent=1) + ',\n"left_out": ' + json.dumps(self.left_out) +
                    ',\n"records": [\n' + ",\n".join(json.dumps(r) for r in self.records) + "\n]}\n")

    def add(self, group, scenario, relay, number, measured):
        latency = measured.pop("latency_us", None) or {}
        self.records.append({"group": group, "scenario": scenario, "relay": relay, "round": number, **measured,
                             **{k: v for k, v in latency.items() if k != "min"}})

    def rounds(self, group, scenario, relay):
        """The rounds that were not disturbed; if all were, all."""
        found = [r for r in self.records if (r["group"], r["scenario"], r["relay"]) == (group, scenario, relay)]
        return [r for r in found if not r["suspicious"]] or found

    def values(self, group, scenario, relay, what):
        return [r[what] for r in self.rounds(group, scenario, relay) if r.get(what) is not None]

    def median(self, group, scenario, relay, what):
        values = self.values(group, scenario, relay, what)
        return statistics.median(values) if values else None

    def worst(self, group, scenario, relay, what):
        return max(self.values(group, scenario, relay, what), default=None)

    def ratios(self, a, b):
        """What one cell (group, scenario, relay, what) is of another, round by round: both were measured within the same
        minutes. Also whether all rounds were disturbed; else only the others count."""
        def by_round(cell, calm):
            return {r["round"]: r[cell[3]] for r in self.records if
                    (r["group"], r["scenario"], r["relay"]) == tuple(cell[:3]) and r.get(cell[3]) is not None
                    and not (calm and r["suspicious"])}
        for calm in (True, False):
            x, y = by_round(a, calm), by_round(b, calm)
            found = [x[n] / y[n] for n in sorted(x) if y.get(n)]
            if found:
                return found, not calm
        return [], False

    def medians(self, group, scenario, relay):
        names = {k for r in self.rounds(group, scenario, relay) for k, v in r.items()
                 if isinstance(v, (int, float)) and not isinstance(v, bool)}
        return {k: self.median(group, scenario, relay, k) for k in names}


def line(r):
    """One record while the run goes on."""
    parts = [f"out {r['out_pps']:,.0f}/s", f"lost {r['lost']:,}"]
    parts += [f"core left {100 * r['left']:.1f} %"] if "left" in r else []
    parts += [f"p50 {r['p50']:.1f} us"] if r.get("p50") else []
    return f"# {r['group']}: {r['scenario']}: {r['relay']}: " + ", ".join(parts + r["suspicious"])


def _rows(lines):
    widths = [max(len(x[i]) for x in lines) for i in range(len(lines[0]))]
    return ["  ".join(x.ljust(n) if i < 2 else x.rjust(n) for i, (x, n) in enumerate(zip(line, widths))).rstrip()
            for line in lines]


def _spread(results, group, scenario, relay, show):
    what = next((MAIN[c] for c in show if c in MAIN), None)
    values = results.values(group, scenario, relay, what) if what else []
    middle = statistics.median(values) if values else 0
    if len(values) < 2 or not middle:
        return ""
    return f"{100 * (min(values) / middle - 1):+.0f}..{100 * (max(values) / middle - 1):+.0f} %"


def table(results, group):
    """The lines of one group's table."""
    lines = [["scenario", "relay", *(COLUMNS[c][0] for c in group.show), "spread", "rounds"]]
    for s in group.scenarios:
        name = s.name
        for relay in dict.fromkeys(r["relay"] for r in results.records if
                                   (r["group"], r["scenario"]) == (group.title, s.name)):
            rounds = results.rounds(group.title, s.name, relay)
            medians = results.medians(group.title, s.name, relay)
            doubtful = "!" if rounds and all(r["suspicious"] for r in rounds) else ""
            lines.append([name, relay, *(COLUMNS[c][1](medians) for c in group.show),
                          _spread(results, group.title, s.name, relay, group.show), f"{len(rounds)}{doubtful}"])
            name = ""
    return ["", group.title, ""] + _rows(lines) if len(lines) > 1 else []


def _verdict(target, value):
    if target.bound is None:
        return "shown only"
    if value >= target.bound if target.least else value <= target.bound:
        return "yes"
    return f"no, by {100 * abs(value / target.bound - 1):.0f} %" if target.bound else "no"


def against(results, targets):
    """(measure, target, measured, spread, verdict) of each target; verdict: yes, no, shown only or not measured. !: all
    rounds were disturbed, which ratios of one round mostly survive."""
    rows = []
    for x in targets:
        values, doubtful = x.values(results)
        if not values:
            rows.append((x.measure, x.text(), "", "", "not measured"))
            continue
        value = max(values) if x.worst else statistics.median(values)
        shown = "none" if x.worst and value == 0 else f"{x.scale * value:,.2f} {x.unit}"
        spread = "" if x.worst or len(values) < 2 else f"{x.scale * min(values):,.2f} to {x.scale * max(values):,.2f}"
        rows.append((x.measure, x.text(), shown, spread, _verdict(x, value) + (" !" if doubtful else "")))
    return rows


def disturbed(results):
    """How much of the run was disturbed, in words; "" where nothing was."""
    n = sum(1 for r in results.records if r["suspicious"])
    return f"{n} of {len(results.records)} measurements were disturbed by others on this machine" if n else ""


def print_all(results, groups, targets):
    a = results.about
    print(f"{a['version']}, {a['machine']}, Linux {a['kernel']}, {a['date']}, {a['rounds']} rounds: medians of the "
          "undisturbed ones; spread: of out/s, or of p50; !: all rounds were disturbed")
    if disturbed(results):
        print(f"! {disturbed(results)}: trust the ratios below, each within one round, and no number alone")
    for group in groups:
        for line in table(results, group):
            print(line)
    rows = against(results, targets)
    if rows:
        print("\nTo reach: medians of the ratios of each round, and their spread\n")
    for line in _rows([list(x) for x in [TITLES, *rows]]) if rows else ():
        print(line)
    for name, why in results.left_out.items():
        print(f"# SKIP {name}: {why}")


def markdown(results, targets):
    """What was to be reached, for the documentation."""
    a = results.about
    rows = [TITLES, tuple("---" for _ in TITLES), *against(results, targets)]
    said = disturbed(results)
    return (f"{a['machine']}, Linux {a['kernel']}, {a['date'][:10]}, {a['rounds']} rounds: medians of the ratios of each, "
            "and their spread" + (f"; {said}" if said else "") + ".\n\n" +
            "".join("| " + " | ".join(r) + " |\n" for r in rows))
