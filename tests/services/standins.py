"""Small programs in place of those which the service scripts call: they note their calls, and answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.namespaces import marked_environment


class StandIns:
    """A directory that comes first in PATH. `environment` is for the call of a script."""

    def __init__(self, directory: Path, programs: Mapping[str, str]) -> None:
        self.directory = directory / "stand-ins"
        self.directory.mkdir()
        self.notes = directory / "calls"
        self.environment = {
            "PATH": f"{self.directory}:{marked_environment()['PATH']}",
            "PLACE": str(directory),
        }
        for name, body in programs.items():
            path = self.directory / name
            path.write_text(f'#!/bin/sh\nprintf "%s\\n" "${{0##*/}} $*" >>{self.notes}\n{body}\n')
            path.chmod(0o755)

    def calls(self) -> list[str]:
        """What was called since the last time."""
        if not self.notes.exists():
            return []
        called = self.notes.read_text().splitlines()
        self.notes.unlink()
        return called
