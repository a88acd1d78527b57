"""What a node hears, and what must follow: two that run (rules T), holds (M2), the mark (L2)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from had.core.membership import order_key
from had.core.states import BUSY_STATES, RUNNING_STATES, Phase, State
from had.sim.clockwork import MS, SECOND
from had.sim.truth import HEARSAY, LONG_AGO, Ears, Quarrel, Truth

if TYPE_CHECKING:
    from had.sim.judge import Judge
    from had.sim.machine import Machine

IDLE_STATES = frozenset((State.STANDBY, State.ERRORED, State.STOPPING))
WAITING = frozenset((State.STANDBY, State.INITIAL))
HAD_TURN = frozenset((State.STOPPING, State.ERRORED))
"""Who began to start and says so has had its turn (M2)."""
RUNS = frozenset((Phase.STARTING, Phase.RUNNING))
QUARREL_BEATS = 4


def got_through(machine: Machine, ears: Ears, source: int, link: int, state: State, now_local: int) -> None:
    """Write down what has been given to a core."""
    words = ears.words[source]
    silent = now_local - ears.heard_local[source] > machine.settings.dead_ns
    if silent or words[link] is not state or state in RUNNING_STATES:
        heard(machine.world.judge, machine, source, link, state)
        words[link] = state
        if not WAITING & set(words):
            ears.waits_local[source] = LONG_AGO
        elif ears.waits_local[source] == LONG_AGO:
            ears.waits_local[source] = now_local
    elif state in HAD_TURN:
        judge = machine.world.judge
        truth = judge.truths[machine.index]
        if truth.held and judge.counts_for(machine, judge.world.machines[source]):
            _hear_on_hold(judge, truth, source, state)  # said before on this link, but not since it was held
    ears.heard_local[source] = ears.link_heard[source][link] = now_local
    if state in BUSY_STATES:
        ears.busy_local[source] = now_local
        ears.busy_ns[source] = machine.world.queue.now_ns


def heard(judge: Judge, machine: Machine, source: int, link: int, state: State) -> None:
    """Take in a word that is new, or that says "running", or that comes after a silence."""
    truth, ears = judge.truths[machine.index], machine.ears
    other = judge.world.machines[source]
    if ears.words[source][link] is not state:
        judge.world.tell(machine, f"hears that {other.name} is {state.name} (link {link + 1})")
    if not judge.counts_for(machine, other):
        return
    if truth.must_stop and truth.phase in RUNS:
        raise judge.broken("1 all but one stop (T2, P1)", f"{machine.name} runs beside {truth.must_stop}")
    _follow(judge, machine, source, link, state)
    if truth.phase in RUNS:
        truth.must_erase = truth.must_erase or f"{other.name} was heard while it runs"
    if state is not State.RUNNING and source in truth.against:
        truth.against.remove(source)
        truth.trouble[source] = machine.local_ns()  # T4 counts from here
    if truth.held:
        _hear_on_hold(judge, truth, source, state)


class Memory:
    """What has got through before a turn of the loop, or its last snapshot: what comes after it in that turn
    dies with the worker, also for the judge.
    """

    def __init__(self, machine: Machine) -> None:
        self._ears = machine.ears
        self._hearsay: dict[str, Any] = {}

    def keep(self, machine: Machine) -> None:
        truth = machine.world.judge.truths[machine.index]
        self._ears = machine.ears.copy()
        self._hearsay = {name: copy.deepcopy(getattr(truth, name)) for name in HEARSAY}

    def restore(self, machine: Machine) -> None:
        truth = machine.world.judge.truths[machine.index]
        machine.ears = self._ears
        for name, value in self._hearsay.items():
            setattr(truth, name, value)


def _follow(judge: Judge, machine: Machine, source: int, link: int, state: State) -> None:
    """Follow who is heard running, and since when."""
    truth, ears = judge.truths[machine.index], machine.ears
    other, now_local = judge.world.machines[source], machine.local_ns()
    if state in RUNNING_STATES:
        listens = truth.phase in RUNS and now_local < truth.listens_until_local
        if listens or _is_newer_start(machine, truth, source, link, now_local):
            truth.must_stop = other.name
        truth.must_erase = f"{other.name} was heard running"
        _quarrel(judge, machine, truth, source, link, now_local)
        if ears.words[source][link] in IDLE_STATES:
            ears.idle_local[source] = max(ears.idle_local[source], ears.link_heard[source][link])
        if now_local - ears.run_local[source] > machine.settings.dead_ns:
            truth.trouble[source] = now_local
        ears.run_local[source] = now_local
    else:
        truth.quarrels.pop(source, None)
        if state in IDLE_STATES:
            ears.idle_local[source] = now_local
        if state in (State.STANDBY, State.ERRORED):
            ears.rest_local[source] = now_local


def _is_newer_start(machine: Machine, truth: Truth, source: int, link: int, now_local: int) -> bool:
    """Whether a start was witnessed (T2): on one link an idle word came while it ran, and then another."""
    ears, settings = machine.ears, machine.settings
    heard_local = ears.link_heard[source][link]
    return (
        truth.phase in RUNS
        and ears.words[source][link] in IDLE_STATES
        and now_local - heard_local <= settings.dead_ns
        and heard_local >= truth.run_since_local
        and now_local - truth.run_since_local > 2 * settings.heartbeat_ns + MS
        and now_local >= truth.listens_until_local
        and not machine.lost_worker_lately()
    )


def _hear_on_hold(judge: Judge, truth: Truth, source: int, state: State) -> None:
    if state is State.RUNNING:
        truth.held = False
    elif state is State.STARTING:
        truth.starters.append(source)
    elif state in HAD_TURN and source in truth.starters:
        truth.held = False


def _quarrel(judge: Judge, machine: Machine, truth: Truth, source: int, link: int, now_local: int) -> None:
    """Follow two that run, from the view of one of them."""
    settings = machine.settings
    if truth.phase not in RUNS or now_local < truth.listens_until_local:
        truth.quarrels.pop(source, None)
        return
    other = judge.world.machines[source]
    silence_ns = now_local - machine.ears.heard_local[source]
    if silence_ns > settings.dead_ns:
        truth.quarrels.pop(source, None)
    if silence_ns > settings.heartbeat_ns * 9 // 4 - MS and source in truth.against:
        truth.against.remove(source)
        truth.quarrels.pop(source, None)
    quarrel = truth.quarrels.get(source)
    if quarrel is None:
        quarrel = truth.quarrels[source] = Quarrel(now_local)
        judge.count("T two are heard running")
    if source in truth.against:
        judge.count("T excuse: forced against it")
        return
    beats, counted = quarrel.beats.get(link, (0, LONG_AGO))
    later = order_key(machine.name) > order_key(other.name)
    if later and beats >= QUARREL_BEATS:
        raise judge.broken(
            "1 all but one stop (T3)", f"{machine.name} runs on though {other.name} runs and comes first"
        )
    if now_local - quarrel.since_local > 2 * settings.dead_ns + 3 * settings.heartbeat_ns + SECOND:
        raise judge.broken(
            "1 all but one stop (T4)", f"{machine.name} runs on beside {other.name} for two dead times"
        )
    if now_local - counted >= settings.heartbeat_ns // 2 + MS:
        quarrel.beats[link] = (beats + 1, now_local)
