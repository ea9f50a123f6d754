"""Horizontal bars as SVG, readable on light and dark pages: a median's length on a logarithmic axis, a whisker from the
smallest to the largest."""

import math
from dataclasses import dataclass
from html import escape

from bench.rows import SWIFT, centre, quantity

WIDTH = 880
LABEL_WIDTH = 320
VALUE_WIDTH = 150
BAR_HEIGHT = 18
BAR_GAP = 6
GROUP_GAP = 30
TITLE_HEIGHT = 44
AXIS_HEIGHT = 26
MARGIN = 16
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .tick { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .ours { fill: #0969da } .peer { fill: #9aa4ae } .whisker { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .tick { fill: #9198a1 } .grid { stroke: #3d444d }
    .ours { fill: #4493f8 } .peer { fill: #656c76 } .whisker { stroke: #f0f6fc }
  }"""


@dataclass(frozen=True)
class Bar:
    """One bar."""

    label: str
    who: str
    values: list[float]


@dataclass(frozen=True)
class Panel:
    """Groups of bars on one axis."""

    title: str
    unit: str
    groups: list[tuple[str, list[Bar]]]


def svg(panels: list[Panel]) -> str:
    """Draws panels below each other; empty groups are left out."""
    parts: list[str] = []
    top = MARGIN
    for panel in panels:
        drawn, top = _panel(panel, top)
        parts.extend(drawn)
    height = top + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}\n</style>", *parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> tuple[list[str], int]:
    groups = [(name, [bar for bar in bars if bar.values]) for name, bars in panel.groups]
    groups = [(name, bars) for name, bars in groups if bars]
    if not groups:
        return [], top
    values = [value for _, bars in groups for bar in bars for value in bar.values if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    axis_width = WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN

    def position(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return LABEL_WIDTH + axis_width * min(max(share, 0.0), 1.0)

    title = f"{panel.title} ({panel.unit}, logarithmic)" if panel.unit else panel.title
    marks = [_text(MARGIN, top + 16, title, "title")]
    bars_top = y = top + TITLE_HEIGHT
    for name, bars in groups:
        if name:
            marks.append(_text(MARGIN, y + 4, name, "group"))
            y += GROUP_GAP - BAR_HEIGHT + BAR_GAP
        for bar in bars:
            marks.extend(_bar(bar, y, position))
            y += BAR_HEIGHT + BAR_GAP
        y += GROUP_GAP - BAR_HEIGHT
    grid = []
    for exponent in range(low, high + 1):
        x = position(10.0**exponent)
        grid.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bars_top - 8}" y2="{y - 6}"/>')
        grid.append(_text(x, y + 8, quantity(10.0**exponent), "tick", "middle"))
    return grid + marks, y + AXIS_HEIGHT


def _bar(bar: Bar, y: int, position) -> list[str]:
    middle = centre(bar.values)
    kind = "ours" if bar.who == SWIFT else "peer"
    end = max(position(middle), LABEL_WIDTH + 1)
    marks = [
        _text(LABEL_WIDTH - 8, y + BAR_HEIGHT - 5, bar.label, anchor="end"),
        f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{y}" width="{end - LABEL_WIDTH:.1f}" height="{BAR_HEIGHT}" rx="2"/>',
    ]
    text_from = end
    if len(bar.values) > 1 and min(bar.values) > 0:
        start, stop = position(min(bar.values)), position(max(bar.values))
        line = y + BAR_HEIGHT / 2
        marks.append(f'<line class="whisker" x1="{start:.1f}" x2="{stop:.1f}" y1="{line}" y2="{line}"/>')
        text_from = max(end, stop)
    marks.append(_text(text_from + 6, y + BAR_HEIGHT - 5, quantity(middle)))
    return marks


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
