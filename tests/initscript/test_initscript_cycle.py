"""The verbs that every initscript has, in every family and shell, with `set -eu`."""

from __future__ import annotations

from pathlib import Path

import pytest
from initscript_tools import DONE, LSB_FUNCTIONS, PASSED, ROOT, Machine, MakeMachines

pytestmark = pytest.mark.lab


def test_a_daemon_is_started_looked_at_and_stopped(any_machine: Machine) -> None:
    machine, family = any_machine, any_machine.family
    assert machine("status").code == 3
    started = machine("start")
    assert (started.code, started.err) == (0, ""), started
    assert started.out.startswith("Starting ")
    assert started.out.endswith(DONE[family])
    machine.node.wait("Running")
    assert machine.lock_path.exists() is (family == "alt")

    again = machine("start")
    assert (again.code, again.err) == (0, ""), again
    assert f"runs already as process {machine.node.guard}" in again.out
    assert again.out.endswith(PASSED[family])
    assert machine.daemons() == [machine.node.guard]

    status = machine("status")
    assert (status.code, status.err) == (0, ""), status
    assert status.out.startswith(f"had runs (process {machine.node.guard}): RUNNING since ")
    assert "services run here: starthasrv succeeded\n" in status.out
    assert status.out.splitlines()[-1].startswith("n1 [Running] ")

    stopped = machine("stop")
    assert (stopped.code, stopped.err) == (0, ""), stopped
    assert stopped.out.endswith(DONE[family])
    assert not machine.node.serving
    assert machine.daemons() == []
    assert not machine.pid_path.exists()
    assert not machine.lock_path.exists()

    assert machine("status").code == 3
    again = machine("stop")
    assert (again.code, again.err) == (0, ""), again
    assert "does not run" in again.out


# What the LSB itself asks for, and what Red Hat's functions have: the names that the script uses.
OTHERS = {
    "lsb": """
log_success_msg() { echo "OK $*"; }
log_failure_msg() { echo "WRONG $*"; }
""",
    "functions": """
success() { printf '[  OK  ]'; }
failure() { printf '[FAILED]'; return 1; }
passed() { printf '[PASSED]'; return 1; }
""",
}


@pytest.mark.parametrize(
    ("kind", "done", "failed", "passed"),
    [
        ("lsb", "OK Starting had\n", "WRONG Starting had\n", "OK Starting had (runs already as process "),
        (
            "functions",
            "Starting had service: [  OK  ]\n",
            "Starting had service: [FAILED]\n",
            "Starting had service: runs already as process ",
        ),
    ],
)
def test_functions_of_other_distributions(
    make_machines: MakeMachines, kind: str, done: str, failed: str, passed: str
) -> None:
    machine = make_machines(1, "plain", "dash", "-eu")[0]
    if kind == "functions":
        (machine.etc / "init.d" / "functions").write_text(OTHERS[kind])
    elif Path(LSB_FUNCTIONS).exists():
        (machine.node.directory / "empty").write_text(OTHERS[kind])  # it is mounted there
    else:
        pytest.skip(f"needs {LSB_FUNCTIONS}")
    hook = machine.etc / "had" / "hasrv" / "starthasrv"
    hook.chmod(0o644)
    result = machine("start")
    assert (result.code, result.out) == (1, failed), result
    hook.chmod(0o755)
    assert machine.good("start").out == done
    assert machine.good("start").out.startswith(passed)
    assert machine.good("stop").out == done.replace("Starting", "Stopping")


def test_debians_functions_hand_over_to_systemd_what_it_knows(make_machines: MakeMachines) -> None:
    """Where systemd runs.  What it has no word for is the script's business there too."""
    machine = make_machines(1, "debian", "dash")[0]
    (machine.run_directory / "systemd" / "system").mkdir(parents=True)
    systemctl = machine.node.directory / "systemctl"
    systemctl.write_text('#!/bin/sh\ncase "$*" in *show*) echo loaded ;; *) echo "systemctl $*" ;; esac\n')
    systemctl.chmod(0o755)
    machine.node.namespace.run("mount", "--bind", str(systemctl), "/usr/bin/systemctl")
    for verb, handed in {
        "start": "start",
        "stop": "stop",
        "status": "status",
        "restart": "restart",
        "try-restart": "try-restart",
        "condrestart": "try-restart",
        "force-reload": "force-reload",
    }.items():
        assert f"systemctl --no-pager {handed} had.service\n" in machine.good(verb).out
    assert machine("standby").err == "had: it does not run\n"
    assert machine("condstop").text == ""
    assert machine.daemons() == []


def test_the_settings_file_as_shipped_changes_nothing(make_machines: MakeMachines) -> None:
    machine = make_machines(1, "plain", "dash", "-eu")[0]
    shipped = (ROOT / "init.d" / "had.sysconfig").read_text()
    machine.settings_path.write_text(shipped)
    result = machine("start")
    assert (result.code, result.err) in (
        (0, ""),
        (5, "had: /usr/sbin/had is not there, or can't be executed\n"),
    )
    lines = [line[1:] for line in shipped.splitlines() if line.startswith("#") and "=" in line.split(" ")[0]]
    assert [line.partition("=")[0] for line in lines] == [
        "HAD_OPTIONS",
        "HAD_INSTANCE",
        "STOP_TIMEOUT",
        "DAEMON",
        "PIDFILE",
        "STATUSFILE",
        "STATEFILE",
    ]
