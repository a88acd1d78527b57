"""Short schedules for tests: a cluster of good settings, and steps as in a schedule's text."""

from __future__ import annotations

from had.sim.run import Result, run_schedule
from had.sim.schedule import Schedule, read
from had.sim.world import World

SETTINGS = "heartbeat=1 warn=3 dead=5 startup=20 startup_quorum=10 start_timeout=10 stop_timeout=10"


def schedule(steps: str, *, names: str = "a b", links: int = 1, more: str = "", seed: int = 1) -> Schedule:
    """All nodes are switched on and started at the begin; ``old:NAME`` runs the old daemon."""
    lines = ["had-sim 1", f"seed {seed}", *["link travel=0.001"] * links]
    every = [name.rpartition(":")[::2] for name in names.split()]
    listed = ",".join(name for _, name in every)
    for old, name in every:
        lines.append(f"node {name} {old} count={len(every)} names={listed} {SETTINGS} {more}")
    for _, name in every:
        lines += [f"at 0 power-on {name}", f"at 0 start {name}"]
    return read("\n".join(lines + [line.strip() for line in steps.strip().splitlines()]))


def play(steps: str, **cluster: object) -> World:
    """Run a schedule to its last step; nothing may break."""
    world = World(schedule(steps, **cluster), story=True)
    broken = world.run()
    assert broken is None, "\n".join([*(world.story or [])[-30:], str(broken)])
    return world


def result(steps: str, **cluster: object) -> Result:
    return run_schedule(schedule(steps, **cluster), story=True)


def story(world: World) -> str:
    return "\n".join(world.story or [])
