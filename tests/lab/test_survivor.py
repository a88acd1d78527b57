"""The lone node (promise 4, rules L): who was the last one running may start alone, nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


def lone_survivor(lab: Lab) -> Node:
    """Two nodes; the standby dies, and the running one writes down that it is alone."""
    first, second = lab.start(startup="2s")
    second.power_cut()
    first.wait("TIMEOUT", of=second)
    eventually((first.directory / "var-lib" / "had" / "sole-survivor").exists, "the mark")
    return first


def test_the_survivor_starts_again_alone_after_a_stop(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lone_survivor(lab)
    assert node.stop() == 0
    began = time.monotonic()
    node.start(startup="10s")
    node.wait("Running")
    # L3: the machine hasn't been booted, so one dead time was enough
    assert 1.0 < time.monotonic() - began < 9.0
    assert lab.running() == [node]


def test_the_survivor_finds_its_services_after_a_crash_of_the_daemon(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lone_survivor(lab)
    calls = node.moves()
    node.kill_daemon()
    node.start(startup="2s")
    node.wait("Running")
    assert node.moves() == calls


def test_the_survivor_starts_again_alone_after_a_power_cut(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lone_survivor(lab)
    node.power_cut()
    began = time.monotonic()
    node.start(startup="2s")
    node.wait("Running")
    # L3: after a boot it takes the whole startup time
    assert time.monotonic() - began > 2.0


def test_the_other_lone_node_does_not_start(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    survivor = lone_survivor(lab)
    survivor.power_cut()
    other = lab.nodes[1]
    other.start(startup="1s")
    # nothing happens: it isn't the survivor; seen for two startup times
    throughout(lambda: lab.running() == [], "nobody runs", 2)
    # and when the survivor comes too, one of them runs
    survivor.start(startup="1s")
    eventually(lambda: len(lab.running()) == 1, "one runs")


def test_who_was_never_running_does_not_start_alone(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lab.nodes[0]
    node.start(startup="1s")
    # nothing happens, seen for two startup times
    throughout(lambda: node.calls() == [], "no hook runs", 2)


def test_the_mark_goes_when_the_peer_is_back(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lone_survivor(lab)
    other = lab.nodes[1]
    other.start(startup="2s")
    other.wait("Standby")
    eventually(
        lambda: not (node.directory / "var-lib" / "had" / "sole-survivor").exists(), "the mark is erased"
    )
    node.power_cut()
    other.wait("Running")
    # the power is back on the first only, now without a right to start alone
    other.power_cut()
    node.start(startup="1s")
    throughout(lambda: lab.running() == [], "nobody runs", 2)


def test_a_damaged_record_gives_no_privileges_and_no_crash(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lone_survivor(lab)
    node.stop()
    for damage in (b"", b"\0" * 40, b"epoch 99999999999999999999999\n"):
        for name in ("sole-survivor", "epoch"):
            (node.directory / "var-lib" / "had" / name).write_bytes(damage)
        node.start(startup="1s")
        node.wait_log("sole-survivor")
        # nothing happens: seen for longer than the startup time
        throughout(lambda: lab.running() == [], "nobody runs", 1.5)
        assert "Traceback" not in node.log
        assert node.stop() == 0


def test_alone_start_needs_no_mark(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lab.nodes[0]
    node.start(startup="1s", alone="start")
    node.wait("Running")
