"""Which line of had.conf says what.

ConfigObj tells neither the line of a value nor, after a mistake, anything sensible about what follows.
So the file is read twice: first here, line by line, for the place of each section and key and for
whatever is not written right; then by ConfigObj, which gets only what was found sound
(:mod:`had.config.document`).  What this module lets through ConfigObj reads the same way; a property
test holds the two together.

It is stricter than ConfigObj where ConfigObj guesses: after a closing quote nothing may follow, an item
of a list is not empty, and a comment's commas and quotes are never taken for the value's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Optional

from had.config.units import shown

_HEADER = re.compile(
    r"""\s*(\[(?:\s*\[)*)\s*                       # opening brackets
        ("[^"\[\]]+" | '[^'\[\]]+' | [^'"\[\]#\s][^'"\[\]#]*?)
        \s*(\](?:\s*\])*)\s*(?:\#.*)?              # closing brackets, comment""",
    re.VERBOSE,
)
_ASSIGNMENT = re.compile(r"""\s*("[^"]*"|'[^']*'|[^'"=\[#\s][^=]*?)\s*=\s*(.*)""")
_ITEM = re.compile(r""""[^"]*"|'[^']*'|[^'",#\s](?:[^,#]*[^,#\s])?""")
_COMMENT = re.compile(r"\s*(#.*)?")
_SAME_LINE = {q: re.compile(rf"({q}(?:(?!{q}).)*{q})\s*(?:#.*)?") for q in ("'''", '"""')}
_LAST_LINE = {q: re.compile(rf"((?:(?!{q}).)*{q})\s*(?:#.*)?") for q in ("'''", '"""')}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A key with its value, or a section's header, where the key is empty."""

    section: tuple[str, ...]
    """The section that the key stands in, from the outermost one; a header's own."""
    key: str
    value: str
    """As written, without comment."""
    line: int


@dataclasses.dataclass(frozen=True)
class Index:
    """All that is written in a file, in its order, duplicates left out; and what is written wrong."""

    entries: tuple[Entry, ...]
    mistakes: tuple[tuple[int, str], ...]
    """Line and text."""
    has_lost_sections: bool
    """Whether a section's header was unreadable, so that nobody knows where its keys belong."""


class _BadValueError(ValueError):
    pass


def index(lines: Sequence[str]) -> Index:
    """Find every section and key of a file that has been split into lines."""
    return _Reader(lines).read()


class _Reader:
    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0
        self._section: Optional[tuple[str, ...]] = ()
        """None below a header that makes no sense: what follows is read, but belongs nowhere."""
        self._lost_depth = 0
        self._above_lost: tuple[str, ...] = ()
        self._has_lost_sections = False
        self._first: dict[tuple[tuple[str, ...], str], int] = {}
        self._entries: list[Entry] = []
        self._mistakes: list[tuple[int, str]] = []

    def read(self) -> Index:
        while self._at < len(self._lines):
            text = self._lines[self._at].strip()
            if text.startswith("["):
                self._read_header(text)
            elif text and not text.startswith("#"):
                self._read_assignment(text)
            self._at += 1
        return Index(tuple(self._entries), tuple(self._mistakes), self._has_lost_sections)

    def _complain(self, text: str) -> None:
        self._mistakes.append((self._at + 1, text))

    def _read_header(self, text: str) -> None:
        found = _HEADER.fullmatch(text)
        depth = found.group(1).count("[") if found else len(text) - len(text.lstrip("["))
        if self._section is None and depth > self._lost_depth:
            return
        above = (self._above_lost if self._section is None else self._section)[: depth - 1]
        if not found or found.group(3).count("]") != depth:
            self._complain(f"{shown(text)!r} is not a section: it is written [name], one below it [[name]]")
        elif len(above) < depth - 1:
            self._complain(f"{shown(text)!r} has no section with one bracket less above it")
        else:
            self._section = (*above, _unquoted(found.group(2)))
            self._add(self._section, "", "", f"[{shown(self._section[-1])}]")
            return
        self._section, self._lost_depth, self._above_lost = None, depth, above
        self._has_lost_sections = True

    def _read_assignment(self, text: str) -> None:
        line = self._at
        found = _ASSIGNMENT.fullmatch(text)
        if not found:
            what = (
                "has nothing before the ="
                if text.startswith("=")
                else 'is neither "key = value" nor "[section]"'
            )
            self._complain(f"{shown(text)!r} {what}")
            return
        key = _unquoted(found.group(1))
        try:
            value = self._read_value(found.group(2))
        except _BadValueError as problem:
            self._complain(f"{shown(key)}: {problem}")
            # The key stands there all the same: nobody shall complain that it is missing.
            value = ""
        if self._section is not None:
            self._add(self._section, key, value, shown(key), line)

    def _add(
        self, section: tuple[str, ...], key: str, value: str, label: str, line: Optional[int] = None
    ) -> None:
        number = (self._at if line is None else line) + 1
        first = self._first.setdefault((section, key), number)
        if first != number:
            self._mistakes.append(
                (number, f"{label} stands here a second time; the first is in line {first}")
            )
        else:
            self._entries.append(Entry(section, key, value, number))

    def _read_value(self, text: str) -> str:
        """Return the value without comment; moves on to the last line of a value of several lines."""
        quote = text[:3]
        if quote in _SAME_LINE:
            return self._read_triple(text, quote)
        if _COMMENT.fullmatch(text):
            raise _BadValueError("there is no value; leave the line out to get the default")
        at = 0
        while True:
            item = _ITEM.match(text, at)
            if not item:
                raise _BadValueError(_why_no_item(text[at:]))
            at = item.end()
            if _COMMENT.fullmatch(text, at):
                return text[:at]
            comma = re.compile(r"\s*,\s*").match(text, at)
            if not comma:
                raise _BadValueError(f"{shown(text[at:].strip())!r} follows the closing quote")
            at = comma.end()
            if _COMMENT.fullmatch(text, at):
                return text[: comma.start()] + ","

    def _read_triple(self, text: str, quote: str) -> str:
        if quote in text[3:]:
            found = _SAME_LINE[quote].fullmatch(text)
            if not found:
                raise _BadValueError(f"something follows the closing {quote}")
            return found.group(1)
        for end in range(self._at + 1, len(self._lines)):
            if quote in self._lines[end]:
                found = _LAST_LINE[quote].fullmatch(self._lines[end])
                if not found:
                    raise _BadValueError(f"something follows the closing {quote} in line {end + 1}")
                middle = self._lines[self._at + 1 : end]
                self._at = end
                return "\n".join([text, *middle, found.group(1)])
        raise _BadValueError(f"the {quote} is never closed")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _why_no_item(text: str) -> str:
    if text[:1] in ("'", '"'):
        return f"the {text[0]} is never closed"
    return "an item of the list is empty"
