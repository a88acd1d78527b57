"""The script sysv, with Debian's initscript of nginx and with one of these tests."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from lab.namespaces import alive

from .tools import call, every_shell

pytestmark = pytest.mark.lab

INITSCRIPT = """#!/bin/sh
file=/run/gateway.pid
case $1 in
start)
    echo Starting gateway
    [ -z "$HOME$HAD_HOOK" ] && [ "$PWD" = / ] || { echo wrong surroundings; exit 1; }
    sleep 1000 & # keeps the output
    echo $! >$file
    START
    ;;
stop)
    echo Stopping gateway
    [ -e $file ] || exit 0
    kill "$(cat $file)"
    STOP
    rm $file
    ;;
status)
    STATUS
    [ -e $file ] || { echo gateway is stopped; exit 3; }
    kill -0 "$(cat $file)" || { echo gateway is dead; exit 1; }
    ;;
esac
"""


@pytest.fixture
def gateway(node):
    """Writes the initscript `gateway` with some steps changed, and calls the script sysv for it."""
    path = Path(f"/proc/{node.pid}/root/etc/init.d/gateway")

    class Gateway:
        pid_file = Path(f"/proc/{node.pid}/root/run/gateway.pid")

        def write(self, **steps):
            text = INITSCRIPT
            for step in ("START", "STOP", "STATUS"):
                text = text.replace(step, steps.get(step, ":"))
            path.write_text(text)
            path.chmod(0o755)

        def __call__(self, verb, *words, shell=(), environment=None):
            return call("sysv", verb, "gateway", *words, shell=shell, inside=node, environment=environment)

    made = Gateway()
    made.write()
    yield made
    path.unlink()
    node.kill_all()
    made.pid_file.unlink(missing_ok=True)


@every_shell
def test_its_life(gateway, shell):
    began = time.monotonic()
    assert gateway("start", shell=shell, environment={"HAD_HOOK": "starthasrv"}) == (
        0,
        "sysv gateway: started\n",
        "",
    )
    assert time.monotonic() - began < 15, "start did not wait for the daemon's end"
    pid = int(gateway.pid_file.read_text())
    assert alive(pid)
    assert gateway("start", shell=shell) == (0, "", "")
    assert gateway("monitor", shell=shell) == (0, "", "")
    assert gateway("stop", shell=shell) == (0, "sysv gateway: stopped\n", "")
    assert not alive(pid)
    assert gateway("stop", shell=shell) == (0, "", "")
    stopped = "/etc/init.d/gateway status ends with 3: gateway is stopped"
    assert gateway("monitor", shell=shell) == (3, "", f"sysv gateway: {stopped}\n")


@pytest.mark.skipif(not os.access("/etc/init.d/nginx", os.X_OK), reason="needs Debian's initscript of nginx")
@pytest.mark.skipif(not shutil.which("start-stop-daemon"), reason="needs start-stop-daemon")
def test_the_initscript_of_nginx(node):
    assert call("sysv", "start", "nginx", inside=node) == (0, "sysv nginx: started\n", "")
    assert call("sysv", "start", "nginx", inside=node) == (0, "", "")
    assert call("sysv", "monitor", "nginx", inside=node) == (0, "", "")
    assert call("port", "monitor", "80", inside=node).code == 0
    assert call("sysv", "stop", "nginx", inside=node) == (0, "sysv nginx: stopped\n", "")
    assert call("sysv", "monitor", "nginx", inside=node).code == 3
    assert call("port", "monitor", "80", inside=node).code == 3


def test_starts_that_fail(gateway):
    gateway.write(START="kill $!; wait; rm $file; echo no licence; exit 6")
    path = "/etc/init.d/gateway"
    done = gateway("start")
    said = f"{path} start failed with exit status 6: Starting gateway no licence"
    assert done == (1, "", f"sysv gateway: {said}\n")
    gateway.write(START="kill $!; wait; rm $file")
    done = gateway("start", "timeout=1")
    said = f"does not run after 1 s: {path} status ends with 3: gateway is stopped"
    assert done == (1, "", f"sysv gateway: {said}\n")
    gateway.write(START="exec sleep 1000")
    done = gateway("start", "timeout=1")
    assert done == (
        1,
        "",
        f"sysv gateway: {path} start failed with exit status 124: it took longer than 1 s\n",
    )


def test_stops_that_fail(gateway):
    gateway.write(STATUS="exit 0")
    path = "/etc/init.d/gateway"
    assert gateway("start").code == 0
    done = gateway("stop", "timeout=1")
    assert done == (1, "", f"sysv gateway: is not stopped: {path} status ends with 0\n")
    gateway.write(STATUS="echo status: no such verb; exit 64")
    done = gateway("stop", "timeout=1")
    said = f"{path} status ends with 64: status: no such verb"
    assert done == (1, "", f"sysv gateway: is not stopped: {said}\n")
    assert gateway("monitor") == (1, "", f"sysv gateway: {said}\n")


def test_a_stop_that_complains_but_stops(gateway):
    gateway.write(STOP="rm $file; echo oh dear; exit 1")
    assert gateway("start").code == 0
    done = gateway("stop")
    said = "/etc/init.d/gateway stop failed with exit status 1: Stopping gateway oh dear"
    assert done == (0, "sysv gateway: stopped\n", f"sysv gateway: {said}; but it doesn't run any more\n")


def test_mistakes(node):
    assert call("sysv", "check", "../passwd").code == 2
    assert call("sysv", "check", "nginx", "timeout=").code == 2
    done = call("sysv", "start", "nothing-here", inside=node)
    complaint = "there is no initscript nothing-here in /etc/init.d or /etc/rc.d/init.d"
    assert done == (1, "", f"sysv nothing-here: {complaint}\n")


def test_one_without_status_says_nothing_about_the_service(gateway):
    """Debian's usual answer to an unknown verb is 3, which would mean that the service doesn't run."""
    gateway.write(STATUS="echo 'Usage: gateway {start|stop}' >&2; exit 3", STOP="exit 1")
    assert gateway("start", "timeout=1").code == 1
    done = gateway("stop", "timeout=1")
    said = "/etc/init.d/gateway status ends with 3: Usage: gateway {start|stop}"
    assert done == (1, "", f"sysv gateway: is not stopped: {said}\n")
    assert gateway("monitor").code == 1


def test_a_start_that_takes_too_long_does_not_go_on(gateway, node):
    """Or it would come up when all has been stopped."""
    gateway.write(START="kill $!; wait; rm $file; sh -c 'sleep 1001; sleep 1002'; :")
    assert gateway("start", "timeout=1").code == 1
    assert node.pids() == []
    assert gateway("stop").code == 0
