"""What the documents consist of, for the tests beside this file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """A fenced block."""

    kind: str
    text: str


class Part(NamedTuple):
    """A heading, fenced block, list item or paragraph."""

    kind: str
    """``## ``, three backticks with the block's kind, ``- `` or nothing: what it begins with."""
    text: str


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """All fenced blocks."""
    found = re.findall(r"^ *```(\S*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [Block(kind, body) for kind, body in found]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^ *```\S*\n.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def code(text: str) -> list[str]:
    """What stands between single backticks; it may go on in the next line, but not in the next paragraph."""
    found = []
    for paragraph in re.split(r"\n\s*\n", prose(text)):
        found += re.findall(r"(?<!`)`([^`]+)`(?!`)", paragraph)
    return [" ".join(text.split()) for text in found]


def commands(text: str) -> list[str]:
    """Lines that a person is to type: those of blocks of no kind, and what stands between backticks."""
    lines = [line.strip() for block in blocks(text) if not block.kind for line in block.text.splitlines()]
    return [without_comment(line) for line in lines + code(text)]


def without_comment(line: str) -> str:
    return line.partition("  #")[0].strip()


def anchor(heading: str) -> str:
    """The anchor that a heading gets: GitHub's rule, as far as it is needed here."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)}


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of all tables, without their heads."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_row = line.startswith("| ") and not line.startswith("| ---")
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
        if is_row and not is_head:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


_PART = re.compile(
    r"""
    ^(?P<block>```\S*)\n(?P<lines>.*?)^```$
    | ^(?P<heading>\#+\ )(?P<title>[^\n]*)$
    | ^(?P<item>-\ )?(?P<words>\S.*?)(?=\n\s*\n|\n-\ |\n```|\n\#|\s*\Z)
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def parts(text: str) -> list[Part]:
    """All that a document consists of, in order."""
    forgotten = _PART.sub("", text).strip()
    assert not forgotten, f"this is none of what parts() knows: {forgotten}"
    return [
        Part(
            found["block"] or found["heading"] or found["item"] or "",
            found["lines"] or found["title"] or found["words"] or "",
        )
        for found in _PART.finditer(text)
    ]
