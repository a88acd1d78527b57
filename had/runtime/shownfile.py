"""A file that shows people how things are: replaced at one stroke, and no harm done if it can't be."""

from __future__ import annotations

import contextlib
import os
from typing import Optional

from had.core.actions import Level
from had.runtime.files import make_directory, remove, replace, temporary_of, why
from had.runtime.log import Say


class ShownFile:
    """Readers see the old text or the new one, never a part; a failure is told once and never stops
    anything.
    """

    def __init__(self, path: str, what: str, say: Say) -> None:
        """Write nothing yet.  ``what`` is its name for people: "state file"."""
        self.path = path
        self._what = what
        self._say = say
        self._failure: Optional[str] = None

    @property
    def failure(self) -> Optional[str]:
        """Why the last write failed, or None."""
        return self._failure and f"{self.path}: {self._failure}"

    def show(self, text: str) -> bool:
        """Replace the text; returns whether it could be done."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            try:
                replace(self.path, data)
            except FileNotFoundError:  # the directory is not there, or not any more
                make_directory(os.path.dirname(self.path))
                replace(self.path, data)
        except OSError as error:
            if self._failure != why(error):
                self._failure = why(error)
                self._say(Level.ERROR, f"{self.path}: the {self._what} cannot be written: {self._failure}")
            return False
        if self._failure is not None:
            self._failure = None
            self._say(Level.NOTICE, f"{self.path}: the {self._what} can be written again")
        return True

    def close(self) -> None:
        """Remove what an interrupted write may have left; the file itself stays."""
        with contextlib.suppress(OSError):
            remove(temporary_of(self.path))
