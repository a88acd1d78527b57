"""No move without a cause: each change of a phase is looked at with what is true at that moment.

Promise 3 (no surprise) in full: the service never stops, an error never ends, a hold is never forgotten and
nobody starts unless something has happened that the rules name, and it has really happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from had.core.events import Word
from had.core.membership import order_key
from had.core.node import Node
from had.core.settings import Isolated, StopFailure
from had.core.states import Phase, State
from had.sim.clockwork import MS, SECOND
from had.sim.manners import check_order
from had.sim.truth import LONG_AGO, Truth

if TYPE_CHECKING:
    from had.sim.judge import Judge
    from had.sim.machine import Machine

PACE = 3
HEARD_AGAIN = 2
CLAIMS = frozenset((Phase.ASKING, Phase.CLAIMING, Phase.STARTING))
"""Announced as STARTING; a step may pass through the first two without being seen."""


def check_move(judge: Judge, machine: Machine, truth: Truth, node: Node) -> None:
    """Look at a change of phase, from ``truth.before`` to ``truth.phase``."""
    before, phase = truth.before, truth.phase
    truth.must_stop = ""
    if phase in CLAIMS and before not in CLAIMS:
        truth.claim_ns = judge.claim_begins(machine)
        if phase is not Phase.ASKING:
            _check_claim(judge, machine, truth, node)
    if phase is Phase.CLAIMING or before is Phase.CLAIMING:
        _check_epoch(judge, machine, truth, node)
    if before in (Phase.STARTING, Phase.RUNNING) and phase in (Phase.STOPPING, Phase.ABORTING, Phase.GONE):
        _check_stop(judge, machine, truth, node)
    told = truth.words or truth.leaving or truth.forced
    if before in (Phase.WAITING, Phase.PROBING) and phase is Phase.RUNNING:
        _check_found(judge, machine, truth)
    refuses = machine.settings.stop_failure is StopFailure.BLOCK and truth.stop_told_failed
    if before is Phase.STOPPING and phase in (Phase.ERRORED, Phase.STANDBY) and refuses:
        raise judge.broken(
            "S4 block", f"{machine.name} is {phase.name} after a stop that failed, not blocked"
        )
    if before is Phase.ERRORED and phase is not Phase.ERRORED and not told:
        raise judge.broken("3 no surprise", f"{machine.name} leaves ERRORED, and no person has said so")
    if before is Phase.BLOCKED and phase is not Phase.BLOCKED and Word.CLEAR not in truth.words:
        raise judge.broken("M6 blocked", f"{machine.name} leaves a blocked STOPPING without SIGUSR2")
    if phase in (Phase.STARTING, Phase.RUNNING) and before not in (Phase.STARTING, Phase.RUNNING):
        truth.run_since_local = machine.local_ns()
        truth.quarrels.clear()
        truth.monitor_failures = 0
        truth.against = _heard_running(judge, machine) if truth.forced else []
    if before in (Phase.WAITING, None) and phase is not Phase.WAITING and not truth.began_main:
        _check_start_up(judge, machine, truth, node)


def _check_found(judge: Judge, machine: Machine, truth: Truth) -> None:
    """See that RUNNING right after INITIAL is what the monitor said, and nobody else was heard (S3)."""
    if not truth.monitor_good:
        raise judge.broken("S3 found running", f"{machine.name} is RUNNING, which its monitor has not said")
    said = set(_heard_running(judge, machine))
    others = [other.name for other in _running_peers(judge, machine) if other.index in said]
    if others:
        raise judge.broken("S3 found running", f"{machine.name} goes on beside {others[0]}")


def _heard_running(judge: Judge, machine: Machine) -> list[int]:
    ears = machine.ears
    return [
        other.index
        for other in judge.machines()
        if other is not machine
        and any(word is not None and word.name == "RUNNING" for word in ears.words[other.index])
    ]


def _counted_heard(judge: Judge, machine: Machine, within_ns: int) -> int:
    """How many configured nodes were heard within this time, this one included."""
    now_local, heard = machine.local_ns(), machine.ears.heard_local
    others = (
        other for other in judge.machines() if other is not machine and judge.counts_for(machine, other)
    )
    return 1 + sum(now_local - heard[other.index] <= within_ns for other in others)


def _check_claim(judge: Judge, machine: Machine, truth: Truth, node: Node) -> None:
    """Check a claim that no person forced (E1): quorum, not isolated, not on hold, nobody heard running."""
    if truth.forced:
        return
    settings, data = machine.settings, node.data
    if truth.held and not starter_is_silent(machine, truth):
        raise judge.broken("3 a hold is kept", f"{machine.name} claims though SIGHUP put it on hold")
    if data.alone:
        judge.count("L3 S2 claims alone")
    elif settings.count > 2:
        within_ns = min(PACE * settings.heartbeat_ns, settings.dead_ns // 2)
        heard = _counted_heard(judge, machine, within_ns)
        if 2 * heard <= settings.count:
            raise judge.broken(
                "Q1 quorum", f"{machine.name} claims with {heard} of {settings.count} nodes heard lately"
            )
    if _must_listen(judge, machine):
        raise judge.broken(
            "H3 listens first", f"{machine.name} claims, and has not heard all since it was deaf"
        )
    if machine.told_isolated():
        raise judge.broken(
            "1 an isolated standby never takes over", f"{machine.name} claims while it is isolated"
        )
    check_order(judge, machine)
    now_local, busy = machine.local_ns(), machine.ears.busy_local
    limit_ns = settings.dead_ns - judge.slack_ns()
    for other in judge.machines():
        word_idle = machine.ears.rest_local[other.index] >= busy[other.index] or any(
            word in (State.STANDBY, State.ERRORED) for word in machine.ears.words[other.index]
        )
        if other is machine or word_idle or now_local - busy[other.index] > limit_ns:
            continue
        raise judge.broken(
            "E1 nobody runs", f"{machine.name} claims though it has just heard {other.name} busy"
        )


def _must_listen(judge: Judge, machine: Machine) -> bool:
    """Whether deafness ended less than a dead time ago, and not all have been heard since (H3)."""
    now_local, since_local = machine.local_ns(), machine.hears_again_local
    if not since_local <= now_local <= since_local + machine.settings.dead_ns:
        return False
    heard = machine.ears.heard_local
    counted = [
        other for other in judge.machines() if other is not machine and judge.counts_for(machine, other)
    ]
    return sum(heard[other.index] >= since_local for other in counted) < machine.settings.count - 1


def starter_is_silent(machine: Machine, truth: Truth) -> bool:
    """M2: who announced STARTING since the hold began has been silent for the start timeout."""
    now_local, heard = machine.local_ns(), machine.ears.heard_local
    silence_ns = machine.settings.start_timeout_ns
    return any(now_local - heard[source] >= silence_ns for source in truth.starters)


def _check_epoch(judge: Judge, machine: Machine, truth: Truth, node: Node) -> None:
    """Every claim has a new epoch, above all that were made here (E5, E6)."""
    epoch = node.data.groups[0].epoch
    if truth.phase is Phase.CLAIMING or truth.before is not Phase.CLAIMING:
        if epoch <= truth.epoch_made:
            raise judge.broken(
                "E6 no epoch goes back", f"{machine.name} claims {epoch}, had made {truth.epoch_made}"
            )
        truth.epoch_made = epoch


def _check_stop(judge: Judge, machine: Machine, truth: Truth, node: Node) -> None:
    """See that the service stops only for a reason that is true."""
    code = node.data.groups[0].reason.code
    judge.count(f"stop: {code}")
    check = CAUSES.get(code)
    if check is None:
        raise judge.broken("3 no surprise", f"{machine.name} stops for no known reason ({code})")
    why = check(judge, machine, truth)
    if why:
        raise judge.broken("3 no surprise", f"{machine.name} stops ({code}), but {why}")


def _by_leaving(_judge: Judge, _machine: Machine, truth: Truth) -> str:
    return "" if truth.leaving else "nobody sent SIGTERM"


def _by_word(_judge: Judge, _machine: Machine, truth: Truth) -> str:
    return "" if Word.STAND_DOWN in truth.words else "nobody sent SIGHUP"


def _by_monitor(_judge: Judge, machine: Machine, truth: Truth) -> str:
    wanted = machine.settings.monitor_failures
    return "" if truth.monitor_failures >= wanted else f"its monitor failed {truth.monitor_failures} times"


def _by_start(_judge: Judge, machine: Machine, truth: Truth) -> str:
    return "" if truth.start_failed else "its start has not failed"


def _running_peers(judge: Judge, machine: Machine) -> list[Machine]:
    """Return configured peers that were heard running within a dead time."""
    now_local, run = machine.local_ns(), machine.ears.run_local
    limit_ns = machine.settings.dead_ns + machine.late_ns()
    return [
        other
        for other in judge.machines()
        if other is not machine
        and judge.counts_for(machine, other)
        and now_local - run[other.index] <= limit_ns
    ]


def _by_newer_start(judge: Judge, machine: Machine, truth: Truth) -> str:
    now_local, settings = machine.local_ns(), machine.settings
    if now_local - truth.run_since_local < 2 * settings.heartbeat_ns:
        return "it has not announced itself for two heartbeats"
    idle = machine.ears.idle_local
    watched = [each for each in _running_peers(judge, machine) if idle[each.index] >= truth.run_since_local]
    return "" if watched else "it has not watched anybody start"


def _by_order(judge: Judge, machine: Machine, truth: Truth) -> str:
    ours = order_key(machine.name)
    earlier = [each for each in _running_peers(judge, machine) if order_key(each.name) < ours]
    if not earlier:
        return "no node that comes first runs"
    if len(machine.carrier) > 1 or machine.was_stalled() or machine.lost_worker_lately():
        return ""  # how often it was heard is not exactly known here
    counted = [beats for quarrel in truth.quarrels.values() for beats, _ in quarrel.beats.values()]
    return "" if max(counted, default=0) >= HEARD_AGAIN else "it was not heard twice more"


def _by_patience(judge: Judge, machine: Machine, truth: Truth) -> str:
    now_local, settings = machine.local_ns(), machine.settings
    for other in _running_peers(judge, machine):
        times = 2 if order_key(machine.name) < order_key(other.name) else 1
        least_ns = times * settings.dead_ns - SECOND
        since_local = max(truth.run_since_local, truth.trouble.get(other.index, now_local))
        if now_local - since_local >= least_ns:
            return ""
    return "nobody was heard running for so long"


def _by_isolation(_judge: Judge, machine: Machine, _truth: Truth) -> str:
    if machine.settings.isolated is not Isolated.STOP:
        return "isolated = keep"
    since_local, now_local = machine.isolated_local, machine.local_ns()
    if since_local is None or now_local - since_local < machine.settings.dead_ns // 2 - MS:
        return "it has not been isolated for half the dead time"
    return "" if machine.told_isolated() else "it is not isolated"


def _by_pause(judge: Judge, machine: Machine, truth: Truth) -> str:
    if truth.listens_until_local == LONG_AGO:
        return "there was no pause"
    return "" if _running_peers(judge, machine) else "nobody else was heard running"


CAUSES: dict[str, Callable[[Judge, Machine, Truth], str]] = {
    "leaving": _by_leaving,
    "left": _by_leaving,
    "stand-down": _by_word,
    "monitor-failed": _by_monitor,
    "start-failed": _by_start,
    "newer-start": _by_newer_start,
    "later-in-order": _by_order,
    "never-yields": _by_patience,
    "isolated": _by_isolation,
    "taken-over": _by_pause,
}
"""What a stop may be decided for, and what must be true then."""


def _check_start_up(judge: Judge, machine: Machine, truth: Truth, node: Node) -> None:
    """See how INITIAL ends: alone only by the mark, by configuration or by a person (S1, S2, L3)."""
    if node.data.groups[0].phase is Phase.GONE:
        return
    reason = node.data.groups[0].reason
    judge.count(f"INITIAL ends: {reason.code}")
    if reason.code != "go-on-alone" or "alone = start" in reason.text:
        return
    judge.count("L3 goes on by the mark")
    now_local = machine.local_ns()
    heard = [
        other.name
        for other in judge.machines()
        if other is not machine
        and judge.counts_for(machine, other)
        and now_local - machine.ears.heard_local[other.index] < machine.settings.dead_ns - MS
    ]
    if heard:
        raise judge.broken("4 no other lone node", f"{machine.name} goes on alone though it hears {heard[0]}")
    least_ns = machine.settings.dead_ns if truth.same_boot else machine.settings.startup_ns
    if now_local - truth.began_local < min(least_ns, machine.settings.startup_ns) - MS:
        raise judge.broken("L3 silence first", f"{machine.name} goes on alone and has hardly listened")
    if not node.data.mark:
        raise judge.broken("4 no other lone node", f"{machine.name} goes on alone without the mark")
