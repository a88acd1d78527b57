"""Log lines that the documents quote can be said by the program, word for word.

Every string of ``had/`` becomes a pattern in which what is filled in matches anything.  A quoted line has to
match one that has enough words of its own.
"""

from __future__ import annotations

import ast
import functools
import re

import pytest
from document_tools import DOCUMENTS, ROOT, blocks, name_of, read, rows

from had.core.actions import Hook, Level

LEVELS = "|".join(level.name.lower() for level in Level)
ENOUGH = 7
"""Characters that a pattern must have of its own, besides what is filled in."""


@functools.cache
def patterns():
    found = set()
    for path in (ROOT / "had").rglob("*.py"):
        for node in ast.walk(ast.parse(read(path))):
            parts = []
            if isinstance(node, ast.JoinedStr):
                parts = node.values
            elif isinstance(node, ast.Constant):
                parts = [node]
            fixed = [part.value for part in parts if isinstance(part, ast.Constant)]
            if not all(isinstance(text, str) for text in fixed) or len("".join(fixed)) < ENOUGH:
                continue
            found.add(
                "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in parts)
            )
    return [re.compile(pattern) for pattern in found]


def can_be_said(line):
    if re.match(rf"({'|'.join(hook.value for hook in Hook)}): ", line):
        return True  # a hook's own words
    return any(pattern.fullmatch(line) for pattern in patterns())


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_quoted_log_lines_are_real(path):
    for block in blocks(read(path)):
        if block.kind == "log":
            for line in block.text.splitlines():
                found = re.fullmatch(rf"({LEVELS}): (.*)", line)
                assert found, line
                assert can_be_said(found[2]), line


def test_lines_in_the_tables_of_the_operations_page_are_real():
    lines = [
        text
        for row in rows(read(ROOT / "docs" / "operations.md"))
        for text in re.findall(r"^`(.*)`$", row[0])
        if " " in text and not text.startswith("Waiting") and not text.startswith("[")
    ]
    assert len(lines) > 20
    for line in lines:
        assert can_be_said(line), line


def test_what_exit_codes_page_quotes_is_real():
    lines = [
        text
        for row in rows(read(ROOT / "docs" / "exit-codes.md"))
        for cell in row
        for text in re.findall(r"`had: (.*?)`", cell)
    ]
    assert len(lines) > 5
    for line in lines:
        # What getopt and the checks of had.conf say is put together from pieces, the place first.
        pieces = [
            line,
            line.partition(": ")[2],
            line.partition(";")[0],
            line.partition("x ")[2].partition(";")[0],
        ]
        assert any(can_be_said(piece) for piece in pieces if piece), line


def test_a_made_up_line_is_found_out():
    assert not can_be_said("beta has gone home for the night")
