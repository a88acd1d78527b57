"""From a schedule that breaks a promise to a short one that breaks the same promise.

Steps are taken out, first many at once, then one by one; then nodes and drifting clocks; then times are
made round.  Whatever still breaks the same promise is kept.  A step that ends a trouble (heal, resume,
power-on) may go as well as one that begins it; the calm stays, for it is what promise 2 is about.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Callable

from had.core.settings import Settings
from had.sim.clockwork import MS, SECOND
from had.sim.run import run_schedule
from had.sim.schedule import NodePlan, Schedule, Step

USUAL = (
    "alone",
    "isolated",
    "stop_failure",
    "start_timeout_ns",
    "stop_timeout_ns",
    "monitor_timeout_ns",
    "alert_timeout_ns",
    "monitor_interval_ns",
    "monitor_failures",
    "isolation_by_machine",
)
"""Settings whose defaults go with any others."""
Tells = Callable[[Schedule], bool]


def shrink(schedule: Schedule, promise: str, budget_s: float = 60) -> Schedule:
    """Return the shortest schedule found that breaks the promise."""
    until_s = time.monotonic() + budget_s

    def breaks(candidate: Schedule) -> bool:
        if time.monotonic() > until_s:
            return False
        try:
            broken = run_schedule(candidate).broken
        except (ValueError, KeyError, IndexError):
            return False  # the steps that are left make no sense together
        return broken is not None and broken.promise == promise

    schedule = _cut_after(schedule, breaks)
    before = None
    while before != schedule and time.monotonic() < until_s:
        before = schedule
        schedule = _without_steps(schedule, breaks)
        schedule = _without_nodes(schedule, breaks)
        schedule = _simpler(schedule, breaks)
        schedule = _rounder(schedule, breaks)
    return schedule


def _with(schedule: Schedule, steps: list[Step]) -> Schedule:
    return dataclasses.replace(schedule, steps=tuple(steps))


def _cut_after(schedule: Schedule, breaks: Tells) -> Schedule:
    """Leave out what came after the failure, if it came before the calm."""
    broken = run_schedule(schedule).broken
    if broken is None or any(step.verb == "calm" and step.at_ns <= broken.at_ns for step in schedule.steps):
        return schedule
    steps = [step for step in schedule.steps if step.at_ns <= broken.at_ns]
    steps.append(Step(broken.at_ns, "wait", ("0",)))  # something to wait for
    candidate = _with(schedule, steps)
    return candidate if breaks(candidate) else schedule


def _without_steps(schedule: Schedule, breaks: Tells) -> Schedule:
    """Take out as many steps as can go."""
    size = max(1, len(schedule.steps) // 2)
    while True:
        place = 0
        while place < len(schedule.steps):
            taken = schedule.steps[place : place + size]
            rest = [*schedule.steps[:place], *schedule.steps[place + size :]]
            candidate = _with(schedule, rest)
            if not any(step.verb == "calm" for step in taken) and breaks(candidate):
                schedule = candidate
            else:
                place += size
        if size == 1:
            return schedule
        size = max(1, size // 2)


def _without_nodes(schedule: Schedule, breaks: Tells) -> Schedule:
    """Take out nodes, and let the others know of fewer."""
    for node in schedule.nodes:
        if len(schedule.nodes) <= 1:
            break
        name = node.settings.node
        rest = [each for each in schedule.nodes if each.settings.node != name]
        steps = [step for step in schedule.steps if name not in step.words]
        for change in (len(schedule.nodes) - 1, node.settings.count):
            nodes = tuple(_knows(each, name, change) for each in rest)
            candidate = dataclasses.replace(schedule, nodes=nodes, steps=tuple(steps))
            if breaks(candidate):
                schedule = candidate
                break
    return schedule


def _knows(node: NodePlan, without: str, count: int) -> NodePlan:
    settings = node.settings
    names = tuple(name for name in settings.names if name != without or count == settings.count)
    return dataclasses.replace(node, settings=dataclasses.replace(settings, count=count, names=names))


def _simpler(schedule: Schedule, breaks: Tells) -> Schedule:
    """Take out oddities of the cluster: drift, travel times, settings that need not differ from the usual."""
    simpler = dataclasses.replace(
        schedule, links=tuple(dataclasses.replace(link, travel_ns=MS) for link in schedule.links)
    )
    if simpler != schedule and breaks(simpler):
        schedule = simpler
    simpler = dataclasses.replace(
        schedule, nodes=tuple(dataclasses.replace(node, drift_ppm=0) for node in schedule.nodes)
    )
    if simpler != schedule and breaks(simpler):
        schedule = simpler
    for name in USUAL:
        nodes = tuple(_usual(node, name) for node in schedule.nodes)
        simpler = dataclasses.replace(schedule, nodes=nodes)
        if simpler != schedule and breaks(simpler):
            schedule = simpler
    return schedule


def _usual(node: NodePlan, name: str) -> NodePlan:
    change = {name: getattr(Settings("x"), name)}
    return dataclasses.replace(node, settings=dataclasses.replace(node.settings, **change))


def _rounder(schedule: Schedule, breaks: Tells) -> Schedule:
    """Make times round, where that changes nothing."""
    for unit_ns in (SECOND, SECOND // 10, SECOND // 100):
        for place, step in enumerate(schedule.steps):
            rounded_ns = step.at_ns // unit_ns * unit_ns
            if rounded_ns == step.at_ns:
                continue
            steps = list(schedule.steps)
            steps[place] = dataclasses.replace(step, at_ns=rounded_ns)
            steps.sort(key=lambda each: each.at_ns)
            candidate = _with(schedule, steps)
            if breaks(candidate):
                schedule = candidate
    return schedule
