"""Looking at processes by their number, without mistaking one for another.

A process is known by its number *and* its start time (field 22 of ``/proc/PID/stat``), within one boot.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple, Optional

MS = 1_000_000
LOOK_NS = 20 * MS
"""How soon a group that is being ended is looked at first; doubled up to ``LOOK_MAX_NS``."""
LOOK_MAX_NS = 500 * MS
_ALL_SIGNALS = signal.valid_signals()


class Process(NamedTuple):
    """A line of ``/proc/PID/stat``, as far as it matters here."""

    pid: int
    dead: bool
    """A zombie: it has ended, its parent just has not asked yet."""
    parent: int
    group: int
    started: int
    """Clock ticks since boot."""


def look(pid: int) -> Optional[Process]:
    """Return what ``pid`` is now, or None if there is no such process."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:  # it ended in between
        return None
    finally:
        os.close(descriptor)
    # The command name may contain anything, blanks and brackets too; it ends at the last bracket.
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Process(pid, fields[0] in b"ZXx", int(fields[1]), int(fields[2]), int(fields[19]))


def is_there(pid: int, started: int) -> bool:
    """Whether the process that started then still exists, be it as a zombie."""
    process = look(pid)
    return process is not None and process.started == started


def is_our_child(pid: int) -> bool:
    """Whether we can wait for this process; also one that was inherited."""
    process = look(pid) if pid else None
    return process is not None and process.parent == os.getpid()


def describe_status(status: int) -> str:
    """Say in words what waitpid gave: "exit status 3", "killed by SIGSEGV (core dumped)"."""
    if os.WIFEXITED(status):
        return f"exit status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"killed by {name}{' (core dumped)' if os.WCOREDUMP(status) else ''}"


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold all signals back around a fork.  The child never comes back here: its mask is its own business."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def boot_id() -> str:
    """Return what tells this boot from every other one; empty if it can't be known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, ValueError):
        return ""


def close_descriptors() -> None:
    """Close everything but standard input, output and error, in a process that was just forked."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(1024))
    for number in numbers:
        if number > 2:
            os.closerange(number, number + 1)  # unlike close, silent where there is none


def _living_in(group: int) -> bool:
    """Whether a process that is not a zombie belongs to the group.  Reads all of /proc: not often."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return True
    for name in names:
        if name.isdigit():
            process = look(int(name))
            if process is not None and process.group == group and not process.dead:
                return True
    return False


@dataclasses.dataclass
class GroupEnd:
    """The end of a process group: TERM now, KILL after the grace, over when nobody is left in it.

    Plain data, so that another process can go on with it.
    """

    group: int
    started: int
    """Start time of the leader, whose process number is the group's."""
    kill_ns: int
    next_ns: int = 0
    """When :meth:`step` has something to do again."""
    wait_ns: int = LOOK_NS
    told: bool = False
    """TERM has reached the group."""
    killed: bool = False
    refused: bool = False
    """We were not allowed to."""

    def begin(self, now_ns: int) -> None:
        self.next_ns = now_ns
        self.told = self._signal(signal.SIGTERM)

    def step(self, now_ns: int) -> bool:
        """Go on; returns whether the group is gone.  Cheap when called too early."""
        if now_ns < self.next_ns:
            return False
        leader = look(self.group)
        if leader is not None and leader.started != self.started:
            return True  # a number is given out anew only when the whole group that bore it is gone
        if leader is None or leader.dead:
            if not self._exists():
                return True
            # What exists may be nothing but zombies that nobody waits for.
            if self.wait_ns >= LOOK_MAX_NS and not _living_in(self.group):
                return True
        if not self.told:  # a process that was just forked is not the leader of its group yet
            self.told = self._signal(signal.SIGTERM)
        if now_ns >= self.kill_ns:
            self.killed = True
            self._signal(signal.SIGKILL)
        self.next_ns = now_ns + self.wait_ns
        self.wait_ns = min(2 * self.wait_ns, LOOK_MAX_NS)
        if not self.killed:
            self.next_ns = min(self.next_ns, self.kill_ns)
        return False

    def _exists(self) -> bool:
        try:
            os.killpg(self.group, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.group, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            self.refused = True
        return True
