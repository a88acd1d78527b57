"""What the verbs of a schedule do.

:data:`FORMS` says how each is written, which is checked before anything runs.  Where a verb is for nodes,
the first words are their names, ``*`` for all of them.  Some verbs are only friendlier names for others.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Optional

from had.core.actions import Hook
from had.core.events import Word
from had.core.states import State
from had.sim import durable, scenario_expect
from had.sim.freehad import OldDaemon
from had.sim.guard import Daemon
from had.sim.network import Weather
from had.sim.schedule import NOW, Schedule, ScheduleError, Step, span
from had.sim.scripts import HONEST, Script
from had.wire import freeha

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

MILLIONTH = 1_000_000
EVERY = "*"


def power_on(machine: Machine) -> None:
    """Switch the machine on; the daemon is another matter."""
    machine.power_on()


def power_cut(machine: Machine, steps: str = "0", keep: str = "some") -> None:
    """Cut the power after so many steps of the daemon; keep all, none or some of what was not synced."""
    machine.arm("power-off", int(steps), keep)


def crash(machine: Machine, _keep: str = "keep", what: str = "none") -> None:
    """Cut the power now; nothing is left of what was not synced, unless it says what."""
    machine.arm("power-off", 0, what)


def start(machine: Machine, force: str = "") -> None:
    """Start the daemon; ``main``: with -m."""
    if machine.powered and machine.daemon is None and not machine.held:
        machine.world.judge.daemon_starts(machine, force == "main")
        machine.new_ears(keep=False)
        daemon = machine.daemon = (OldDaemon if machine.old else Daemon)(machine, force_main=force == "main")
        machine.world.command(machine, "the daemon starts" + (" with -m" if force == "main" else ""))
        daemon.begin()


def stop(machine: Machine) -> None:
    """SIGTERM, as an administrator stops it."""
    signal(machine, Word.LEAVE.value)


def kill_daemon(machine: Machine, steps: str = "0") -> None:
    """Kill guard and worker after so many steps."""
    machine.arm("kill-daemon", int(steps))


def kill_worker(machine: Machine, steps: str = "0") -> None:
    """Kill the worker after so many steps."""
    machine.arm("kill-worker", int(steps))


def kill_guard(machine: Machine) -> None:
    if machine.daemon is not None:
        machine.daemon.kill_guard()


def kill_service(machine: Machine) -> None:
    """Let the service die by itself; nobody but the monitor sees it."""
    machine.service = "down"


def hang(machine: Machine) -> None:
    """Let the worker stand still, until its guard kills it; an old daemon has neither."""
    if not machine.old:
        machine.hang()


def signal(machine: Machine, *words: str) -> None:
    """Send signals to the daemon, all at once."""
    if machine.daemon is not None:
        machine.world.command(machine, f"gets {' and '.join(words)}")
        machine.daemon.say([Word(word) for word in words])


def script(machine: Machine, hook: str, *words: str) -> None:
    """Let a hook behave so from its next call on."""
    takes_ns, way, more = HONEST[Hook(hook)].takes_ns, "works", []
    for word in words:
        if word[0] in ".0123456789":
            takes_ns = span(word)
        elif word in ("half", "stubborn"):
            more.append(word)
        else:
            way = word
    machine.scripts[Hook(hook)] = Script(takes_ns, way, "half" in more, "stubborn" in more)


def kill_hook(machine: Machine, hook: str) -> None:
    machine.kill_hook(Hook(hook))


def spoil(machine: Machine, how: str) -> None:
    """Harm the record while the machine is off: lost, old or torn."""
    if not machine.powered:
        machine.disk.spoil(machine.dice, how)
        durable.spoilt(machine.world.judge, machine)


def disk(machine: Machine, mood: str) -> None:
    machine.disk.mood = mood


def carrier(machine: Machine, link: str, up: str) -> None:
    machine.set_carrier(int(link) - 1, up == "up")


def unplug(machine: Machine, link: str = EVERY, *, up: bool = False) -> None:
    """Pull the cable of a link, or all of the node's."""
    for number in _links(len(machine.carrier), link):
        machine.set_carrier(number, up)


def wall(machine: Machine, by: str) -> None:
    """Set the clock on the wall: ``+3600`` or ``-3600`` seconds."""
    machine.wall_ahead_ns += int(by) * 1_000_000_000


def junk(machine: Machine, link: str, kind: str) -> None:
    """Let a datagram come that is no heartbeat, or one that is our own, reflected, or a stranger's.

    Where only the number of nodes is configured there are no strangers, so none comes.
    """
    if kind == "stranger" and not machine.settings.names:
        return
    good = freeha.encode("stranger", State.STANDBY)
    data = {
        "short": good[:20],
        "version": b"\0\0\0\3" + freeha.encode("version", State.STANDBY)[4:],
        "name": good[:4] + b"\n" + good[5:],
        "noise": bytes(range(48)),
        "reflected": freeha.encode(machine.name, State.RUNNING),
        "stranger": good,
    }[kind]
    if machine.powered:
        machine.receive(int(link) - 1, data)


ON_MACHINES: dict[str, Callable[..., None]] = {
    "power-on": power_on,
    "power-cut": power_cut,
    "crash": crash,
    "start": start,
    "stop": stop,
    "kill-daemon": kill_daemon,
    "kill-worker": kill_worker,
    "kill-guard": kill_guard,
    "kill-service": kill_service,
    "pause": lambda machine: machine.pause(),
    "resume": lambda machine: machine.resume(),
    "hang": hang,
    "hold": lambda machine: machine.hold(),
    "release": lambda machine: machine.release(),
    "signal": signal,
    "script": script,
    "hook": script,
    "kill-hook": kill_hook,
    "spoil": spoil,
    "disk": disk,
    "carrier": carrier,
    "unplug": unplug,
    "plug": lambda machine, link=EVERY: unplug(machine, link, up=True),
    "wall": wall,
    "junk": junk,
}
"""Verbs whose first words are nodes."""


# Ways: from whom to whom, on which links


def _links(count: int, link: str) -> list[int]:
    return list(range(count)) if link == EVERY else [int(link) - 1]


def ways(words: Sequence[str], names: Sequence[str], links: int) -> list[tuple[int, str, str]]:
    """Return what ``cut``, ``heal`` and ``weather`` are about: link (from 0), sender, receiver.

    :raises ScheduleError: the words are none of the forms in :data:`WAYS`.
    """
    words, link = list(words), EVERY
    if len(words) == 3 and (words[0] == EVERY or words[0].isdigit()) and set(words[1:]) <= set(names):
        link, pairs = words[0], [(words[1], words[2])]
    else:
        if len(words) > 2 and words[-2] == "link":
            link, words = words[-1], words[:-2]
        pairs = _pairs(words, list(names))
    if link != EVERY and not (link.isdigit() and 1 <= int(link) <= links):
        raise ScheduleError(f"there is no link {link}: they are numbered from 1 to {links}")
    return [(number, sender, receiver) for number in _links(links, link) for sender, receiver in pairs]


def _pairs(words: list[str], names: list[str]) -> list[tuple[str, str]]:
    def group(some: list[str]) -> list[str]:
        for name in some:
            if name != EVERY and name not in names:
                raise ScheduleError(f"there is no node {name}: there are {', '.join(names)}")
        return names if EVERY in some else some

    if len(words) == 3 and words[1] == "to":
        return [
            (sender, receiver)
            for sender in group(words[:1])
            for receiver in group(words[2:])
            if sender != receiver
        ]
    if "/" in words:
        place = words.index("/")
        near, far = group(words[:place]), group(words[place + 1 :])
    elif len(words) == 1:
        near, far = group(words), names
    elif len(words) == 2:
        near, far = group(words[:1]), group(words[1:])
    else:
        raise ScheduleError(f"from whom to whom? it is written: {WAYS}")
    both = [pair for one in near for other in far if one != other for pair in ((one, other), (other, one))]
    return list(dict.fromkeys(both))


WAYS = "NODE | NODE NODE | NODE to NODE | NODE... / NODE... | *  [link NUMBER]"


def cut(world: World, *words: str, undo: bool = False) -> None:
    """Let nothing pass any more; the carrier stays."""
    for link, sender, receiver in world.ways(words):
        world.network.cut(link, world.index_of[sender], world.index_of[receiver], not undo)


def heal(world: World, *words: str) -> None:
    """Let pass again what was cut: with no words all of it."""
    cut(world, *(words or (EVERY,)), undo=True)


def weather(world: World, *words: str) -> None:
    """Bad weather: loss and duplicates in millionths, least and most delay in seconds; none: fair again.

    Or ``loss=0.3 double=0.1 delay=0.05-0.2``, in shares and seconds, and ``fair``.
    """
    where, change = split_weather(words)
    for link, sender, receiver in world.ways(where):
        world.network.set_weather(link, world.index_of[sender], world.index_of[receiver], change)


def split_weather(words: Sequence[str]) -> tuple[list[str], Optional[Weather]]:
    """Return on which ways, and what.

    :raises ScheduleError:
    """
    if len(words) == 7 and all(re.fullmatch(_TIME, word) for word in words[3:]):
        loss, double, least, most = words[3:]
        change = Weather(int(loss) / MILLIONTH, int(double) / MILLIONTH, span(least), span(most))
        return list(words[:3]), change
    where, given = [], {}
    for word in words:
        key, is_given, value = word.partition("=")
        if is_given:
            if key not in ("loss", "double", "delay") or not re.fullmatch(rf"{_TIME}(-{_TIME})?", value):
                raise ScheduleError(f"not understood: {word}")
            given[key] = value
        elif word != "fair":
            where.append(word)
    if not given:
        return where, None
    least, _, most = given.get("delay", "0.001").partition("-")
    change = Weather(
        float(given.get("loss", "0")), float(given.get("double", "0")), span(least), span(most or least)
    )
    return where, change


def calm(world: World, *words: str) -> None:
    """End the storm; ``mend``: an administrator clears what only persons can; names: who stays away."""
    world.begin_calm("mend" in words, [word for word in words if word != "mend"])


def wait(world: World, span_s: str) -> None:
    """Let so much time pass."""
    world.go_on(span(span_s))


ON_WORLD: dict[str, Callable[..., None]] = {
    "cut": cut,
    "heal": heal,
    "weather": weather,
    "calm": calm,
    "wait": wait,
    "expect": scenario_expect.check,
}


# How each is written

_TIME = r"(?:\d+\.?\d*|\.\d+)"
_HOOK = "|".join(hook.value for hook in Hook)
_SIGNAL = "|".join(word.value for word in Word)
_SCRIPT = rf"({_HOOK})( {_TIME})?( (works|fails|hangs|lies|flaps))?( half)?( stubborn)?"
_SCRIPT_FORM = "NODE... HOOK [SECONDS] [works|fails|hangs|lies|flaps] [half] [stubborn]"


@dataclasses.dataclass(frozen=True)
class Form:
    """How a verb is written: for people, and what must match what comes after the nodes."""

    words: str
    rest: str = ""
    """A regular expression; a ``(?P<link>)`` in it must be a link that is there."""


FORMS: dict[str, Form] = {
    "power-on": Form("NODE..."),
    "power-cut": Form("NODE... [STEPS [all|none|some]]", r"(\d+( (all|none|some))?)?"),
    "crash": Form("NODE... [keep all|none|some]", r"(keep (all|none|some))?"),
    "start": Form("NODE... [main]", "(main)?"),
    "stop": Form("NODE..."),
    "kill-daemon": Form("NODE... [STEPS]", r"(\d+)?"),
    "kill-worker": Form("NODE... [STEPS]", r"(\d+)?"),
    "kill-guard": Form("NODE..."),
    "kill-service": Form("NODE..."),
    "pause": Form("NODE..."),
    "resume": Form("NODE..."),
    "hang": Form("NODE..."),
    "hold": Form("NODE..."),
    "release": Form("NODE..."),
    "signal": Form(f"NODE... {_SIGNAL} ...", rf"({_SIGNAL})( ({_SIGNAL}))*"),
    "script": Form(_SCRIPT_FORM, _SCRIPT),
    "hook": Form(_SCRIPT_FORM, _SCRIPT),
    "kill-hook": Form("NODE... HOOK", _HOOK),
    "spoil": Form("NODE... lost|old|torn", "lost|old|torn"),
    "disk": Form("NODE... good|slow|stuck|full|read-only", "good|slow|stuck|full|read-only"),
    "carrier": Form("NODE... LINK up|down", r"(?P<link>\d+) (up|down)"),
    "unplug": Form("NODE... [LINK]", r"(?P<link>\d+)?"),
    "plug": Form("NODE... [LINK]", r"(?P<link>\d+)?"),
    "wall": Form("NODE... SECONDS (+3600 or -3600)", r"[+-]?\d+"),
    "junk": Form(
        "NODE... LINK short|version|name|noise|reflected|stranger",
        r"(?P<link>\d+) (short|version|name|noise|reflected|stranger)",
    ),
    "cut": Form(WAYS),
    "heal": Form(f"[{WAYS}]"),
    "weather": Form(f"{WAYS} [loss=SHARE] [double=SHARE] [delay=SECONDS[-SECONDS]] [fair]"),
    "calm": Form("[mend] [NODE that stays away ...]"),
    "wait": Form("SECONDS", _TIME),
    "expect": Form(scenario_expect.FORM),
}


def split(words: Sequence[str], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the nodes that stand first, and the other words."""
    if words and words[0] == EVERY:
        return list(names), list(words[1:])
    count = next((place for place, word in enumerate(words) if word not in names), len(words))
    return list(words[:count]), list(words[count:])


def check(step: Step, names: Sequence[str], links: int = 1) -> None:
    """See whether a step can be done.

    :raises ScheduleError: with what is wrong and how it is written.
    """
    form = FORMS.get(step.verb)
    if form is None:
        raise ScheduleError(f"there is no verb {step.verb}: there are {', '.join(sorted(FORMS))}", step.line)
    try:
        _check_words(step, form, names, links)
    except ScheduleError as error:
        raise ScheduleError(f"{step.verb}: {error.text}", step.line) from error


def _check_words(step: Step, form: Form, names: Sequence[str], links: int) -> None:
    words = list(step.words)
    if step.verb == "expect":
        scenario_expect.parse(words, names)
    elif step.verb in ("cut", "heal"):
        ways(words or ([EVERY] if step.verb == "heal" else []), names, links)
    elif step.verb == "weather":
        ways(split_weather(words)[0], names, links)
    elif step.verb == "calm":
        unknown = [word for word in words if word != "mend" and word not in names]
        if unknown:
            raise ScheduleError(f"there is no node {unknown[0]}: there are {', '.join(names)}")
    else:
        if step.verb in ON_MACHINES:
            nodes, words = split(words, names)
            if not nodes:
                who = f"there is no node {words[0]}:" if words else "which node?"
                raise ScheduleError(f"{who} there are {', '.join(names)}")
        found = re.fullmatch(form.rest, " ".join(words))
        if found is None:
            raise ScheduleError(
                f"not understood: {' '.join(words) or 'nothing'}; it is written: {form.words}"
            )
        link = found.groupdict().get("link")
        if link is not None and not 1 <= int(link) <= links:
            raise ScheduleError(f"there is no link {link}: they are numbered from 1 to {links}")


def check_all(schedule: Schedule) -> None:
    """See whether all steps of a schedule can be done.

    :raises ScheduleError:
    """
    last_ns, mixed = 0, any(step.at_ns == NOW for step in schedule.steps)
    for step, following in itertools.zip_longest(schedule.steps, schedule.steps[1:]):
        if following is None or not step.line or step.line != following.line:  # else it is what start implies
            check(step, schedule.names, len(schedule.links))
        if mixed and step.at_ns != NOW:
            if step.at_ns < last_ns:
                raise ScheduleError("this comes before what stands above it: write them in order", step.line)
            last_ns = step.at_ns


def do(world: World, step: Step) -> None:
    """Do a step now."""
    if step.verb in ON_WORLD:
        world.command(None, " ".join((step.verb, *step.words)))
        ON_WORLD[step.verb](world, *step.words)
        return
    nodes, rest = split(step.words, world.schedule.names)
    for name in nodes:
        machine = world.machines[world.index_of[name]]
        if step.verb not in ("signal", "start"):
            world.command(machine, " ".join((step.verb, *rest)))
        ON_MACHINES[step.verb](machine, *rest)
