"""The machine's shutdown: rc waits for the script, and what comes after it does not wait."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from initscript_tools import HAD, Machine, MakeMachines
from lab.waiting import eventually

pytestmark = pytest.mark.lab

# As in ALT's and Red Hat's /etc/rc.d/rc: only what has a lock file of the script's name is stopped.
RC = """
for script in /etc/rc0.d/K*; do
    subsys=${script#/etc/rc0.d/K??}
    [ -f "/var/lock/subsys/$subsys" ] || continue
    "$script" stop
done
"""


def rc0(machine: Machine) -> str:
    """Let the run level change to 0; what was printed."""
    (machine.etc / "rc0.d").mkdir(exist_ok=True)
    link = machine.etc / "rc0.d" / "K02had"
    link.unlink(missing_ok=True)
    link.symlink_to("../init.d/had")
    return machine.node.namespace.run("sh", "-c", RC)


def kill_all(machine: Machine, number: int) -> None:
    """A signal to all processes at once, as by killall5, which init's last scripts run."""
    for pid in machine.node.namespace.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def test_rc_waits_until_the_services_are_stopped(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "alt", "dash")[0]
    assert rc0(machine) == ""
    machine.start()
    machine.slow_stop(2)
    printed = rc0(machine)
    assert printed.endswith("Stopping had service: [ DONE ]\n"), printed
    assert not machine.node.serving
    assert machine.daemons() == []


def test_rc_does_not_know_of_a_daemon_that_was_started_without_the_script(
    make_machines: MakeMachines,
) -> None:
    """But the TERM that all processes get stops the services, if that is quick enough."""
    machine = make_machines(1, "alt", "dash")[0]
    assert machine.node.command(HAD).returncode == 0
    machine.node.wait("Running")
    assert rc0(machine) == ""
    assert machine.node.serving
    kill_all(machine, signal.SIGTERM)
    eventually(lambda: not machine.daemons(), "the daemon has ended")
    assert not machine.node.serving
    assert machine.told()["code"] == "0"


def test_a_start_by_the_script_afterwards_makes_the_lock(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "alt", "dash")[0]
    assert machine.node.command(HAD).returncode == 0
    assert "runs already" in machine.good("start").out
    rc0(machine)
    assert machine.daemons() == []


def test_a_term_to_all_processes_ends_a_stophasrv_and_the_daemon_says_so(machine: Machine) -> None:
    """What happens when stophasrv takes longer than STOP_TIMEOUT at a shutdown."""
    machine.start()
    machine.node.hook("stophasrv", "hang")
    machine.set(STOP_TIMEOUT=1)
    assert machine("stop").code == 1
    kill_all(machine, signal.SIGTERM)
    eventually(lambda: not machine.daemons(), "the daemon has ended by itself, before any SIGKILL")
    told = machine.told()
    assert (told["state"], told["code"]) == ("ENDED", "1")
    assert told["reason"].startswith("stophasrv failed (")
    assert "the services may still run here" in told["reason"]
    assert machine.node.serving


def test_a_stophasrv_that_ignores_term_goes_on_until_the_kill(machine: Machine) -> None:
    machine.start()
    machine.node.hook("stophasrv", "stubborn")
    machine.node.hook("stophasrv", "hang")
    machine.set(STOP_TIMEOUT=1)
    assert machine("stop").code == 1
    kill_all(machine, signal.SIGTERM)
    assert machine("status").code == 0  # guard and worker take it for a second SIGTERM, which changes nothing
    machine.node.unhook("stophasrv", "hang")
    eventually(lambda: not machine.daemons(), "it has ended when stophasrv was over")
    assert machine.told()["code"] == "0"
    assert not machine.node.serving


def test_a_term_to_all_processes_while_the_services_start(machine: Machine) -> None:
    machine.node.hook("starthasrv", "hang")
    machine.good("start")
    machine.wait_told("STARTING")
    machine.node.wait_call("starthasrv")
    kill_all(machine, signal.SIGTERM)
    eventually(lambda: not machine.daemons(), "the daemon has ended")
    assert machine.node.moves()[-1] == "stophasrv"
    assert machine.told()["code"] == "0"
    machine.node.unhook("starthasrv", "hang")


# --- who switches it on


@pytest.mark.skipif(shutil.which("update-rc.d") is None, reason="needs update-rc.d")
def test_debian_leaves_it_off_until_it_is_enabled(machine: Machine) -> None:
    for level in "0123456":
        (machine.etc / f"rc{level}.d").mkdir()

    def links() -> str:
        return " ".join(
            f"{level}{path.name[0]}"
            for level in "0123456"
            for path in (machine.etc / f"rc{level}.d").iterdir()
        )

    def update(*words: str) -> None:
        # With no had.service, systemctl complains behind the work that is looked at here.
        command = machine.node.namespace.command(["update-rc.d", "had", *words])
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)

    update("defaults")
    assert links() == "0K 1K 2K 3K 4K 5K 6K"
    update("enable", "2", "3", "4", "5")
    assert links() == "0K 1K 2S 3S 4S 5S 6K"
    update("disable", "2", "3", "4", "5")
    assert links() == "0K 1K 2K 3K 4K 5K 6K"


GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-sysv-generator")


@pytest.mark.skipif(not GENERATOR.exists(), reason="needs systemd-sysv-generator")
def test_what_systemd_makes_of_the_script_where_there_is_no_unit(machine: Machine) -> None:
    """What docs/initscript.md says of it."""
    directory = machine.run_directory / "units"
    directory.mkdir()
    machine.node.namespace.run(str(GENERATOR), "/run/units", "/run/units", "/run/units")
    lines = (directory / "had.service").read_text().splitlines()
    assert {"TimeoutSec=5min", "KillMode=process", "PIDFile=/run/had.pid", "After=drbd.service"} <= set(lines)
    assert sorted(path.name for path in directory.iterdir()) == [
        "had.service"
    ]  # wanted by nothing: it is off
