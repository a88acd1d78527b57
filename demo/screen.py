"""What the person sees: sentences as things happen, and on a terminal a line below that stays current."""

from __future__ import annotations

import os
import shutil
import sys
import time

WIDTH = 80
_COLOURS = {"good": "32", "bad": "31", "warning": "33", "title": "1;36", "dim": "2"}
_QUIET_S = 1.0
"""Where lines can't be overwritten, one that has not changed in kind is written so often."""


class Screen:
    """Writes to standard output."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._coloured = self._live and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self._status = ""
        self._kind = ""
        self._told = 0.0

    def say(self, text: str, style: str = "", *, cut: bool = True) -> None:
        """Write a sentence with the seconds since the beginning; what is too long is cut."""
        line = f"{time.monotonic() - self._began:6.1f}  {text}"
        self._write_line(self._cut(line) if cut else line, style)

    def plain(self, text: str = "", style: str = "") -> None:
        """Write a line as it is."""
        self._write_line(text, style)

    def status(self, text: str, kind: str) -> None:
        """Show how things stand; in a log only when ``kind`` has changed, or a second has gone."""
        line = self._cut(f"{time.monotonic() - self._began:6.1f}  {text}")
        if self._live:
            if line != self._status:
                self._status = line
                self._write(f"\r\x1b[K{self._dye(line, 'title')}")
        elif kind != self._kind or time.monotonic() - self._told >= _QUIET_S:
            self._kind, self._told = kind, time.monotonic()
            self._write(f"{line}\n")

    def clear(self) -> None:
        """Take the status line away: what comes now is the end."""
        if self._status:
            self._write("\r\x1b[K")
        self._status = ""

    def _write_line(self, line: str, style: str) -> None:
        dyed = self._dye(line, style)
        if self._status:
            self._write(f"\r\x1b[K{dyed}\n{self._dye(self._status, 'title')}")
        else:
            self._write(f"{dyed}\n")

    def _cut(self, line: str) -> str:
        width = WIDTH - 1
        if self._live:
            width = shutil.get_terminal_size((WIDTH, 24)).columns - 1
        return line if len(line) <= width else f"{line[: max(0, width - 3)]}..."

    def _dye(self, text: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if style and self._coloured else text

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
