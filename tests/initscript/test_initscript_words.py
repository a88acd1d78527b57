"""The words to a running daemon, between two nodes: each tells what it led to."""

from __future__ import annotations

import pytest
from initscript_tools import DONE, FAILED, Machine, MakeMachines
from lab.waiting import throughout

pytestmark = pytest.mark.lab


def pair(make_machines: MakeMachines, family: str = "debian", shell: str = "dash") -> list[Machine]:
    """Two nodes, the first of which runs the services and has been heard to for a while."""
    both = make_machines(2, family, shell)
    for machine in both:
        machine.good("start")
    first, second = both
    for machine in both:
        machine.node.wait("Running", of=first.node)
    second.node.wait("Standby")
    first.node.lab.settle(first.node)
    return both


@pytest.mark.parametrize(("family", "shell"), [("alt", "dash"), ("debian", "busybox"), ("plain", "bash")])
def test_the_services_are_handed_over_and_taken_back(
    make_machines: MakeMachines, family: str, shell: str
) -> None:
    first, second = pair(make_machines, family, shell)
    result = first("standby")
    assert (result.code, result.err) == (0, ""), result
    assert "  SIGHUP: another node is to run the services\n" in result.out
    assert DONE[family] in result.out
    assert result.out.splitlines()[-2].startswith("n1 is STANDBY: ")
    assert result.out.endswith("The services run on n2.\n")
    assert second.node.serving
    assert not first.node.serving

    first.node.lab.settle(second.node)
    result = first("takeover")
    assert (result.code, result.err) == (0, ""), result
    assert "  SIGUSR1: n2 is asked to stop by our announcement\n" in result.out
    assert DONE[family] in result.out
    assert result.out.splitlines()[-1].startswith("n1 is RUNNING: ")
    assert first.node.serving
    assert not second.node.serving

    # Said again they are answered, and tell the truth.
    result = first("takeover")
    assert result.code == 0, result
    assert "  SIGUSR1 changes nothing: already RUNNING\n" in result.out
    result = second("standby")
    assert result.code == 0, result
    assert "  SIGHUP changes nothing: the services do not run here (STANDBY)\n" in result.out
    assert result.out.endswith("The services run on n1.\n")


def test_a_handing_over_that_nobody_answers_is_told(make_machines: MakeMachines) -> None:
    first, second = pair(make_machines)
    second.good("stop")
    first.node.wait("TIMEOUT", of=second.node)
    result = first("standby")
    assert result.code == 1, result
    assert FAILED["debian"] in result.out
    assert result.out.endswith("No other node runs the services.\n")
    assert not first.node.serving
    assert "not ready: " in first.good("status").out

    cleared = first("clear")
    assert cleared.code == 0, cleared
    assert "SIGUSR2: no longer on hold" in cleared.out
    first.node.wait("Running")


def test_a_handing_over_to_a_node_that_fails(make_machines: MakeMachines) -> None:
    first, second = pair(make_machines)
    second.node.hook("starthasrv", "fail", "1")
    result = first("standby")
    # The other one has had its turn, so they are started here again.
    assert result.code == 1, result
    assert "n1 is " in result.out
    second.wait_told("ERRORED")
    second.node.unhook("starthasrv", "fail")
    result = second("clear")
    assert result.code == 0, result
    assert "  SIGUSR2: the error is cleared\n" in result.out
    assert "n2 is STANDBY" in result.out


def test_a_handing_over_after_a_stop_that_failed_is_none(make_machines: MakeMachines) -> None:
    first, second = pair(make_machines)
    first.node.lab.allow("overlap", because="stophasrv fails, and the other node starts nevertheless")
    first.node.hook("stophasrv", "fail", "1")
    result = first("standby")
    assert result.code == 1, result
    assert "n1 is ERRORED: stophasrv failed (exit status 1): the services may still run here" in result.out
    second.node.wait("Running")


def test_a_takeover_from_a_node_that_has_just_started(make_machines: MakeMachines) -> None:
    """It is put off for two and a half heartbeats, in which nothing seems to happen."""
    both = make_machines(2)
    for machine in both:
        machine.configure(heartbeat="1500ms", dead="6s")
        machine.good("start")
    first, second = both
    second.node.wait("Running", of=first.node)
    second.node.wait("Standby")
    result = second("takeover")
    assert (result.code, result.err) == (0, ""), result
    assert "  SIGUSR1: n1 has only just started: asked in a moment\n" in result.out
    assert second.node.serving
    assert not first.node.serving


def test_a_takeover_that_fails_and_its_clearing(machine: Machine) -> None:
    machine.node.lab.allow("restart", because="it is told to start after a stop that failed")
    machine.start()
    machine.node.hook("stophasrv", "fail", "1")
    result = machine("standby")
    assert result.code == 1, result
    assert "n1 is ERRORED: stophasrv failed (exit status 1)" in result.out
    machine.node.unhook("stophasrv", "fail")
    machine.node.hook("starthasrv", "fail", "7")
    result = machine("takeover")
    assert result.code == 1, result
    assert "  SIGUSR1: started here by a person's word\n" in result.out
    assert "n1 is ERRORED: " in result.out
    machine.node.unhook("starthasrv", "fail")
    result = machine("clear")
    assert result.code == 0, result
    machine.node.wait("Running")


def test_clearing_after_a_stop_that_failed_stops_again(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "fail", "1")
    assert machine("standby").code == 1
    machine.wait_told("ERRORED")
    result = machine("clear")
    assert result.code == 1
    assert "stophasrv runs once more, since it has failed" in result.out
    machine.node.unhook("stophasrv", "fail")
    assert machine("clear").code == 0


def test_a_word_that_takes_long_shows_how_it_goes(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "hang")
    machine.set(STOP_TIMEOUT=3)
    result = machine("standby")
    assert result.code == 1, result
    assert "\n  STOPPING: SIGHUP: another node is to run the services\n." in result.out
    assert "it goes on, and is not over after 3 s; see /etc/init.d/had status" in result.err
    machine.node.unhook("stophasrv", "hang")


def test_a_forced_start(make_machines: MakeMachines) -> None:
    machine, _ = make_machines(2)
    assert machine("takeover").code == 7
    machine.good("start")
    result = machine("force-start")
    pid = machine.node.guard
    assert (result.code, result.out) == (1, ""), result
    complaint = (
        f"had: it runs already, as process {pid}. To start the services here, type /etc/init.d/had takeover"
    )
    assert result.err == complaint + "\n"
    throughout(lambda: not machine.node.serving, "alone it waits for the other node", 0.5)
    machine.good("stop")

    result = machine("force-start")
    assert (result.code, result.err) == (0, ""), result
    assert "n1 is RUNNING: " in result.out
    assert machine.node.serving
    machine.good("stop")

    machine.node.hook("starthasrv", "fail", "1")
    result = machine("force-start")
    assert result.code == 1, result
    assert "n1 is ERRORED: " in result.out


def test_taking_over_from_initial(make_machines: MakeMachines) -> None:
    machine, _ = make_machines(2)
    machine.good("start")
    machine.wait_told("INITIAL")
    machine.node.hook("monitorhasrv", "hang")
    run = machine.begin("takeover")
    # Longer than any other state must last to be taken for the outcome.
    throughout(lambda: not run.over, "it waits for monitorhasrv, and does not take INITIAL for the end", 3.5)
    machine.node.unhook("monitorhasrv", "hang")
    result = run.wait()
    assert (result.code, result.err) == (0, ""), result
    assert "  SIGUSR1: not waiting any longer\n" in result.out
    assert machine.node.serving


def test_words_without_a_status_file(make_machines: MakeMachines) -> None:
    first, second = pair(make_machines)
    first.set(STATUSFILE="/run/nowhere")
    result = first("standby")
    assert (result.code, result.err) == (0, ""), result
    assert result.out.endswith("n1 is STANDBY\nThe services run on n2.\n")
    first.node.lab.settle(second.node)
    result = first("takeover")
    assert (result.code, result.err) == (0, ""), result
    assert result.out.endswith("n1 is RUNNING\n")


def test_two_that_run_are_told(make_machines: MakeMachines) -> None:
    """As beside an old daemon, which never yields to a takeover."""
    first, second = make_machines(2)
    first.configure(dead="5s")  # the old daemon speaks once a second
    first.node.lab.allow("overlap", because="the old daemon does not yield")
    second.node.start_old("-m")
    first.good("start")
    first.node.wait("Running", of=second.node)
    first.node.wait("Standby")
    result = first("takeover")
    assert result.code == 1, result
    assert "had: the services run TWICE, here and on n2: stop one of them\n" in result.err
