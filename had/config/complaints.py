"""What is wrong with a configuration: all of it at once, each mistake with its file and line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

COMMAND_LINE = "command line"
_MOST = 200


@dataclasses.dataclass(frozen=True, order=True)
class Complaint:
    """One mistake.  ``line`` counts from 1; 0 is a mistake that has no line."""

    file: str
    """The file as it was named, or ``command line``."""
    line: int
    text: str
    """What is wrong, and what is allowed or to be done instead.  One line."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class ConfigErrors(Exception):  # noqa: N818  # there are mostly several
    """The configuration has mistakes and nothing starts.  ``str()`` has one line for each."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        found = sorted(set(complaints))
        if len(found) > _MOST:
            rest = Complaint(found[-1].file, 0, f"{len(found) - _MOST} more mistakes")
            found = [*found[:_MOST], rest]
        self.complaints = tuple(found)
        """Sorted by file and line."""
        super().__init__("\n".join(map(str, self.complaints)))
