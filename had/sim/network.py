"""The links: each carries a datagram from one node to all others and back to its sender.

A link is cut for a pair in one direction or both, and has *weather* for a pair and direction: loss, delay,
duplicates.  Reordering is what a varying delay does.  In fair weather a packet takes a constant time, so all
hear it at one moment, and that is one entry in the queue.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from had.sim.clockwork import MS
from had.sim.dice import Dice

if TYPE_CHECKING:
    from had.sim.machine import Machine
    from had.sim.world import World

Way = tuple[int, int, int]
"""Link, sender, receiver."""


@dataclasses.dataclass(frozen=True)
class Weather:
    """What a link does to packets of one sender for one receiver."""

    loss: float = 0.0
    double: float = 0.0
    least_ns: int = MS
    most_ns: int = MS


class Network:
    """All links."""

    def __init__(self, world: World, links: int, travel_ns: list[int]) -> None:
        self._world, self._links = world, links
        self._travel_ns = travel_ns
        """How long a packet takes in fair weather, by link."""
        self._cut: dict[Way, bool] = {}
        self._weather: dict[Way, Weather] = {}
        self._dice: dict[Way, Dice] = {}
        self._hearers: dict[tuple[int, int], list[Machine]] = {}
        """Who hears a sender on a link; worked out when it is first asked."""
        self._stormy: dict[tuple[int, int], bool] = {}
        self.losses = 0
        self.slowest_ns = max(travel_ns)
        """The longest time that a packet may have taken so far."""

    def cut(self, link: int, sender: int, receiver: int, cut: bool) -> None:
        if cut:
            self._cut[link, sender, receiver] = True
        else:
            self._cut.pop((link, sender, receiver), None)
        self._hearers.clear()

    def set_weather(self, link: int, sender: int, receiver: int, weather: Weather | None) -> None:
        if weather is None:
            self._weather.pop((link, sender, receiver), None)
        else:
            self._weather[link, sender, receiver] = weather
            self.slowest_ns = max(self.slowest_ns, weather.most_ns)
        self._stormy = {(way[0], way[1]): True for way in self._weather}

    def clear(self) -> None:
        """Nothing is cut any more, and the weather is fair."""
        self._cut.clear()
        self._weather.clear()
        self._hearers.clear()
        self._stormy.clear()

    def is_whole(self) -> bool:
        return not self._cut and not self._weather

    def send(self, sender: Machine, link: int, data: bytes) -> None:
        if not sender.carrier[link]:
            return
        key = (link, sender.index)
        hearers = self._hearers.get(key)
        if hearers is None:
            hearers = self._hearers[key] = [
                machine
                for machine in self._world.machines
                if (link, sender.index, machine.index) not in self._cut
            ]
        if key in self._stormy:
            self._send_by_weather(sender, link, data, hearers)
        else:
            self._world.queue.later(self._travel_ns[link], _arrive, hearers, link, data)

    def _send_by_weather(self, sender: Machine, link: int, data: bytes, hearers: list[Machine]) -> None:
        """Each receiver's packet has a fate of its own."""
        queue = self._world.queue
        for machine in hearers:
            way = (link, sender.index, machine.index)
            weather = self._weather.get(way)
            if weather is None or machine is sender:
                queue.later(self._travel_ns[link], machine.receive, link, data)
                continue
            dice = self._dice.get(way)
            if dice is None:
                label = f"way {link} {sender.index} {machine.index}"
                dice = self._dice[way] = Dice(self._world.seed, label)
            if dice.chance(weather.loss):
                self.losses += 1
                continue
            copies = 2 if dice.chance(weather.double) else 1
            for _ in range(copies):
                queue.later(dice.whole(weather.least_ns, weather.most_ns), machine.receive, link, data)


def _arrive(hearers: list[Machine], link: int, data: bytes) -> None:
    for machine in hearers:
        machine.receive(link, data)
