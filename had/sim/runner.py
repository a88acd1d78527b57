"""What :class:`had.runtime.hooks.HookRunner` does, with processes of this world.

The same stages, times and order of looks; left out is what only real processes have: numbers that are used
again, a fork that fails, zombies that belong to nobody.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Optional

from had.core.actions import Alert, Hook, RunHook
from had.core.events import HookOver, Outcome
from had.core.states import State
from had.core.turn import InvariantError
from had.runtime.hooks import APPEAR_NS, GRACE_NS, Stage
from had.sim.clockwork import MS, SECOND
from had.sim.scripts import KILLED, TERMINATED, Process

if TYPE_CHECKING:
    from had.sim.machine import Machine

_LOOK_NS = 20 * MS
_WATCH_NS = 200 * MS
_LOST_NS = SECOND


@dataclasses.dataclass
class Run:
    """One run of a hook, handed from worker to worker."""

    number: int
    hook: Hook
    timeout_ns: int
    stage: Stage
    asked_ns: int
    next_ns: int
    look_first: bool = False
    end_wanted: bool = False
    process: Optional[Process] = None
    deadline_ns: int = 0
    absent_since_ns: Optional[int] = None
    kill_ns: int = 0
    killed: bool = False
    outcome: Outcome = Outcome.OK
    detail: str = ""
    reported: bool = False


class Runner:
    """Starts hooks, ends them, and tells when they are over."""

    def __init__(self, machine: Machine, life: int, worker: int) -> None:
        self._machine, self._life, self._worker = machine, life, worker
        self.runs: dict[int, Run] = {}

    # Asking

    def start(self, action: RunHook, now_ns: int, *, look_first: bool = False) -> None:
        self._add(action.run, action.hook, action.timeout_ns, now_ns, look_first)

    def start_alert(
        self, run: int, alert: Alert, state_now: State, now_ns: int, *, look_first: bool = False
    ) -> None:
        """Start ``alerthasrv``, for :class:`had.runtime.alerts.AlertQueue`."""
        del state_now
        self._add(run, Hook.ALERT, alert.timeout_ns, now_ns, look_first)

    def _add(self, number: int, hook: Hook, timeout_ns: int, now_ns: int, look_first: bool) -> None:
        if number in self.runs or self.busy(hook):
            raise InvariantError(f"{hook.value} was to be run twice at once")
        run = Run(number, hook, timeout_ns, Stage.ASKED, now_ns, now_ns, look_first)
        self.runs[number] = run
        self._advance(run, now_ns)

    def end(self, number: int, now_ns: int) -> None:
        run = self.runs.get(number)
        if run is None:
            return
        if run.stage is Stage.ASKED:
            run.end_wanted = True
            self._advance(run, now_ns)
        elif run.stage is Stage.RUNNING and self._status(run) is None:
            self._begin_end(run, Outcome.ENDED, "was ended", now_ns)

    def busy(self, hook: Hook) -> bool:
        return any(run.hook is hook and run.stage is not Stage.OVER for run in self.runs.values())

    def knows(self, number: int) -> bool:
        return number in self.runs

    @property
    def next_ns(self) -> Optional[int]:
        return min((run.next_ns for run in self.runs.values() if run.stage is not Stage.OVER), default=None)

    # Results

    def poll(self, now_ns: int) -> list[HookOver]:
        """Do what is due; return the hooks that are over since the last call."""
        for run in self.runs.values():
            if run.stage is Stage.RUNNING:
                self._take_result(run)
            elif run.stage is Stage.ENDING and run.process is not None and run.process.status is not None:
                run.stage = Stage.OVER
        for run in list(self.runs.values()):
            if run.stage is not Stage.OVER and now_ns >= run.next_ns:
                self._advance(run, now_ns)
        over = [run for run in self.runs.values() if run.stage is Stage.OVER and not run.reported]
        for run in over:
            run.reported = True
        return [HookOver(run.number, run.outcome, run.detail) for run in over]

    def forget(self, number: int) -> None:
        run = self.runs.get(number)
        if run is not None and run.stage is Stage.OVER:
            del self.runs[number]
            files = self._machine.hook_files
            if run.process is not None and files.get(run.hook) is run.process:
                del files[run.hook]

    def dump(self) -> tuple[Run, ...]:
        return tuple(dataclasses.replace(run) for run in self.runs.values())

    def resume(self, runs: tuple[Run, ...], now_ns: int) -> None:
        """Take over what a former worker's runner left."""
        for old in runs:
            run = self.runs[old.number] = dataclasses.replace(old, next_ns=now_ns)
            if run.stage is Stage.ASKED:
                run.look_first, run.asked_ns = True, now_ns
        for old in runs:
            if old.stage is Stage.OVER and old.reported:
                self.forget(old.number)

    # One step of one run

    def _advance(self, run: Run, now_ns: int) -> None:
        if run.stage is Stage.ASKED:
            self._advance_asked(run, now_ns)
        elif run.stage is Stage.RUNNING:
            self._advance_running(run, now_ns)
        elif run.stage is Stage.ENDING:
            run.next_ns = now_ns + SECOND if run.killed else run.kill_ns
            if now_ns >= run.kill_ns and not run.killed and run.process is not None:
                run.killed = True
                run.process.signal(KILLED)

    def _advance_asked(self, run: Run, now_ns: int) -> None:
        if run.look_first:
            if self._find(run, now_ns):
                return
            if now_ns < run.asked_ns + APPEAR_NS:
                run.next_ns = now_ns + _LOOK_NS
                return
            run.look_first = False
        if run.end_wanted:
            run.stage, run.outcome = Stage.OVER, Outcome.ENDED
            run.detail = "was ended before it was started"
            return
        run.process = self._machine.fork_hook(run.hook, run.number, self._life, self._worker)
        self._set_running(run, now_ns)

    def _find(self, run: Run, now_ns: int) -> bool:
        """Take over a hook that a dead worker forked, if its file is there."""
        process = self._machine.hook_files.get(run.hook)
        if process is None or process.run != run.number or process.life != self._life:
            return False
        run.process = process
        self._set_running(run, now_ns)
        if run.end_wanted and self._status(run) is None:
            self._begin_end(run, Outcome.ENDED, "was ended", now_ns)
        return True

    def _set_running(self, run: Run, now_ns: int) -> None:
        run.stage = Stage.RUNNING
        run.deadline_ns = now_ns + run.timeout_ns
        run.next_ns = run.deadline_ns if self._is_ours(run) else now_ns

    def _is_ours(self, run: Run) -> bool:
        return run.process is not None and run.process.worker == self._worker

    def _status(self, run: Run) -> Optional[int]:
        """Return how the process ended, as far as this worker can know it."""
        process = run.process
        return None if process is None or process.orphaned else process.status

    def _take_result(self, run: Run) -> bool:
        status = self._status(run)
        if status is None:
            return False
        run.stage = Stage.OVER
        if status:
            run.outcome = Outcome.FAILED
            run.detail = f"exit status {status >> 8}" if status >> 8 else f"killed by signal {status}"
        return True

    def _advance_running(self, run: Run, now_ns: int) -> None:
        if self._take_result(run):
            return
        run.next_ns = run.deadline_ns
        if not self._is_ours(run) and not self._is_there(run, now_ns):
            return
        if now_ns >= run.deadline_ns:
            self._begin_end(run, Outcome.TIMED_OUT, f"timed out after {run.timeout_ns // SECOND} s", now_ns)

    def _is_there(self, run: Run, now_ns: int) -> bool:
        """Whether a hook that is not our child still exists; over if it vanished and nobody tells how."""
        if run.process is not None and run.process.status is None:
            run.absent_since_ns = None
            run.next_ns = min(now_ns + _WATCH_NS, max(run.deadline_ns, now_ns))
            return True
        run.next_ns = now_ns + _WATCH_NS
        if run.absent_since_ns is None:
            run.absent_since_ns = now_ns
        elif now_ns - run.absent_since_ns >= _LOST_NS:
            run.stage, run.outcome, run.detail = Stage.OVER, Outcome.FAILED, "its exit status was lost"
        return False

    def _begin_end(self, run: Run, outcome: Outcome, detail: str, now_ns: int) -> None:
        run.stage, run.outcome, run.detail = Stage.ENDING, outcome, detail
        run.kill_ns = run.next_ns = now_ns + GRACE_NS
        if run.process is not None:
            run.process.signal(TERMINATED)


class Leftovers:
    """What :class:`had.runtime.leftovers.Leftovers` does: hooks of an earlier daemon are ended first (S5)."""

    def __init__(self, machine: Machine, now_ns: int) -> None:
        self._machine = machine
        self._kill_ns = now_ns + GRACE_NS
        self._killed = False
        self._left: list[Process] = []
        for hook in Hook:
            process = machine.hook_files.get(hook)
            if process is not None and process.status is None:
                self._left.append(process)
                machine.world.judge.count("S5 left-over hook")
                process.signal(TERMINATED)
            elif process is not None:
                del machine.hook_files[hook]

    def tick(self, now_ns: int) -> None:
        for process in list(self._left):
            if process.status is not None:
                self._left.remove(process)
                if self._machine.hook_files.get(process.hook) is process:
                    del self._machine.hook_files[process.hook]
        if now_ns >= self._kill_ns and not self._killed:
            self._killed = True
            for process in self._left:
                process.signal(KILLED)

    @property
    def gone(self) -> bool:
        return not self._left

    @property
    def next_ns(self) -> Optional[int]:
        """When to look again: the real one looks often, as it is told of no end."""
        return None if not self._left else self._machine.local_ns() + _LOOK_NS
