"""Starting: alone, in twos and threes, forced; what the daemon leaves where, and what it refuses."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import HAD, HOOKS_DIRECTORY, Lab
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]
WAITING_TEXT = "Waiting for quorum of nodes to come online\n"
LINE = re.compile(
    r"[A-Za-z0-9_-]{1,32} \[(Initial|Running|Stopping|Starting|Standby|ERRORED|TIMEOUT)\] "
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 123]\d [\d:]{8} \d{4}"
)


def test_one_of_one_starts_at_once_and_stops_on_term(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.start()
    assert node.moves() == ["stophasrv", "starthasrv"]
    eventually(lambda: len(node.calls("alerthasrv")) == 4, "four alerts")
    assert node.calls("alerthasrv") == [f"alerthasrv {number}" for number in (3, 5, 4, 2)]
    assert [line for line in node.state_text.splitlines() if not LINE.fullmatch(line)] == []
    assert node.stop() == 0
    assert not node.serving
    assert not (node.run_directory / "had.pid").exists()


def test_two_wait_for_each_other_then_the_first_starts(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    second.start()
    eventually(lambda: second.state_text == WAITING_TEXT, "the waiting text")
    # nothing happens: no hook is run while it waits, for more than a dead time
    throughout(lambda: second.calls() == [], "no hook runs", 1.5)
    assert second.state_text == WAITING_TEXT
    first.start()
    first.wait("Running")
    second.wait("Standby")
    second.wait("Running", of=first)
    first.wait("Standby", of=second)
    assert lab.running() == [first]


def test_two_of_three_start_after_two_dead_times_and_the_third_joins(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    first, second, third = lab.nodes
    began = time.monotonic()
    second.start()
    third.start()
    second.wait("Running")
    assert time.monotonic() - began > 2.0
    first.start()
    first.wait("Standby")
    # nothing happens, though the newcomer is the first in order (promise 3), for more than a dead time
    throughout(lambda: lab.running() == [second], "the services stay", 1.5)
    for node in lab.nodes:
        assert node.states() == {"n1": "Standby", "n2": "Running", "n3": "Standby"}


def test_term_while_waiting_runs_no_hook(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lab.nodes[0]
    node.start()
    eventually(lambda: node.state_text == WAITING_TEXT, "the waiting text")
    assert node.stop() == 0
    assert node.calls("starthasrv", "stophasrv", "monitorhasrv", "alerthasrv") == []


def test_alone_exit_gives_up_with_code_1(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    node = lab.nodes[0]
    node.start(alone="exit", startup="1500ms")
    assert node.wait_exit() == 1
    assert node.calls("starthasrv", "stophasrv", "monitorhasrv", "alerthasrv") == []


def test_alone_wait_waits_beyond_the_startup_time_and_goes_on_when_it_can(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    recorder = lab.record()
    first.start(startup="1s")
    # E3: beyond its startup time it is not ready, and in the old format that is shown as ERRORED
    eventually(lambda: any(state == "ERRORED" for _, state in recorder.of("n1")), "shows that it isn't ready")
    throughout(lambda: first.calls() == [], "no hook runs", 1)
    second.start(startup="1s")
    eventually(lambda: len(lab.running()) == 1, "one runs")


@pytest.mark.parametrize("crashed", ["n1", "n2"])
def test_a_daemon_restarted_within_the_dead_time_finds_its_services(make_lab: MakeLab, crashed: str) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    node, other = (first, second) if crashed == "n1" else (second, first)
    lab.start(dead="3s")
    if node is second:
        first.send(signal.SIGHUP)
        second.wait("Running")
        first.wait("Standby")
    moves = [each.moves() for each in lab.nodes]
    node.kill_daemon()
    node.start(dead="3s")
    node.wait("Running")
    other.wait("Running", of=node)
    assert [each.moves() for each in lab.nodes] == moves
    assert node.calls("alerthasrv")[-1] == "alerthasrv 2"


@pytest.mark.parametrize("serving", ["n1", "n2"])
def test_services_found_running_when_all_start_at_once_are_left_alone(
    make_lab: MakeLab, serving: str
) -> None:
    lab = make_lab(2)
    (node,) = [node for node in lab.nodes if node.name == serving]
    (other,) = [each for each in lab.nodes if each is not node]
    (node.control / "service").touch()
    other.hook("stophasrv", "hang")  # had it claimed already, the services would be stopped
    for each in lab.nodes:
        each.start()
    node.wait("Running")
    other.unhook("stophasrv", "hang")
    for each in lab.nodes:
        each.wait("Running", of=node)
    assert lab.running() == [node]
    assert node.moves() == []


def test_services_found_running_beside_a_peer_that_runs_are_stopped(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    first.start()
    second.start()
    first.wait("Running")
    second.power_cut()
    (second.control / "service").touch()  # started by init at boot, against all advice
    second.start()
    second.wait("Standby")
    assert not second.serving
    assert lab.running() == [first]


def test_force_main_starts_at_once_and_takes_part_afterwards(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    recorder = lab.record()
    second.start("-m")
    second.wait("Running")
    starting = [at for at, state in recorder.of("n2") if state == "Starting"]
    assert starting[-1] - starting[0] > 0.9
    assert second.moves() == ["starthasrv"]
    first.start()
    first.wait("Standby")
    # nothing happens: the newcomer is first in order and takes nothing away, for a dead time
    throughout(lambda: lab.running() == [second], "the services stay", 1)
    # D23: after that it is elected like any other
    second.send(signal.SIGHUP)
    first.wait("Running")
    second.wait("Standby")
    first.power_cut()
    second.wait("Running")


def test_the_starting_command_returns_when_the_daemon_is_up(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.configure(places__log="/run/log")
    done = node.command(HAD)
    assert (done.returncode, done.stdout) == (0, "")
    pid = int((node.run_directory / "had.pid").read_text())
    assert pid == node.guard
    assert (node.run_directory / "had.pid").read_text() == f"{pid}\n"
    assert node.state_path.stat().st_mode & 0o777 == 0o644
    node.wait("Running")

    # a second one is refused, by a line that names the first
    again = node.command(HAD)
    assert again.returncode == 1
    assert str(pid) in again.stderr
    assert "Traceback" not in again.stderr

    # kill -9 leaves the pid file; the next start recognises it as stale
    node.kill_daemon()
    assert node.command(HAD).returncode == 0
    assert node.guard != pid
    node.wait("Running")
    assert node.calls("starthasrv") == ["starthasrv"]  # it was found running


def test_what_cannot_run_is_refused_before_the_command_returns(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.configure()
    hook = node.etc / "had" / "hasrv" / "stophasrv"
    for mode in (0o644, 0o777):
        hook.chmod(mode)
        done = node.command(HAD)
        assert done.returncode == 1
        assert f"{HOOKS_DIRECTORY}/stophasrv" in done.stderr
        assert "Traceback" not in done.stderr
    hook.chmod(0o755)
    node.configure(herat_beat="1s")
    done = node.command(HAD)
    assert done.returncode == 1
    assert "/etc/had/had.conf:" in done.stderr
    assert not (node.run_directory / "had.pid").exists()


def test_a_taken_address_is_named(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    lab.socket(node, node.address())
    node.configure()
    done = node.command(HAD)
    assert done.returncode == 1
    assert node.address() in done.stderr
    assert "3891" in done.stderr


def test_two_instances_on_one_machine(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.configure(places__log="/run/log")
    assert node.command(HAD).returncode == 0
    done = node.command(HAD, "-I", "web", "-a", node.address(), "-p", "3892", "-n", "1", "-M", "1", "-T", "4")
    # old flags say nothing of a log, and whether there is a syslogd is this machine's affair
    assert (done.returncode, re.sub("had: there is no syslogd .*\n", "", done.stderr)) == (0, "")
    assert (node.run_directory / "had-web.pid").exists()
    eventually(lambda: "Running" in (node.run_directory / "had-web" / "state").read_text(), "both run")
    lab.allow("restart", "two-hooks", because="both instances have the same hooks here")


def test_an_old_command_line_means_what_it_meant(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    for node in lab.nodes:
        (node.etc / "had" / "had.conf").write_text("this = file is not read\n")
        node.start(*node.link_flags(), "-n2", "-M", "1", "-T", "4", "-l", "/run/place", "-s", HOOKS_DIRECTORY)
    first = lab.nodes[0]
    place = first.run_directory / "place"
    eventually(lambda: place.exists() and "n1 [Running]" in place.read_text(), "n1 runs")
    lab.nodes[0].stop()
    lab.nodes[1].stop()


@pytest.mark.parametrize("flag", ["-h", "--version", "--check"])
def test_flags_that_only_tell(make_lab: MakeLab, flag: str) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.configure()
    done = node.command(HAD, flag)
    assert done.returncode == 0
    assert done.stdout
    assert "Traceback" not in done.stderr
    assert list(node.run_directory.iterdir()) == []
