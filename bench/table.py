"""The results as tables of Markdown."""

from __future__ import annotations

from bench.numbers import ratio, shown, summarise
from bench.results import Results, Row

_HEAD = (
    "what",
    "contender",
    "heartbeat / dead ms",
    "unit",
    "median",
    "best",
    "worst",
    "n",
    "to the best peer",
    "",
)


def cells(row: Row, results: Results) -> list[str]:
    """One line of the table."""
    summary = summarise(row.samples)
    start = [row.quantity, row.contender, row.setting, row.unit]
    if summary is None:
        return [*start, "-", "-", "-", "0", "", row.note or "not measured, see below"]
    figures = [shown(summary.median), shown(summary.best), shown(summary.worst), str(summary.count)]
    return [*start, *figures, comparison(row, results), row.note]


def comparison(row: Row, results: Results) -> str:
    """Compare a row of ours with the best peer: as a ratio, or as a difference where that says nothing."""
    if row.is_peer:
        return ""
    peer = results.best_peer(row)
    ours, theirs = summarise(row.samples), summarise(peer.samples) if peer else None
    if peer is None or ours is None or theirs is None:
        return ""
    times = ratio(ours.median, theirs.median)
    if times is not None:
        return f"{shown(times)} x {peer.contender}"
    more = ours.median - theirs.median
    words = [f"{'+' if more >= 0 else ''}{shown(more)}", row.unit, "to", peer.contender]
    return " ".join(filter(None, words))


def table(lines: list[list[str]]) -> str:
    """Markdown, with columns that are aligned for reading as text."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]]) + "\n"


def tables(results: Results) -> dict[str, str]:
    """For each measure its table."""
    made: dict[str, str] = {}
    for measure in dict.fromkeys(row.measure for row in results.rows):
        rows = [row for row in results.rows if row.measure == measure]
        lines = [cells(row, results) for row in sorted(rows, key=lambda row: _order(row, rows))]
        made[measure] = table([list(_HEAD), *lines])
    return made


def _order(row: Row, rows: list[Row]) -> tuple[int, int, bool]:
    """Return what is compared stands together, ours first."""
    quantities = list(dict.fromkeys(each.quantity for each in rows))
    groups = list(dict.fromkeys(each.group for each in rows))
    return quantities.index(row.quantity), groups.index(row.group), row.is_peer
