"""RESULTS.md: the facts, the plot, the tables, and what could not be measured."""

from __future__ import annotations

import dataclasses
import json

from bench.results import Results
from bench.table import table, tables

_TITLES = {
    "crash": (
        "Crash",
        "A node loses its power. From its last heartbeat on the wire plus the dead time to the start hook "
        "elsewhere; less than 0 is earlier than that.",
    ),
    "planned": (
        "Planned move",
        "A person asks for a move. Less than 0: the start hook ran before the other's end.",
    ),
    "cut": (
        "Cut and heal",
        "Two nodes without safeguards are cut apart, both run, and hear each other again.",
    ),
    "idle": (
        "Idle",
        "Nothing happens. Memory of all processes of a node, and of a bare interpreter beside it.",
    ),
    "load": ("Load", "The processors have much too much to do. Every move is a false one."),
    "nodes": ("Many nodes", "One daemon is real, the others are played by one program."),
    "start": ("Start", "How soon a node is heard."),
}
_PREFACE = """\
# Results

Made by `python -m bench`; what each number means, and what is not fair, is in [README.md](README.md).
Small is good everywhere, and `worst` is the largest. Each row of ours is compared with the best peer's median
in the same class of timings: as a ratio, or as a difference where one of the two is 0 or less.
"""


def report(results: Results, facts: dict[str, str], drawing: str) -> str:
    """All of it, as Markdown."""
    parts = [_PREFACE, table([["", ""], *([name, value] for name, value in facts.items())])]
    if drawing:
        parts.append(f"![The medians and the worst, on a logarithmic scale]({drawing})\n")
    for measure, text in tables(results).items():
        title, sentence = _TITLES[measure]
        parts.append(f"## {title}\n\n{sentence}\n\n{text}")
    if results.notes:
        lines = "\n".join(f"- {note.replace('|', '/')}" for note in results.notes)
        parts.append(f"## Not measured, or not at the first try\n\n{lines}\n")
    return "\n".join(parts)


def raw(results: Results, facts: dict[str, str]) -> str:
    """Every sample, as JSON."""
    rows = [dataclasses.asdict(row) for row in results.rows]
    return json.dumps({"facts": facts, "rows": rows, "notes": results.notes}, indent=1) + "\n"
