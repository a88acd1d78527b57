"""The script lxc, with stand-ins for LXC's programs."""

from __future__ import annotations

import subprocess

import pytest
from lab.namespaces import marked_environment

from .standins import StandIns
from .tools import call, every_shell

pytestmark = pytest.mark.lab

PROGRAMS = {
    "lxc-info": """
        [ -z "$BROKEN" ] || { echo "permission denied"; exit 1; }
        read -r now next <$PLACE/state
        [ "$now" != none ] || { echo "web doesn't exist"; exit 1; }
        [ -z "$next" ] || echo "$next" >$PLACE/state
        echo "State:          $now"
    """,
    "lxc-start": '[ -z "$START" ] || eval "$START"; echo ${THEN:-RUNNING} >$PLACE/state',
    "lxc-stop": """
        case $* in *--kill) ;; *) [ -z "$STOP" ] || eval "$STOP" ;; esac
        echo STOPPED >$PLACE/state
    """,
    "lxc-unfreeze": "echo RUNNING >$PLACE/state",
}
INFO = "lxc-info --name web --state"


class Container(StandIns):
    def __init__(self, node, directory):
        self.node = node
        super().__init__(directory, PROGRAMS)
        self.file = directory / "state"
        self.is_now("STOPPED")

    def is_now(self, *states):
        self.file.write_text(" ".join(states) + "\n")

    def __call__(self, verb, *words, shell=(), **variables):
        environment = {**self.environment, **variables}
        return call("lxc", verb, "web", *words, shell=shell, inside=self.node, environment=environment)


@pytest.fixture
def container(node, tmp_path):
    return Container(node, tmp_path)


@every_shell
def test_its_life(container, shell):
    assert container("monitor", shell=shell) == (3, "", "lxc web: does not run\n")
    assert container("stop", shell=shell) == (0, "", "")
    assert container.calls() == [INFO, INFO]
    assert container("start", shell=shell) == (0, "lxc web: started\n", "")
    assert container.calls() == [INFO, "lxc-start --name web --daemon", INFO, INFO]
    assert container("start", shell=shell) == (0, "", "")
    assert container("monitor", shell=shell) == (0, "", "")
    assert container.calls() == [INFO, INFO]
    assert container("stop", "timeout=7", shell=shell) == (0, "lxc web: stopped\n", "")
    assert container.calls() == [INFO, "lxc-stop --name web --timeout 7", INFO]


def test_a_path(container):
    assert container("start", "path=/srv/lxc").code == 0
    assert container("stop", "path=/srv/lxc").code == 0
    assert all("--name web --lxcpath /srv/lxc" in words for words in container.calls())


def test_one_that_does_not_stop_is_killed(container):
    container.is_now("RUNNING")
    done = container("stop", STOP="echo no; exit 1")
    assert done == (0, "lxc web: stopped\n", "lxc web: lxc-stop: no\n")
    assert container.calls()[2:] == [INFO, "lxc-stop --name web --kill", INFO]


def test_one_that_is_frozen(container):
    container.is_now("FROZEN")
    assert container("monitor") == (1, "", "lxc web: is FROZEN\n")
    assert container("start") == (1, "", "lxc web: is frozen; type: lxc-unfreeze -n web\n")
    container.calls()
    assert container("stop").code == 0
    assert container.calls()[1:3] == ["lxc-unfreeze --name web", "lxc-stop --name web --timeout 120"]


def test_starts(container):
    assert container("start", THEN="STARTING RUNNING") == (0, "lxc web: started\n", "")
    container.is_now("STOPPED")
    done = container("start", START="echo no rootfs; exit 1")
    assert done == (1, "", "lxc web: lxc-start failed: no rootfs\n")
    done = container("start", "timeout=1", START="exec sleep 1000")
    assert done == (1, "", "lxc web: lxc-start failed: lxc-start took longer than 1 s\n")
    done = container("start", THEN="RUNNING STOPPED")
    assert done == (1, "", "lxc web: has ended at once: it is STOPPED\n")
    container.is_now("none")
    done = container("start", "path=/srv/lxc")
    complaint = "there is no such container here in /srv/lxc; is its file system mounted?"
    assert done == (1, "", f"lxc web: {complaint}\n")
    assert container("stop") == (0, "", "")


def test_nobody_can_tell(container):
    for verb in ("start", "stop", "monitor"):
        done = container(verb, BROKEN="yes")
        assert done == (1, "", "lxc web: lxc-info can't tell its state: permission denied\n")


def test_mistakes():
    assert call("lxc", "check", "a/b").code == 2
    assert call("lxc", "check", "web", "path=here").code == 2


def test_missing_programs(bare, tmp_path):
    missing = "lxc web: the program lxc-info is missing here; install the package lxc\n"
    assert call("lxc", "start", "web", environment=bare) == (5, "", missing)
    assert call("lxc", "monitor", "web", environment=bare) == (5, "", missing)
    assert call("lxc", "stop", "web", environment=bare) == (0, "", "")
    # A running container has a process of this name.
    words = ["bash", "-c", "exec -a '[lxc monitor] /srv/lxc/web' sleep 1000"]
    monitor = subprocess.Popen(words, env=marked_environment())
    assert call("lxc", "stop", "web", environment=bare) == (5, "", missing)
    assert call("lxc", "stop", "we", environment=bare) == (0, "", "")
    monitor.kill()
    monitor.wait()
