"""Hooks that an earlier daemon left running are ended before the new one does anything (rule S5)."""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import Optional

from had.core.actions import Level
from had.runtime import hookfile
from had.runtime.files import remove, why
from had.runtime.hooks import GRACE_NS
from had.runtime.log import Say
from had.runtime.processes import GroupEnd, boot_id, look

_COMPLAIN_NS = 60_000_000_000


@dataclasses.dataclass
class _Leftover:
    path: str
    name: str
    end: GroupEnd
    complain_ns: int


class Leftovers:
    """Finds them by the hook files in the run directory, and ends them: TERM, then KILL, to the group.

    A process is ended only if number, start time and boot are those in the file, so that one that has got
    the number since is never touched.  A hook that has ended by itself keeps what it started: those are
    services, and ``monitorhasrv`` will find them.
    """

    def __init__(self, run_directory: str, say: Say, now_ns: int, *, grace_ns: int = GRACE_NS) -> None:
        """Look, and send the first SIGTERM."""
        self._say = say
        self._left: list[_Leftover] = []
        try:
            names = sorted(os.listdir(run_directory))
        except FileNotFoundError:
            names = []
        except OSError as error:
            say(Level.ERROR, f"{run_directory}: cannot be searched for hooks that still run: {why(error)}")
            names = []
        boot = boot_id()
        for name in names:
            if name.startswith("hook-"):
                self._examine(os.path.join(run_directory, name), boot, now_ns, grace_ns)

    def _examine(self, path: str, boot: str, now_ns: int, grace_ns: int) -> None:
        file = hookfile.read(path) if self._is_trusted(path) else None
        process = None if file is None or file.boot != boot or not boot else look(file.pid)
        if file is None or process is None or process.dead or process.started != file.started:
            self._remove(path)
            return
        if process.group != file.pid:
            self._say(Level.WARNING, f"{path}: process {file.pid} leads no group; left alone")
            self._remove(path)
            return
        name = os.path.basename(path).partition("-")[2]
        self._say(
            Level.WARNING,
            f"{name} of an earlier daemon still runs: SIGTERM to its process group {file.pid}",
        )
        end = GroupEnd(file.pid, file.started, kill_ns=now_ns + grace_ns)
        end.begin(now_ns)
        self._left.append(_Leftover(path, name, end, complain_ns=now_ns + 2 * grace_ns))

    def _is_trusted(self, path: str) -> bool:
        """Only what we or root wrote may name processes that are to be killed."""
        try:
            status = os.lstat(path)
        except OSError:
            return False
        if stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()):
            return True
        self._say(Level.WARNING, f"{path}: not a hook file of ours; it is not believed")
        return False

    def tick(self, now_ns: int) -> None:
        """Go on with what is due."""
        for leftover in list(self._left):
            killed = leftover.end.killed
            if leftover.end.step(now_ns):
                self._remove(leftover.path)
                self._left.remove(leftover)
            elif leftover.end.killed and not killed:
                self._say(Level.WARNING, f"{leftover.name}: takes no notice of SIGTERM: SIGKILL")
            elif now_ns >= leftover.complain_ns:
                leftover.complain_ns = now_ns + _COMPLAIN_NS
                because = "we may not signal it" if leftover.end.refused else "SIGKILL does not end it"
                self._say(
                    Level.ERROR,
                    f"{leftover.name} of an earlier daemon (process group {leftover.end.group}) still lives: "
                    f"{because}; nothing is started until it is gone",
                )

    @property
    def gone(self) -> bool:
        """Whether none is left (LeftoversGone)."""
        return not self._left

    @property
    def next_ns(self) -> Optional[int]:
        """When :meth:`tick` has something to do, or None."""
        return min((leftover.end.next_ns for leftover in self._left), default=None)

    def _remove(self, path: str) -> None:
        try:
            remove(path)
        except OSError as error:
            self._say(Level.ERROR, f"{path}: cannot be removed: {why(error)}")
