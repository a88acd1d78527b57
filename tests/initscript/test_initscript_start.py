"""Starting: what keeps the daemon from it is shown, and the settings are heeded."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest
from initscript_tools import DONE, FAILED, Machine, MakeMachines
from lab.cluster import HAD
from lab.waiting import eventually
from lab.wire import PORT

pytestmark = pytest.mark.lab


def refused(machine: Machine, verb: str = "start") -> str:
    """Run a start that must fail; what it complained of."""
    result = machine(verb)
    assert result.code == 1, result
    assert result.out.endswith(FAILED[machine.family]), result
    assert machine.daemons() == []
    assert not machine.pid_path.exists()
    assert not machine.lock_path.exists()
    return result.err


def test_a_start_that_fails_shows_the_daemons_own_words(each_machine: Machine) -> None:
    machine = each_machine
    configuration = machine.etc / "had" / "had.conf"
    good = configuration.read_text()
    configuration.write_text("hartbeat = 1s\n" + good)
    assert refused(machine).startswith("had: /etc/had/had.conf:1: unknown key 'hartbeat'")
    configuration.write_text(good)

    hook = machine.etc / "had" / "hasrv" / "stophasrv"
    hook.chmod(0o644)
    assert refused(machine).startswith("had: /etc/had/hasrv/stophasrv: not executable; chmod 755")
    hook.chmod(0o755)

    with contextlib.closing(machine.node.namespace.udp("0.0.0.0", PORT)):
        # The daemon itself finds that out, which --check does not.
        assert f"port {PORT} is in use by another program" in refused(machine)
    machine.good("start")
    machine.good("stop")


def test_flags_and_their_mistakes(machine: Machine) -> None:
    machine.set(HAD_OPTIONS="-l /run/elsewhere *")
    started = machine.good("start")
    warning, hint = started.err.splitlines()
    assert warning == "had: '*' is not a flag; it is ignored"  # nothing is expanded
    assert hint.startswith("had: for status to show the state file, say STATEFILE=/run/elsewhere in ")
    assert "n1 [" not in machine("status").out
    machine.set(STATEFILE="/run/elsewhere")
    assert "nodes to come online" in machine("status").out or "n1 [" in machine("status").out
    eventually((machine.run_directory / "elsewhere").exists, "the state file is elsewhere")
    machine.set(HAD_OPTIONS="-n x")
    assert machine("stop").code == 0
    assert refused(machine).startswith("had: -n x is not a whole number")


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ({"places__pid": "/run/other.pid"}, "/run/other.pid"),
        ({"places__pid": '"/run/an other, one.pid"'}, "/run/an other, one.pid"),
        ({"instance": "web"}, "/run/had-web.pid"),
    ],
)
def test_a_daemon_that_a_stop_would_not_find_is_not_started(
    machine: Machine, places: dict[str, str], named: str
) -> None:
    machine.configure(**places)
    complaint = refused(machine)
    assert (
        f"had.conf or a flag makes {named} the daemon's pid file, but this script looks for /run/had.pid;"
        in complaint
    )
    assert f"in /etc/default/had, say PIDFILE={named}" in complaint
    machine.set(PIDFILE=named)
    machine.good("start")
    assert (machine.run_directory / named[5:]).exists()
    machine.good("stop")


def test_the_same_pid_file_by_another_name_is_no_mistake(machine: Machine) -> None:
    (machine.run_directory / "run").symlink_to("/run")
    machine.set(PIDFILE="/run/run/had.pid")
    machine.good("start")
    machine.good("stop")
    assert machine.daemons() == []


def test_a_program_that_is_not_there(machine: Machine) -> None:
    machine.set(DAEMON="/usr/sbin/no-had")
    result = machine("start")
    assert (result.code, result.err) == (5, "had: /usr/sbin/no-had is not there, or can't be executed\n")


def test_settings_with_a_slip_start_nothing_but_do_not_keep_from_stopping(machine: Machine) -> None:
    machine.start()
    machine.settings_path.write_text(machine.settings_path.read_text() + "STOP_TIMEOUT='600\n")
    for verb in ("restart", "start"):
        result = machine(verb)
        assert result.code in (5, 6), result
        assert f"{machine.settings_path.name} has a mistake and is not used: " in result.err
        assert machine.node.serving
    result = machine("stop")
    assert result.code == 0, result
    assert machine.daemons() == []


def test_a_daemon_that_would_not_detach_is_not_started(machine: Machine) -> None:
    machine.set(HAD_OPTIONS="-T 5 -f")
    result = machine("start")
    assert result.code == 6
    assert "take -f out of HAD_OPTIONS" in result.err
    assert machine.daemons() == []


def test_a_stop_timeout_that_is_no_number(machine: Machine) -> None:
    machine.start()
    machine.set(STOP_TIMEOUT="10m")
    result = machine("stop")
    assert result.code == 0
    assert result.err == "had: /etc/default/had: STOP_TIMEOUT=10m is not a number of seconds; 600 is used\n"


def test_sysconfig_is_read_before_default(machine: Machine) -> None:
    (machine.etc / "sysconfig").mkdir()
    shutil.copy(machine.settings_path, machine.etc / "sysconfig" / "had")
    machine.settings_path.write_text("DAEMON=/usr/sbin/no-had\n")
    machine.good("start")
    machine.good("stop")


def test_the_callers_environment_is_no_setting(machine: Machine) -> None:
    result = machine.begin("start", before=("env", "PIDFILE=/run/x", "HAD_OPTIONS=-n x", "DAEMON=/x")).wait()
    assert result.code == 0, result
    machine.good("stop")


@pytest.mark.parametrize("family", ["alt", "plain"])
def test_an_instance_and_a_second_script(make_machines: MakeMachines, family: str) -> None:
    machine = make_machines(1, family, "dash")[0]
    machine.start()
    machine.set(HAD_INSTANCE="web", HAD_OPTIONS=" ".join(machine.other_daemon()[2:]))
    assert machine("status").code == (2 if machine.family == "alt" else 3)  # the lock is the other one's
    machine.settings_path.rename(machine.settings_path.with_name("had-web"))
    machine.set()
    shutil.copy(machine.etc / "init.d" / "had", machine.etc / "init.d" / "had-web")
    web = "/etc/init.d/had-web"
    assert machine("status", web).code == 3
    result = machine("start", web)
    assert result.code == 0, result
    pid = int((machine.run_directory / "had-web.pid").read_text())
    assert sorted(machine.daemons()) == sorted([pid, machine.node.guard])
    assert machine.lock_path.with_name("had-web").exists() is (machine.family == "alt")
    assert f"had-web runs (process {pid})" in machine("status", web).out
    assert machine("stop", web).code == 0
    assert machine.daemons() == [machine.node.guard]
    assert not machine.lock_path.with_name("had-web").exists()
    assert machine.lock_path.exists() is (machine.family == "alt")
    # Without settings its name says which instance it is: never does it stop the other one.
    machine.settings_path.with_name("had-web").unlink()
    assert "does not run" in machine("stop", web).out
    assert machine.daemons() == [machine.node.guard]


def test_the_links_of_the_run_levels_are_the_script(machine: Machine) -> None:
    (machine.etc / "rc3.d").mkdir()
    for name in ("S98had", "K02had"):
        (machine.etc / "rc3.d" / name).symlink_to("../init.d/had")
    result = machine("start", "/etc/rc3.d/S98had")
    assert result.code == 0, result
    assert machine.daemons() == [machine.node.guard]
    result = machine("stop", "/etc/rc3.d/K02had")
    assert result.code == 0, result
    assert machine.daemons() == []


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_only_root_starts_but_everybody_looks(machine: Machine) -> None:
    machine.start()
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    for verb in ("start", "stop", "standby"):
        result = machine.begin(verb, before=nobody).wait()
        assert (result.code, result.err) == (4, "had: only root may do that\n")
    result = machine.begin("status", before=nobody).wait()
    assert result.code == 0, result
    assert result.out.startswith(f"had runs (process {machine.node.guard}): RUNNING since ")


def test_a_daemon_on_its_way_out_is_not_taken_for_one_that_runs(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "hang")
    machine.node.send(signal.SIGTERM)
    machine.wait_told("STOPPING")
    result = machine("start")
    assert result.code == 1, result
    assert "is about to end (SIGTERM: the services are stopped, then the daemon ends)" in result.err
    machine.node.unhook("stophasrv", "hang")
    eventually(lambda: not machine.daemons(), "it has ended")


@pytest.mark.parametrize("family", ["alt", "debian"])
def test_a_start_beside_what_a_dead_daemon_has_left(make_machines: MakeMachines, family: str) -> None:
    machine = make_machines(1, family, "bash")[0]
    machine.start()
    machine.node.kill_daemon()
    # By the number in the pid file another daemon called had: what a start-stop-daemon would take for ours.
    other = machine.background(HAD, "-f", *machine.other_daemon())
    pid = eventually(lambda: _read(machine.run_directory / "had-web.pid"), "the other one runs")
    machine.pid_path.write_text(f"{pid}\n")
    result = machine("start")
    assert result.code == 0, result
    assert f"The last daemon (process {pid}) has died; this one looks for what it left." in result.out
    assert result.out.endswith(DONE[machine.family])
    assert sorted(machine.daemons()) == sorted([pid, machine.node.guard])
    machine.node.wait("Running")
    assert "monitorhasrv found the services running here" in machine.log
    machine.good("stop")
    assert machine.daemons() == [pid]
    os.kill(pid, signal.SIGTERM)
    other.wait(20)


def _read(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0
