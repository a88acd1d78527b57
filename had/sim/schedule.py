"""A schedule: a cluster and what happens to it when, as a text that people can read and change.

::

    had-sim 1
    seed 77
    link travel=0.0003
    link travel=0.0011 crossover
    node a drift=120 count=2 heartbeat=1 dead=5 startup=20
    node b old count=2 heartbeat=1 dead=5
    at 0 power-on a
    at 0.2 start a
    at 31.5 signal a SIGHUP
    at 60 calm mend

Times are seconds, exact to the nanosecond.  The seed decides what is left to chance even so: which packet is
lost where the weather is bad, how long a fork takes.  What each verb does is in :mod:`had.sim.deeds`.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from had.core.settings import Alone, Isolated, Link, Settings, StopFailure
from had.sim.clockwork import SECOND

TITLE = "had-sim 1"
_ENUMS: dict[str, type[enum.Enum]] = {"alone": Alone, "isolated": Isolated, "stop_failure": StopFailure}
_NAMES = ("names", "order")
_LEFT_OUT = ("node", "links")
_DEFAULTS = Settings("x")


class ScheduleError(ValueError):
    """A text that is no schedule; one line for a person."""


@dataclasses.dataclass(frozen=True)
class LinkPlan:
    travel_ns: int
    """How long a packet takes in fair weather."""
    crossover: bool = False


@dataclasses.dataclass(frozen=True)
class NodePlan:
    settings: Settings
    drift_ppm: int = 0
    old: bool = False
    """It runs the old daemon."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that happens."""

    at_ns: int
    verb: str
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Schedule:
    """One run of the simulator."""

    seed: int
    links: tuple[LinkPlan, ...]
    nodes: tuple[NodePlan, ...]
    steps: tuple[Step, ...]


def seconds(span_ns: int) -> str:
    """Write a span exactly: ``12``, ``0.25``."""
    whole, rest = divmod(span_ns, SECOND)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def span(text: str) -> int:
    """Read what :func:`seconds` writes.

    :raises ScheduleError:
    """
    whole, _, rest = text.partition(".")
    if not (whole + rest).isdigit() or len(rest) > 9:
        raise ScheduleError(f"not a time in seconds: {text}")
    return int(whole or "0") * SECOND + int(rest.ljust(9, "0"))


def write(schedule: Schedule) -> str:
    """Return the text."""
    lines = [TITLE, f"seed {schedule.seed}"]
    for link in schedule.links:
        lines.append(f"link travel={seconds(link.travel_ns)}" + (" crossover" if link.crossover else ""))
    for node in schedule.nodes:
        words = [f"node {node.settings.node}", *(["old"] if node.old else [])]
        if node.drift_ppm:
            words.append(f"drift={node.drift_ppm}")
        lines.append(" ".join(words + _settings_words(node.settings)))
    for step in schedule.steps:
        lines.append(" ".join(("at", seconds(step.at_ns), step.verb, *step.words)))
    return "\n".join(lines) + "\n"


def _settings_words(settings: Settings) -> list[str]:
    words = []
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        if field.name in _LEFT_OUT or value == getattr(_DEFAULTS, field.name):
            continue
        key = field.name
        if key.endswith("_ns"):
            key, text = key[:-3], seconds(value)
        elif isinstance(value, enum.Enum):
            text = str(value.value)
        elif key in _NAMES:
            text = ",".join(value)
        else:
            text = str(value)
        words.append(f"{key}={text}")
    return words


def read(text: str) -> Schedule:
    """Read a text.

    :raises ScheduleError: it is none; with the line's number.
    """
    seed = 0
    links: list[LinkPlan] = []
    nodes: list[list[str]] = []
    steps: list[Step] = []
    lines = text.splitlines()
    if not lines or lines[0].strip() != TITLE:
        raise ScheduleError(f"line 1: a schedule begins with {TITLE!r}")
    for number, line in enumerate(lines[1:], 2):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "seed" and len(words) == 2:
                seed = int(words[1])
            elif words[0] == "link":
                links.append(_link(words[1:]))
            elif words[0] == "node" and len(words) > 1:
                nodes.append(words[1:])
            elif words[0] == "at" and len(words) > 2:
                steps.append(Step(span(words[1]), words[2], tuple(words[3:])))
            else:
                raise ScheduleError(f"not understood: {line.strip()}")
        except ValueError as error:
            raise ScheduleError(f"line {number}: {error}") from error
    if not nodes or not links:
        raise ScheduleError("a schedule needs a link and a node at least")
    return Schedule(seed, tuple(links), tuple(_node(words, links) for words in nodes), tuple(steps))


def _link(words: list[str]) -> LinkPlan:
    travel_ns, crossover = SECOND // 1000, False
    for word in words:
        key, _, value = word.partition("=")
        if key == "travel":
            travel_ns = span(value)
        elif word == "crossover":
            crossover = True
        else:
            raise ScheduleError(f"a link has no {word}")
    return LinkPlan(travel_ns, crossover)


def _node(words: list[str], links: list[LinkPlan]) -> NodePlan:
    name, *rest = words
    drift, old = 0, False
    fields: dict[str, Any] = {}
    known = {field.name for field in dataclasses.fields(Settings)} - set(_LEFT_OUT)
    for word in rest:
        key, _, value = word.partition("=")
        if word == "old":
            old = True
        elif key == "drift":
            drift = int(value)
        elif f"{key}_ns" in known:
            fields[f"{key}_ns"] = span(value)
        elif key in _ENUMS:
            fields[key] = _ENUMS[key](value)
        elif key in _NAMES:
            fields[key] = tuple(each for each in value.split(",") if each)
        elif key in known and value in ("True", "False"):
            fields[key] = value == "True"
        elif key in known:
            fields[key] = int(value) if value.isdigit() else value
        else:
            raise ScheduleError(f"node {name}: there is no setting {key}")
    named = tuple(Link(f"link{number}", link.crossover) for number, link in enumerate(links, 1))
    return NodePlan(Settings(name, links=named, **fields), drift, old)
