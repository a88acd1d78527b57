"""The script openvz, with a stand-in for vzctl."""

from __future__ import annotations

import os
import shutil

import pytest

from .standins import StandIns
from .tools import call, every_shell

pytestmark = pytest.mark.lab

VZCTL = """
state=$PLACE/state
case $1 in
status)
    [ -z "$BROKEN" ] || { echo "vzctl: no license"; exit 1; }
    echo "CTID $2 $(cat $state)"
    ;;
start) [ -z "$START" ] || eval "$START"; echo exist mounted running >$state ;;
stop)
    case $3 in --fast) ;; *) [ -z "$STOP" ] || eval "$STOP" ;; esac
    echo exist ${LEAVES:-unmounted} down >$state
    ;;
umount) echo exist unmounted down >$state ;;
esac
"""
STATUS = "vzctl status 101"


class Container(StandIns):
    def __init__(self, node, directory):
        self.node = node
        super().__init__(directory, {"vzctl": VZCTL})
        self.file = directory / "state"
        self.is_now("exist unmounted down")

    def is_now(self, state):
        self.file.write_text(f"{state}\n")

    def __call__(self, verb, *words, shell=(), **variables):
        environment = {**self.environment, **variables}
        return call("openvz", verb, "101", *words, shell=shell, inside=self.node, environment=environment)


@pytest.fixture
def container(node, tmp_path):
    return Container(node, tmp_path)


@every_shell
def test_its_life(container, shell):
    assert container("monitor", shell=shell) == (3, "", "openvz 101: does not run\n")
    assert container("stop", shell=shell) == (0, "", "")
    assert container.calls() == [STATUS, STATUS]
    assert container("start", shell=shell) == (0, "openvz 101: started\n", "")
    assert container.calls() == [STATUS, "vzctl start 101 --wait", STATUS]
    assert container("start", shell=shell) == (0, "", "")
    assert container("monitor", shell=shell) == (0, "", "")
    assert container.calls() == [STATUS, STATUS]
    assert container("stop", shell=shell) == (0, "openvz 101: stopped\n", "")
    assert container.calls() == [STATUS, "vzctl stop 101", STATUS]


def test_one_that_stays_mounted_is_unmounted(container):
    container.is_now("exist mounted running")
    assert container("stop", LEAVES="mounted") == (0, "openvz 101: stopped\n", "")
    assert container.calls() == [STATUS, "vzctl stop 101", STATUS, "vzctl umount 101", STATUS]
    container.is_now("exist mounted down")
    assert container("stop") == (0, "openvz 101: stopped\n", "")
    assert container.calls() == [STATUS, "vzctl umount 101", STATUS]


def test_one_that_does_not_stop_is_killed(container):
    container.is_now("exist mounted running")
    done = container("stop", "timeout=1", STOP="exec sleep 1000")
    killed = "openvz 101: killed: it hadn't stopped after 1 s\n"
    assert done == (0, killed, "openvz 101: vzctl stop: vzctl took longer than 1 s\n")
    assert container.calls() == [STATUS, "vzctl stop 101", STATUS, "vzctl stop 101 --fast", STATUS]


def test_one_that_can_not_be_stopped(container):
    container.is_now("exist mounted running")
    path = container.directory / "vzctl"
    path.write_text(path.read_text().replace("stop)", 'stop) echo "locked"; exit 9 ;; other)'))
    done = container("stop")
    assert done.code == 1
    assert done.err.splitlines() == [
        "openvz 101: vzctl stop: locked",
        "openvz 101: vzctl stop --fast: locked",
        "openvz 101: is not stopped: CTID 101 exist mounted running",
    ]


def test_starts_that_fail(container):
    done = container("start", START="echo no memory; exit 12")
    assert done == (1, "", "openvz 101: vzctl start failed with exit status 12: no memory\n")
    done = container("start", "timeout=1", START="echo exist mounted running >$state; exec sleep 1000")
    assert done == (1, "", "openvz 101: has not booted within 1 s\n")
    container.is_now("deleted unmounted down")
    done = container("start")
    assert done == (1, "", "openvz 101: there is no such container here; is its file system mounted?\n")
    assert container("stop") == (0, "", "")
    assert container("monitor").code == 3


def test_nobody_can_tell(container):
    for verb in ("start", "stop", "monitor"):
        done = container(verb, BROKEN="yes")
        assert done == (1, "", "openvz 101: vzctl can't tell its state: vzctl: no license\n")


def test_mistakes():
    assert call("openvz", "check", "0").code == 2
    assert call("openvz", "check", "a/b").code == 2
    assert call("openvz", "check", "web", "timeout=20") == (0, "", "")


@pytest.mark.skipif(bool(shutil.which("vzctl")), reason="vzctl is installed here")
def test_a_missing_program(bare):
    missing = "openvz 101: the program vzctl is missing here; install the package vzctl\n"
    assert call("openvz", "start", "101", environment=bare) == (5, "", missing)
    assert call("openvz", "monitor", "101", environment=bare) == (5, "", missing)
    assert call("openvz", "stop", "101", environment=bare).code == (5 if os.path.exists("/proc/vz") else 0)
