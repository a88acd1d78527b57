"""What the guard makes once and every worker inherits."""

from __future__ import annotations

from typing import Optional

from had.config.settings import DaemonSettings
from had.core.actions import Note
from had.core.node import Status
from had.runtime.fitness import Fitness
from had.runtime.handover import Handover
from had.runtime.log import Log
from had.runtime.notify import Notify
from had.runtime.output import OutputPipes
from had.runtime.pidfile import PidFile
from had.runtime.statusfile import ENDED, LOOK_NS, Answer, StatusFile

SECOND = 1_000_000_000
_OFTEN = frozenset(("late", "peer-late", "stalled", "stall-over"))
"""Codes of reasons that can come many times in a second; of each, and of each peer, one a minute is told."""


class Shared:
    """Settings, log and files, and what passes from worker to worker."""

    def __init__(self, settings: DaemonSettings, log: Log, pid_file: PidFile, notify: Notify) -> None:
        self.settings = settings
        self.log = log
        self.pid_file = pid_file
        self.notify = notify
        self.status_file = StatusFile(settings.status_file, settings.core.node, log)
        self.pipes = OutputPipes()
        self.handover = Handover()
        self.patience_ns = max(SECOND, settings.core.dead_ns // 3)
        """How long the guard waits for a tick: a third of the dead time, at least one second (G2)."""
        self.fitness = Fitness(settings)
        self._shown: Optional[tuple[Status, Optional[Answer]]] = None
        self._look_ns = 0

    def tell(self, note: Note, now_ns: int) -> None:
        """Put a note of the core into the log: with short times on a loaded machine, some not each time."""
        code, text = note.reason.code, note.reason.text
        if code in _OFTEN:
            self.log.once_per_minute(f"{code} {text.partition(' ')[0]}", note.level, text, now_ns)
        else:
            self.log(note.level, text)

    def show(self, status: Status, answer: Optional[Answer], now_ns: int) -> None:
        """Show how things are, in the status file and to systemd; nearly nothing to do if nothing is new."""
        if (status, answer) == self._shown and now_ns < self._look_ns:
            self.notify.retry()
            return
        self._shown, self._look_ns = (status, answer), now_ns + LOOK_NS
        self.status_file.show(status, answer, now_ns)
        why, state = status.reason.text, status.state.name
        if status.unfit is not None:
            why, state = status.unfit.text, f"{state}, not ready"
        if status.ending:
            self.notify.tell(STATUS=self._text(state, why), STOPPING="1")
        else:
            self.notify.tell(STATUS=self._text(state, why))

    def show_end(self, code: int, reason: str, answer: Optional[Answer]) -> None:
        """Show that the daemon ends; for whoever ends it."""
        self.status_file.end(code, reason, answer)
        self.notify.tell(STATUS=self._text(ENDED, reason), STOPPING="1")

    def _text(self, state: str, why: str) -> str:
        return f"{self.settings.core.node} {state}: {why}"
