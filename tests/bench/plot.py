# SPDX-License-Identifier: Apache-2.0
"""plot: bars and latency curves as SVG, without a library. Readable on light and dark pages."""
import html
import math
import os

WIDTH = 760
COLOURS = {  # light, dark
    "mcrd": ("#1f6fd1", "#5aa2f5"), "mcrd busy_poll": ("#0f8f7a", "#35c4ab"), "mcrd host firewall": ("#6a5acd", "#a99bf5"),
    "recv/send": ("#d9622b", "#f08a55"), "socat": ("#8a8478", "#aaa498"), "kernel": ("#a83279", "#e070b2"),
}
OTHER = ("#a07800", "#d8ae30")


def _colour(series):
    return next((i for i, name in enumerate(COLOURS) if name == series), len(COLOURS))


def _style():
    def colours(which):
        return "".join(f".c{i}{{fill:{c[which]};stroke:{c[which]}}}" for i, c in
                       enumerate([*COLOURS.values(), OTHER]))
    return ("<style>text{font:12px system-ui,sans-serif;fill:#1d1d1b;stroke:none}.t{font-size:15px;font-weight:600}"
            ".n{fill:#5c5a55;font-size:11px}.g{stroke:#d8d5cd;stroke-width:1}.w{stroke:#1d1d1b;stroke-width:1}"
            f".l{{fill:none!important;stroke-width:2}}{colours(0)}"
            "@media(prefers-color-scheme:dark){text{fill:#eceae4}.n{fill:#a9a69d}.g{stroke:#45443f}.w{stroke:#eceae4}"
            f"{colours(1)}}}</style>")


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _short(value):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def whole(title, note, about, height, parts, how=None):
    foot = f"{about['machine']}, Linux {about['kernel']}, {about['date'][:10]}; " + (
        how or f"medians of {about['rounds']} rounds")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="{html.escape(title)}">{_style()}{text(12, 24, title, "t")}{text(12, 42, note, "n")}'
            + "".join(parts) + text(12, height - 10, foot, "n") + "</svg>\n")


def bars(title, note, about, rows, show=_short):
    """rows: (label, [(series, median, least, most)]) with None for a gap between labels."""
    left, right, y, parts = 200, WIDTH - 175, 62, []
    most = max((m for _, series in rows for _, _, _, m in series), default=0) or 1
    for label, series in rows:
        parts.append(text(12, y + 12, label))
        for name, value, low, high in series:
            width = (right - left) * value / most
            parts.append(f'<rect x="{left}" y="{y}" width="{max(width, 1):.1f}" height="15" rx="2" '
                         f'class="c{_colour(name)}"/>')
            if high > low:
                a, b = (left + (right - left) * v / most for v in (low, high))
                parts.append(f'<path class="w" d="M{a:.1f} {y + 7.5}H{b:.1f}M{a:.1f} {y + 4}v7M{b:.1f} {y + 4}v7"/>')
            inside = max(width, (right - left) * high / most)
            parts.append(text(left + inside + 6, y + 12, f"{show(value)}  {name}"))
            y += 19
        y += 9
    return whole(title, note, about, y + 26, parts)


def curves(title, note, about, panels):
    """panels: (label, {series: [p50, p90, p99, p99.9]}): microseconds, on a logarithmic scale."""
    names = ["p50", "p90", "p99", "p99.9"]
    values = [v for _, lines in panels for line in lines.values() for v in line if v]
    if not values:
        return None
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    top, bottom, parts = 84, 330, []
    each = (WIDTH - 60) / len(panels)

    def y_of(v):
        return bottom - (bottom - top) * (math.log10(v) - low) / max(high - low, 1)

    for i, (label, lines) in enumerate(panels):
        x0, x1 = 56 + i * each, 56 + (i + 1) * each - 116
        xs = [x0 + (x1 - x0) * k / 3 for k in range(4)]
        parts.append(text(x0, 68, label))
        for power in range(low, high + 1):
            y = y_of(10 ** power)
            parts.append(f'<path class="g" d="M{x0} {y:.1f}H{x1:.1f}"/>')
            parts.append(text(x0 - 6, y + 4, f"{_short(10 ** power)}", "n", "end"))
        parts += [text(x, bottom + 16, n, "n", "middle") for x, n in zip(xs, names)]
        ends = []
        for name, line in lines.items():
            points = [(x, y_of(v)) for x, v in zip(xs, line) if v]
            parts.append(f'<polyline class="l c{_colour(name)}" points="' +
                         " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
            parts += [f'<circle class="c{_colour(name)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
            ends.append([points[-1][1], name])
        # Names beside the ends of the lines, pushed apart.
        ends.sort()
        for k in range(1, len(ends)):
            ends[k][0] = max(ends[k][0], ends[k - 1][0] + 14)
        parts += [f'<text x="{x1 + 8:.1f}" y="{y + 4:.1f}" class="c{_colour(n)}" style="stroke:none">{html.escape(n)}</text>'
                  for y, n in ends]
    return whole(title, note, about, 380, parts)


# --- the plots of the benchmark ---------------------------------------------------------------------------------------


def _series(results, group, scenario, what, relays, scale=1.0):
    found = []
    for relay in relays:
        values = [v * scale for v in results.values(group, scenario, relay, what)]
        if values:
            found.append((relay, results.median(group, scenario, relay, what) * scale, min(values), max(values)))
    return found


def draw(results, directory):
    """Writes all plots. Returns their paths."""
    about, out = results.about, []
    names = {r["relay"] for r in results.records}
    relays = [n for n in COLOURS if n in names] + sorted(names - set(COLOURS))
    every = [n for n in relays if "firewall" not in n]
    # One never sleeps, and the other works on the source's core.
    by_time = [n for n in every if n not in ("mcrd busy_poll", "kernel")]

    def write(name, text):
        if text:
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            out.append(path)

    def rows(group, labels, what, scale=1.0, among=None):
        found = [(label, _series(results, group, s, what, among or every, scale)) for label, s in labels]
        return [x for x in found if x[1]]

    one = "Single flow"
    write("throughput.svg", bars(
        "Datagrams that come out, single flow", "a second; the source offers 200,000, then all it can", about,
        rows(one, [(f"{b} bytes, {text}", f"{b} B, {text}") for b in (100, 1316, 8972) for text in ("200,000/s", "all")],
             "out_pps")))
    write("loss.svg", bars(
        "Datagrams lost, single flow, 1316 bytes", "per cent of those sent", about,
        rows(one, [(text, f"1316 B, {text}") for text in ("50,000/s", "200,000/s", "all")], "loss", 100),
        lambda v: "none" if v == 0 else f"{v:.3g} %"))
    write("outputs.svg", bars(
        "Datagrams that come out, by outputs", "a second, of all outputs together, the source offers all it can", about,
        rows("Outputs, all that the source can offer", [
            (f"{n}, {w} segmentation", f"{n} outputs, {w} UDP segmentation")
            for w in ("without", "with") for n in (1, 4, 16, 64)], "out_pps")))
    write("cpu.svg", bars(
        "Processor time for each datagram, 1316 bytes",
        "nanoseconds of the relay's core, by what a counter at idle priority there still gets", about,
        rows(one, [("single flow, 200,000/s", "1316 B, 200,000/s")], "cpu_ns", among=by_time) +
        rows("64 interleaved flows", [("64 flows, 200,000/s", "64 flows, 200,000/s")], "cpu_ns", among=by_time) +
        rows("Scale", [("10,000 rules, 200,000/s", "10,000 rules, 200,000/s")], "cpu_ns") +
        rows("Received on the relay's core (RPS)", [("received there too, 200,000/s", "RPS, 200,000/s")], "cpu_ns",
             among=[n for n in relays if n != "mcrd busy_poll"]), lambda v: f"{v:,.0f}"))
    percentiles = ("p50", "p90", "p99", "p99.9")
    write("latency.svg", curves(
        "Latency, 1316 bytes", "microseconds from before the send to the receiver's kernel; lower is better", about,
        [(f"{text}", {r: [results.median("Latency, us", f"1316 B, {text}", r, p) for p in percentiles] for r in every
                      if results.values("Latency, us", f"1316 B, {text}", r, "p50")})
         for text in ("1,000/s", "50,000/s")]))
    return out
