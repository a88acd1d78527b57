"""Hard places that chance alone meets too seldom: each theme aims at one, and leaves the rest to the dice.

A theme adds steps to a storm in which little else happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from had.core.actions import Hook
from had.core.events import Word
from had.sim.clockwork import MS, SECOND

if TYPE_CHECKING:
    from had.sim.draw import Drawing

LONG_NS = 100 * SECOND


def add(drawing: Drawing) -> None:
    """Add one theme to a storm."""
    drawing.dice.weighted(THEMES)(drawing)


def _settled(drawing: Drawing, least_s: int = 25) -> int:
    """Return a moment at which the cluster has most likely come to rest, and time is left."""
    drawing.storm_ns = max(drawing.storm_ns, LONG_NS)
    return drawing.dice.whole(least_s * 1000, 45_000) * MS


def between(drawing: Drawing) -> None:
    """Let only the first in order hear who runs: the others, ready to start, have to pass it over (E4)."""
    dice, at_ns = drawing.dice, _settled(drawing)
    first, *others = sorted(drawing.names)
    drawing.storm_ns = max(drawing.storm_ns, 2 * LONG_NS)
    runs = dice.pick(others)
    drawing.at(at_ns, "signal", runs, Word.TAKE_OVER.value)
    cut_ns = at_ns + dice.whole(3000, 12_000) * MS
    for other in others:
        if other != runs:
            drawing.at(cut_ns, "cut", "*", runs, other)
            drawing.at(cut_ns, "cut", "*", other, runs)
    if dice.chance(0.5):
        drawing.at(cut_ns, "cut", "*", first, runs)


def forced_against(drawing: Drawing) -> None:
    """Start one by force beside another that can't hear it; the other's daemon is killed and starts (T4)."""
    dice, at_ns = drawing.dice, _settled(drawing)
    first, *others = sorted(drawing.names)
    later = dice.pick(others)
    if dice.chance(0.2):
        first, later = later, first
    drawing.at(at_ns, "cut", "*", later, first)
    drawing.at(at_ns + dice.whole(1, 500) * MS, "signal", later, Word.TAKE_OVER.value)
    back_ns = at_ns + dice.whole(4000, 15_000) * MS
    drawing.at(back_ns, "kill-daemon", first, "0")
    drawing.at(back_ns + dice.whole(5, 2000) * MS, "start", first)
    drawing.at(back_ns + dice.whole(20, 40) * SECOND, "heal", "*", later, first)


def leftover(drawing: Drawing) -> None:
    """Kill a daemon while its hook runs, and start the next one at once (S5, G1)."""
    dice, at_ns = drawing.dice, _settled(drawing, 5)
    hook, word = dice.pick(
        ((Hook.START, Word.TAKE_OVER), (Hook.STOP, Word.STAND_DOWN), (Hook.STOP, Word.LEAVE))
    )
    for node in drawing.names:
        takes = f"{dice.whole(1, 9)}"
        drawing.at(
            at_ns - 10 * MS, "script", node, hook.value, takes, dice.pick(("works", "hangs")), "stubborn"
        )
        drawing.at(at_ns, "signal", node, word.value)
        drawing.at(at_ns + dice.whole(20, 1500) * MS, "kill-daemon", node, str(dice.low(0, 8)))
        main = ["main"] if dice.chance(0.3) else []
        drawing.at(at_ns + dice.whole(1510, 3000) * MS, "start", node, *main)
    for node in drawing.names:
        drawing.at(at_ns + 20 * SECOND, "script", node, hook.value, "0.3")


def blocked(drawing: Drawing) -> None:
    """Let a stop fail, and people say everything to a node that may be blocked (M6, M7)."""
    dice, at_ns = drawing.dice, _settled(drawing)
    for node in drawing.names:
        drawing.at(at_ns, "script", node, Hook.STOP.value, "0.2", dice.pick(("fails", "fails", "hangs")))
        drawing.at(at_ns + 10 * MS, "signal", node, dice.pick((Word.STAND_DOWN, Word.LEAVE)).value)
        mended_ns = at_ns + dice.whole(500, 25_000) * MS
        drawing.at(mended_ns, "script", node, Hook.STOP.value, "0.2")
        when_ns = at_ns
        for _ in range(dice.whole(1, 5)):
            when_ns += dice.low(50, 9000) * MS
            drawing.at(when_ns, "signal", node, dice.pick(list(Word)).value)
        if dice.chance(0.4):
            drawing.at(at_ns + dice.whole(100, 9000) * MS, "kill-worker", node, str(dice.low(0, 9)))
        drawing.at(when_ns + 20 * SECOND, "start", node)


def two_persons(drawing: Drawing) -> None:
    """Let two people start two nodes at one time, and perhaps one of the two hears nothing (M3)."""
    dice, at_ns = drawing.dice, _settled(drawing, 5)
    one, other = dice.pick(drawing.names), dice.pick(drawing.names)
    if one != other and dice.chance(0.7):
        drawing.at(at_ns, "cut", "*", one, other)
        drawing.at(at_ns + dice.whole(1, 30) * SECOND, "heal", "*", one, other)
    drawing.at(at_ns + dice.low(0, 2000) * MS, "signal", one, Word.TAKE_OVER.value)
    drawing.at(at_ns + dice.low(0, 2000) * MS, "signal", other, Word.TAKE_OVER.value)
    if dice.chance(0.3):
        drawing.at(at_ns + dice.low(0, 4000) * MS, "signal", one, dice.pick(list(Word)).value)


def together(drawing: Drawing) -> None:
    """Let words come that contradict each other, at one moment (M8)."""
    dice, at_ns = drawing.dice, _settled(drawing, 2)
    for node in drawing.names:
        words = [dice.pick((Word.LEAVE, Word.STAND_DOWN)), Word.TAKE_OVER]
        if dice.chance(0.3):
            words.append(Word.CLEAR)
        drawing.at(at_ns, "signal", node, *(word.value for word in words))
        drawing.at(at_ns + dice.whole(1, 30) * SECOND, "start", node)


def lone(drawing: Drawing) -> None:
    """Leave one node alone, and take its power or its daemon: it starts again by its record (L)."""
    dice, at_ns = drawing.dice, _settled(drawing)
    drawing.storm_ns = max(drawing.storm_ns, 2 * LONG_NS)
    node = dice.pick(drawing.names)
    for other in drawing.names:
        if other != node:
            drawing.at(at_ns, "power-cut", other, "0", "all")
    again_ns = at_ns + dice.whole(10, 30) * SECOND
    drawing.at(at_ns + SECOND, "signal", node, Word.TAKE_OVER.value)
    if dice.chance(0.6):
        drawing.at(again_ns, "power-cut", node, str(dice.low(0, 20)), dice.pick(("all", "none", "some")))
        drawing.at(again_ns + 3 * SECOND, "spoil", node, dice.pick(("torn", "torn", "lost", "old")))
        drawing.at(again_ns + 4 * SECOND, "power-on", node)
    else:
        drawing.at(again_ns, "kill-daemon", node, str(dice.low(0, 20)))
    drawing.at(again_ns + 5 * SECOND, "start", node)
    if dice.chance(0.3):
        drawing.at(again_ns + dice.whole(5000, 30_000) * MS, "carrier", node, "1", "down")


def force_main(drawing: Drawing) -> None:
    """Start with -m beside the services of a daemon that was killed, and take it back at once (M5)."""
    dice, at_ns = drawing.dice, _settled(drawing, 10)
    for node in drawing.names if dice.chance(0.5) else [dice.pick(drawing.names)]:
        drawing.at(at_ns, "kill-daemon", node, "0")
        drawing.at(at_ns + 100 * MS, "start", node, "main")
        kind = dice.pick(("signal", "signal", "pause", "kill-worker", "kill-daemon", "carrier"))
        when_ns = at_ns + dice.whole(110, 1200) * MS
        if kind == "signal":
            drawing.at(
                when_ns, "signal", node, dice.pick((Word.STAND_DOWN, Word.LEAVE, Word.TAKE_OVER)).value
            )
        elif kind == "pause":
            drawing.at(when_ns, "pause", node)
            drawing.at(when_ns + dice.whole(3, 15) * SECOND, "resume", node)
        elif kind == "carrier":
            drawing.at(when_ns, "carrier", node, "1", "down")
            drawing.at(when_ns + dice.whole(1, 15) * SECOND, "carrier", node, "1", "up")
        else:
            drawing.at(when_ns, kind, node, str(dice.low(0, 9)))
        drawing.at(at_ns + dice.whole(5, 20) * SECOND, "start", node)


def service_dies(drawing: Drawing) -> None:
    """Let the service die by itself; only the monitor can tell."""
    dice = drawing.dice
    at_ns = _settled(drawing, 5)
    for _ in range(dice.whole(1, 3)):
        drawing.at(at_ns, "kill-service", dice.pick(drawing.names))
        at_ns += dice.whole(1, 15) * SECOND


THEMES: dict[Callable[[Drawing], None], int] = {
    between: 4,
    forced_against: 3,
    leftover: 3,
    blocked: 3,
    two_persons: 2,
    together: 2,
    lone: 5,
    force_main: 2,
    service_dies: 2,
}
