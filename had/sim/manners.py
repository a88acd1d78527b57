"""How a node behaves whatever happens: alerts, complaints, its monitor, its turn, and waiting for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from had.core.actions import Hook, Level, Note, RunHook
from had.core.events import Outcome, Word
from had.core.membership import order_key
from had.core.settings import Settings
from had.core.states import BUSY_STATES, Phase, State
from had.sim.clockwork import MS, SECOND
from had.sim.hearing import WAITING
from had.sim.truth import LONG_AGO, Truth

if TYPE_CHECKING:
    from had.sim.judge import Judge
    from had.sim.machine import Machine

COMPLAINTS = frozenset(
    ("stranger", "stranger-runs", "two-run", "no-quorum", "on-hold", "waiting", "no-privileges", "too-many")
)
"""Codes of what is told once a minute at most."""
MINUTE_NS = 60 * SECOND
SLACK_NS = 3 * SECOND


def patience_ns(settings: Settings) -> int:
    """Return how long a node whose turn it is may hesitate (E4), by the rule and not by the core."""
    return max(10 * SECOND, 2 * settings.dead_ns)


def alerted(judge: Judge, machine: Machine, state: State) -> None:
    """See that each change is alerted once (A1)."""
    truth = judge.truths[machine.index]
    if state is truth.alerted:
        raise judge.broken("A1 alerts", f"{machine.name} alerts {state.name} twice")
    truth.alerted = state


def announced(judge: Judge, machine: Machine, truth: Truth, state: State) -> None:
    """See that nothing is announced before it is alerted (A1), and nobody unready says STANDBY (E3)."""
    if state not in (State.INITIAL, State.ERRORED, truth.alerted):
        raise judge.broken(
            "A1 alerts", f"{machine.name} says {state.name}, and alerted {truth.alerted.name} last"
        )
    if state is State.STANDBY and truth.held:
        raise judge.broken("E3 not ready", f"{machine.name} says STANDBY though it is on hold")
    now_local = machine.local_ns()
    if now_local - truth.said_local > 2 * machine.settings.heartbeat_ns:  # it did not run for a while
        truth.monitor_over_local = truth.free_local = now_local
    truth.said_local = now_local
    _check_waiting(judge, machine, truth, state)
    _check_monitor(judge, machine, truth)


def complained(judge: Judge, machine: Machine, truth: Truth, note: Note) -> None:
    """See that the same is told once a minute at most."""
    if note.level is not Level.WARNING or note.reason.code not in COMPLAINTS:
        return
    now_local, key = machine.local_ns(), note.reason.code + note.reason.text
    if now_local - truth.told.get(key, LONG_AGO) < MINUTE_NS - MS and not machine.lost_worker_lately():
        raise judge.broken("no storm of words", f"{machine.name} says again: {note.reason.text}")
    truth.told[key] = now_local


def words_come(judge: Judge, machine: Machine, words: list[Word]) -> None:
    """See that of words which come together a stop is obeyed last (M8)."""
    stops = [number for number, word in enumerate(words) if word in (Word.STAND_DOWN, Word.LEAVE)]
    if stops and Word.TAKE_OVER in words[stops[0] :]:
        raise judge.broken("M8 stop beats start", f"{machine.name} obeys {words[-1].value} last")


# Hooks


def monitor_begins(judge: Judge, machine: Machine, truth: Truth) -> None:
    """See that the monitor is asked no more often than configured; a new worker asks at once."""
    now_local, before_local = machine.local_ns(), truth.monitored_local
    truth.monitored_local = now_local
    if truth.phase is not Phase.RUNNING or before_local < truth.run_since_local:
        return
    soon = now_local - before_local < machine.settings.monitor_interval_ns - MS
    if soon and not machine.lost_worker_lately():
        raise judge.broken("the monitor's pace", f"{machine.name} asks its monitor again at once")


def _check_monitor(judge: Judge, machine: Machine, truth: Truth) -> None:
    """See that a node that runs goes on asking (promise 2)."""
    settings = machine.settings
    if truth.phase is not Phase.RUNNING or Hook.MONITOR in machine.running:
        return
    if machine.was_stalled() or machine.lost_worker_lately() or machine.hook_files:
        return
    since_local = max(truth.monitored_local, truth.run_since_local, truth.monitor_over_local)
    if machine.local_ns() - since_local > settings.monitor_interval_ns + settings.heartbeat_ns + SLACK_NS:
        raise judge.broken("2 a failed service moves", f"{machine.name} does not ask its monitor any more")


def told(judge: Judge, machine: Machine, action: RunHook, outcome: Outcome) -> None:
    """See that a hook has had the time that is configured."""
    settings, truth = machine.settings, judge.truths[machine.index]
    if action.hook is Hook.MONITOR:
        truth.monitor_over_local = machine.local_ns()
    if outcome is not Outcome.TIMED_OUT:
        return
    wanted_ns = {
        Hook.START: settings.start_timeout_ns,
        Hook.STOP: settings.stop_timeout_ns,
        Hook.MONITOR: settings.monitor_timeout_ns,
    }[action.hook]
    had_ns = machine.local_ns() - truth.hook_local.get(action.hook, LONG_AGO)
    if had_ns < wanted_ns - MS:
        raise judge.broken(
            "hooks have their time", f"{machine.name} ends {action.hook.value} after {had_ns} ns"
        )


# Whose turn it is


def check_order(judge: Judge, machine: Machine) -> None:
    """See that who comes first and could start has had its turn (E1, E2, E4)."""
    settings, now_local, ears = machine.settings, machine.local_ns(), machine.ears
    least_ns = min(patience_ns(settings), settings.startup_ns) - MS
    for other in judge.machines():
        if other is machine or not judge.counts_for(machine, other):
            continue
        if order_key(other.name) > order_key(machine.name):
            continue
        words = [word for word in ears.words[other.index] if word is not None]
        heard_lately = now_local - ears.heard_local[other.index] < settings.dead_ns - judge.slack_ns()
        if not heard_lately or not words or set(words) - WAITING:
            continue
        if now_local - ears.waits_local[other.index] < least_ns:
            raise judge.broken(
                "E1 who is first", f"{machine.name} claims though {other.name} comes first and is ready"
            )


def _check_waiting(judge: Judge, machine: Machine, truth: Truth, state: State) -> None:
    """See that nobody waits for ever where the rules say that it may start (E1, E4)."""
    now_local = machine.local_ns()
    if state is not State.STANDBY or truth.leaving or not _is_free(judge, machine):
        truth.free_local = now_local
        return
    settings = machine.settings
    others = [other for other in judge.machines() if order_key(other.name) < order_key(machine.name)]
    limit_ns = (
        len(others) * (patience_ns(settings) + settings.startup_ns)
        + 2 * settings.dead_ns
        + 3 * settings.heartbeat_ns
        + SLACK_NS
    )
    if now_local - truth.free_local > limit_ns:
        raise judge.broken(
            "2 nobody waits for ever", f"{machine.name} could start for {limit_ns // SECOND} s and does not"
        )


def _is_free(judge: Judge, machine: Machine) -> bool:
    """Whether nothing that has got through keeps it from starting, but for whose turn it is."""
    settings, now_local, ears = machine.settings, machine.local_ns(), machine.ears
    counted = 1
    for other in judge.machines():
        if other is machine:
            continue
        silence_ns = now_local - ears.heard_local[other.index]
        if now_local - ears.busy_local[other.index] <= settings.dead_ns + machine.late_ns():
            return False
        if silence_ns <= min(3 * settings.heartbeat_ns, settings.dead_ns // 2):
            counted += judge.counts_for(machine, other)
        if silence_ns <= settings.dead_ns and BUSY_STATES & set(ears.words[other.index]):
            return False
    if machine.lost_worker_lately() or machine.was_stalled() or machine.isolated_local is not None:
        return False
    return counted >= settings.quorum
