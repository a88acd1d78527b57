"""From a state on nothing more breaks: does the cluster settle, in time and for ever?

The calm run is one run: everybody on, all links whole, what is due happens in a fixed order, hooks work.
Where a computer is off there is another one, in which it stays off.  A run is followed until it comes to a
state where it has been before (or an earlier calm run has, whose end is known): what is settled all around
that circle is settled for ever.  What settled means is said by :mod:`had.sim.calm`; the bound is its, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, cast

from had.sim import calm
from had.sim.small.cluster import Cluster, Moment, happened
from had.sim.small.computer import GRID_NS
from had.sim.small.worlds import KINDS
from had.sim.truth import BrokenPromiseError

if TYPE_CHECKING:
    from had.sim.world import World

NOTHING = (0,) * len(KINDS)
STEPS_MAX = 100_000


class Rest:
    """Calm runs of one world, and what is known of them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._left: dict[Moment, int] = {}
        """By quiet state of a calm run: how long until it is settled for ever, in spans of the grid."""
        self._unsettled: dict[tuple[int, ...], str] = {}
        nodes = cluster.nodes
        bounds = [calm.bound_ns(each.settings, nodes, mends=False) for each in cluster.stage.blank]
        self.limit = max(bounds) // GRID_NS
        self.longest = 0
        """The longest that a calm run took to settle."""
        self.runs = 0

    def begin(self, state: Moment, *, away: bool = False) -> Moment:
        """Make everything whole, and switch everybody on, unless who is off is ``away``."""
        cluster = self._cluster
        state = state._replace(cuts=0, slow=(), budget=NOTHING)
        for index in range(cluster.nodes):
            known = cluster.places[index].known[state.numbers[index]]
            deeds: list[tuple[Any, ...]] = [("resume",)] if known.paused else []
            deeds += [("carrier", link, True) for link, up in enumerate(known.computer.links_up) if not up]
            deeds += [] if known.on or away else [("start", False)]
            for deed in deeds:
                state = happened(*cluster.at(state, index, deed))
        return state

    def check(self, state: Moment, *, away: bool) -> None:
        """Follow the calm run from this state.

        :raises BrokenPromiseError: it breaks a promise, or does not settle in time.
        """
        state = self.begin(state, away=away)
        path: list[tuple[Moment, int]] = []
        """Quiet states, and how long time went on after each."""
        places: dict[Moment, int] = {}
        for _ in range(STEPS_MAX):
            if self._cluster.quiet(state):
                if state in self._left or state in places:
                    break
                places[state] = len(path)
            event, after = self.step(state)
            if event[0] == "time":
                path.append((state, event[1]))
            state = after
        else:
            raise BrokenPromiseError("2 someone at all times", "the calm run does not come to an end")
        self._note(path, places, state)
        self.runs += 1

    def step(self, state: Moment) -> tuple[tuple[Any, ...], Moment]:
        """Take the first thing that may happen."""
        event = self._cluster.calm_event(state)
        return event, happened(*self._cluster.follow(state, event))

    def _note(self, path: list[tuple[Moment, int]], places: dict[Moment, int], end: Moment) -> None:
        """Write down how long each state of a run takes to settle."""
        left = self._left.get(end)
        if left is None:
            circle = path[places[end] :]
            for state, _ in circle:
                trouble = self.unsettled(state)
                if trouble:
                    raise BrokenPromiseError("2 someone at all times", f"never settled: {trouble}")
                calm._check_mark(cast("World", self._show(state)), self._show(state).machines)
                self._left[state] = 0
            left, path = 0, path[: places[end]]
        for state, spans in reversed(path):
            left = left + spans if left or self.unsettled(state) else 0
            self._left[state] = left
            if left > self.limit:
                seconds = left * GRID_NS / 1e9
                raise BrokenPromiseError("2 someone at all times", f"settled after {seconds:.0f} s only")
        self.longest = max(self.longest, left)

    def _show(self, state: Moment) -> Any:
        """Let the stage, which is enough of a world, show this state."""
        stage = self._cluster.stage
        stage.shows([known.computer for known in self._cluster.known(state)])
        return stage

    def unsettled(self, state: Moment) -> str:
        """Say what is not as it should be in the end."""
        trouble: Optional[str] = self._unsettled.get(state.numbers)
        if trouble is None:
            stage = self._show(state)
            trouble = calm.unsettled(stage, stage.machines)
            self._unsettled[state.numbers] = trouble
        return trouble
