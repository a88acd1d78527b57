"""The script systemd, with a stand-in for systemctl."""

from __future__ import annotations

import time

import pytest

from .standins import StandIns
from .tools import call, every_shell

# It keeps its state in a file; start and stop do what the variables say.
SYSTEMCTL = """
state=$PLACE/state
case $1 in
show)
    [ -z "$BROKEN" ] || { echo "System has not been booted with systemd"; exit 1; }
    printf 'UnitFileState=%s\\nLoadState=%s\\n' "${ENABLED:-disabled}" "${LOADED:-loaded}"
    read -r now next <$state
    echo "ActiveState=$now"
    [ -z "$JOB" ] || echo "Job=${JOB%% *}"
    [ -z "$next" ] || echo "$next" >$state
    ;;
list-jobs) echo " 11 other.service stop waiting"; echo " $JOB" ;;
--job-mode=*) echo ${THEN:-inactive} >$state ;;
start) [ -z "$START" ] || eval "$START"; echo ${THEN:-active} >$state ;;
stop) [ -z "$STOP" ] || eval "$STOP"; echo ${THEN:-inactive} >$state ;;
reset-failed) echo inactive >$state ;;
esac
"""
SHOW = "systemctl show --no-pager -p LoadState -p ActiveState -p UnitFileState -p Job app@1"


class Unit(StandIns):
    def __init__(self, directory):
        super().__init__(directory, {"systemctl": SYSTEMCTL})
        self.file = directory / "state"
        self.is_now("inactive")

    def is_now(self, *states):
        self.file.write_text(" ".join(states) + "\n")

    def __call__(self, verb, *words, shell=(), **variables):
        environment = {**self.environment, **variables}
        return call("systemd", verb, "app@1", *words, shell=shell, environment=environment)


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path)


@every_shell
def test_its_life(unit, shell):
    assert unit("monitor", shell=shell) == (3, "", "systemd app@1: is inactive\n")
    assert unit.calls() == [SHOW]
    assert unit("start", shell=shell) == (0, "systemd app@1: started\n", "")
    assert unit.calls() == [SHOW, "systemctl start app@1", SHOW, SHOW]
    assert unit("start", shell=shell) == (0, "", "")
    assert unit.calls() == [SHOW]
    assert unit("monitor", shell=shell) == (0, "", "")
    unit.calls()
    assert unit("stop", shell=shell) == (0, "systemd app@1: stopped\n", "")
    assert unit.calls() == [SHOW, "systemctl stop app@1", SHOW]
    assert unit("stop", shell=shell) == (0, "", "")
    assert unit.calls() == [SHOW]


def test_one_that_failed_is_reset_first(unit):
    unit.is_now("failed")
    assert unit("monitor") == (3, "", "systemd app@1: is failed\n")
    assert unit("stop") == (0, "", "")
    unit.calls()
    assert unit("start").code == 0
    assert unit.calls()[1:3] == ["systemctl reset-failed app@1", "systemctl start app@1"]


def test_one_that_is_enabled(unit):
    warning = "systemd app@1: is enabled, and starts at boot on every node; type: systemctl disable app@1\n"
    assert unit("start", ENABLED="enabled") == (0, "systemd app@1: started\n", warning)
    assert unit("start", ENABLED="enabled").err == warning
    assert unit("monitor", ENABLED="enabled") == (0, "", "")


@pytest.mark.parametrize("state", ["activating", "deactivating", "maintenance"])
def test_not_yet_or_no_longer(unit, state):
    unit.is_now(state)
    assert unit("monitor") == (1, "", f"systemd app@1: is {state}\n")


def test_start_waits_until_it_is_active(unit):
    assert unit("start", THEN="activating active") == (0, "systemd app@1: started\n", "")
    unit.is_now("inactive")
    done = unit("start", "timeout=1", THEN="activating")
    assert done == (1, "", "systemd app@1: is activating after 1 s\n")


def test_starts_that_fail(unit):
    done = unit("start", LOADED="not-found")
    assert done == (1, "", "systemd app@1: systemd has no such unit here (not-found)\n")
    done = unit("start", START="echo Job failed. >&2; exit 1")
    assert done == (1, "", "systemd app@1: Job failed.\n")
    done = unit("start", THEN="active failed")
    complaint = "has ended at once: it is failed; journalctl -u app@1 tells why"
    assert done == (1, "", f"systemd app@1: {complaint}\n")
    unit.is_now("inactive")
    began = time.monotonic()
    done = unit("start", "timeout=1", START="exec sleep 1000")
    assert done == (1, "", "systemd app@1: systemctl took longer than 1 s\n")
    assert time.monotonic() - began < 15


def test_stops_that_fail(unit):
    unit.is_now("active")
    done = unit("stop", "timeout=1", STOP="exec sleep 1000")
    assert done == (1, "", "systemd app@1: systemctl took longer than 1 s\n")
    assert unit("stop", THEN="active") == (1, "", "systemd app@1: is active again after it was stopped\n")


def test_nobody_can_tell(unit):
    for verb in ("start", "stop", "monitor"):
        done = unit(verb, BROKEN="yes")
        complaint = "systemctl can't tell its state: System has not been booted with systemd"
        assert done == (1, "", f"systemd app@1: {complaint}\n")
    unit.is_now("weird")
    assert unit("stop").code == 1


def test_mistakes(bare):
    assert call("systemd", "check", "-x").code == 2
    assert call("systemd", "check", "a b").code == 2
    assert call("systemd", "check", "dev-x\\x2d1.mount") == (0, "", "")
    assert call("systemd", "check", "nginx", "timeout=0").code == 2
    done = call("systemd", "stop", "nginx", environment=bare)
    assert done == (
        5,
        "",
        "systemd nginx: the program systemctl is missing here; install the package systemd\n",
    )


@pytest.mark.parametrize(
    ("job", "flags"),
    [
        ("12 app@1.service stop waiting", "--job-mode=ignore-dependencies "),
        ("12 app@1.service stop running", ""),
        ("12 app@1.service restart waiting", ""),
        ("1 app@1.service stop waiting", "--job-mode=ignore-dependencies "),
    ],
)
def test_a_stop_that_systemd_has_put_off(unit, job, flags):
    """At the machine's shutdown, until had has ended, who waits for it."""
    unit.is_now("active")
    assert unit("stop", JOB=job).code == 0
    calls = unit.calls()
    assert calls[:2] == [SHOW, "systemctl list-jobs --no-legend --no-pager"]
    assert calls[2] == f"systemctl {flags}stop app@1"
