"""What the verbs of a schedule do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from had.core.actions import Hook
from had.core.events import Word
from had.core.states import State
from had.sim import durable
from had.sim.freehad import OldDaemon
from had.sim.guard import Daemon
from had.sim.network import Weather
from had.sim.schedule import ScheduleError, Step, span
from had.sim.scripts import Script
from had.wire import freeha

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

MILLIONTH = 1_000_000


def power_on(machine: Machine) -> None:
    """Switch the machine on; the daemon is another matter."""
    machine.power_on()


def power_cut(machine: Machine, steps: str = "0", keep: str = "some") -> None:
    """Cut the power after so many steps of the daemon; keep all, none or some of what was not synced."""
    machine.arm("power-off", int(steps), keep)


def start(machine: Machine, force: str = "") -> None:
    """Start the daemon; ``main``: with -m."""
    if machine.powered and machine.daemon is None and not machine.held:
        machine.world.judge.daemon_starts(machine, force == "main")
        machine.new_ears(keep=False)
        daemon = machine.daemon = (OldDaemon if machine.old else Daemon)(machine, force_main=force == "main")
        machine.world.tell(machine, "the daemon starts" + (" with -m" if force == "main" else ""))
        daemon.begin()


def kill_daemon(machine: Machine, steps: str = "0") -> None:
    """Kill guard and worker after so many steps."""
    machine.arm("kill-daemon", int(steps))


def kill_worker(machine: Machine, steps: str = "0") -> None:
    """Kill the worker after so many steps."""
    machine.arm("kill-worker", int(steps))


def kill_guard(machine: Machine) -> None:
    if machine.daemon is not None:
        machine.daemon.kill_guard()


def hang(machine: Machine) -> None:
    """Let the worker stand still, until its guard kills it; an old daemon has neither."""
    if not machine.old:
        machine.hang()


def signal(machine: Machine, *words: str) -> None:
    """Send signals to the daemon, all at once."""
    if machine.daemon is not None:
        machine.world.tell(machine, f"gets {' and '.join(words)}")
        machine.daemon.say([Word(word) for word in words])


def script(machine: Machine, hook: str, takes: str, way: str = "works", *more: str) -> None:
    """Let a hook behave so from its next call on."""
    machine.scripts[Hook(hook)] = Script(span(takes), way, "half" in more, "stubborn" in more)


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
        "version": b"\0\0\0\3" + good[4:],
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
    "start": start,
    "kill-daemon": kill_daemon,
    "kill-worker": kill_worker,
    "kill-guard": kill_guard,
    "pause": lambda machine: machine.pause(),
    "resume": lambda machine: machine.resume(),
    "hang": hang,
    "hold": lambda machine: machine.hold(),
    "release": lambda machine: machine.release(),
    "signal": signal,
    "script": script,
    "kill-hook": kill_hook,
    "spoil": spoil,
    "disk": disk,
    "carrier": carrier,
    "wall": wall,
    "junk": junk,
}
"""Verbs whose first word is a node."""


def cut(world: World, link: str, sender: str, receiver: str, *, undo: bool = False) -> None:
    """Let nothing pass from one node to another on a link (``*``: on all of them)."""
    for number in _links(world, link):
        world.network.cut(number, world.index_of[sender], world.index_of[receiver], not undo)


def heal(world: World, link: str, sender: str, receiver: str) -> None:
    cut(world, link, sender, receiver, undo=True)


def weather(world: World, link: str, sender: str, receiver: str, *numbers: str) -> None:
    """Bad weather: loss and duplicates in millionths, least and most delay in seconds; none: fair again."""
    change = None
    if numbers:
        loss, double, least, most = numbers
        change = Weather(int(loss) / MILLIONTH, int(double) / MILLIONTH, span(least), span(most))
    for number in _links(world, link):
        world.network.set_weather(number, world.index_of[sender], world.index_of[receiver], change)


def calm(world: World, *words: str) -> None:
    """End the storm; ``mend``: an administrator clears what only persons can; names: who stays away."""
    world.begin_calm("mend" in words, [word for word in words if word != "mend"])


ON_WORLD: dict[str, Callable[..., None]] = {"cut": cut, "heal": heal, "weather": weather, "calm": calm}


def _links(world: World, link: str) -> list[int]:
    return list(range(world.link_count)) if link == "*" else [int(link) - 1]


def check(step: Step, names: list[str]) -> None:
    """See whether a step can be done.

    :raises ScheduleError:
    """
    if step.verb in ON_WORLD:
        return
    if step.verb not in ON_MACHINES:
        raise ScheduleError(f"there is no verb {step.verb}")
    if not step.words or step.words[0] not in names:
        raise ScheduleError(f"{step.verb}: there is no such node")


def do(world: World, step: Step) -> None:
    """Do a step now."""
    if step.verb in ON_WORLD:
        world.tell(None, " ".join((step.verb, *step.words)))
        ON_WORLD[step.verb](world, *step.words)
        return
    name, *rest = step.words
    machine = world.machines[world.index_of[name]]
    if step.verb not in ("signal", "start"):
        world.tell(machine, " ".join((step.verb, *rest)))
    ON_MACHINES[step.verb](machine, *rest)
