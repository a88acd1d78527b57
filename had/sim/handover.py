"""What a worker leaves: the snapshot for the next one, and the state file for people."""

from __future__ import annotations

import dataclasses

from had.core.actions import RunHook
from had.core.data import NodeData
from had.core.node import Node
from had.core.states import State
from had.runtime.alerts import AlertData
from had.runtime.record import RecorderData
from had.sim.runner import Run

Shown = tuple[bool, tuple[tuple[str, State], ...]]
"""What a state file says: whether the daemon is still waiting for others, and the lines."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All that a worker knows, as the next one gets it."""

    node: NodeData
    hooks: tuple[Run, ...]
    alerts: AlertData
    recorder: RecorderData
    asked: tuple[RunHook, ...]
    obeyed: int


def shown(node: Node, now_ns: int) -> Shown:
    """Return what the state file says of each node."""
    view = node.view(now_ns)
    return (view.seeding, tuple((line.name, line.state) for line in view.nodes))
