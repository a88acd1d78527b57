"""What tells two computers apart: everything that a rule or a check looks at, and nothing else.

Read as one:
- moments as distances from now, as :func:`had.core.data.fingerprint` shows them; those longer ago than any
  rule asks for as "long ago", those that no world waits for as "not soon";
- epochs as distances from the node's own: the old format carries none, so nobody compares them with others'.
  Of the reserved ones only whether they suffice for a while;
- what is only told to people: reasons, when a complaint is due again, unanswered words, what was alerted, the
  link last heard, since when a state is shown, the number of a hook;
- moments that only one phase looks at, in other phases.
A field that is not named here counts, so a new one can't be forgotten.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, cast

from had.core.data import Group, NodeData
from had.core.settings import Settings
from had.core.states import Phase
from had.sim.truth import LONG_AGO, Ears, Quarrel, Truth

if TYPE_CHECKING:
    from had.sim.small.computer import Computer

STARTS_UP = frozenset((Phase.WAITING, Phase.PROBING, Phase.CLEANING))
RUNS = frozenset((Phase.STARTING, Phase.RUNNING))
ENOUGH_EPOCHS = 600
"""With so many reserved no rule asks for more (:data:`had.core.group.EPOCHS`)."""
_PLAIN = frozenset((bool, str, type(None)))
_NODE_APART = frozenset(
    (
        *("groups", "epoch", "epoch_asked", "epoch_recorded", "met", "initial_ns", "heard_ns"),
        *("told_ns", "unanswered", "wake_ns", "ran_ns"),
    )
)
"""What of a node's data is told in another way, or to people only; what it wants follows from the rest."""
_GROUP_APART = frozenset(("epoch", "since_ns", "run", "reason", "verdict", "alerted"))
_TOLD_ONLY = frozenset(("newest", "warned"))
"""What of a peer is told to people only."""
_ONLY_IN = {
    "claim_ns": (Phase.CLAIMING,),
    "asked_ns": (Phase.ASKING,),
    "yielded_ns": (Phase.ASKING,),
    "monitor_ns": (Phase.RUNNING,),
    "monitor_failures": (Phase.RUNNING,),
    "run_since_ns": tuple(RUNS),
}
"""In which phases alone somebody looks."""
_UNSEEN = frozenset(
    (
        *("sent", "sent_second", "stalled_ns", "spoilt", "erasing", "epoch_confirmed"),
        *("told", "alerted", "hook_local"),
    )
)
"""What the judge remembers and the core does in its own data, which goes along with it; and counters."""
_JUDGED_ONLY_IN = {
    "run_since_local": tuple(RUNS),
    "trouble": tuple(RUNS),
    "quarrels": tuple(RUNS),
    "monitored_local": (Phase.PROBING, Phase.RUNNING),
    "monitor_over_local": (Phase.PROBING, Phase.RUNNING),
    "free_local": (Phase.STANDBY,),
    "began_local": (None, *STARTS_UP),
}


def picture(computer: Computer) -> object:
    """Return what tells a computer apart; equal ones do the same from here on."""
    truth = computer.truth
    if computer.node is None:
        left = (truth.open_ns is not None, truth.stop_failed, truth.clean, truth.last_stop_failed)
        return ("off", computer.service, computer.mark, computer.same_boot, computer.links_up, left)
    settings, now_ns = computer.settings, computer.now_ns
    limits = _limits(settings)
    hook = computer.hook
    return (
        _node(computer.node.data, limits, now_ns),
        _truth(truth, computer.node.data, settings, now_ns),
        _ears(computer, now_ns),
        hook and (hook.hook, hook.due_ns - now_ns, hook.slow, hook.ending),
        computer.service,
        computer.mark,
        computer.links_up,
        computer.paused_ns and computer.paused_ns - now_ns,
        computer.isolated_local and max(computer.isolated_local - now_ns, -settings.dead_ns),
        max(computer.hears_again_local - now_ns, -settings.dead_ns - 1),
        max(computer.stalled_local - now_ns, -4 * settings.dead_ns),
    )


def _limits(settings: Settings) -> dict[str, int]:
    """How long ago a moment matters, by the name of its field; the others: as long as anything does."""
    beat_ns, dead_ns = settings.heartbeat_ns, settings.dead_ns
    longest_ns = max(
        settings.startup_ns, settings.start_timeout_ns, settings.stop_timeout_ns, settings.patience_ns
    )
    return {
        "": max(longest_ns, 2 * dead_ns) + 2 * beat_ns,
        "heard_ns": max(2 * dead_ns, settings.start_timeout_ns) + beat_ns,
        "counted_ns": beat_ns,
        "started_ns": 3 * beat_ns,
        "busy_ns": 2 * dead_ns + beat_ns,
        "since_ns": max(2 * dead_ns, settings.start_timeout_ns) + 3 * beat_ns,
        "run_since_ns": max(2 * dead_ns, settings.start_timeout_ns) + 3 * beat_ns,
        "excused_ns": 2 * dead_ns,
    }


def _node(data: NodeData, limits: dict[str, int], now_ns: int) -> object:
    """Picture a core's data."""
    epoch = data.epoch
    starts_up = any(group.phase in STARTS_UP for group in data.groups)
    parts: list[object] = [
        min(data.epoch_asked - epoch, ENOUGH_EPOCHS),
        min(data.epoch_recorded - epoch, ENOUGH_EPOCHS),
        tuple(sorted(data.met)) if starts_up else None,
        _seen(data.initial_ns, "initial_ns", limits, now_ns) if starts_up else None,
        # What L3 goes by.
        _seen(data.heard_ns, "heard_ns", limits, now_ns) if starts_up or data.alone else None,
        tuple(_group(group, epoch, limits, now_ns) for group in data.groups),
    ]
    for name, value in vars(data).items():
        if name not in _NODE_APART:
            parts.append(_seen(value, name, limits, now_ns))
    return tuple(parts)


def _group(group: Group, epoch: int, limits: dict[str, int], now_ns: int) -> object:
    phase = group.phase
    parts: list[object] = [max(group.epoch - epoch, -1)]
    for name, value in vars(group).items():
        phases = _ONLY_IN.get(name)
        if name in _GROUP_APART or (phases is not None and phase not in phases):
            continue
        if name in ("turn_since_ns", "turn_initial") and not group.turn_of:
            continue
        parts.append(_seen(value, name, limits, now_ns))
    return tuple(parts)


def _seen(value: object, name: str, limits: dict[str, int], now_ns: int) -> object:
    """Picture a tree as :func:`had.core.data.fingerprint` does; moments no further away than they matter."""
    kind = type(value)
    if kind is int:
        if value and name.endswith("_ns"):
            return _near(cast(int, value) - now_ns, limits.get(name, limits[""]))
        return value
    if kind in _PLAIN:
        return value
    if kind is list:
        return tuple([_seen(item, name, limits, now_ns) for item in cast("list[object]", value)])
    if kind is dict:
        tree = cast("dict[Any, object]", value)
        return tuple([(key, _seen(tree[key], name, limits, now_ns)) for key in sorted(tree)])
    if isinstance(value, enum.Enum):
        return value
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"not a node's data: {value!r}")
    return tuple(
        [_seen(item, key, limits, now_ns) for key, item in vars(value).items() if key not in _TOLD_ONLY]
    )


def _near(span_ns: int, limit_ns: int) -> int:
    return min(max(span_ns, -limit_ns), limit_ns)


def _truth(truth: Truth, data: NodeData, settings: Settings, now_ns: int) -> object:
    """Picture what the judge remembers."""
    longest_ns = 2 * settings.dead_ns + 4 * settings.heartbeat_ns
    phase = truth.phase
    parts: list[object] = []
    for name, value in vars(truth).items():
        phases = _JUDGED_ONLY_IN.get(name)
        if name in _UNSEEN or (phases is not None and phase not in phases):
            continue
        if name == "open_ns":
            parts.append(value is not None)
        elif name == "quarrels":
            parts.append(tuple((key, _quarrel(value[key], now_ns, longest_ns)) for key in sorted(value)))
        elif name == "trouble":
            parts.append(tuple((key, max(value[key] - now_ns, -longest_ns)) for key in sorted(value)))
        elif name.endswith(("_local", "_ns")) and isinstance(value, int):
            parts.append(max(value - now_ns, -longest_ns))
        elif name == "words":
            parts.append(tuple(sorted({word.name for word in value})))
        elif name in ("starters", "against"):
            parts.append(tuple(sorted(set(value))))
        elif name == "epoch_made":
            parts.append(max(value - data.epoch, -1))
        elif isinstance(value, (dict, list)):
            parts.append(repr(value))
        else:
            parts.append(value)
    return tuple(parts)


def _quarrel(quarrel: Quarrel, now_ns: int, longest_ns: int) -> object:
    beats = quarrel.beats
    counted = tuple(
        (link, beats[link][0], max(beats[link][1] - now_ns, -longest_ns)) for link in sorted(beats)
    )
    return (max(quarrel.since_local - now_ns, -longest_ns), counted)


def _ears(computer: Computer, now_ns: int) -> object:
    """Picture what has got through."""
    settings, ears = computer.settings, computer.ears
    longest_ns = max(settings.dead_ns, settings.start_timeout_ns, settings.startup_ns) + settings.heartbeat_ns
    moments = _flat([getattr(ears, name) for name in Ears.__slots__ if name not in ("words", "busy_ns")])
    return (
        tuple([None if each == LONG_AGO else max(each - now_ns, -longest_ns) for each in moments]),
        tuple(tuple(words) for words in ears.words),
    )


def _flat(value: Any) -> list[int]:
    """Return the moments in lists of lists."""
    return [one for each in value for one in _flat(each)] if isinstance(value, list) else [value]
