"""Running hooks as children: start, time-out, result, and all of it over the death of a worker (rule G1).

A hook's life has three owners.  The worker forks it.  When that worker dies, the guard, being a child
subreaper, becomes its parent and gets its exit status.  The next worker knows the hook from the former
worker's :meth:`HookRunner.dump` or, when it was forked after the last of these, from the hook file that
the hook wrote itself before it became the script; it watches the time-out and is told the exit status by
the guard (:meth:`HookRunner.reaped_elsewhere`).

So that no result is lost in between, an ended hook stays a zombie until the worker has made the result
safe and calls :meth:`HookRunner.forget`: if the worker dies before, the guard inherits the zombie.

A hook that exits by itself is over, whatever it left running; those are the services.  Only a hook that
has to be ended takes its whole process group with it.
"""

from __future__ import annotations

import dataclasses
import enum
import os
from typing import Optional

from had.config.settings import DaemonSettings
from had.core.actions import Alert, Hook, Level, RunHook
from had.core.events import HookOver, Outcome
from had.core.states import State
from had.core.turn import InvariantError
from had.runtime import hookchild, hookfile
from had.runtime.files import make_directory, remove, why
from had.runtime.fitness import Standing
from had.runtime.log import Say, printable
from had.runtime.output import OutputPipes
from had.runtime.processes import MS, GroupEnd, describe_status, is_our_child, is_there, look

SECOND = 1000 * MS
GRACE_NS = 5 * SECOND
"""Between TERM and KILL."""
APPEAR_NS = 300 * MS
"""How long a hook that a dead worker may have forked is waited for; more than hookchild.LATE_NS."""
_LOOK_NS = 20 * MS
_WATCH_NS = 200 * MS
"""How often a hook that is not our child is looked at."""
_LOST_NS = SECOND
"""How long after such a hook has vanished its exit status may still come from the guard."""
_FORK_AGAIN_NS = 200 * MS
_FORK_FOR_NS = 5 * SECOND
_STUBBORN_NS = 5 * SECOND
_MAX_STRAYS = 256


class Stage(enum.Enum):
    ASKED = "to be started"
    RUNNING = "running"
    ENDING = "being ended"
    OVER = "over, the result not yet safe"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be run."""

    run: int
    hook: Hook
    arguments: tuple[str, ...]
    timeout_ns: int
    variables: tuple[tuple[str, str], ...]


@dataclasses.dataclass
class Run:
    """One run of a hook; plain data, handed from worker to worker."""

    job: Job
    stage: Stage
    asked_ns: int
    next_ns: int
    """When there is something to do for it, if nothing happens before."""
    look_first: bool = False
    """ASKED: a dead worker may have started it."""
    end_wanted: bool = False
    """ASKED and look_first: to be ended as soon as it is found."""
    pid: int = 0
    started: int = 0
    ours: bool = False
    """Our child, so the exit status can be asked for."""
    deadline_ns: int = 0
    status: Optional[int] = None
    """As waitpid gives it; None: not known."""
    absent_since_ns: Optional[int] = None
    outcome: Outcome = Outcome.OK
    detail: str = ""
    end: Optional[GroupEnd] = None
    reported: bool = False
    """OVER: poll() has returned it."""
    complained: bool = False


@dataclasses.dataclass(frozen=True)
class RunnerData:
    """What the next worker needs to know."""

    runs: tuple[Run, ...]
    strays: tuple[tuple[int, int], ...]


class HookRunner:
    """Starts hooks, ends them, and tells when they are over.  Nothing here waits."""

    def __init__(
        self,
        settings: DaemonSettings,
        pipes: OutputPipes,
        say: Say,
        *,
        grace_ns: int = GRACE_NS,
        standing: Optional[Standing] = None,
    ) -> None:
        self._settings = settings
        self._pipes = pipes
        self._say = say
        self._grace_ns = grace_ns
        self._standing = standing
        self._runs: dict[int, Run] = {}
        self._strays: dict[int, int] = {}  # exit statuses of processes that belong to no run known so far
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            make_directory(settings.run_directory)
        except OSError as error:
            say(Level.ERROR, f"{settings.run_directory}: cannot be made: {why(error)}")

    def close(self) -> None:
        """Give descriptors back; running hooks go on."""
        os.close(self._null)

    # Asking for hooks

    def start(self, action: RunHook, now_ns: int, *, look_first: bool = False) -> None:
        """Start a hook.  :meth:`poll` gives one HookOver for it, also when it can't be started.

        ``look_first`` is for a new worker that only knows that this run was asked for: the hook is taken
        over if it exists, otherwise started after :data:`APPEAR_NS`.
        """
        variables = (
            ("HAD_STATE", action.state.name),
            ("HAD_PREVIOUS_STATE", action.previous.name),
            ("HAD_REASON", action.reason.text),
            ("HAD_REASON_CODE", action.reason.code),
            ("HAD_RUN_ID", str(action.run)),
        )
        self._add(Job(action.run, action.hook, (), action.timeout_ns, variables), now_ns, look_first)

    def start_alert(
        self, run: int, alert: Alert, state_now: State, now_ns: int, *, look_first: bool = False
    ) -> None:
        """Start ``alerthasrv``; for :class:`had.runtime.alerts.AlertQueue`, whose runs are negative."""
        variables = (
            ("HAD_STATE", alert.state.name),
            ("HAD_PREVIOUS_STATE", alert.previous.name),
            ("HAD_STATE_NOW", state_now.name),
            ("HAD_REASON", alert.reason.text),
            ("HAD_REASON_CODE", alert.reason.code),
            ("HAD_RUN_ID", f"alert{run}"),
        )
        arguments = (str(int(alert.state)), alert.state.name)
        self._add(Job(run, Hook.ALERT, arguments, alert.timeout_ns, variables), now_ns, look_first)

    def _add(self, job: Job, now_ns: int, look_first: bool) -> None:
        if job.run in self._runs or self.busy(job.hook):
            raise InvariantError(f"{job.hook.value} was to be run twice at once")
        run = Run(job, Stage.ASKED, asked_ns=now_ns, next_ns=now_ns, look_first=look_first)
        self._runs[job.run] = run
        self._advance(run, now_ns)

    def end(self, run: int, now_ns: int) -> None:
        """End a hook before its time; it is over (ENDED) when its group is gone."""
        found = self._runs.get(run)
        if found is None:
            return
        if found.stage is Stage.ASKED:
            found.end_wanted = True
            self._advance(found, now_ns)
        elif found.stage is Stage.RUNNING and not self._has_ended(found):
            self._begin_end(found, Outcome.ENDED, "was ended", now_ns)

    def busy(self, hook: Hook) -> bool:
        """Whether a hook of this kind is asked for, running or being ended."""
        return any(run.job.hook is hook and run.stage is not Stage.OVER for run in self._runs.values())

    def knows(self, run: int) -> bool:
        """Whether this run has been asked for and not been forgotten."""
        return run in self._runs

    # Time and results

    @property
    def next_ns(self) -> Optional[int]:
        """When :meth:`poll` has something to do though no child has ended, or None."""
        # What is over though it never began is told by no child's end.
        waiting = [run for run in self._runs.values() if not run.reported]
        return min((0 if run.stage is Stage.OVER else run.next_ns for run in waiting), default=None)

    def tick(self, now_ns: int) -> None:
        """Start, time out and end what is due."""
        for run in list(self._runs.values()):
            if run.stage is not Stage.OVER and now_ns >= run.next_ns:
                self._advance(run, now_ns)

    def poll(self, now_ns: int) -> list[HookOver]:
        """Do what :meth:`tick` does, and return the hooks that are over since the last call.

        To be called when a child has ended (SIGCHLD) and at :attr:`next_ns`.
        """
        for run in self._runs.values():
            # The exit first: a hook that made it just in time has not timed out.
            if run.stage is Stage.RUNNING:
                self._take_result(run)
            elif run.stage is Stage.ENDING:
                self._reap(run, now_ns)
        self.tick(now_ns)
        over = [run for run in self._runs.values() if run.stage is Stage.OVER and not run.reported]
        for run in over:
            run.reported = True
        return [HookOver(run.job.run, run.outcome, run.detail) for run in over]

    def reaped_elsewhere(self, pid: int, status: int) -> None:
        """Take what the guard tells: this process ended with this status (as waitpid gives it).

        What is told of a process that still exists is about an earlier one that had its number.
        """
        self._strays.pop(pid, None)
        self._strays[pid] = status
        if len(self._strays) > _MAX_STRAYS:
            del self._strays[next(iter(self._strays))]
        for run in self._runs.values():
            if run.pid == pid and run.stage in (Stage.RUNNING, Stage.ENDING):
                self._match_stray(run)

    def _match_stray(self, run: Run) -> None:
        """See whether the guard has told how a hook that is not our child ended."""
        if run.ours or run.pid not in self._strays or is_there(run.pid, run.started):
            return
        run.status = self._strays.pop(run.pid)
        run.next_ns = 0
        if run.end is not None:
            run.end.next_ns = 0

    def forget(self, run: int) -> None:
        """Reap the process and remove the hook's file; the result is safe."""
        found = self._runs.get(run)
        if found is None or found.stage is not Stage.OVER:
            return
        del self._runs[run]
        if found.ours:
            self._waitpid(found)
        path = self._file_of(found.job.hook)
        file = hookfile.read(path)
        if file is not None and file.run == run:
            self._remove(path)

    # Over the death of a worker

    def dump(self) -> RunnerData:
        """Return what :meth:`resume` needs: plain data, to be taken when the results that :meth:`poll`
        gave have been given to the core.
        """
        runs = []
        for run in self._runs.values():
            end = None if run.end is None else dataclasses.replace(run.end)
            runs.append(dataclasses.replace(run, end=end))
        return RunnerData(tuple(runs), tuple(self._strays.items()))

    def resume(self, data: RunnerData, now_ns: int) -> None:
        """Take over what a former worker's runner left; before anything else is asked for."""
        self._strays.update(data.strays)
        for run in data.runs:
            end = None if run.end is None else dataclasses.replace(run.end)
            resumed = dataclasses.replace(run, end=end, ours=is_our_child(run.pid), next_ns=now_ns)
            if resumed.stage is Stage.ASKED:  # it may have been started since
                resumed.look_first = True
                resumed.asked_ns = now_ns
            elif resumed.stage is not Stage.OVER:
                self._match_stray(resumed)
            self._runs[run.job.run] = resumed
        for run in data.runs:
            if run.stage is Stage.OVER and run.reported:
                self.forget(run.job.run)

    # One step of one run

    def _advance(self, run: Run, now_ns: int) -> None:
        if run.stage is Stage.ASKED:
            self._advance_asked(run, now_ns)
        elif run.stage is Stage.RUNNING:
            self._advance_running(run, now_ns)
        elif run.stage is Stage.ENDING:
            self._advance_ending(run, now_ns)

    def _advance_asked(self, run: Run, now_ns: int) -> None:
        if run.look_first:
            if self._find(run, now_ns):
                return
            if now_ns < run.asked_ns + APPEAR_NS:
                run.next_ns = now_ns + _LOOK_NS
                return
            run.look_first = False
        if run.end_wanted:
            self._over(run, Outcome.ENDED, "was ended before it was started")
            return
        try:
            self._fork(run, now_ns)
        except OSError as error:
            if now_ns - run.asked_ns >= _FORK_FOR_NS:
                self._over(run, Outcome.FAILED, f"cannot be started: {why(error)}")
            else:
                run.next_ns = now_ns + _FORK_AGAIN_NS

    def _fork(self, run: Run, now_ns: int) -> None:
        hook = run.job.hook
        path = os.path.join(self._settings.hooks_directory, hook.value)
        hook_file = self._file_of(hook)
        self._remove(hook_file)
        run.pid = hookchild.fork(
            hookchild.Command(
                run=run.job.run,
                path=path,
                arguments=run.job.arguments,
                environment=self._environment(run.job),
                stdin=self._null,
                output=self._pipes.writer(hook),
                hook_file=hook_file,
                standing=self._standing,
            )
        )
        run.ours = True
        process = look(run.pid)  # at least a zombie is there until we wait for it
        self._set_running(run, process.started if process else 0, now_ns)

    def _find(self, run: Run, now_ns: int) -> bool:
        """Take over a hook that a dead worker forked, if its file is there."""
        file = hookfile.read(self._file_of(run.job.hook))
        if file is None or file.run != run.job.run:
            return False
        run.pid = file.pid
        self._set_running(run, file.started, now_ns)
        self._match_stray(run)
        if run.end_wanted and not self._has_ended(run):
            self._begin_end(run, Outcome.ENDED, "was ended", now_ns)
        return True

    def _set_running(self, run: Run, started: int, now_ns: int) -> None:
        run.started = started
        run.stage = Stage.RUNNING
        run.deadline_ns = now_ns + run.job.timeout_ns
        run.next_ns = run.deadline_ns if run.ours else now_ns

    def _advance_running(self, run: Run, now_ns: int) -> None:
        if self._take_result(run):
            return
        run.next_ns = run.deadline_ns
        if not run.ours and not self._is_there(run, now_ns):
            return
        if now_ns >= run.deadline_ns:
            seconds = _seconds(run.job.timeout_ns)
            self._begin_end(run, Outcome.TIMED_OUT, f"timed out after {seconds} s", now_ns)

    def _is_there(self, run: Run, now_ns: int) -> bool:
        """Whether a hook that is not our child still exists; over if it vanished and nobody tells how."""
        process = look(run.pid)
        there = process is not None and process.started == run.started
        # A zombie of the guard's will be told by the guard.
        if process is not None and there and (not process.dead or process.parent == os.getppid()):
            run.absent_since_ns = None
            run.next_ns = min(now_ns + _WATCH_NS, max(run.deadline_ns, now_ns))
            return not process.dead
        run.next_ns = now_ns + _WATCH_NS
        if run.absent_since_ns is None:
            run.absent_since_ns = now_ns
        elif now_ns - run.absent_since_ns >= _LOST_NS:
            self._over(run, Outcome.FAILED, "its exit status was lost")
        return False

    def _begin_end(self, run: Run, outcome: Outcome, detail: str, now_ns: int) -> None:
        self._say(Level.WARNING, f"{run.job.hook.value} {detail}: SIGTERM to its process group {run.pid}")
        run.stage = Stage.ENDING
        run.outcome = outcome
        run.detail = detail
        run.end = GroupEnd(run.pid, run.started, kill_ns=now_ns + self._grace_ns)
        run.end.begin(now_ns)
        run.next_ns = run.end.next_ns

    def _advance_ending(self, run: Run, now_ns: int) -> None:
        end = run.end
        if end is None:
            raise InvariantError(f"{run.job.hook.value} is being ended and is not")
        killed = end.killed
        if end.step(now_ns):
            self._over(run, run.outcome, run.detail)
            return
        run.next_ns = end.next_ns
        name = f"{run.job.hook.value} (process group {end.group})"
        if end.killed and not killed:
            self._say(Level.WARNING, f"{name} takes no notice of SIGTERM: SIGKILL")
        elif now_ns >= end.kill_ns + _STUBBORN_NS and not run.complained:
            run.complained = True
            because = "we may not signal it" if end.refused else "SIGKILL does not end it"
            self._say(Level.ERROR, f"{name} still lives: {because}; waiting for it")

    def _over(self, run: Run, outcome: Outcome, detail: str) -> None:
        run.stage = Stage.OVER
        run.outcome = outcome
        run.detail = detail

    # Results

    def _has_ended(self, run: Run) -> bool:
        """Whether the hook's process has ended by itself, before anybody wanted it to."""
        if run.status is None and run.ours:
            run.status = _ask_status(run)
        return run.status is not None

    def _take_result(self, run: Run) -> bool:
        """Return whether the hook is over, with its result noted."""
        if not self._has_ended(run):
            return False
        status = run.status or 0
        if status == 0:
            self._over(run, Outcome.OK, "")
            return True
        detail = describe_status(status)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) in hookchild.FAILURE_CODES:
            file = hookfile.read(self._file_of(run.job.hook))
            if file is not None and file.run == run.job.run and file.failed:
                detail = f"cannot be run: {os.strerror(file.failed)}"
        self._over(run, Outcome.FAILED, detail)
        return True

    def _reap(self, run: Run, now_ns: int) -> None:
        """While a hook is being ended its status no longer matters, and reaped it leaves its group."""
        if run.ours and _ask_status(run) is not None:
            self._waitpid(run)
            run.ours = False
            if run.end is not None:
                run.next_ns = run.end.next_ns = now_ns

    def _waitpid(self, run: Run) -> None:
        try:
            os.waitpid(run.pid, os.WNOHANG)
        except ChildProcessError:
            run.ours = False  # somebody else has waited for it

    # Small things

    def _file_of(self, hook: Hook) -> str:
        return hookfile.path_of(self._settings.run_directory, hook)

    def _remove(self, path: str) -> None:
        try:
            remove(path)
        except OSError as error:
            self._say(Level.ERROR, f"{path}: cannot be removed: {why(error)}")

    def _environment(self, job: Job) -> dict[bytes, bytes]:
        settings = self._settings
        environment = {name: value for name, value in os.environb.items() if not name.startswith(b"HAD_")}
        fixed = (
            ("HAD_HOOK", job.hook.value),
            ("HAD_NODE", settings.core.node),
            ("HAD_CLUSTER", settings.cluster),
            ("HAD_INSTANCE", settings.instance),
            ("HAD_GROUP", settings.core.group),
            ("HAD_TIMEOUT", _seconds(job.timeout_ns)),
        )
        for name, value in (*fixed, *job.variables):
            environment[name.encode("ascii")] = printable(value).encode("utf-8", "backslashreplace")
        return environment


def _ask_status(run: Run) -> Optional[int]:
    """Return the exit status of a child of ours without reaping it, or None: it still runs."""
    try:
        result = os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        run.ours = False  # somebody else has waited for it: found by its absence
        return None
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return result.si_status << 8
    return result.si_status | (0x80 if result.si_code == os.CLD_DUMPED else 0)


def _seconds(time_ns: int) -> str:
    """Return seconds as a plain decimal number: ``600``, ``0.25``."""
    whole, rest = divmod(time_ns, SECOND)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
