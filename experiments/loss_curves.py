"""Probability over the CDF of the loss under found samplers (Figure 2), as SVG."""

import statistics

from experiments import curves
from experiments.declaration import Table
from experiments.store import Store

SHOWN_FOR = ("figure1", "figure2")
"""Tables that show it."""
WIDTH, HEIGHT = 880, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
GAP = 60
COLOUR = "#0969da"
SHARES = (0, 25, 50, 75, 100)

Panels = dict[str, list[list[float]]]
"""By heading, for each seed the probability relative to uniform in equal bins of the loss's percentile."""


def lines(table: Table, store: Store) -> list[str]:
    """What the page shows of it; nothing before a search that reports it."""
    found = panels(table, store) if table.name in SHOWN_FOR else {}
    if not found:
        return []
    path = curves.FOLDER / f"{store.path.stem}-loss.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(found))
    return [f"![Probability over the CDF of the loss](experiments/results/{path.name})", ""]


def panels(table: Table, store: Store) -> Panels:
    """The curves of each row and column that searches, by seed."""
    found: Panels = {}
    for run in table.runs():
        result = store.get(run) if run.command == "search" else None
        curve = result and result["report"]["winner"].get("by_percentile", {}).get("loss")
        if curve:
            # "test accuracy, Swift Sampler" is a row of what Swift Sampler found.
            method = run.row.rpartition(", ")[2]
            heading = method if len(table.columns) == 1 else f"{method}, {run.column}"
            found.setdefault(heading, []).append(curve)
    return found


def svg(found: Panels) -> str:
    """Panels side by side: a thin line a seed, and their mean."""
    high = 1.05 * max(max(curve) for seeds in found.values() for curve in seeds)
    width = (WIDTH - LEFT - RIGHT - GAP * (len(found) - 1)) / len(found)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">', f"<style>{curves.STYLE}</style>"]

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / high

    def line(left: float, curve: list[float], look: str) -> str:
        # A bin's value stands at its middle.
        points = " ".join(f"{left + width * (number + 0.5) / len(curve):.1f},{y(value):.1f}" for number, value in enumerate(curve))
        return f'<polyline stroke="{COLOUR}" style="{look}" points="{points}"/>'

    for number, (heading, seeds) in enumerate(found.items()):
        left = LEFT + number * (width + GAP)
        parts.append(f'<text x="{left:.1f}" y="20">{heading}</text>')
        for value in range(int(high) + 1):
            parts.append(f'<line class="grid" x1="{left:.1f}" x2="{left + width:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
            parts.append(f'<text class="tick" x="{left - 8:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
        for share in SHARES:
            parts.append(f'<text class="tick" x="{left + width * share / 100:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{share}</text>')
        parts += [line(left, curve, "stroke-width:1;opacity:.35") for curve in seeds]
        parts.append(line(left, [statistics.mean(values) for values in zip(*seeds, strict=True)], "stroke-width:3"))
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">percentile of the loss, from easy to hard; upwards: probability / uniform</text>')
    return "\n".join([*parts, "</svg>", ""])
