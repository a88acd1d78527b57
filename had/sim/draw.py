"""From a seed to a schedule: a cluster, and a storm that ends in calm.

Every kind of trouble has a rate of its own, drawn for each seed, and in most seeds most rates are nought:
trouble that comes alone shows what it does alone.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

from had.core.actions import Hook
from had.core.events import Word
from had.core.settings import Alone, Isolated, Link, Settings, StopFailure
from had.sim import themes
from had.sim.clockwork import MS, SECOND
from had.sim.dice import Dice
from had.sim.schedule import LinkPlan, NodePlan, Schedule, Step, seconds

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota")
WORDS = {Word.STAND_DOWN: 5, Word.TAKE_OVER: 5, Word.CLEAR: 4, Word.LEAVE: 2}
JUNK = ("short", "version", "name", "noise", "reflected", "stranger")
THEME_SHARE = 0.25
"""How many seeds have a theme (:mod:`had.sim.themes`)."""
STEPS_MAX = 40
"""Deaths come at most so many steps after their moment."""


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    return Drawing(seed).schedule()


class Drawing:
    """A schedule in the making."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Dice(seed, "draw")
        self.steps: list[Step] = []
        dice = self.dice
        count = dice.weighted({2: 44, 3: 32, 4: 10, 5: 7, 6: 2, 7: 2, 8: 1, 9: 2})
        self.names = [*NAMES[:count]]
        for place in range(count - 1, 0, -1):  # who is first in the list must not be first in order
            other = dice.whole(0, place)
            self.names[place], self.names[other] = self.names[other], self.names[place]
        links = dice.weighted({1: 50, 2: 35, 3: 15})
        self.links = [
            LinkPlan(dice.low(100_000, 3 * MS), count == 2 and links > 1 and dice.chance(0.15))
            for _ in range(links)
        ]
        self.has_old = dice.chance(0.12)
        self.storm_ns = dice.whole(20, 100) * SECOND

    def schedule(self) -> Schedule:
        nodes = self._nodes()
        self._power_up(nodes)
        has_theme = self.dice.chance(THEME_SHARE)
        self._trouble(0.05 if has_theme else 0.3)
        if has_theme:
            themes.add(self)
        self._calm()
        self.steps.sort(key=lambda step: step.at_ns)
        return Schedule(self.seed, tuple(self.links), tuple(nodes), tuple(self.steps))

    # The cluster

    def _nodes(self) -> list[NodePlan]:
        dice = self.dice
        common = self._settings()
        drifts = dice.pick((0, 0, 50, 250))
        old = [self.has_old and dice.chance(0.5) for _ in self.names]
        if all(old):
            old[dice.whole(0, len(old) - 1)] = False
        differ = dice.chance(0.1)
        plans = []
        for name, is_old in zip(self.names, old):
            settings = dataclasses.replace(common, node=name)
            if differ:
                own = self._settings()
                settings = dataclasses.replace(own, node=name, names=common.names)
            plans.append(NodePlan(settings, dice.whole(-drifts, drifts), is_old))
        return plans

    def _settings(self) -> Settings:
        dice = self.dice
        beat_ns = SECOND
        if not self.has_old:
            beat_ns = dice.weighted({SECOND: 80, 2 * SECOND: 10, SECOND // 2: 10})
        dead_ns = beat_ns * dice.weighted({2: 5, 3: 15, 4: 20, 5: 40, 8: 15, 12: 5})
        startup_ns = max(dead_ns, dice.whole(8, 30) * SECOND)
        quorum_ns = min(2 * dead_ns, startup_ns)
        return Settings(
            "x",
            count=len(self.names),
            names=tuple(sorted(self.names)) if dice.chance(0.7) else (),
            heartbeat_ns=beat_ns,
            warn_ns=max(dead_ns // 2, beat_ns),
            dead_ns=dead_ns,
            startup_ns=startup_ns,
            startup_quorum_ns=max(2 * beat_ns, quorum_ns if dice.chance(0.8) else startup_ns),
            alone=dice.weighted({Alone.WAIT: 60, Alone.EXIT: 20, Alone.START: 20}),
            isolated=dice.weighted({Isolated.KEEP: 60, Isolated.STOP: 40}),
            stop_failure=dice.weighted({StopFailure.ERRORED: 60, StopFailure.BLOCK: 40}),
            start_timeout_ns=dice.whole(3, 15) * SECOND,
            stop_timeout_ns=dice.whole(3, 15) * SECOND,
            monitor_timeout_ns=dice.whole(2, 6) * SECOND,
            alert_timeout_ns=dice.whole(2, 6) * SECOND,
            monitor_interval_ns=max(beat_ns, dice.whole(1, 3) * SECOND),
            monitor_failures=dice.weighted({1: 60, 2: 30, 3: 10}),
            links=tuple(Link(f"link{number}", link.crossover) for number, link in enumerate(self.links, 1)),
            isolation_by_machine=dice.chance(0.1),
        )

    # The storm

    def at(self, at_ns: int, verb: str, *words: str) -> None:
        """Let something happen; not after the storm."""
        if at_ns < self.storm_ns:
            self.steps.append(Step(at_ns // MS * MS, verb, words))

    def _moment(self) -> int:
        return self.dice.whole(0, self.storm_ns - 1)

    def _some_time(self, least_ms: int = 200, most_ms: int = 30_000) -> int:
        return self.dice.low(least_ms, most_ms) * MS

    def _power_up(self, nodes: list[NodePlan]) -> None:
        """All at once, or one after the other; some hooks are slow by nature."""
        dice = self.dice
        apart_ms = dice.pick((5, 1000, 10_000))
        for plan in nodes:
            name = plan.settings.node
            at_ns = dice.whole(0, apart_ms) * MS
            self.at(at_ns, "power-on", name)
            self.at(at_ns + MS, "start", name, *(["main"] if dice.chance(0.02) else []))
            if dice.chance(0.3):
                for hook in (Hook.START, Hook.STOP, Hook.MONITOR, Hook.ALERT):
                    self.at(0, "script", name, hook.value, self._takes(hook))
            if dice.chance(0.06):
                hook, way = dice.pick((Hook.START, Hook.STOP)), dice.pick(("fails", "hangs"))
                self.at(0, "script", name, hook.value, self._takes(hook), way, *dice.pick(((), ("half",))))
            if dice.chance(0.03):
                self.at(MS, "disk", name, dice.pick(("slow", "stuck", "full", "read-only")))

    def _takes(self, hook: Hook) -> str:
        most_ms = 600 if hook is Hook.MONITOR else 4000
        return seconds(self.dice.low(5, most_ms) * MS)

    def _trouble(self, share: float) -> None:
        kinds: dict[str, tuple[Callable[[], None], int]] = {
            "weather": (self._weather, 5),
            "cut": (self._cut, 6),
            "carrier": (self._carrier, 4),
            "power": (self._power, 4),
            "daemon": (self._daemon, 4),
            "worker": (self._worker, 6),
            "guard": (self._guard, 1),
            "pause": (self._pause, 4),
            "hang": (self._hang, 3),
            "hold": (self._hold, 3),
            "script": (self._script, 6),
            "signal": (self._signal, 8),
            "disk": (self._disk, 3),
            "wall": (self._wall, 2),
            "junk": (self._junk, 6),
            "restart": (self._restart, 3),
            "kill-hook": (self._kill_hook, 3),
            "drama": (self._drama, 4),
            "all-speak": (self._all_speak, 2),
        }
        for cause, most in kinds.values():
            if self.dice.chance(share):
                for _ in range(self.dice.low(1, most)):
                    cause()

    def _node(self) -> str:
        return self.dice.pick(self.names)

    def _link(self) -> str:
        if len(self.links) == 1 or self.dice.chance(0.4):
            return "*"
        return str(self.dice.whole(1, len(self.links)))

    def _pairs(self) -> list[tuple[str, str]]:
        """Ways that fail together: one way, both ways, one node from all, or the cluster in two parts."""
        dice = self.dice
        kind = dice.pick(("one", "both", "node", "out", "in", "parts"))
        one = self._node()
        others = [name for name in self.names if name != one]
        if kind in ("one", "both"):
            other = dice.pick(others)
            return [(one, other)] if kind == "one" else [(one, other), (other, one)]
        if kind == "out":
            return [(one, other) for other in others]
        if kind == "in":
            return [(other, one) for other in others]
        side = [one] if kind == "node" else [name for name in self.names if dice.chance(0.5)] or [one]
        far = [name for name in self.names if name not in side]
        return [pair for near in side for other in far for pair in ((near, other), (other, near))]

    def _cut(self) -> None:
        at_ns, link = self._moment(), self._link()
        until_ns = at_ns + self._some_time(100, 40_000)
        for sender, receiver in self._pairs():
            self.at(at_ns, "cut", link, sender, receiver)
            self.at(until_ns, "heal", link, sender, receiver)

    def _weather(self) -> None:
        dice = self.dice
        at_ns, link = self._moment(), self._link()
        until_ns = at_ns + self._some_time(1000, 60_000)
        loss = str(dice.pick((0, 10_000, 100_000, 300_000, 600_000, 900_000)))
        double = str(dice.pick((0, 0, 50_000, 500_000)))
        least_ns = dice.low(100_000, 50 * MS)
        most_ns = least_ns + dice.pick((0, 5 * MS, 200 * MS, 1500 * MS))
        for sender, receiver in self._pairs():
            self.at(
                at_ns, "weather", link, sender, receiver, loss, double, seconds(least_ns), seconds(most_ns)
            )
            self.at(until_ns, "weather", link, sender, receiver)

    def _carrier(self) -> None:
        """Pull a cable; sometimes all of a node's, sometimes it blinks."""
        dice, node, at_ns = self.dice, self._node(), self._moment()
        until_ns = at_ns + self._some_time(20, 30_000)
        every = dice.chance(0.6)
        chosen = dice.whole(1, len(self.links))
        for link in range(1, len(self.links) + 1):
            if every or link == chosen:
                self.at(at_ns + dice.whole(0, 300) * MS, "carrier", node, str(link), "down")
                self.at(until_ns + dice.whole(0, 300) * MS, "carrier", node, str(link), "up")

    def _power(self) -> None:
        dice, node, at_ns = self.dice, self._node(), self._moment()
        keep = dice.pick(("all", "none", "some"))
        nodes = self.names if dice.chance(0.15) else [node]
        for name in nodes:
            self.at(at_ns, "power-cut", name, str(dice.low(0, STEPS_MAX)), keep)
            on_ns = at_ns + 3 * SECOND + self._some_time(1000, 40_000)
            if dice.chance(0.15):
                self.at(on_ns - MS, "spoil", name, dice.pick(("lost", "old", "torn")))
            self.at(on_ns, "power-on", name)
            self.at(on_ns + dice.whole(1, 3000) * MS, "start", name)

    def _daemon(self) -> None:
        """SIGKILL to guard and worker; somebody starts the daemon again, sooner or later."""
        dice, node, at_ns = self.dice, self._node(), self._moment()
        self.at(at_ns, "kill-daemon", node, str(dice.low(0, STEPS_MAX)))
        main = ["main"] if dice.chance(0.05) else []
        self.at(at_ns + 2 * SECOND + self._some_time(10, 20_000), "start", node, *main)

    def _worker(self) -> None:
        dice, node, at_ns = self.dice, self._node(), self._moment()
        deaths = dice.whole(5, 7) if dice.chance(0.15) else 1
        for number in range(deaths):
            self.at(at_ns + number * 2500 * MS, "kill-worker", node, str(dice.low(0, STEPS_MAX)))

    def _guard(self) -> None:
        self.at(self._moment(), "kill-guard", self._node())

    def _pause(self) -> None:
        node, at_ns = self._node(), self._moment()
        self.at(at_ns, "pause", node)
        self.at(at_ns + self._some_time(20, 25_000), "resume", node)

    def _hang(self) -> None:
        self.at(self._moment(), "hang", self._node())

    def _hold(self) -> None:
        node, at_ns = self._node(), self._moment()
        self.at(at_ns, "hold", node)
        self.at(at_ns + self._some_time(20, 40_000), "release", node)

    def _script(self) -> None:
        """Let a hook behave badly for a while."""
        dice, node, at_ns = self.dice, self._node(), self._moment()
        hook = dice.weighted({Hook.START: 4, Hook.STOP: 4, Hook.MONITOR: 5, Hook.ALERT: 1})
        ways = {"works": 2, "fails": 3, "hangs": 2}
        if hook is Hook.MONITOR:
            ways.update(lies=2, flaps=2)
        more = [word for word in ("half", "stubborn") if dice.chance(0.3)]
        takes_ns = dice.low(5, 8000) * MS
        self.at(at_ns, "script", node, hook.value, seconds(takes_ns), dice.weighted(ways), *more)
        self.at(at_ns + self._some_time(500, 20_000), "script", node, hook.value, self._takes(hook))

    def _signal(self) -> None:
        """Let a person say something, perhaps two things, perhaps to all (``killall``)."""
        dice, at_ns = self.dice, self._moment()
        words = [dice.weighted(WORDS)]
        if dice.chance(0.15):
            words.append(dice.weighted(WORDS))
        nodes = self.names if dice.chance(0.1) else [self._node()]
        for name in nodes:
            self.at(at_ns, "signal", name, *(word.value for word in words))
            if dice.chance(0.2):
                self.at(at_ns + dice.low(1, 3000) * MS, "signal", name, words[0].value)
            if Word.LEAVE in words:
                self.at(at_ns + self._some_time(1000, 40_000), "start", name)

    def _disk(self) -> None:
        node, at_ns = self._node(), self._moment()
        self.at(at_ns, "disk", node, self.dice.pick(("slow", "stuck", "full", "read-only")))
        self.at(at_ns + self._some_time(500, 30_000), "disk", node, "good")

    def _wall(self) -> None:
        self.at(self._moment(), "wall", self._node(), str(self.dice.pick((-86400, -60, -2, 2, 60, 86400))))

    def _junk(self) -> None:
        link = str(self.dice.whole(1, len(self.links)))
        self.at(self._moment(), "junk", self._node(), link, self.dice.pick(JUNK))

    def _restart(self) -> None:
        """Restart, as an administrator does: SIGTERM, and a start when it has had some time."""
        node, at_ns = self._node(), self._moment()
        self.at(at_ns, "signal", node, Word.LEAVE.value)
        self.at(at_ns + self._some_time(100, 12_000), "start", node)

    def _kill_hook(self) -> None:
        self.at(self._moment(), "kill-hook", self._node(), self.dice.pick(list(Hook)).value)

    def _drama(self) -> None:
        """Let a hook behave badly just when it is called for, and people lose patience with it."""
        dice, at_ns = self.dice, self._moment()
        hook = dice.pick((Hook.START, Hook.STOP, Hook.STOP))
        way, takes_ns = dice.pick(("fails", "hangs", "works")), dice.whole(200, 6000) * MS
        more = [word for word in ("half", "stubborn") if dice.chance(0.3)]
        for name in self.names:
            self.at(at_ns, "script", name, hook.value, seconds(takes_ns), way, *more)
        first = dice.pick((Word.STAND_DOWN, Word.TAKE_OVER, Word.TAKE_OVER, Word.LEAVE))
        words = [first, *(dice.pick(list(Word)) for _ in range(dice.whole(1, 4)))]
        nodes = self.names if dice.chance(0.4) else [self._node()]
        for number, word in enumerate(words):
            when_ns = at_ns + 10 * MS + number * dice.low(1, 6000) * MS
            for name in nodes:
                self.at(when_ns, "signal", name, word.value)
        kind = dice.pick(("", "", "kill-worker", "kill-daemon", "power-cut"))
        if kind:
            self.at(at_ns + dice.whole(10, 4000) * MS, kind, nodes[0], str(dice.low(0, STEPS_MAX)))
        until_ns = at_ns + self._some_time(4000, 30_000)
        for name in self.names:
            self.at(until_ns, "script", name, hook.value, self._takes(hook))
            self.at(until_ns + dice.whole(0, 20_000) * MS, "power-on", name)
            self.at(until_ns + dice.whole(20_001, 24_000) * MS, "start", name)

    def _all_speak(self) -> None:
        """``killall``: everybody gets the same word at nearly one moment."""
        dice, at_ns = self.dice, self._moment()
        word = dice.pick((Word.STAND_DOWN, Word.TAKE_OVER, Word.CLEAR))
        for name in self.names:
            self.at(at_ns + dice.low(0, 400) * MS, "signal", name, word.value)

    # The end

    def _calm(self) -> None:
        """Most often all come back; else some stay away for good."""
        dice = self.dice
        words = ["mend"] if dice.chance(0.6) else []
        if dice.chance(0.3):
            stay = dice.whole(1, len(self.names) - 1)
            words += self.names[:stay]
        self.steps.append(Step(self.storm_ns, "calm", tuple(words)))
