"""The results as a drawing: SVG, written by hand, so that nothing has to be installed for it.

A panel for each quantity, a line for each contender and setting: a bar to the median and a tick at the worst,
on a logarithmic scale, since a take-over takes 3 ms here and 3 s there.
"""

from __future__ import annotations

import math
from html import escape

from bench.numbers import shown, summarise
from bench.results import Results, Row

_WIDTH, _LEFT, _RIGHT = 940, 340, 130
_LINE, _HEAD, _GAP, _MARGIN = 18, 44, 24, 16
_NOT_DRAWN = (", standby", ", floor")
"""Quantities that end so are in the table only: the drawing is long enough."""
_OURS, _PEERS, _WORST, _GRID, _TEXT = "#1b6ca8", "#9aa5b1", "#c0392b", "#e3e7eb", "#222"


def plot(results: Results) -> str:
    """Return the drawing; empty if there is nothing to draw."""
    parts: list[str] = []
    top = _MARGIN
    for title, rows in panels(results):
        text, height = _panel(title, rows, top)
        parts.append(text)
        top += height + _GAP
    if not parts:
        return ""
    style = f'font-family="sans-serif" font-size="12" fill="{_TEXT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" {style}>'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def panels(results: Results) -> list[tuple[str, list[Row]]]:
    """Return what stands together: a title, and the rows of that quantity which have samples."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in results.rows:
        if row.samples and not row.quantity.endswith(_NOT_DRAWN):
            found.setdefault((row.measure, row.quantity), []).append(row)
    titled = []
    for (measure, quantity), rows in found.items():
        groups = list(dict.fromkeys(row.group for row in rows))
        rows.sort(key=lambda row: (groups.index(row.group), row.is_peer))
        unit = f", {rows[0].unit}" if rows[0].unit else ""
        titled.append((f"{measure}: {quantity}{unit}", rows))
    return titled


def scale(rows: list[Row]) -> tuple[int, int]:
    """Return the powers of ten at the axis's ends; what is 0 or less is drawn at its begin."""
    values = [value for row in rows for value in row.samples if value > 0] or [1.0]
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def position(value: float, low: int, high: int) -> float:
    """Where a value is drawn."""
    share = 0.0 if value <= 0 else (math.log10(value) - low) / (high - low)
    return _LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT)


def _panel(title: str, rows: list[Row], top: int) -> tuple[str, int]:
    low, high = scale(rows)
    bottom = top + _HEAD + _LINE * len(rows)
    parts = [f'<text x="{_MARGIN}" y="{top + 14}" font-weight="bold">{escape(title)}</text>']
    for power in range(low, high + 1):
        x = position(10.0**power, low, high)
        parts.append(
            f'<line x1="{x:.1f}" y1="{top + _HEAD - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{_GRID}"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{top + _HEAD - 12}" text-anchor="middle">{shown(10.0**power)}</text>'
        )
    for number, row in enumerate(rows):
        parts += _bar(row, top + _HEAD + _LINE * number, low, high)
    return "\n".join(parts), bottom - top


def _bar(row: Row, y: int, low: int, high: int) -> list[str]:
    summary = summarise(row.samples)
    if summary is None:
        return []
    middle, worst = position(summary.median, low, high), position(summary.worst, low, high)
    way = f", {row.note}" if row.measure == "planned" else ""
    label = f"{row.contender} {row.group if row.measure == 'nodes' else row.setting}{way}"
    figures = shown(summary.median) + (f" ({shown(summary.worst)})" if summary.count > 1 else "")
    colour = _PEERS if row.is_peer else _OURS
    return [
        f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{_LEFT}" y="{y + 2}" width="{max(1.0, middle - _LEFT):.1f}" height="11" fill="{colour}"/>',
        f'<rect x="{worst - 1:.1f}" y="{y}" width="2" height="15" fill="{_WORST}"/>',
        f'<text x="{_WIDTH - _RIGHT + 8}" y="{y + 11}">{escape(figures)}</text>',
    ]
