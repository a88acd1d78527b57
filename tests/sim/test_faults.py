"""Each kind of trouble does what it says."""

from __future__ import annotations

import pytest

from had.core.states import Phase
from had.sim.calm import phase_of
from had.sim.schedule import read
from had.sim.world import World

from .simtools import SETTINGS, play, story


def phases(world: World) -> list[str]:
    return [getattr(phase_of(machine), "name", "-") for machine in world.machines]


def test_two_nodes_start_one_service():
    world = play("at 5 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"]
    assert [machine.service for machine in world.machines] == ["up", "down"]


def test_a_power_cut_takes_the_service_and_the_other_takes_over():
    world = play("at 10 power-cut a\nat 18 wall a 0")
    assert phases(world) == ["-", "RUNNING"]
    assert "a silent for 5.0 s" in story(world)


def test_a_daemon_that_is_killed_leaves_its_service_and_finds_it_again():
    world = play("at 10 kill-daemon a\nat 12 start a\nat 20 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"]
    assert story(world).count("starthasrv begins") == 1
    assert "monitorhasrv found the services running" in story(world)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13])
def test_a_worker_that_is_killed_at_any_step_is_replaced_and_nothing_moves(steps):
    world = play(f"at 10 kill-worker a {steps}\nat 20 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"]
    assert world.judge.counts["G1 G5 worker replaced"] == 1
    assert story(world).count("starthasrv begins") == 1


def test_a_hook_outlives_its_worker():
    steps = "at 1 script a starthasrv 6\nat 10 signal a SIGHUP\nat 15 signal a SIGUSR1\nat 19 kill-worker a"
    world = play(steps + "\nat 40 wall a 0")
    assert world.judge.counts["G1 a hook outlives its worker"] == 1
    assert phases(world) == ["RUNNING", "STANDBY"]


def test_five_deaths_in_a_minute_are_a_farewell():
    deaths = "\n".join(f"at {10 + number * 3} kill-worker a" for number in range(5))
    world = play(deaths + "\nat 45 wall a 0")
    assert phases(world) == ["-", "RUNNING"]
    assert world.judge.counts["G3 farewell"] == 1
    assert world.judge.counts["exit code 1"] == 1


def test_five_deaths_of_a_lone_node_leave_the_service_up():
    deaths = "\n".join(f"at {20 + number * 3} kill-worker a" for number in range(5))
    world = play("at 10 power-cut b\n" + deaths + "\nat 60 wall a 0")
    assert phases(world) == ["RUNNING", "-"]
    assert world.judge.counts["G3 back-off"] == 1


def test_a_worker_that_hangs_is_killed_by_the_guard():
    world = play("at 10 hang a\nat 20 wall a 0")
    assert "the guard kills a worker that hangs" in story(world)
    assert phases(world) == ["RUNNING", "STANDBY"]


def test_without_a_guard_the_worker_goes_on():
    world = play("at 10 kill-guard a\nat 11 signal b SIGUSR2\nat 15 signal a SIGHUP\nat 25 wall a 0")
    assert phases(world) == ["STANDBY", "RUNNING"]
    assert play("at 10 kill-guard a\nat 12 kill-worker a\nat 13 wall a 0").machines[0].daemon is None


def test_a_paused_node_knows_it_and_yields():
    world = play("at 10 pause a\nat 22 resume a\nat 30 wall a 0")
    assert phases(world) == ["STANDBY", "RUNNING"]
    assert "has taken over while this node was stopped" in story(world)
    assert "excuse: silent" in world.judge.counts


def test_a_node_that_is_held_with_its_clock_does_not_know_it():
    world = play("at 10 hold a\nat 22 release a\nat 30 wall a 0")
    assert phases(world) == ["STANDBY", "RUNNING"]
    assert "did not run for" not in story(world)
    assert "b was started after us" in story(world), "only rule T helps (P2)"


def test_a_clock_that_is_wrong_by_500_ppm_drifts():
    nodes = [f"node {name} drift={drift} {SETTINGS}" for name, drift in (("a", 250), ("b", -250))]
    text = "\n".join(["had-sim 1", "link", *nodes, "at 1000 wall a 0"])
    world = World(read(text))
    begun = [machine.local_ns() for machine in world.machines]
    world.run()
    passed = [machine.local_ns() - before for machine, before in zip(world.machines, begun)]
    assert passed[0] - passed[1] == 500_000_000


def test_the_wall_clock_decides_nothing_for_ours_and_much_for_the_old():
    assert phases(play("at 10 wall b 86400\nat 20 wall b 0")) == ["RUNNING", "STANDBY"]
    jump = "at 20 cut * a b\nat 20.9 wall b 86400\nat 22.5 heal * a b"
    world = play(jump + "\nat 26 wall b 0", names="a old:b")
    assert world.machines[1].service == "up"
    assert world.judge.counts["excuse: old starts"] == 1


def test_a_cut_in_one_direction():
    world = play("at 10 cut * a b\nat 17 wall a 0")
    assert world.machines[1].service == "up", "b no longer hears a"
    assert "b timed out" not in story(world)


def test_losing_all_packets_is_a_cut_and_losing_a_tenth_is_not():
    lost = play("at 10 weather * a b 1000000 0 0.001 0.001\nat 18 wall a 0")
    assert "excuse: silent" in lost.judge.counts
    some = play("at 10 weather * a b 100000 0 0.001 0.001\nat 60 wall a 0")
    assert "excuse: silent" not in some.judge.counts
    assert some.network.losses > 0


def test_packets_are_doubled_late_and_out_of_order():
    world = play("at 10 weather * a b 0 1000000 0.001 1.5\nat 60 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"]


def test_a_cable_that_is_pulled_is_told():
    world = play("at 10 carrier b 1 down\nat 30 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"], "an isolated standby never takes over"
    assert "it is isolated" in story(world)


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("0.2 fails", "starthasrv failed (exit status 1)"),
        ("0.2 hangs", "starthasrv timed out"),
        ("0.2 hangs stubborn", "starthasrv timed out"),
    ],
)
def test_a_start_that_fails_moves_on(way, sentence):
    world = play(f"at 0 script a starthasrv {way}\nat 40 wall a 0")
    assert phases(world) == ["ERRORED", "RUNNING"]
    assert sentence in story(world)


def test_a_monitor_that_lies_is_believed():
    world = play("at 10 script a monitorhasrv 0.01 lies\nat 20 wall a 0")
    assert phases(world) == ["ERRORED", "RUNNING"]


def test_a_stop_that_fails_is_an_excuse_and_blocked_it_needs_none():
    steps = "at 9 script a stophasrv 0.1 fails\nat 10 signal a SIGHUP\nat 20 wall a 0"
    world = play(steps)
    assert phases(world) == ["ERRORED", "RUNNING"]
    assert world.judge.counts["excuse: stop failed"] == 1
    blocked = play(steps, more="stop_failure=block")
    assert phases(blocked) == ["BLOCKED", "STANDBY"]


def test_a_killed_hook_counts_as_failed():
    world = play("at 0 script a starthasrv 3\nat 3 kill-hook a starthasrv\nat 20 wall a 0")
    assert phases(world) == ["ERRORED", "RUNNING"]


@pytest.mark.parametrize("mood", ["slow", "stuck", "full", "read-only"])
def test_a_bad_disk_stops_nothing(mood):
    world = play(f"at 10 disk b {mood}\nat 10 power-cut a\nat 25 wall a 0")
    assert phases(world) == ["-", "RUNNING"]
    assert world.machines[1].disk.load("").mark_epoch is None or mood == "slow"


def test_left_over_hooks_are_ended_first():
    steps = "at 0 script a starthasrv 60\nat 4 kill-daemon a\nat 4 script a starthasrv 1\nat 5 start a"
    world = play(steps + "\nat 30 wall a 0", more="start_timeout=100")
    assert world.judge.counts["S5 left-over hook"] == 1
    assert sorted(phases(world)) == ["RUNNING", "STANDBY"]


def test_the_sole_survivor_starts_again_alone():
    world = play("at 10 power-cut b\nat 25 power-cut a\nat 30 power-on a\nat 30 start a\nat 55 wall a 0")
    assert phases(world)[0] == "RUNNING"
    assert world.judge.counts["L3 goes on by the mark"] == 1


@pytest.mark.parametrize("how", ["lost", "torn"])
def test_but_not_without_its_record(how):
    steps = "at 10 power-cut b\nat 25 power-cut a\nat 29 spoil a " + how
    world = play(steps + "\nat 30 power-on a\nat 30 start a\nat 90 wall a 0")
    assert phases(world)[0] == "WAITING"


def test_junk_changes_nothing():
    kinds = ("short", "version", "name", "noise", "reflected", "stranger")
    lines = "\n".join(f"at {10 + number} junk b 1 {kind}" for number, kind in enumerate(kinds))
    world = play(lines + "\nat 30 wall a 0")
    assert phases(world) == ["RUNNING", "STANDBY"]
    assert world.judge.counts["N datagrams rejected"] == 4


def test_old_and_new_in_one_cluster():
    world = play("at 20 power-cut b\nat 40 wall a 0", names="a old:b")
    assert phases(world) == ["RUNNING", "-"]
    world = play("at 20 signal a SIGHUP\nat 40 wall a 0", names="a old:b")
    assert world.machines[1].service == "up"
    assert world.machines[0].service == "down"


def test_calm_mends_and_ends():
    steps = "at 0 script a starthasrv 0.1 fails\nat 2 cut * a b\nat 10 pause b\nat 30 calm mend"
    world = play(steps)
    assert world.settled_ns is not None
    assert sorted(phases(world)) == ["RUNNING", "STANDBY"]
    assert Phase.ERRORED.name not in phases(world)
