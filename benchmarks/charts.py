"""Bar charts as SVG, for a page that is read on a light or a dark background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 720  # of the picture, in pixels, as all lengths here
LABELS_WIDTH: Final = 260
FIGURES_WIDTH: Final = 130
ROW_HEIGHT: Final = 26
BAR_HEIGHT: Final = 14
MARGIN: Final = 16
TITLE_HEIGHT: Final = 34
LIMIT_HEIGHT: Final = 18
# The picture has its own background, so its text is readable whatever the page around it is.
STYLE: Final = """\
<style>
  svg { font: 13px system-ui, sans-serif }
  .card { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .title { font-weight: 600 }
  .bar { fill: #2f6fb5 } .other { fill: #8a8f98 } .range { stroke: #1f2328; stroke-width: 1.5 }
  .limit { stroke: #b3541e; stroke-width: 1.5; stroke-dasharray: 4 3 } .goal { fill: #b3541e; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22; stroke: #3d444d } .text { fill: #e6edf3 }
    .bar { fill: #5b9bdf } .other { fill: #7d858f } .range { stroke: #e6edf3 }
    .limit { stroke: #f0a36b } .goal { fill: #f0a36b }
  }
</style>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: its median, the lowest and the highest value, and its figure. `other` marks another program."""

    label: str
    value: float
    low: float
    high: float
    text: str
    other: bool = False


def bar_chart(title: str, bars: Sequence[Bar], *, limit: float | None = None, limit_text: str = "") -> str:
    """A chart of horizontal bars from zero, each with a line from its lowest to its highest value.

    `limit` draws a dashed line across all bars, with `limit_text` below it.
    """
    greatest = max([*(bar.high for bar in bars), limit or 0.0]) or 1.0
    scale = (WIDTH - 2 * MARGIN - LABELS_WIDTH - FIGURES_WIDTH) / greatest
    left, top = MARGIN + LABELS_WIDTH, MARGIN + TITLE_HEIGHT
    bottom = top + ROW_HEIGHT * len(bars)
    height = bottom + MARGIN + (LIMIT_HEIGHT if limit is not None else 0)
    described = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(described)}</desc>",
        STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        _text(MARGIN, MARGIN + 14, title, "text title"),
    ]
    for number, bar in enumerate(bars):
        parts += _bar(bar, left, top + number * ROW_HEIGHT, scale)
    if limit is not None:
        at = left + limit * scale
        parts.append(f'<line class="limit" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + LIMIT_HEIGHT - 4, limit_text, "goal", anchor="middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Bar, left: float, top: float, scale: float) -> list[str]:
    middle = top + ROW_HEIGHT / 2
    kind = "other" if bar.other else "bar"
    parts = [
        _text(left - 10, middle + 4, bar.label, "text", anchor="end"),
        f'<rect class="{kind}" x="{left}" y="{middle - BAR_HEIGHT / 2:.1f}" width="{max(bar.value * scale, 1):.1f}" '
        f'height="{BAR_HEIGHT}" rx="2"/>',
    ]
    if bar.high > bar.low:
        ends = f'x1="{left + bar.low * scale:.1f}" x2="{left + bar.high * scale:.1f}"'
        parts.append(f'<line class="range" {ends} y1="{middle:.1f}" y2="{middle:.1f}"/>')
    parts.append(_text(left + max(bar.value, bar.high) * scale + 8, middle + 4, bar.text, "text"))
    return parts


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
