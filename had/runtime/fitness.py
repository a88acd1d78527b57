"""Being there in time on a machine that is loaded, short of memory, or both.

Three favours that a process may ask of the kernel, each of which may be refused (a container, another user
than root): a real-time priority, the lowest of them, so that programs which calculate can't keep the
daemon from its heartbeats; to be spared by the OOM killer; and memory that is not paged out.  None is
needed, so a refusal is told and no more.

None of it is for hooks, which start the services: a service that runs at real-time priority or is spared
when memory is short takes the machine down.  Locked memory is not inherited; priority and OOM score are
given back in the moment before a child becomes a hook (:func:`become_ordinary`), and not by
SCHED_RESET_ON_FORK: on a loaded machine ``starthasrv`` would be late by what this child waits.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from had.config.settings import DaemonSettings
from had.runtime.files import why

GUARD_PRIORITY = 2
WORKER_PRIORITY = 1
"""The guard's is higher: it must get at a worker that spins (G2)."""
GUARD_SCORE = -1000
WORKER_SCORE = -900
"""The guard is never chosen, the worker after everything else: it can be replaced."""
_SCORE_FILE = "/proc/self/oom_score_adj"
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PR_SET_CHILD_SUBREAPER = 36


class Standing(NamedTuple):
    """How a process stands against others."""

    policy: int
    priority: int
    oom_score: int


class Fitness:
    """What one daemon asks for.  Made by the guard before anything is changed, inherited by its workers."""

    def __init__(self, settings: DaemonSettings) -> None:
        self._settings = settings
        self.before = Standing(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, _oom_score())
        """What hooks are to have."""

    def of_guard(self) -> str:
        """Ask for what the guard needs; returns what was had, for the log."""
        return f"guard: {self._realtime(GUARD_PRIORITY)}; {self._oom_protection(GUARD_SCORE)}"

    def of_worker(self) -> str:
        """Ask for what a worker needs, but for :meth:`lock_memory`; returns what was had, for the log."""
        return f"worker: {self._realtime(WORKER_PRIORITY)}; {self._oom_protection(WORKER_SCORE)}"

    def _realtime(self, priority: int) -> str:
        if not self._settings.realtime:
            return "realtime: no, switched off"
        if self.before.policy in (os.SCHED_RR, os.SCHED_FIFO):
            # Somebody gave us more already (chrt, systemd), and whoever has as much must not starve us.
            priority = max(priority, self.before.priority)
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
        except OSError as error:
            return f"realtime: no, {why(error)}"
        return f"realtime: SCHED_RR {priority}"

    def _oom_protection(self, score: int) -> str:
        if not self._settings.oom_protection:
            return "oom_protection: no, switched off"
        try:
            _set_oom_score(score)
        except OSError as error:
            return f"oom_protection: no, {why(error)}"
        return f"oom_protection: {score}"

    def lock_memory(self) -> str:
        """Lock the worker's memory if that is wanted; returns what came of it, for the log.

        Takes some milliseconds, for all that was shared with the guard becomes the worker's own.
        """
        if not self._settings.lock_memory:
            return "worker: lock_memory: no, switched off"
        if ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
            return f"worker: lock_memory: no, {os.strerror(ctypes.get_errno())}"
        return "worker: lock_memory: yes"


def become_subreaper() -> None:
    """Inherit the orphans among our descendants.

    :raises OSError:
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become_ordinary(standing: Standing) -> None:
    """Undo what :class:`Fitness` did, in a child that becomes something else.

    :raises OSError:
    """
    if (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) != standing[:2]:
        os.sched_setscheduler(0, standing.policy, os.sched_param(standing.priority))
    if _oom_score() != standing.oom_score:
        _set_oom_score(standing.oom_score)


def _oom_score() -> int:
    try:
        with open(_SCORE_FILE, "rb", buffering=0) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _set_oom_score(score: int) -> None:
    with open(_SCORE_FILE, "wb", buffering=0) as file:
        file.write(b"%d" % score)
