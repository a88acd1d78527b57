"""All processors busy with other things."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from .cluster import Lab
from .surroundings import load
from .waiting import throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


@pytest.mark.alone
def test_under_load_nothing_moves_and_a_failover_happens(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(heartbeat="300ms", dead="3s")
    moves = [node.moves() for node in lab.nodes]
    recorder = lab.record()
    begun = time.monotonic()
    # Four times as many as there are processors, all as important as the daemons.
    with load(second, 4 * (os.cpu_count() or 1)):
        # nothing happens, for longer than the dead time
        throughout(lambda: [node.moves() for node in lab.nodes] == moves, "nothing moves", 5)
        assert max(recorder.longest_silence(node.name, begun) for node in lab.nodes) < 1.5
        first.power_cut()
        cut = time.monotonic()
        second.wait("Running")
        assert 2.0 < time.monotonic() - cut < 6.0
        assert "Traceback" not in second.log
