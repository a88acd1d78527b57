"""What is done to the cluster, what may come of it at most, and the table at the end."""

from __future__ import annotations

import dataclasses
import signal
import time
from typing import Callable, Optional

from demo.answers import Stamp, read_stamps, two_at_once
from demo.cluster import DEAD_MS, DemoError, Node
from demo.stage import Stage

MS = 1_000_000
ALLOWED_MS = {"boot": 5000, "dead": DEAD_MS, "stop": 500, "start": 500, "margin": 1500}
"""What the bounds are made of."""
MEANINGS = (
    f"boot   {ALLOWED_MS['boot']}: the daemons start and hear each other",
    f"dead   {ALLOWED_MS['dead']}: the silence after which a node is dead, from had.conf",
    f"stop    {ALLOWED_MS['stop']}: stophasrv ends this service",
    f"start   {ALLOWED_MS['start']}: starthasrv starts it",
    f"margin {ALLOWED_MS['margin']}: agreeing on who is next, and a slow machine with two cores",
)
BOOTED = ("boot", "start", "margin")
DIED = ("dead", "start", "margin")
MOVED = ("stop", "start", "margin")
STAYED = ("margin",)
WATCH_S = DEAD_MS / 1000 + 0.5
"""How long what has settled is watched: more than a dead time, in which a surprise would show."""
PATIENCE_S = 10.0
"""How long is waited beyond a bound."""
_PLANNED = 6
"""How many acts the demo has when nobody presses keys."""


@dataclasses.dataclass
class Act:
    """Something that was done, and what the client and the services saw of it."""

    title: str
    parts: tuple[str, ...]
    """What the bound is made of."""
    stays: bool
    """Nothing may move, and no request may be lost."""
    to: str
    """Who has to serve afterwards; empty if any other node may."""
    done: Callable[[], bool]
    """What has to hold afterwards, besides a steady cluster."""
    began_ns: int
    before: str
    """Who served when it began."""
    first_stamp: int
    settled_ns: Optional[int] = None
    after: str = ""
    outage_ms: int = 0
    """The longest one; if nobody served in the end, so far."""
    lost: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def bound_ms(self) -> int:
        return sum(ALLOWED_MS[part] for part in self.parts)

    @property
    def who(self) -> str:
        """From whom to whom it went."""
        before, after = self.before or "-", self.after or "-"
        return before if before == after else f"{before} > {after}"

    def row(self) -> str:
        """Return its line of the table, at most 79 characters."""
        outage = f"{'' if self.after else '>'}{self.outage_ms}"
        bound = f"{self.bound_ms:6}  {'+'.join(self.parts):17}"
        verdict = "NO" if self.problems else "ok"
        return f"{self.title:25} {self.who:8} {outage:>7} {self.lost:>5} {bound} {verdict}"


class Play:
    """Does one thing after another, and keeps what came of each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.acts: list[Act] = []
        self.current: Optional[Act] = None

    # --- one act

    def begin(
        self,
        title: str,
        parts: tuple[str, ...],
        *,
        stays: bool = False,
        to: str = "",
        done: Callable[[], bool] = lambda: True,
    ) -> None:
        """Announce an act; its time begins now."""
        now_ns = time.monotonic_ns()
        stamps = len(self._stamps())
        self.current = Act(title, parts, stays, to, done, now_ns, self.stage.serving(), stamps)
        self.acts.append(self.current)
        self.stage.screen.say(f"=== {title}", "title")

    def over(self) -> bool:
        """Whether the act has settled and was watched for a while after that, or takes too long."""
        act = self.current
        if act is None:
            return True
        now_ns = time.monotonic_ns()
        if act.settled_ns is None:
            moved = act.stays or self.stage.serving() not in ("", act.before)
            if moved and act.done() and self.stage.settled():
                act.settled_ns = now_ns
            return now_ns - act.began_ns > act.bound_ms * MS + PATIENCE_S * 1000 * MS
        return now_ns - act.settled_ns > WATCH_S * 1000 * MS

    def end(self) -> Optional[Act]:
        """Measure and judge the act, and say what came of it."""
        act, self.current = self.current, None
        if act is None:
            return None
        now_ns = time.monotonic_ns()
        answers = self.stage.answers
        act.after = answers.serving(now_ns)
        act.outage_ms = answers.outage_ns(act.began_ns, now_ns) // MS
        act.lost = sum(1 for answer in answers.between(act.began_ns, now_ns) if not answer.node)
        act.problems = list(self._problems(act))
        verdict = "; ".join(act.problems) or "ok"
        text = f"--- {act.who}: outage {act.outage_ms} ms (bound {act.bound_ms}), {act.lost} lost: {verdict}"
        self.stage.screen.say(text, "bad" if act.problems else "good", cut=not act.problems)
        return act

    def _problems(self, act: Act) -> list[str]:
        problems = []
        if not act.after:
            problems.append("nobody answers")
        elif act.outage_ms > act.bound_ms:
            problems.append(f"the outage is beyond {act.bound_ms} ms")
        since = self._stamps()[act.first_stamp :]
        if act.stays:
            if since or act.after != act.before:
                problems.append("the service was moved or restarted")
            if act.lost:
                problems.append("requests were lost")
        elif act.after:
            if act.after == act.before or (act.to and act.after != act.to):
                problems.append(f"{act.to or 'another node'} should serve")
            if [stamp.word for stamp in since].count("up") != 1:
                problems.append("the service was not started exactly once")
        return problems

    def _stamps(self) -> list[Stamp]:
        return read_stamps(self.stage.cluster.journal)

    # --- what can be done

    def start_all(self) -> None:
        nodes = self.stage.cluster.nodes
        self.begin("three nodes start", BOOTED, done=lambda: len(self.stage.cluster.alive()) == len(nodes))
        for node in nodes:
            node.start()

    def crash(self, node: Node) -> None:
        """Let a node die as by a power cut."""
        self.begin(f"{node.name} crashes", DIED)
        self.stage.screen.say("    SIGKILL to guard, worker, hooks and service at one instant")
        node.crash()

    def bring_back(self, node: Node) -> None:
        """Start a node again.  Nothing moves, unless nobody served because too few were left."""
        stays = bool(self.stage.serving())
        parts = STAYED if stays else BOOTED
        self.begin(f"{node.name} comes back", parts, stays=stays, done=lambda: node.guard() is not None)
        node.start()

    def hand_over(self, node: Node) -> None:
        """Let another node than this one, which runs the service, run it."""
        self.begin(f"SIGHUP: {node.name} hands over", MOVED)
        node.send(signal.SIGHUP)

    def take_over(self, node: Node) -> None:
        """Let this node, which stands by, run the service."""
        self.begin(f"SIGUSR1: {node.name} takes over", MOVED, to=node.name)
        node.send(signal.SIGUSR1)

    def kill_worker(self, node: Node) -> None:
        """Kill the worker of the node that runs the service."""
        worker = node.worker()
        self.begin(
            f"worker of {node.name} is killed",
            STAYED,
            stays=True,
            done=lambda: node.worker() not in (None, worker),
        )
        node.kill_worker()

    # --- the whole

    def run(self) -> None:
        """Play all acts.  Raises DemoError when what has to come of one does not."""
        cluster, stage = self.stage.cluster, self.stage
        self.start_all()
        self._finish()
        first = cluster.node(stage.serving())
        self.crash(first)
        self._finish()
        self.bring_back(first)
        self._finish()
        self.hand_over(cluster.node(stage.serving()))
        self._finish()
        self.take_over(stage.standby()[-1])
        self._finish()
        self.kill_worker(cluster.node(stage.serving()))
        self._finish()

    def _finish(self) -> None:
        while not self.over():
            self.stage.pump(0.05)
        act = self.end()
        if act is not None and act.settled_ns is None:
            raise DemoError(f"{act.title}: the cluster was not steady afterwards")

    def complete(self) -> bool:
        """Whether all acts were played and each went well."""
        return len(self.acts) == _PLANNED and not any(act.problems for act in self.acts)

    def table(self) -> tuple[list[str], list[str]]:
        """Return the table, and a line for each time that two services were up at once."""
        stamps = self._stamps()
        rows = [
            "",
            f"{'what happened':25} {'served':8} {'outage':>7} {'lost':>5} {'bound':>6}  made of",
            *(act.row() for act in self.acts if act is not self.current),
            "",
            "Outage: from the client's last good answer to the next one; lost: its requests",
            "without an answer.  All times in ms.  A bound is the sum of",
            *(f"  {meaning}" for meaning in MEANINGS),
            "",
        ]
        twice = two_at_once(stamps)
        ups = sum(1 for stamp in stamps if stamp.word == "up")
        if not twice:
            rows.append(f"Starts of the service: {ups}; two were never up at once.")
        return rows, twice
