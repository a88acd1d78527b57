"""The services move: by a machine's death, by a person's word, by a failure."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Lab
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


@pytest.mark.alone
def test_a_power_cut_is_noticed_after_the_dead_time_and_not_before(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    recorder = lab.record()
    first, second = lab.start()
    first.power_cut()
    second.wait("Running")
    (start,) = lab.journal.calls("n2", "starthasrv")
    last_word = recorder.of("n1")[-1][0]
    assert start.time - last_word >= 0.98  # the journal's clock has steps of 10 ms
    assert start.time - last_word < 2.0
    assert second.states()["n1"] == "TIMEOUT"

    # it comes back, the first in order: nothing moves (promise 3), for two dead times
    first.start()
    first.wait("Standby")
    throughout(lambda: lab.running() == [second], "the services stay", 2)


def test_hup_hands_over_from_the_first_node_and_from_a_later_one(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    first.send(signal.SIGHUP)
    second.wait("Running")
    first.wait("Standby")  # M2: the hold ends when the peer is RUNNING
    assert first.calls("alerthasrv")[-2:] == ["alerthasrv 3", "alerthasrv 5"]
    second.send(signal.SIGHUP)
    first.wait("Running")
    second.wait("Standby")
    assert lab.running() == [first]


def test_hup_on_standby_changes_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    stops = second.calls("stophasrv")
    second.send(signal.SIGHUP)
    second.wait_log("SIGHUP")
    # nothing happens, seen for a dead time
    throughout(lambda: lab.running() == [first] and second.state() == "Standby", "the services stay", 1)
    assert second.calls("stophasrv") == stops
    # and it is no hold (M1; D5): it takes over as ever
    first.power_cut()
    second.wait("Running")


def test_usr1_on_the_standby_takes_the_services_over(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    lab.settle(first)
    second.send(signal.SIGUSR1)
    second.wait("Running")
    first.wait("Standby")
    assert lab.running() == [second]
    lab.settle(second)
    first.send(signal.SIGUSR1)
    first.wait("Running")
    second.wait("Standby")
    assert lab.running() == [first]


def test_usr1_and_usr2_on_the_running_node_do_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, _second = lab.start()
    calls = first.moves()
    first.send(signal.SIGUSR1)
    first.send(signal.SIGUSR2)
    # nothing happens, seen for a dead time
    throughout(lambda: first.moves() == calls, "no hook runs", 1)


def test_a_failed_monitor_moves_the_services_and_usr2_clears(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    first.kill_service()
    second.wait("Running")
    first.wait("ERRORED")
    assert first.calls("stophasrv") == ["stophasrv"] * 2
    first.wait("ERRORED")
    # promise 3: it stays out, also when it could start: seen for two dead times
    second.power_cut()
    throughout(lambda: lab.running() == [], "nobody runs", 2)
    first.send(signal.SIGUSR2)
    first.wait("Running")
    eventually(
        lambda: first.calls("alerthasrv")[-3:] == [f"alerthasrv {number}" for number in (5, 4, 2)],
        "D25: the change by USR2 is alerted",
    )


def test_a_failed_start_is_cleaned_up_and_the_peer_starts(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    first.hook("starthasrv", "fail", "3")
    first.start()
    second.start()
    second.wait("Running")
    first.wait("ERRORED")
    assert first.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    # USR1 forces it: ERRORED is cleared and the peer stops
    first.unhook("starthasrv", "fail")
    lab.settle(second)
    first.send(signal.SIGUSR1)
    first.wait("Running")
    second.wait("Standby")


def test_term_on_the_running_node_leaves_the_grace_period_that_was_documented(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    recorder = lab.record()
    assert first.stop() == 0
    stopped = time.monotonic()
    assert not first.serving
    second.wait("Running")
    assert lab.journal.calls("n2", "starthasrv")[-1].time - stopped > 0.8
    assert recorder.of("n1")[-1][1] == "Stopping"  # V1


def test_term_on_the_standby_runs_no_hook(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    recorder = lab.record()
    calls = second.calls()
    assert second.stop() == 0
    assert second.calls() == calls
    assert recorder.of("n2")[-1][1] == "Standby"
    first.wait("TIMEOUT", of=second)
    assert lab.running() == [first]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_killall_reaches_guard_and_worker_and_means_one_thing(make_lab: MakeLab, number: int) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    for node in (second, first):
        for pid in node.daemon():
            with contextlib.suppress(ProcessLookupError):  # so quick may it be after the first
                os.kill(pid, number)
        assert node.wait_exit() == 0
    assert first.calls("stophasrv") == ["stophasrv"] * 2
    assert lab.running() == []


def test_hup_to_guard_and_worker_stops_once(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    for pid in first.daemon():
        os.kill(pid, signal.SIGHUP)
    second.wait("Running")
    first.wait("Standby")
    assert first.calls("stophasrv") == ["stophasrv"] * 2


def test_term_during_a_start_lets_the_hook_finish_then_stops(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.hook("starthasrv", "hang")
    node.start()
    node.wait_call("starthasrv")
    node.send(signal.SIGTERM)
    node.wait("Stopping")
    node.unhook("starthasrv", "hang")
    assert node.wait_exit() == 0
    assert node.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert not node.serving


@pytest.mark.alone
def test_heartbeats_go_on_while_hooks_run(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    recorder = lab.record()
    first.hook("starthasrv", "hang")
    first.start()
    second.start()
    first.wait_call("starthasrv")  # a claim alone may be withdrawn again while the peer cleans up
    second.wait("Starting", of=first)
    second.wait("Standby")
    begun = time.monotonic()
    # nothing happens: the peer waits for the hook, for two dead times
    throughout(lambda: second.state() == "Standby", "the peer waits", 2)
    first.unhook("starthasrv", "hang")
    first.wait("Running")
    first.hook("stophasrv", "hang")
    first.send(signal.SIGHUP)
    second.wait("Stopping", of=first)
    throughout(lambda: second.state() == "Standby", "the peer waits", 1.5)
    first.unhook("stophasrv", "hang")
    second.wait("Running")
    assert recorder.longest_silence("n1", begun) < 0.8


def test_a_failed_stop_lets_the_peer_take_over_by_default(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="stop_failure = errored: loud, but peers take over, as before")
    first, second = lab.start()
    first.hook("stophasrv", "fail", "1")
    first.send(signal.SIGHUP)
    first.wait("ERRORED")
    second.wait("Running")


def test_a_failed_stop_blocks_where_that_is_asked_for(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start(stop_failure="block")
    first.hook("stophasrv", "fail", "1")
    first.send(signal.SIGHUP)
    first.wait_call("stophasrv", 2)
    # nothing happens: it stays STOPPING and nobody takes over, for two dead times
    second.wait("Stopping", of=first)
    throughout(lambda: second.state() == "Standby" and first.state() == "Stopping", "blocked", 2)
    first.unhook("stophasrv", "fail")
    first.send(signal.SIGUSR2)  # M6: stophasrv again, and the hold is cleared: it may start again itself
    first.wait("Running")
    assert first.moves()[-2:] == ["stophasrv", "starthasrv"]
