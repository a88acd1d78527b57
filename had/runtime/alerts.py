"""Calls of ``alerthasrv``: in order, one at a time, beside other hooks, delaying nothing (rule A1)."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Callable, Optional

from had.core.actions import Alert, Hook, Level
from had.core.events import HookOver, Outcome
from had.core.states import State
from had.runtime.hooks import HookRunner
from had.runtime.log import Say

MAX_WAITING = 64


@dataclasses.dataclass(frozen=True)
class AlertData:
    """What the next worker needs to know."""

    waiting: tuple[Alert, ...]
    current: Optional[Alert]
    last_run: int
    dropped: int


class AlertQueue:
    """The queue.  Its runs have negative numbers, so that they never meet the core's."""

    def __init__(
        self, runner: HookRunner, state_now: Callable[[], State], say: Say, *, present: bool = True
    ) -> None:
        """``present``: whether there is an ``alerthasrv``; without one nothing is ever called.

        ``state_now`` is asked when a call is made (HAD_STATE_NOW).
        """
        self._runner = runner
        self._state_now = state_now
        self._say = say
        self._present = present
        self._waiting: collections.deque[Alert] = collections.deque()
        self._current: Optional[Alert] = None
        self._last_run = 0
        self._dropped = 0
        self._look_first = False

    def add(self, alert: Alert, now_ns: int) -> None:
        """Queue a call; if 64 wait already the oldest of them is dropped, loudly."""
        if not self._present:
            return
        self._waiting.append(alert)
        if len(self._waiting) > MAX_WAITING:
            oldest = self._waiting.popleft()
            self._dropped += 1
            # Loudly, but a state that flaps must not fill the log with this: told at 1, 2, 4, 8, ...
            if self._dropped & (self._dropped - 1) == 0:
                self._say(
                    Level.ERROR,
                    f"alerthasrv is too slow: {self._dropped} of its calls dropped, "
                    f"the last one for {oldest.state.name}",
                )
        self._start_next(now_ns)

    def _start_next(self, now_ns: int) -> None:
        if self._current is not None or not self._waiting:
            return
        self._current = self._waiting.popleft()
        self._last_run -= 1
        self._runner.start_alert(
            self._last_run, self._current, self._state_now(), now_ns, look_first=self._look_first
        )
        self._look_first = False

    def sift(self, overs: Sequence[HookOver], now_ns: int) -> list[HookOver]:
        """Take out of what :meth:`HookRunner.poll` returned what was an alert, and start the next one.
        The rest is the core's.
        """
        others = []
        for over in overs:
            if over.run >= 0:
                others.append(over)
                continue
            if over.outcome is not Outcome.OK:
                state = self._current.state.name if self._current is not None else "?"
                self._say(Level.WARNING, f"{Hook.ALERT.value} for {state}: {over.detail}")
            self._runner.forget(over.run)
            if over.run == self._last_run:
                self._current = None
        self._start_next(now_ns)
        if self._dropped and not self._waiting:
            self._say(Level.WARNING, f"alerthasrv has caught up; {self._dropped} of its calls were dropped")
            self._dropped = 0
        return others

    @property
    def busy(self) -> bool:
        """Whether a call is being made."""
        return self._current is not None

    def clear(self) -> None:
        """At exit: what waits is dropped; only a call that is being made is waited for."""
        if self._waiting:
            self._say(Level.WARNING, f"{len(self._waiting)} calls of alerthasrv dropped at exit")
            self._waiting.clear()

    def dump(self) -> AlertData:
        """Return what :meth:`resume` needs: plain data."""
        return AlertData(tuple(self._waiting), self._current, self._last_run, self._dropped)

    def resume(self, data: AlertData, now_ns: int) -> None:
        """Go on where a former worker was; after :meth:`HookRunner.resume`, before anything is added."""
        self._waiting.extend(data.waiting)
        self._last_run = data.last_run
        self._dropped = data.dropped
        self._current = data.current if self._runner.knows(data.last_run) else None
        # The former worker may have begun the next call without having passed that on.
        self._look_first = True
        self._start_next(now_ns)
