"""How hooks end, and what follows (rules S3, S4, E7, M7, T6)."""

from __future__ import annotations

from had.core.actions import Hook, Level, Reason
from had.core.data import Group
from had.core.events import HookOver, Outcome
from had.core.group import become, fail, leave, number_of
from had.core.membership import busy_peers, is_cleaning
from had.core.settings import StopFailure
from had.core.states import Cause, Phase
from had.core.turn import Turn, listed


def on_hook_over(turn: Turn, group: Group, event: HookOver) -> None:
    """Go on with a hook's result."""
    hook = group.hook
    if hook is None or event.run != group.run:
        return
    group.hook, group.ending = None, False
    good = event.outcome is Outcome.OK
    what = told(hook, event)
    if group.phase is Phase.PROBING:
        probe_over(turn, group, good)
    elif group.phase is Phase.CLEANING:
        clean_over(turn, group, good, what)
    elif group.phase is Phase.STARTING and good:
        become(turn, group, Cause.STARTED, Reason("started", f"{turn.settings.group} run here: {what}"))
    elif group.phase is Phase.STARTING:
        fail(
            turn, group, Cause.START_FAILED, Reason("start-failed", f"{what}: the services are stopped again")
        )
    elif group.phase is Phase.RUNNING:
        monitor_over(turn, group, good, what)
    elif group.phase is Phase.STOPPING and hook is Hook.STOP:
        stop_over(turn, group, good, what)


def told(hook: Hook, event: HookOver) -> str:
    """Say how a hook ended: "stophasrv failed (exit status 1)"."""
    if event.outcome is Outcome.FAILED and event.detail:
        return f"{hook.value} failed ({event.detail})"
    return f"{hook.value} {event.outcome.value}"


def last_stop(good: bool, what: str) -> str:
    """Say what the last ``stophasrv`` of a daemon leaves behind."""
    return f"{what}: the services are stopped" if good else f"{what}: the services may still run here"


def probe_over(turn: Turn, group: Group, good: bool) -> None:
    """Leave INITIAL (S3)."""
    number = number_of(turn, group)
    # A peer that cleans up at its own start runs nothing.
    busy = [peer for peer in busy_peers(turn, number) if not is_cleaning(turn, peer, number)]
    group.may_run = good
    if good and not busy:
        group.epoch = turn.node.epoch
        text = "monitorhasrv found the services running here, and nobody else runs them"
        become(turn, group, Cause.FOUND_RUNNING, Reason("found-running", text))
        group.take_over = False
        return
    text = "clean-up: the services do not run here"
    if good:
        text = f"clean-up: the services run here, but also on {listed([peer.name for peer in busy])}"
    become(turn, group, Cause.FOUND_STOPPED, Reason("clean-up", text))


def clean_over(turn: Turn, group: Group, good: bool, what: str) -> None:
    """Become STANDBY, or not (S3, S4)."""
    group.not_looked = not good and group.may_run
    block = turn.settings.stop_failure is StopFailure.BLOCK and group.may_run
    if not good and block:
        become(turn, group, Cause.STOP_BLOCKED, Reason("stop-blocked", _blocked(what)), Level.ERROR)
    elif group.leaving and not good:
        leave(turn, group, 1, Reason("left", f"{last_stop(good, what)}; the daemon ends"))
    elif good:
        become(turn, group, Cause.CLEANED, Reason("standby", "ready: the services are stopped here"))
    else:
        text = f"{what}: this node stays out until SIGUSR2"
        become(turn, group, Cause.CLEANING_FAILED, Reason("clean-up-failed", text), Level.ERROR)


def _blocked(what: str) -> str:
    return f"{what}: the services may still run, so no node may start them; mend that here and send SIGUSR2"


def monitor_over(turn: Turn, group: Group, good: bool, what: str) -> None:
    """Count failures in a row; as many as ``monitor_failures`` stop the group."""
    settings = turn.settings
    if good:
        if group.monitor_failures:
            turn.note(Level.NOTICE, Reason("monitor-good", "monitorhasrv succeeds again"))
        group.monitor_failures = 0
        return
    group.monitor_failures += 1
    if group.monitor_failures >= settings.monitor_failures:
        fail(turn, group, Cause.MONITOR_FAILED, Reason("monitor-failed", what))
        return
    text = f"{what}, {group.monitor_failures} of {settings.monitor_failures} in a row"
    turn.note(Level.WARNING, Reason("monitor-failing", text))


def stop_over(turn: Turn, group: Group, good: bool, what: str) -> None:
    """End a stop (M7, E7, T6)."""
    group.not_looked = not good
    if not good and turn.settings.stop_failure is StopFailure.BLOCK:
        become(turn, group, Cause.STOP_BLOCKED, Reason("stop-blocked", _blocked(what)), Level.ERROR)
    elif group.leaving:
        code = 0 if good else 1
        leave(turn, group, code, Reason("left", f"{last_stop(good, what)}; the daemon ends"))
    elif not good:
        text = f"{what}: the services may still run here, and another node may start them"
        become(turn, group, Cause.STOP_FAILED, Reason("stop-failed", text), Level.ERROR)
    elif group.goal is Phase.ERRORED:
        # Why it stops is why it stays out; a person's word in between says nothing of that.
        failure = "a failure" if group.reason.word else group.reason.text.partition(": ")[0]
        text = f"{failure}; the services are stopped, and this node stays out until SIGUSR2"
        become(turn, group, Cause.STOPPED_ERRORED, Reason("errored", text), Level.ERROR)
    else:
        become(turn, group, Cause.STOPPED, Reason("standby", "the services are stopped here"))
