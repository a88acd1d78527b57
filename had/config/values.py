"""Every setting with where it came from: a flag, a line of had.conf, or the default."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

from had.config.check import default_of, validate
from had.config.document import Document, LinkSection
from had.config.index import Entry
from had.config.keys import BY_PLACE, LINKS, TOP, configspec
from had.config.units import shown


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.  ``str()`` tells it together with where it stands, for messages."""

    name: str
    value: Any
    """None where the default depends on other settings, and where what was given is unfit."""
    text: str = ""
    """As it was written; empty for the default."""
    line: int = 0
    """In had.conf; 0 where it doesn't come from there."""
    flag: str = ""
    """The flag that gave it, or empty."""

    @property
    def is_given(self) -> bool:
        """Whether it was written anywhere, right or wrong."""
        return bool(self.line or self.flag)

    @property
    def is_unfit(self) -> bool:
        """Whether it was given and makes no sense; then that has been complained about."""
        return self.is_given and self.value is None

    def __str__(self) -> str:
        if self.flag:
            return f"{self.flag} {shown(self.text)}"
        if self.line:
            return f"{self.name} = {shown(self.text)} (line {self.line})"
        return f"{self.name} (default {BY_PLACE[TOP, self.name].default})"

    @property
    def origin(self) -> str:
        """Where it came from, in a word."""
        return self.flag or (f"line {self.line}" if self.line else "default")


class Values:
    """The settings of a had.conf, and what is unfit in it."""

    def __init__(self, document: Optional[Document] = None) -> None:
        self.mistakes: list[tuple[int, str]] = []
        """Line and text, of unfit values; those of the document are not repeated."""
        self._settings: dict[tuple[str, str], Setting] = {}
        self.links: list[tuple[LinkSection, dict[str, Setting]]] = []
        if document is None:
            return
        read, problems = validate(document.lines(), configspec())
        for section, entries in document.sections.items():
            for name, entry in entries.items():
                part, path = (read[section], (section, name)) if section else (read, (name,))
                self._settings[section, name] = self._setting(
                    section, name, entry, part.get(name), problems.get(path)
                )
        for number, link in enumerate(document.links):
            part, path = read[LINKS][str(number)], (LINKS, str(number))
            settings = {
                name: self._setting(LINKS, name, entry, part.get(name), problems.get((*path, name)))
                for name, entry in link.entries.items()
            }
            self.links.append((link, settings))

    def _setting(
        self, section: str, name: str, entry: Entry, value: object, problem: Optional[str]
    ) -> Setting:
        if problem is not None:
            allowed = BY_PLACE[section, name].allowed
            self.mistakes.append((entry.line, f"{name} = {shown(entry.value)} {problem}; allowed: {allowed}"))
        unfit = problem is not None or not entry.value
        return Setting(name, None if unfit else value, entry.value, entry.line)

    def get(self, section: str, name: str) -> Setting:
        """Return a setting outside the links; its default if it isn't given."""
        found = self._settings.get((section, name))
        return found or Setting(name, default_of(BY_PLACE[section, name]))


def of_link(settings: dict[str, Setting], name: str) -> Setting:
    """Return a setting of a link; its default if it isn't given."""
    return settings.get(name) or Setting(name, default_of(BY_PLACE[LINKS, name]))
