"""Where the daemon's files are, as absolute paths."""

from __future__ import annotations

import os
from typing import Callable, Optional

from had.config.settings import STATUS
from had.config.values import Setting

Clash = Callable[[str, Setting, Setting], None]

_DIRECTORIES = ("hooks", "run", "record")


class Places:
    """Takes the places as given and makes the others up from them and the instance's name."""

    def __init__(self, instance: Optional[str], clash: Clash) -> None:
        self._suffix = f"-{instance}" if instance else ""
        self._clash = clash
        self._used: dict[str, tuple[str, Setting]] = {}

    def fields(self, given: dict[str, Setting]) -> dict[str, str]:
        """Return the fields of had.config.settings.DaemonSettings.

        ``given`` has hooks, run, record, state, pid and log.  Relative paths are taken from the current
        directory: the daemon leaves it later.
        """
        run = self._path("run", given["run"], f"/run/had{self._suffix}")
        self._used[os.path.normpath(os.path.join(run, STATUS))] = ("the status file", given["run"])
        log = given["log"]
        if log.value not in ("syslog", "stderr"):
            self._path("log", log, "")
        return {
            "hooks_directory": self._path("hooks", given["hooks"], ""),
            "run_directory": run,
            "record_directory": self._path("record", given["record"], f"/var/lib/had{self._suffix}"),
            "state_file": self._path("state", given["state"], os.path.join(run, "state")),
            "pid_file": self._path("pid", given["pid"], f"/run/had{self._suffix}.pid"),
            "log": log.value,
        }

    def _path(self, what: str, setting: Setting, default: str) -> str:
        path = absolute(setting.value or default)
        key = os.path.normpath(path)
        other, where = self._used.setdefault(key, (what, setting))
        # Directories may be shared: what is kept there has names of its own.
        if other != what and not (other in _DIRECTORIES and what in _DIRECTORIES):
            self._clash(f"{what} and {other} are both {path}", setting, where)
        return path


def absolute(path: str) -> str:
    """Make a path absolute without resolving anything in it.  Raises FileNotFoundError."""
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
