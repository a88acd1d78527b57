"""Restarting, the verbs that act only on what was started, reload, and what is no verb."""

from __future__ import annotations

import re

import pytest
from initscript_tools import DONE, ROOT, SCRIPT, Machine, MakeMachines
from lab.waiting import throughout

pytestmark = pytest.mark.lab


def test_a_restart_with_a_mistake_in_the_settings_changes_nothing(machine: Machine) -> None:
    machine.start()
    pid = machine.node.guard
    configuration = machine.etc / "had" / "had.conf"
    configuration.write_text("hartbeat = 1s\n" + configuration.read_text())
    for verb in ("restart", "force-reload", "try-restart", "condrestart"):
        result = machine(verb)
        assert result.code == 1, result
        assert result.out == "Restarting high-availability daemon: had failed!\n"
        assert result.err.startswith("had: /etc/had/had.conf:1: unknown key 'hartbeat'")
        assert result.err.endswith("had: nothing was changed\n")
    machine.configure()
    machine.set(HAD_OPTIONS="-n x")
    assert machine("restart").err.startswith("had: -n x is not a whole number")
    machine.set(HAD_OPTIONS="-I web")
    assert "this script looks for /run/had.pid" in machine("restart").err
    assert machine.node.guard == pid
    assert machine.node.serving
    assert len(machine.node.calls("stophasrv")) == 1  # the clean-up at the start
    machine.set()
    machine.good("force-reload")
    assert machine.node.guard != pid


def test_a_restart(each_machine: Machine) -> None:
    machine = each_machine
    machine.start()
    pid = machine.node.guard
    result = machine("restart")
    assert (result.code, result.err) == (0, ""), result
    assert result.out.startswith("Stopping ")
    assert "\nStarting " in result.out
    assert result.out.endswith(DONE[machine.family])
    machine.node.wait("Running")
    assert machine.daemons() == [machine.node.guard] != [pid]
    assert machine.node.moves() == ["stophasrv", "starthasrv", "stophasrv", "stophasrv", "starthasrv"]


def test_a_restart_starts_what_does_not_run(machine: Machine) -> None:
    machine.good("restart")
    assert machine.daemons() == [machine.node.guard]


def test_a_restart_beside_a_dead_daemon_starts_one(machine: Machine) -> None:
    machine.start()
    machine.node.kill_daemon()
    result = machine("restart")
    assert result.code == 0, result
    machine.node.wait("Running")
    assert "monitorhasrv found the services running here" in machine.log
    assert machine.node.moves() == ["stophasrv", "starthasrv"]


@pytest.mark.parametrize("family", ["alt", "plain"])
def test_verbs_that_act_only_on_what_was_started(make_machines: MakeMachines, family: str) -> None:
    machine = make_machines(1, family, "dash", "-eu")[0]
    for verb in ("condstop", "condrestart", "condreload", "try-restart"):
        result = machine(verb)
        assert (result.code, result.text) == (0, ""), (verb, result)
    machine.start()
    pid = machine.node.guard
    machine.good("condrestart")
    machine.node.wait("Running")
    assert machine.node.guard != pid
    assert machine("condreload").code == 3
    machine.good("condstop")
    assert machine.daemons() == []


def test_condrestart_goes_by_the_lock_file_too(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "alt", "dash")[0]
    machine.lock_path.touch()
    machine.good("condrestart")
    assert machine.daemons() == [machine.node.guard]


def test_a_reload_sends_nothing(machine: Machine) -> None:
    machine.start()
    log = machine.log
    for verb in ("reload", "condreload"):
        result = machine(verb)
        assert (result.code, result.out) == (3, ""), result
        assert "for new settings, type /etc/init.d/had restart" in result.err
        assert "to hand the services over, type /etc/init.d/had standby" in result.err
    # A signal is answered in the log within milliseconds.
    throughout(lambda: machine.log == log, "nothing is logged", 0.5)
    assert "answered" not in machine.told()


@pytest.mark.parametrize("family", ["alt", "plain"])
def test_what_is_no_verb(make_machines: MakeMachines, family: str) -> None:
    machine = make_machines(1, family, "dash", "-eu")[0]
    for words in ("nonsense", ""):
        result = machine(words)
        assert (result.code, result.out) == (2, ""), result
        assert "{start|stop|restart|" in result.err
    result = machine("help")
    assert result.code == 0
    assert result.out.startswith("Usage: ")


def test_the_headers() -> None:
    lines = SCRIPT.read_text().splitlines()
    assert "# chkconfig: - 98 02" in lines
    assert any(line.startswith("# description: ") for line in lines)
    header = lines[lines.index("### BEGIN INIT INFO") + 1 : lines.index("### END INIT INFO")]
    fields = {name.strip("# "): value.strip() for name, _, value in (line.partition(":") for line in header)}
    assert fields["Provides"] == "had"
    assert fields["Default-Start"] == ""
    assert {"$network", "$syslog"} <= set(fields["Required-Start"].split())
    assert "drbd" in fields["Should-Start"].split()
    for kind in ("Required", "Should"):
        assert fields[f"{kind}-Start"] == fields[f"{kind}-Stop"]


def test_the_document_has_every_verb_and_setting(machine: Machine) -> None:
    text = (ROOT / "docs" / "initscript.md").read_text()
    verbs = machine("help").out.partition("{")[2].partition("}")[0].split("|")
    assert len(verbs) == 14
    for verb in verbs:
        assert re.search(rf"^\| [^|]*`{verb}`", text, re.MULTILINE), verb
    for name in re.findall(r"^#([A-Z_]+)=", (ROOT / "init.d" / "had.sysconfig").read_text(), re.MULTILINE):
        assert f"| `{name}` |" in text, name
