"""The plot of docs/performance.md: the same figures give the same file, byte by byte."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as pyplot  # noqa: E402, the backend is chosen before

from report import Report  # noqa: E402

COLOURS = {"nginx": "#7f8c8d", "haproxy": "#b0bec5", "envoy": "#a78bfa"}
MIFFYS = ["#e4572e", "#f2a541", "#2e86ab"]
PANELS = {
    "cpu": ("CPU µs per request (less is better)", 1, "{:.0f}"),
    "rate": ("thousand requests per second (more is better)", 1000, "{:.1f}"),
}


def plot(report: Report, file: Path) -> None:
    rows = report.main
    steps = list(dict.fromkeys(row.step for row in rows))
    contenders = list(dict.fromkeys(row.contender for row in rows))
    miffys = [name for name in contenders if name not in COLOURS]
    colours = COLOURS | {name: MIFFYS[number % len(MIFFYS)] for number, name in enumerate(miffys)}
    by_key = {(row.step, row.contender): row for row in rows}
    # Text stays text: small, and to be found.
    with pyplot.rc_context({"svg.hashsalt": "miffy", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}):
        figure, panels = pyplot.subplots(1, len(PANELS), figsize=(9, 3.2), layout="constrained")
        # Legible on dark pages, too.
        figure.patch.set_facecolor("white")
        for panel, (metric, (title, unit, label)) in zip(panels, PANELS.items(), strict=True):
            for group, step in enumerate(steps):
                there = [name for name in contenders if (step, name) in by_key]
                width = 0.84 / len(contenders)
                for number, name in enumerate(there):
                    value = (by_key[step, name].value(metric) or 0) / unit
                    place = group + (number - (len(there) - 1) / 2) * width
                    bar = panel.bar(place, value, width * 0.94, color=colours[name], label=name)
                    panel.bar_label(bar, labels=[label.format(value)], fontsize=6.5, padding=1)
            panel.set_title(title, fontsize=9, loc="left")
            panel.set_xticks(range(len(steps)), steps)
            panel.spines[["top", "right"]].set_visible(False)
            panel.margins(y=0.12)
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        legend = [handles[name] for name in contenders]
        figure.legend(legend, contenders, loc="outside lower center", ncols=len(contenders), frameon=False)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
