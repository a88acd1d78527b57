"""The text of a schedule or scenario: a cluster and what happens to it, readable and to be changed by people.

::

    # The active node loses its power.
    had-sim 1
    set heartbeat=0.2 dead=1 startup=4
    nodes alpha beta
    start alpha beta
    expect alpha RUNNING within 5
    at 60 calm mend

Here is what the lines say of the cluster; what each verb does is in :mod:`had.sim.deeds`, what ``expect``
looks at in :mod:`had.sim.scenario_expect`, and how a file is played in :mod:`had.sim.scenario`.  For people
all of it is in ``docs/scenarios.md``.

Times are seconds, exact to the nanosecond.  The seed decides what is left to chance even so: which packet is
lost where the weather is bad, how long a fork takes.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any

from had.core.settings import Alone, Isolated, Link, Settings, StopFailure
from had.sim.clockwork import SECOND

TITLE = "had-sim 1"
TOLD = "|"
"""With this begins a line that tells what happened: it is no command."""
NOW = -1
"""A step that has no time of its own: it comes when what stands before it is done."""
ALLOWED = ("overlap",)
RESERVED = frozenset(("to", "link", "main", "mend", "services"))
"""What stands where names of nodes do."""
_ENUMS: dict[str, type[enum.Enum]] = {"alone": Alone, "isolated": Isolated, "stop_failure": StopFailure}
_NAMES = ("names", "order")
_LEFT_OUT = ("node", "links")
_DEFAULTS = Settings("x")


class ScheduleError(ValueError):
    """A text that is no schedule; one line for a person."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {text}" if line else text)
        self.text, self.line = text, line


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
    """When, since the begin; or :data:`NOW`."""
    verb: str
    words: tuple[str, ...] = ()
    line: int = dataclasses.field(default=0, compare=False)
    """Where it stands in the text."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """One run of the simulator."""

    seed: int
    links: tuple[LinkPlan, ...]
    nodes: tuple[NodePlan, ...]
    steps: tuple[Step, ...]
    allow: tuple[tuple[str, str], ...] = ()
    """What may happen that is else a failure, each with the reason."""
    only_simulator: str = ""
    """Why the lab does not play it."""
    order_free: str = ""
    """Why the lab does not compare the states' order."""

    @property
    def names(self) -> list[str]:
        return [node.settings.node for node in self.nodes]


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


# Writing


def write(schedule: Schedule) -> str:
    """Return the text."""
    lines = [TITLE, f"seed {schedule.seed}"]
    if schedule.only_simulator:
        lines.append(f"only simulator: {schedule.only_simulator}")
    if schedule.order_free:
        lines.append(f"lab order free: {schedule.order_free}")
    lines += [f"allow {kind}: {why}" for kind, why in schedule.allow]
    for link in schedule.links:
        lines.append(f"link travel={seconds(link.travel_ns)}" + (" crossover" if link.crossover else ""))
    common = settings_words(schedule.nodes[0].settings)
    for node in schedule.nodes:
        own = settings_words(node.settings)
        common = [word for word in common if word in own]
    if common:
        lines.append(" ".join(["set", *common]))
    for node in schedule.nodes:
        words = [f"node {node.settings.node}", *(["old"] if node.old else [])]
        if node.drift_ppm:
            words.append(f"drift={node.drift_ppm}")
        lines.append(" ".join(words + [word for word in settings_words(node.settings) if word not in common]))
    for step in schedule.steps:
        when = () if step.at_ns == NOW else ("at", seconds(step.at_ns))
        lines.append(" ".join((*when, step.verb, *step.words)))
    return "\n".join(lines) + "\n"


def settings_words(settings: Settings) -> list[str]:
    """Write what differs from the defaults of the core."""
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


# Reading


def read(text: str) -> Schedule:
    """Read a text.  Whether its steps can be done is for :func:`had.sim.deeds.check` to say.

    :raises ScheduleError: it is none; with the line's number.
    """
    return _Reader(text).schedule()


@dataclasses.dataclass(frozen=True)
class _NodeLine:
    """What is known of a node before all names are."""

    name: str
    words: tuple[str, ...]
    line: int


class _Reader:
    def __init__(self, text: str) -> None:
        self.seed = 0
        self.links: list[LinkPlan] = []
        self.common: list[str] = []
        self.nodes: list[_NodeLine] = []
        self.listed = False
        """There is a line ``nodes``: what had.conf would work out is worked out."""
        self.steps: list[Step] = []
        self.allow: list[tuple[str, str]] = []
        self.only_simulator = self.order_free = ""
        lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
        lines = [(number, words) for number, words in lines if words and not words[0].startswith(TOLD)]
        if not lines or lines[0][1] != TITLE.split():
            raise ScheduleError(
                f"a schedule begins with {TITLE!r}; only comments may stand before it",
                lines[0][0] if lines else 1,
            )
        for self.line, words in lines[1:]:
            try:
                self._take(words)
            except ValueError as error:
                raise ScheduleError(getattr(error, "text", str(error)), self.line) from error

    def _take(self, words: list[str]) -> None:
        head, *rest = words
        heads = {
            "seed": self._seed,
            "link": lambda words: self.links.append(_link(words)),
            "set": self._set,
            "nodes": self._nodes,
            "node": self._node,
            "only": lambda words: setattr(self, "only_simulator", _reason("only", "simulator:", words)),
            "lab": lambda words: setattr(self, "order_free", _reason("lab", "order free:", words)),
            "allow": self._allow,
        }
        if head in heads:
            heads[head](rest)
        elif head == "at":
            if len(rest) < 2:
                raise ScheduleError("it is written: at SECONDS VERB WORDS")
            self._step(span(rest[0]), rest[1], rest[2:])
        else:
            self._step(NOW, head, rest)

    def _step(self, at_ns: int, verb: str, words: list[str]) -> None:
        if at_ns == NOW and verb == "start":
            self.steps.append(
                Step(NOW, "power-on", tuple(word for word in words if word != "main"), self.line)
            )
        self.steps.append(Step(at_ns, verb, tuple(words), self.line))

    def _seed(self, words: list[str]) -> None:
        if len(words) != 1 or not words[0].isdigit():
            raise ScheduleError("it is written: seed NUMBER")
        self.seed = int(words[0])

    def _set(self, words: list[str]) -> None:
        if self.nodes:
            raise ScheduleError("set comes before the nodes that it is for: move it up")
        self.common += words

    def _nodes(self, words: list[str]) -> None:
        if not words or any("=" in word for word in words):
            raise ScheduleError("it is written: nodes NAME NAME ...; settings go into a line with set")
        self.listed = True
        self.nodes += [_NodeLine(name, (), self.line) for name in words]

    def _node(self, words: list[str]) -> None:
        if not words:
            raise ScheduleError("it is written: node NAME [old] [SETTING=VALUE ...]")
        self.nodes.append(_NodeLine(words[0], tuple(words[1:]), self.line))

    def _allow(self, words: list[str]) -> None:
        kinds = [f"{kind}:" for kind in ALLOWED]
        if not words or words[0] not in kinds or len(words) < 2:
            raise ScheduleError(f"it is written: allow {' or '.join(kinds)} REASON")
        self.allow.append((words[0][:-1], " ".join(words[1:])))

    def schedule(self) -> Schedule:
        if not self.nodes:
            raise ScheduleError("a schedule needs a node at least: nodes alpha beta")
        if not self.links:
            self.links.append(LinkPlan(SECOND // 1000))
        names = [node.name for node in self.nodes]
        for place, node in enumerate(self.nodes):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", node.name) or node.name in RESERVED:
                raise ScheduleError(f"this can't be the name of a node: {node.name}", node.line)
            if node.name in names[:place]:
                raise ScheduleError(f"there are two nodes {node.name}", node.line)
        return Schedule(
            self.seed,
            tuple(self.links),
            tuple(self._plan(node, names) for node in self.nodes),
            tuple(self.steps),
            tuple(self.allow),
            self.only_simulator,
            self.order_free,
        )

    def _plan(self, node: _NodeLine, names: list[str]) -> NodePlan:
        try:
            drift, old, fields = _node_words(node.name, [*self.common, *node.words])
        except ValueError as error:
            raise ScheduleError(getattr(error, "text", str(error)), node.line) from error
        if self.listed:
            fields = {"count": len(names), "names": tuple(names), **fields}
            _work_out(fields)
        links = tuple(Link(f"link{number}", link.crossover) for number, link in enumerate(self.links, 1))
        return NodePlan(Settings(node.name, links=links, **fields), drift, old)


def _reason(head: str, between: str, words: list[str]) -> str:
    """Return what follows ``only simulator:`` or ``lab order free:``."""
    expected = between.split()
    if words[: len(expected)] != expected or len(words) == len(expected):
        raise ScheduleError(f"it is written: {head} {between} REASON")
    return " ".join(words[len(expected) :])


def _link(words: list[str]) -> LinkPlan:
    travel_ns, crossover = SECOND // 1000, False
    for word in words:
        key, _, value = word.partition("=")
        if key == "travel":
            travel_ns = span(value)
        elif word == "crossover":
            crossover = True
        else:
            raise ScheduleError(f"a link has no {word}: it is written: link [travel=SECONDS] [crossover]")
    return LinkPlan(travel_ns, crossover)


def _node_words(name: str, words: list[str]) -> tuple[int, bool, dict[str, Any]]:
    drift, old = 0, False
    fields: dict[str, Any] = {}
    known = {field.name for field in dataclasses.fields(Settings)} - set(_LEFT_OUT)
    for word in words:
        key, _, value = word.partition("=")
        if word == "old":
            old = True
        elif key == "drift":
            if not re.fullmatch(r"-?\d{1,6}", value):
                raise ScheduleError(f"drift is a whole number of millionths: {word}")
            drift = int(value)
        elif f"{key}_ns" in known:
            fields[f"{key}_ns"] = span(value)
        elif key in _ENUMS:
            fields[key] = _choice(key, value)
        elif key in _NAMES:
            fields[key] = tuple(each for each in value.split(",") if each)
        elif key in known and value in ("True", "False"):
            fields[key] = value == "True"
        elif key in ("count", "monitor_failures"):
            if not value.isdigit() or not int(value):
                raise ScheduleError(f"{key} is a number, at least 1: {word}")
            fields[key] = int(value)
        elif key in known:
            fields[key] = value
        else:
            raise ScheduleError(f"node {name}: there is no setting {key}")
    return drift, old, fields


def _choice(key: str, value: str) -> enum.Enum:
    for choice in _ENUMS[key]:
        if choice.value == value:
            return choice
    raise ScheduleError(f"{key} is {' or '.join(each.value for each in _ENUMS[key])}: {key}={value}")


def _work_out(fields: dict[str, Any]) -> None:
    """Set what had.conf works out of other keys, as :mod:`had.config.timers` does."""
    beat_ns: int = fields.get("heartbeat_ns", _DEFAULTS.heartbeat_ns)
    dead_ns: int = fields.get("dead_ns", _DEFAULTS.dead_ns)
    startup_ns: int = fields.get("startup_ns", _DEFAULTS.startup_ns)
    fields.setdefault("warn_ns", max(dead_ns // 2, beat_ns))
    fields.setdefault("startup_quorum_ns", min(2 * dead_ns, startup_ns))
    fields.setdefault("monitor_interval_ns", max(beat_ns, SECOND))
