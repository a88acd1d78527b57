"""Scenario files (docs/scenarios.md) on real daemons, in real time.

The file is the one that the simulator plays, and :mod:`had.sim` reads and checks it; what each verb does to
a lab is here.  Machines are slower than virtual time, so what is expected may come later than the file says,
and at the end not the times are compared with the transcript, but the order of each node's states, by the
calls of ``alerthasrv``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from had.core.settings import Settings
from had.core.states import State
from had.sim import deeds, scenario_expect
from had.sim.scenario import Scenario
from had.sim.scenario_expect import GONE, NOTHING, Expectation
from had.sim.scenario_told import states_told
from had.sim.schedule import NOW, TOLD, Schedule, Step, seconds

from .cluster import Lab, Node
from .waiting import eventually

SECOND = 1_000_000_000
SOON = 4.0
"""Seconds for what should be so already; the machine may be busy."""
LATER = 15.0
"""The same, added to a `within`."""
MODES = {"fails": ("fail", "1"), "hangs": ("hang", ""), "lies": ("lie", ""), "flaps": ("flap", "")}
STANDBY, STARTING = str(State.STANDBY.value), str(State.STARTING.value)
SHOWN = {"TIMEOUT": State.TIMEDOUT.name}
SECTIONS = {"monitor_interval": "hooks__", "monitor_failures": "hooks__"}
TEXTS = ("alone", "isolated", "stop_failure")
NOT_WRITTEN = ("node", "links", "names", "count", "order", "group", "isolation_by_machine", "force_main")


def lacks(schedule: Schedule) -> list[str]:
    """What the lab can't do of a schedule."""
    found = {
        f"{step.verb} {' '.join(step.words)}" for step in schedule.steps if _is_lacking(step, schedule.names)
    }
    for node in schedule.nodes:
        settings = node.settings
        if node.drift_ppm:
            found.add("clocks that drift")
        if settings.count != len(schedule.nodes) or set(settings.names) != set(schedule.names):
            found.add("nodes that don't know all others by name")
        if settings.force_main or settings.isolation_by_machine or settings.order:
            found.add("settings other than the usual ones")
    if len({name.lower() for name in schedule.names}) < len(schedule.names):
        found.add("names that differ only by case, which had.conf refuses")
    return sorted(found)


def _is_lacking(step: Step, names: list[str]) -> bool:
    if step.verb not in VERBS:
        return True
    rest = deeds.split(step.words, names)[1] if step.verb in deeds.ON_MACHINES else []
    fuse = step.verb in ("power-cut", "kill-daemon", "kill-worker") and rest[:1] not in ([], ["0"])
    return fuse or (step.verb == "spoil" and rest != ["lost"])


def configuration(settings: Settings) -> dict[str, object]:
    """A node's settings as keys of had.conf."""
    keys: dict[str, object] = {}
    for name, value in vars(settings).items():
        if name in NOT_WRITTEN:
            continue
        key = name[:-3] if name.endswith("_ns") else name
        section = "hooks__" if key.endswith("_timeout") else SECTIONS.get(key, "")
        keys[section + key] = (
            value.value if key in TEXTS else f"{value // 1_000_000}ms" if name.endswith("_ns") else value
        )
    return keys


class Stage:
    """One file, played once."""

    def __init__(self, make_lab: Callable[..., Lab], scenario: Scenario) -> None:
        schedule = self.schedule = scenario.schedule
        stormy = any(step.verb == "weather" for step in schedule.steps)
        self.scenario = scenario
        self.lab = make_lab(schedule.names, len(schedule.links), seed=schedule.seed if stormy else None)
        for kind, why in schedule.allow:
            self.lab.allow(kind, because=why)
        self.nodes = dict(zip(schedule.names, self.lab.nodes))
        self.plans = dict(zip(schedule.names, schedule.nodes))
        self.off = set(schedule.names)
        self.paused: dict[str, list[int]] = {}
        self.more_link = {
            number: "crossover = yes" for number, link in enumerate(schedule.links, 1) if link.crossover
        }
        self.began = time.monotonic()

    def play(self) -> None:
        for step in self.schedule.steps:
            if step.at_ns != NOW:
                self._sleep_until(self.began + step.at_ns / SECOND)
            self._do(step)
        if self.scenario.is_told and not self.schedule.order_free:
            self._compare_states()

    def _do(self, step: Step) -> None:
        try:
            if step.verb in deeds.ON_WORLD:
                VERBS[step.verb](self, *step.words)
                return
            names, rest = deeds.split(step.words, self.schedule.names)
            if step.verb in DEADLY:
                for name in names:
                    self._wait_for_alerts(name, step.line)
            for name in names:
                VERBS[step.verb](self, name, *rest)
        except AssertionError as error:
            raise AssertionError(f"{self.scenario.name}:{step.line}: {error}") from error

    @staticmethod
    def _sleep_until(moment: float) -> None:
        time.sleep(max(0.0, moment - time.monotonic()))

    # What is compared

    def states(self, name: str) -> list[str]:
        """The states of a node in order, as people were told of them."""
        return [call.split()[1] for call in self.lab.journal.names(name, "alerthasrv")]

    def _told(self, until: int = 0) -> dict[str, list[str]]:
        """The states in the transcript, above a line or all."""
        lines = self.scenario.text.splitlines()
        kept = [line.lstrip() for line in (lines[: until - 1] if until else lines)]
        told = states_told("\n".join(line for line in kept if line.startswith(TOLD)))
        return {
            name: [str(State[state].value) for state in told.get(name, [])] for name in self.schedule.names
        }

    def _settled(self, name: str) -> list[str]:
        return _settled(self.states(name))

    def _wait_for_alerts(self, name: str, line: int) -> None:
        """A death takes the alerts with it that wait; in virtual time all have been told by then."""
        wanted = self._told(line)[name]
        with contextlib.suppress(AssertionError):
            eventually(lambda: len(self.states(name)) >= len(wanted), "alerts", SOON)

    def _compare_states(self) -> None:
        for name, told in self._told().items():
            wanted = _settled(told)
            with contextlib.suppress(AssertionError):
                eventually(lambda name=name, wanted=wanted: self._settled(name) == wanted, name, SOON)
            found = self._settled(name)
            assert found == wanted, (
                f"{self.scenario.name}: {name} went through {_words(found)}; told is {_words(wanted)}"
            )

    # Verbs

    def start(self, name: str, main: str = "") -> None:
        node, plan = self.nodes[name], self.plans[name]
        if name in self.off or node.has_daemon:
            return
        flags = ["-m"] if main else []
        settings = plan.settings
        if plan.old:
            pause, dead = settings.heartbeat_ns // SECOND, settings.dead_ns // SECOND
            node.start_old("-n", str(settings.count), *flags, pause=pause, dead=dead)
        else:
            node.start(*flags, **configuration(settings), more_link=self.more_link)

    def crash(self, name: str, *_keep: str) -> None:
        self.nodes[name].power_cut()
        self.off.add(name)
        self.paused.pop(name, None)

    def signal(self, name: str, *words: str) -> None:
        node = self.nodes[name]
        if node.has_daemon:
            for word in words:
                node.send(signal.Signals[word])

    def stop(self, name: str) -> None:
        self.signal(name, "SIGTERM")

    def power_on(self, name: str) -> None:
        self.off.discard(name)

    def kill_daemon(self, name: str, *_steps: str) -> None:
        if self.nodes[name].has_daemon:
            self.nodes[name].kill_daemon()

    def kill_worker(self, name: str, *_steps: str) -> None:
        self.nodes[name].kill_worker()

    def kill_guard(self, name: str) -> None:
        os.kill(self.nodes[name].guard, signal.SIGKILL)

    def kill_service(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.nodes[name].kill_service()

    def hang(self, name: str) -> None:
        self.nodes[name].kill_worker(signal.SIGSTOP)

    def pause(self, name: str) -> None:
        if name not in self.paused and self.nodes[name].has_daemon:
            self.paused[name] = self.nodes[name].freeze()

    def resume(self, name: str) -> None:
        self.nodes[name].thaw(self.paused.pop(name, []))

    def hook(self, name: str, hook: str, *words: str) -> None:
        node = self.nodes[name]
        node.honest(hook)
        for word in words:
            if word[0] in ".0123456789":
                node.hook(hook, "slow", word)
            elif word in MODES:
                node.hook(hook, *MODES[word])
            elif word == "stubborn":
                node.hook(hook, "stubborn")

    def kill_hook(self, name: str, hook: str) -> None:
        ended = len(self.lab.journal.calls(name, hook, word="end"))
        begun = self.lab.journal.calls(name, hook)
        if len(begun) > ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(begun[-1].rest[0]), signal.SIGKILL)

    def spoil(self, name: str, _how: str) -> None:
        for path in (self.nodes[name].directory / "var-lib" / "had").glob("*"):
            path.unlink()

    def unplug(self, name: str, link: str = deeds.EVERY, *, up: bool = False) -> None:
        change = self.lab.plug if up else self.lab.unplug
        for number in self.lab.links if link == deeds.EVERY else [int(link)]:
            change(self.nodes[name], number)

    def carrier(self, name: str, link: str, up: str) -> None:
        self.unplug(name, link, up=up == "up")

    def cut(self, *words: str, cut: bool = True) -> None:
        ways = deeds.ways(words or (deeds.EVERY,), self.schedule.names, len(self.schedule.links))
        self.lab.set_ways([(link + 1, self.nodes[a], self.nodes[b]) for link, a, b in ways], cut=cut)

    def weather(self, *words: str) -> None:
        where, change = deeds.split_weather(words)
        kinds: dict[str, float] = {}
        if change is not None:
            middle, half = (change.most_ns + change.least_ns) / 2, (change.most_ns - change.least_ns) / 2
            kinds = {"loss": change.loss, "duplicate": change.double}
            kinds.update(delay=middle / SECOND, jitter=half / SECOND)
        for link, speaker, listener in deeds.ways(where, self.schedule.names, len(self.schedule.links)):
            self.lab.weather(self.nodes[speaker], self.nodes[listener], link + 1, **kinds)

    def wait(self, span: str) -> None:
        time.sleep(float(span))

    # Expectations

    def expect(self, *words: str) -> None:
        expected = scenario_expect.parse(words, self.schedule.names)
        within = expected.within_ns
        timeout = SOON if within is None else within / SECOND + LATER
        deadline = time.monotonic() + timeout
        while True:
            found = self.look(expected)
            if found == scenario_expect.wanted(expected):
                return
            if time.monotonic() > deadline:
                allowed = seconds(int(timeout * SECOND))
                raise AssertionError(
                    f"expected: {expected}; but after {allowed} s {scenario_expect.told(expected, found)}"
                )
            time.sleep(0.02)

    def look(self, expected: Expectation) -> str:
        """What is so now, in the words of the expectation."""
        if expected.kind == "services":
            return " ".join(sorted(node.name for node in self.lab.running()))
        node = self.nodes[expected.node]
        if expected.kind == "exits":
            code = node.process.poll() if node.process is not None else None
            return "" if code is None else str(code)
        if expected.kind == "marked":
            return "marked" if (node.directory / "var-lib/had/sole-survivor").exists() else "unmarked"
        if expected.kind == "sees":
            return _state(node, expected.peer, NOTHING)
        return _state(node, expected.node, State.INITIAL.name) if node.has_daemon else GONE


def _state(node: Node, of: str, otherwise: str) -> str:
    shown = node.states().get(of)
    return otherwise if shown is None else SHOWN.get(shown, shown.upper())


def _settled(states: list[str]) -> list[str]:
    """Leave out claims that were withdrawn: whether there are any at a start is a matter of milliseconds."""
    kept: list[str] = []
    for state in states:
        if kept[-2:] == [STANDBY, STARTING] and state == STANDBY:
            kept.pop()
        else:
            kept.append(state)
    return kept


def _words(numbers: list[str]) -> str:
    return " ".join(State(int(number)).name for number in numbers) or "nothing"


VERBS: dict[str, Callable[..., None]] = {
    "power-on": Stage.power_on,
    "power-cut": Stage.crash,
    "crash": Stage.crash,
    "start": Stage.start,
    "stop": Stage.stop,
    "signal": Stage.signal,
    "kill-daemon": Stage.kill_daemon,
    "kill-worker": Stage.kill_worker,
    "kill-guard": Stage.kill_guard,
    "kill-service": Stage.kill_service,
    "kill-hook": Stage.kill_hook,
    "pause": Stage.pause,
    "resume": Stage.resume,
    "hang": Stage.hang,
    "hook": Stage.hook,
    "script": Stage.hook,
    "spoil": Stage.spoil,
    "carrier": Stage.carrier,
    "unplug": Stage.unplug,
    "plug": lambda stage, name, *link: stage.unplug(name, *link, up=True),
    "cut": Stage.cut,
    "heal": lambda stage, *words: stage.cut(*words, cut=False),
    "weather": Stage.weather,
    "wait": Stage.wait,
    "expect": Stage.expect,
}
"""What the lab can do."""
DEADLY = frozenset(("crash", "power-cut", "kill-daemon", "stop"))
