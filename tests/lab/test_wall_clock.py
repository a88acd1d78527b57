"""Wall clocks that jump while the daemons run: shown to people, never decided by."""

from __future__ import annotations

import datetime
import re
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .surroundings import FAKETIME, own_clock, set_clock
from .waiting import eventually, throughout

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not FAKETIME, reason="needs libfaketime"),
]
MakeLab = Callable[..., Lab]
DAY = datetime.timedelta(days=1)
CLOCKS = """
import time
print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
"""


def with_clocks(lab: Lab) -> Lab:
    for node in lab.nodes:
        own_clock(node)
    return lab


def shown(node: Node) -> set[datetime.date]:
    """The days that stand in the state file."""
    whens = [line.partition("] ")[2] for line in node.state_text.splitlines()]
    return {datetime.datetime.strptime(when, "%a %b %d %H:%M:%S %Y").date() for when in whens}


def shows(node: Node, days: int) -> bool:
    """Whether the state file's day is so many from today (a midnight may pass meanwhile)."""
    today = datetime.datetime.now()
    near = {(today + days * DAY + datetime.timedelta(minutes=more)).date() for more in (-2, 0, 2)}
    return bool(shown(node)) and shown(node) <= near


def test_only_the_wall_clock_is_another(make_lab: MakeLab) -> None:
    lab = with_clocks(make_lab(1))
    (node,) = lab.nodes
    set_clock(node, "+1d")
    environment = [f"{name}={value}" for name, value in node.environment.items()]
    before = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    said = node.namespace.run("env", *environment, "python3", "-c", CLOCKS).split()
    wall, monotonic, boot = (float(now) - then for now, then in zip(said, before))
    assert 86400 <= wall < 86400 + 60
    assert 0 <= monotonic < 60
    assert 0 <= boot < 60


@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_day_forward_or_back_moves_nothing(make_lab: MakeLab, jump: str) -> None:
    lab = with_clocks(make_lab(2))
    first, second = lab.start()
    moves = [node.moves() for node in lab.nodes]
    days = 1 if jump == "+1d" else -1
    for node in lab.nodes:  # first the one that runs: for a while they differ
        set_clock(node, jump)
        # what people see is the wall clock
        eventually(lambda node=node: shows(node, days), f"{node.name} shows the new day")
        # nothing happens, for more than a dead time
        throughout(lambda: [node.moves() for node in lab.nodes] == moves, "nothing moves", 1.5)
    assert first.states() == second.states() == {"n1": "Running", "n2": "Standby"}
    # so does the log
    recorder = lab.record()
    first.power_cut()
    second.wait("Running")
    stamps = re.findall(r"^(\S{10})T\S+ error: n1 timed out", second.log, re.MULTILINE)
    (stamp,) = stamps
    assert abs((datetime.date.fromisoformat(stamp) - datetime.date.today()).days - days) <= 1
    assert stamp != datetime.date.today().isoformat()
    # the dead time was none of the wall clock's
    heard = recorder.of("n1")
    if heard:
        assert lab.journal.calls("n2", "starthasrv")[-1].time - heard[-1][0] > 0.99


def test_a_hook_has_its_time_however_the_clock_jumps(make_lab: MakeLab) -> None:
    lab = with_clocks(make_lab(2))
    first, second = lab.start(hooks__stop_timeout="2s")
    first.hook("stophasrv", "hang")
    first.send(signal.SIGHUP)
    first.wait_call("stophasrv", 2)
    set_clock(first, "+1d")
    set_clock(second, "-1d")
    eventually(lambda: shows(first, 1) and shows(second, -1), "they show it")
    assert not lab.journal.calls("n1", "stophasrv", word="end")[1:]
    lab.allow("overlap", because="a stop that failed lets the peer take over (stop_failure = takeover)")
    second.wait("Running")
    begun = lab.journal.calls("n1", "stophasrv")[-1].time
    assert lab.journal.calls("n1", "stophasrv", word="end")[-1].time - begun > 1.9
