"""What a person says: the signals (rules M1 to M3, M6 to M8).

A word is obeyed at once where that is one move; else it leaves its trace in the group's data and
:mod:`had.core.decide` takes it up when the time has come.  Each is made so that a second one of its kind
changes nothing: ``killall`` reaches guard and worker, and both pass it on.
"""

from __future__ import annotations

from had.core import survivor
from had.core.actions import Level, Reason
from had.core.data import Group, Hold
from had.core.events import Word
from had.core.group import CLAIMS, STOPS, become, state_of, stop, withdraw
from had.core.states import Cause, Phase
from had.core.turn import Turn

_LATER = {
    Phase.PROBING: "when monitorhasrv has answered",
    Phase.CLEANING: "when the clean-up is over",
    Phase.ABORTING: "when the stop is over",
    Phase.STOPPING: "when the stop is over",
    Phase.BLOCKED: "when the stop is over: mend it and send SIGUSR2 first",
}
"""What a SIGUSR1 has to wait for."""


def on_word(turn: Turn, group: Group, word: Word) -> None:
    """Obey a signal (rules M)."""
    if group.phase is Phase.GONE:
        return
    {
        Word.LEAVE: on_leave,
        Word.STAND_DOWN: on_stand_down,
        Word.TAKE_OVER: on_take_over,
        Word.CLEAR: on_clear,
    }[word](turn, group)


def on_leave(turn: Turn, group: Group) -> None:
    """SIGTERM, SIGINT (M7)."""
    if group.leaving:
        turn.note(Level.INFO, Reason("leaving", "SIGTERM: already on the way out", Word.LEAVE))
        return
    group.leaving, group.take_over = True, False
    if group.phase is Phase.BLOCKED:
        text = "SIGTERM: the services could not be stopped; mend that and send SIGUSR2"
        turn.note(Level.ERROR, Reason("leaving-blocked", text, Word.LEAVE))
    elif group.phase in STOPS or group.phase is Phase.CLEANING:
        text = "SIGTERM: the daemon ends when stophasrv is over"
        turn.note(Level.NOTICE, Reason("leaving", text, Word.LEAVE))


def on_stand_down(turn: Turn, group: Group) -> None:
    """SIGHUP (M1)."""
    group.take_over = False
    reason = Reason("stand-down", "SIGHUP: another node is to run the services", Word.STAND_DOWN)
    phase = group.phase
    moves = phase in (Phase.STARTING, Phase.RUNNING) or phase in STOPS or phase in CLAIMS
    if moves and group.goal is Phase.STANDBY:
        group.hold = group.hold or Hold()
    if moves or phase is Phase.ERRORED:
        group.renounced = True
        survivor.erase(turn, "SIGHUP")
    if phase in (Phase.STARTING, Phase.RUNNING):
        stop(turn, group, reason)
    elif phase in CLAIMS:
        withdraw(turn, group, reason)
    elif phase is Phase.ERRORED:
        group.goal = Phase.ERRORED
        text = "SIGHUP: stophasrv runs once more; SIGUSR2 clears the error"
        become(turn, group, Cause.STOP_AGAIN, Reason("stop-again", text, Word.STAND_DOWN))
    elif phase is Phase.BLOCKED:
        text = "SIGHUP: the services could not be stopped; mend that and send SIGUSR2"
        turn.note(Level.ERROR, Reason("still-blocked", text, Word.STAND_DOWN))
    elif phase in STOPS:
        text = f"SIGHUP: already stopping, then {group.goal.name}"
        turn.note(Level.INFO, Reason("stand-down", text, Word.STAND_DOWN))
    else:
        text = f"SIGHUP changes nothing: the services do not run here ({state_of(group).name})"
        turn.note(Level.NOTICE, Reason("nothing-to-stop", text, Word.STAND_DOWN))


def on_take_over(turn: Turn, group: Group) -> None:
    """SIGUSR1 (M3)."""
    if group.leaving:
        text = "SIGUSR1 is ignored: the daemon is on its way out"
        turn.note(Level.NOTICE, Reason("leaving", text, Word.TAKE_OVER))
    elif group.phase in (Phase.STARTING, Phase.RUNNING, Phase.ASKING):
        text = f"SIGUSR1 changes nothing: already {state_of(group).name}"
        turn.note(Level.NOTICE, Reason("already-running", text, Word.TAKE_OVER))
    elif group.phase is Phase.CLAIMING:
        group.forced = True
        text = "SIGUSR1: already starting; now whatever others say"
        turn.note(Level.NOTICE, Reason("forced", text, Word.TAKE_OVER))
    else:
        group.hold, group.take_over = None, True
        later = _LATER.get(group.phase)
        if later:
            text = f"SIGUSR1: to be started {later}"
            turn.note(Level.NOTICE, Reason("take-over-later", text, Word.TAKE_OVER))


def on_clear(turn: Turn, group: Group) -> None:
    """SIGUSR2 (M6)."""
    held, group.hold = group.hold is not None, None
    if group.phase is Phase.ERRORED and group.not_looked:
        group.goal = Phase.STANDBY
        text = "SIGUSR2: stophasrv runs once more, since it has failed; then the error is cleared"
        become(turn, group, Cause.STOP_AGAIN, Reason("stop-again", text, Word.CLEAR))
    elif group.phase is Phase.ERRORED:
        text = "SIGUSR2: the error is cleared"
        become(turn, group, Cause.CLEARED, Reason("cleared", text, Word.CLEAR))
    elif group.phase is Phase.BLOCKED:
        group.goal = Phase.STANDBY
        text = "SIGUSR2: stophasrv runs once more"
        become(turn, group, Cause.STOP_AGAIN, Reason("stop-again", text, Word.CLEAR))
    elif group.phase in STOPS and group.goal is Phase.ERRORED:
        group.goal = Phase.STANDBY
        text = "SIGUSR2: the error is cleared; STANDBY after the stop"
        turn.note(Level.NOTICE, Reason("cleared", text, Word.CLEAR))
    elif not held:
        text = f"SIGUSR2 changes nothing: no error and no hold ({state_of(group).name})"
        turn.note(Level.NOTICE, Reason("nothing-to-clear", text, Word.CLEAR))
    if held:  # last, since where an error is cleared as well that is the answer
        turn.note(Level.NOTICE, Reason("released", "SIGUSR2: no longer on hold", Word.CLEAR))
