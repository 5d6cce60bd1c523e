# SPDX-License-Identifier: Apache-2.0
"""prices: what each thing that a rule may ask for costs, each beside the plain rule: instructions and ns for each datagram
that comes in. Its cases are those of instructions.c; scenarios.prices() sends packets through the same rules."""
import statistics

import instructions
import scenarios

PLAIN = "single flow"


def count():
    """Instructions for each datagram by case: the record's where it is of this build. None where there is no callgrind,
    or where it would count other things."""
    record = instructions.read_record()
    if not instructions.differences(record):
        return {k: float(record[k]) for k in instructions.table_of("--names") if k in record}
    why = instructions.unfit()
    if why:
        print(f"# SKIP instructions: {why}")
    return {} if why else {k: round(v, 1) for k, v in instructions.measure().items()}


def rows(results):
    """(name, what the rule says, instructions, more of them than the plain rule has, ns, times the plain rule's ns and
    their spread) of each case; "" what was not measured."""
    counts, found = results.about.get("instructions", {}), []
    plain = (scenarios.PRICES, PLAIN, "mcrd", "cpu_in_ns")
    for name, keys in {PLAIN: "", **instructions.table_of("--features")}.items():
        cell = (scenarios.PRICES, name, "mcrd", "cpu_in_ns")
        ns = results.median(*cell)
        ratios, doubtful = results.ratios(cell, plain)
        found.append((
            "the plain rule" if name == PLAIN else name, keys,
            f"{counts[name]:,.0f}" if name in counts else "",
            f"{counts[name] - counts[PLAIN]:+,.0f}" if name in counts and name != PLAIN else "",
            f"{ns:,.0f}" if ns else "",
            f"{statistics.median(ratios):.2f}" + (" !" if doubtful else "") if ratios and name != PLAIN else "",
            f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 and name != PLAIN else ""))
    return found


TITLES = ("what a rule asks for", "keys", "instructions", "more", "ns", "× plain", "spread")


def show(results):
    """As Markdown, for docs/performance.md; nothing where it was not measured."""
    if not results.about.get("instructions") and not results.median(scenarios.PRICES, PLAIN, "mcrd", "cpu_in_ns"):
        return
    print(f"\n{scenarios.PRICES}: instructions and ns for each datagram that comes in\n")
    for row in (TITLES, ["---"] * len(TITLES), *rows(results)):
        cells = [f"`{x}`" if i == 1 and row[0] != TITLES[0] and x and x != "---" else x for i, x in enumerate(row)]
        print("| " + " | ".join(cells) + " |")
