"""The tables of docs/configuration.md, from the table of keys.

``python -m had.config.reference docs/configuration.md`` puts them between their marks; a test sees to it
that this has been done.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from had.config.keys import KEYS, LINKS, Key

_MARKED = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def with_tables(text: str) -> str:
    """Return the text with a fresh table between each pair of marks."""
    return _MARKED.sub(lambda marked: marked[1] + table(marked[2]) + marked[3], text)


def table(section: str) -> str:
    """Return a section's keys as a Markdown table; those above all sections for ``top``."""
    wanted = "" if section == "top" else section
    rows = ["| key | allowed | default | flag | meaning |", "| --- | --- | --- | --- | --- |"]
    for key in KEYS:
        if key.section == wanted:
            cells = (
                f"`{key.name}`",
                _allowed(key),
                _default(key),
                f"`{key.flag}`" if key.flag else "",
                key.doc,
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _allowed(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    # The table's head tells what a duration is; saying it in each row would bury the range.
    return key.allowed.partition(", such as 250ms")[0]


def _default(key: Key) -> str:
    if key.default:
        return f"`{key.default}`"
    return key.computed if key.computed != "none" or key.section != LINKS else ""


def main(paths: list[str]) -> None:
    """Rewrite the files."""
    for path in map(Path, paths):
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
