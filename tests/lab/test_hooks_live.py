"""Hooks that hang, flood, leave daemons behind or fail, in a running daemon (point 7)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Lab
from .namespaces import alive
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


def lives(lab: Lab, node: str, hook: str) -> bool:
    """Whether the last call of a hook still runs."""
    return alive(int(lab.journal.calls(node, hook)[-1].rest[0]))


def test_a_start_that_hangs_is_ended_cleaned_up_and_the_peer_starts(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    first.hook("starthasrv", "hang")
    first.start(hooks__start_timeout="500ms")
    second.start(hooks__start_timeout="500ms")
    second.wait("Running")
    first.wait("ERRORED")
    assert first.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert not lives(lab, "n1", "starthasrv")


def test_a_hook_that_ignores_term_is_killed(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    lab.allow("two-hooks", because="a killed hook can't write down its end")
    node.hook("starthasrv", "stubborn")
    node.hook("starthasrv", "hang")
    node.start(hooks__start_timeout="300ms")
    node.wait("ERRORED")
    assert not lives(lab, "n1", "starthasrv")
    assert node.moves() == ["stophasrv", "starthasrv", "stophasrv"]


def test_a_stop_that_hangs_lets_the_peer_take_over_after_its_timeout(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="stop_failure = errored: loud, but peers take over, as before")
    first, second = lab.start(hooks__stop_timeout="1s")
    first.hook("stophasrv", "hang")
    first.send(signal.SIGHUP)
    first.wait("Stopping")
    begun = time.monotonic()
    second.wait("Running")
    assert time.monotonic() - begun > 0.8
    first.wait("ERRORED")
    assert not lives(lab, "n1", "stophasrv")


def test_a_monitor_that_hangs_is_a_failure(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(hooks__monitor_timeout="500ms")
    first.hook("monitorhasrv", "hang")
    second.wait("Running")
    first.wait("ERRORED")
    assert not first.serving


def test_a_number_of_monitor_failures_may_be_taken(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.start(hooks__monitor_failures="3")
    node.hook("monitorhasrv", "fail", "1")
    begun = len(lab.journal.calls("n1", "monitorhasrv"))
    node.wait("ERRORED")
    results = [entry.rest[0] for entry in lab.journal.calls("n1", "monitorhasrv", word="end")[begun:]]
    assert results.count("1") == 3


def test_an_alert_that_hangs_delays_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    for node in lab.nodes:
        node.hook("alerthasrv", "hang")
    first, second = lab.start()
    first.power_cut()
    second.wait("Running")
    assert second.calls("alerthasrv") == ["alerthasrv 3"]
    second.unhook("alerthasrv", "hang")
    # A1: in order, and none is lost
    eventually(lambda: len(second.calls("alerthasrv")) == 4, "the queue is worked off")
    assert second.calls("alerthasrv") == [f"alerthasrv {number}" for number in (3, 5, 4, 2)]


@pytest.mark.alone
def test_a_flood_of_output_neither_starves_heartbeats_nor_fills_the_log(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    recorder = lab.record()
    begun = time.monotonic()
    first.hook("monitorhasrv", "flood")
    first.wait_log("the flood of monitorhasrv")
    # nothing happens, for three dead times of 50,000 lines each monitor run
    throughout(lambda: second.state(first) == "Running" and lab.running() == [first], "the services stay", 3)
    assert recorder.longest_silence("n1", begun) < 0.9
    assert first.log.count("\n") < 5000


def test_what_a_start_hook_leaves_running_holds_nothing_up(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "leave")
    lab.start()
    service = Path("/proc") / (node.control / "starthasrv.left").read_text().strip()
    # D20: it has no socket or file of the daemon, only its output
    # (until it is what it will be, a shell still has the script open)
    eventually(lambda: sorted(os.listdir(service / "fd")) == ["0", "1", "2"], "nothing but its output")
    assert os.readlink(service / "fd" / "0") == "/dev/null"
    assert os.readlink(service / "fd" / "1").startswith("pipe:")
    node.kill_daemon()
    node.start()  # so the address is free
    node.wait("Running")


def test_hooks_know_their_context(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "environment")
    node.hook("alerthasrv", "environment")
    lab.start(cluster="lab")
    seen = dict(
        line.split("=", 1)
        for line in (node.control / "starthasrv.seen").read_text().splitlines()
        if line.startswith("HAD_")
    )
    assert seen["HAD_NODE"] == "n1"
    assert seen["HAD_CLUSTER"] == "lab"
    assert seen["HAD_HOOK"] == "starthasrv"
    assert seen["HAD_REASON"]
    assert "HAD_STATE_NOW" in eventually((node.control / "alerthasrv.seen").read_text, "an alert was called")


def test_a_hook_that_disappears_counts_as_failed(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    (first.etc / "had" / "hasrv" / "monitorhasrv").unlink()
    second.wait("Running")
    first.wait("ERRORED")
    assert "Traceback" not in first.log
