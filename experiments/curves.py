"""The best objective so far from trial to trial, as SVG."""

import statistics
from itertools import accumulate
from pathlib import Path

from experiments.declaration import Table
from experiments.store import RESULTS, Store

FOLDER = RESULTS
WIDTH, HEIGHT = 880, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 230, 20, 50
COLOURS = ["#0969da", "#8250df", "#bf8700", "#59636e"]
TICKS = 5
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .tick { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0 } polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .tick { fill: #9198a1 } .grid { stroke: #3d444d } }"""


def draw(table: Table, store: Store, path: Path) -> Path | None:
    """Draws a curve a row, the mean over its seeds; None while no row has a result."""
    curves = {row.name: curve for row in table.rows if (curve := best_so_far(table, store, row))}
    if not curves:
        return None
    low = min(curve[0] for curve in curves.values())
    high = max(curve[-1] for curve in curves.values())
    span = (high - low) or 1.0
    longest = max(map(len, curves.values()))

    def x(trial: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * trial / max(longest - 1, 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / span

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">', f"<style>{STYLE}</style>"]
    for tick in range(TICKS):
        value = low + span * tick / (TICKS - 1)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{100 * value:.1f}</text>')
    for trial in range(9, longest, 10):
        parts.append(f'<text class="tick" x="{x(trial):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{trial + 1}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 10}" text-anchor="middle">trials</text>')
    ends = sorted(((curve[-1], name) for name, curve in curves.items()), reverse=True)
    for place, (end, name) in enumerate(ends):
        colour = COLOURS[list(curves).index(name) % len(COLOURS)]
        points = " ".join(f"{x(trial):.1f},{y(value):.1f}" for trial, value in enumerate(curves[name]))
        parts.append(f'<polyline stroke="{colour}" points="{points}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 20 + 22 * place}" style="fill:{colour}">{name}: {100 * end:.1f}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]))
    return path


def best_so_far(table: Table, store: Store, row) -> list[float]:
    """The mean over seeds of the best objective after each trial; a trial without an objective changes nothing."""
    curves = []
    for seed in row.seeds:
        result = store.get(table.run_of(row, row.columns[0], seed))
        if result is not None:
            objectives = [float("-inf") if objective is None else objective for objective in result["report"]["objectives"]]
            curves.append(list(accumulate(objectives, max)))
    return [statistics.mean(values) for values in zip(*curves, strict=False)]
