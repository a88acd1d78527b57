"""What is written in had.conf, put where it belongs.

Names that nobody knows are complained about with the nearest right one, and then read as if that had
been meant: one slip shall not bring a second complaint about something missing.  What comes out is sound
enough for ConfigObj, and knows the line of everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Optional

from had.config.index import Entry, Index
from had.config.keys import BY_PLACE, LINKS, SECTIONS, TOP, names_in
from had.config.units import NAME, shown

_MOST_SUGGESTIONS = 50


@dataclasses.dataclass(frozen=True)
class LinkSection:
    """One ``[[NAME]]`` below ``[links]``."""

    name: str
    line: int
    entries: dict[str, Entry]


@dataclasses.dataclass(frozen=True)
class Document:
    """All sections and keys, under names that exist."""

    sections: dict[str, dict[str, Entry]]
    """By section (the top is the empty name), then by key; links aside."""
    links: tuple[LinkSection, ...]
    mistakes: tuple[tuple[int, str], ...]
    """Line and text."""
    has_lost_sections: bool
    """Whether some section's content was not understood, so that what is missing may stand there."""

    def lines(self) -> list[str]:
        """Return it as lines for ConfigObj; the links are named by their place, from 0."""
        lines = []
        for section, entries in self.sections.items():
            if section:
                lines.append(f"[{section}]")
            lines += _assignments(entries)
        lines.append(f"[{LINKS}]")
        for number, link in enumerate(self.links):
            lines.append(f"[[{number}]]")
            lines += _assignments(link.entries)
        return lines


def _assignments(entries: dict[str, Entry]) -> list[str]:
    lines: list[str] = []
    for key, entry in entries.items():
        if entry.value:
            lines += f"{key} = {entry.value}".split("\n")
    return lines


def arrange(index: Index) -> Document:
    """Put everything that was written under the section and key that it belongs to."""
    return _Arranger(index).arrange()


class _Arranger:
    def __init__(self, index: Index) -> None:
        self._index = index
        self._mistakes = list(index.mistakes)
        self._sections: dict[str, dict[str, Entry]] = {name: {} for name in (TOP, *SECTIONS) if name != LINKS}
        self._links: dict[str, LinkSection] = {}
        self._place: dict[tuple[str, ...], Optional[tuple[str, ...]]] = {(): ()}
        """Where the content of a section as written goes; None for nowhere."""
        self._suggestions = 0

    def arrange(self) -> Document:
        for entry in self._index.entries:
            if not entry.key:
                self._place[entry.section] = self._header(entry)
        misfits = []
        for entry in self._index.entries:
            place = self._place[entry.section]
            if entry.key and place is not None:
                if entry.key in _names_at(place):
                    self._entries(place)[entry.key] = entry
                else:
                    misfits.append((entry, place))
        for entry, place in misfits:
            self._misfit(entry, place)
        lost = self._index.has_lost_sections or None in self._place.values()
        return Document(self._sections, tuple(self._links.values()), tuple(self._mistakes), lost)

    def _complain(self, entry: Entry, text: str) -> None:
        self._mistakes.append((entry.line, text))

    def _entries(self, place: tuple[str, ...]) -> dict[str, Entry]:
        return self._links[place[1]].entries if len(place) > 1 else self._sections["".join(place)]

    def _nearest(self, name: str, names: Iterable[str]) -> Optional[str]:
        self._suggestions += 1
        if self._suggestions > _MOST_SUGGESTIONS:
            return None  # a long file full of nonsense would take minutes
        import difflib  # noqa: PLC0415  # the daemon would keep it for nothing

        close = difflib.get_close_matches(name.lower(), list(names), 1, 0.6)
        return close[0] if close else None

    def _header(self, entry: Entry) -> Optional[tuple[str, ...]]:
        name = entry.section[-1]
        if len(entry.section) == 1:
            return self._section(entry, name)
        above = self._place.get(entry.section[:-1])
        if above is None:
            return None
        if above != (LINKS,):
            depth = len(entry.section)
            header = "[" * depth + shown(name) + "]" * depth
            self._complain(entry, f"{header}: only [links] has sections below it, and they have none")
            return None
        if not NAME.fullmatch(name):
            allowed = BY_PLACE[TOP, "node"].allowed
            self._complain(entry, f"{shown(name)!r} can't be a link's name; allowed: {allowed}")
        self._links[name] = LinkSection(name, entry.line, {})
        return (LINKS, name)

    def _section(self, entry: Entry, name: str) -> Optional[tuple[str, ...]]:
        if name in SECTIONS:
            return (name,)
        if (TOP, name) in BY_PLACE:
            self._complain(
                entry, f"{name} is a key and not a section: write {name} = above the first [section]"
            )
            return None
        nearest = self._nearest(name, SECTIONS)
        if nearest:
            self._complain(entry, f"unknown section [{shown(name)}]; did you mean [{nearest}]?")
            written = any(other.section == (nearest,) for other in self._index.entries)
            return None if written else (nearest,)
        known = ", ".join(f"[{section}]" for section in SECTIONS)
        hint = ""
        if any(other.section == entry.section and _is_link_key(other.key) for other in self._index.entries):
            hint = f"; a link is written [[{shown(name)}]] below [links]"
        self._complain(entry, f"unknown section [{shown(name)}]; there are {known}{hint}")
        return None

    def _misfit(self, entry: Entry, place: tuple[str, ...]) -> None:
        key = entry.key
        homes = [section for section, name in BY_PLACE if name == key]
        if key in SECTIONS:
            self._complain(
                entry, f"{key} is a section and not a key: write [{key}], and below it what is in it"
            )
        elif homes:
            self._complain(entry, f"{key} belongs {_where(homes[0])}, not {_where_not(place)}")
            if homes[0] != LINKS:
                self._sections[homes[0]].setdefault(key, entry)
        else:
            self._unknown(entry, place)

    def _unknown(self, entry: Entry, place: tuple[str, ...]) -> None:
        here = _names_at(place)
        nearest = self._nearest(entry.key, dict.fromkeys((*here, *(name for _, name in BY_PLACE))))
        if nearest and nearest in here:
            self._complain(entry, f"unknown key {shown(entry.key)!r}; did you mean {nearest!r}?")
            self._entries(place).setdefault(nearest, entry)
            return
        if nearest:
            home = next(section for section, name in BY_PLACE if name == nearest)
            text = f"did you mean {nearest!r}, which belongs {_where(home)}?"
        elif here:
            text = f"{_where_not(place)} can stand {', '.join(here)}"
        else:
            text = "[links] has a [[NAME]] for each link, and no keys of its own"
        self._complain(entry, f"unknown key {shown(entry.key)!r}; {text}")


def _names_at(place: tuple[str, ...]) -> Sequence[str]:
    if place == (LINKS,):
        return ()
    return names_in(place[0] if place else TOP)


def _is_link_key(key: str) -> bool:
    return (LINKS, key) in BY_PLACE


def _where(section: str) -> str:
    if section == TOP:
        return "above the first [section]"
    return "in a link, a [[NAME]] below [links]" if section == LINKS else f"in [{section}]"


def _where_not(place: tuple[str, ...]) -> str:
    if not place:
        return "above the first [section]"
    return "in a link" if len(place) > 1 else f"in [{place[0]}]"
