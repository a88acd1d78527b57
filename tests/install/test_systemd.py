"""had under the real systemd, which is process 1 of a namespace: installed by `make install`, started,
stopped, killed, and shut down with the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.waiting import eventually, throughout
from roots import Root, why_no_root
from systemd_machine import UNITS, Machine, why_no_systemd

WHY_NOT = why_no_root() or why_no_systemd()
pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

CONFIGURATION = """\
node = alpha
nodes = 1
heartbeat = 100ms
dead = 1s
startup = 1s
[hooks]
directory = /etc/had/hasrv
monitor_interval = 1h
stop_timeout = 20s
[links]
[[lo]]
kind = broadcast
address = 127.0.0.1
broadcast = 127.255.255.255
port = PORT
"""


def configure(root: Root, name: str, port: int) -> None:
    root.file(f"/etc/had/{name}.conf").write_text(CONFIGURATION.replace("PORT", str(port)))


@pytest.fixture(scope="module")
def booted(source, tmp_path_factory) -> Iterator[Machine]:
    """A machine that stays up for all tests but those that end it."""
    yield from boot(source, tmp_path_factory.mktemp("machine"))


@pytest.fixture
def doomed(source, tmp_path_factory) -> Iterator[Machine]:
    """A machine of one's own, to be shut down."""
    yield from boot(source, tmp_path_factory.mktemp("doomed"))


def boot(source: Path, top: Path) -> Iterator[Machine]:
    root = Root(top / "root", source)
    try:
        root.good("make", "-C", "/tmp/src", "install")
        configure(root, "had", 3891)
        machine = Machine(root, "had.service", "had@.service")
        try:
            yield machine
        finally:
            machine.close()
    finally:
        root.close()


@pytest.fixture
def machine(booted) -> Iterator[Machine]:
    """With had stopped, before and after."""
    yield booted
    for unit in ("had", "had@web"):
        booted.systemctl("stop", unit)
        booted.systemctl("reset-failed", unit)
    booted.root.good("cp", "/tmp/src/scripts/stophasrv", "/etc/had/hasrv/")
    assert booted.pids("had") == []


def start(machine: Machine, unit: str = "had", run: str = "had") -> None:
    """Start it, and wait until the services run."""
    code, said = machine.systemctl("start", unit)
    assert code == 0, said
    wait_for(machine, "RUNNING", run)


def wait_for(machine: Machine, state: str, run: str = "had") -> None:
    place = machine.root.file(f"/run/{run}/status")
    eventually(lambda: place.exists() and f"state={state}\n" in place.read_text(), f"{run} is {state}")


def daemons(machine: Machine, count: int = 2) -> list[int]:
    """Guard and worker.  A hook that has just been forked bears their name for a moment."""

    def look() -> list[int]:
        pids = machine.pids("had")
        return pids if len(pids) == count else []

    return eventually(look, f"{count} processes of had")


def in_stophasrv(root: Root, *lines: str) -> None:
    """Put steps before all others into the hook, where it has a place for them."""
    hook = root.file("/etc/had/hasrv/stophasrv")
    text = hook.read_text()
    mark = "# Steps of your own that come before all services:\n"
    assert mark in text
    hook.write_text(text.replace(mark, mark + "".join(f"{line}\n" for line in lines)))


def test_it_is_up_when_systemctl_returns_and_the_services_follow(machine):
    start(machine)
    assert machine.show("had", "ActiveState") == "active"
    assert int(machine.show("had", "MainPID")) in daemons(machine)
    eventually(
        lambda: "alpha RUNNING" in machine.show("had", "StatusText"), "systemctl status tells the state"
    )
    (sleep,) = machine.pids("sleep")
    assert machine.unit_of(sleep) == "had.service"
    machine.systemctl("stop", "had")
    assert machine.show("had", "Result") == "success"
    assert machine.pids("sleep") == [], "stophasrv has stopped it"
    assert machine.pids("had") == []


def test_it_is_off_until_somebody_enables_it(machine):
    assert machine.systemctl("is-enabled", "had")[1] == "disabled\n"
    machine.systemctl("preset", "had")
    assert machine.systemctl("is-enabled", "had")[1] == "disabled\n"
    assert machine.systemctl("enable", "had")[0] == 0
    assert machine.systemctl("is-enabled", "had")[1] == "enabled\n"
    machine.systemctl("preset", "had")
    assert machine.systemctl("is-enabled", "had")[1] == "disabled\n"


def test_a_slow_stop_is_waited_for(machine):
    start(machine)
    in_stophasrv(machine.root, "sleep 2", "pgrep -x sleep >/dev/null && echo lives >/run/before")
    began = time.monotonic()
    assert machine.systemctl("stop", "had")[0] == 0
    assert 2 <= time.monotonic() - began < 15
    assert machine.root.read("/run/before") == "lives\n", "the service was not touched before its turn"
    assert machine.show("had", "Result") == "success"
    assert "code=0\n" in machine.root.read("/run/had/status")


def test_a_daemon_that_is_killed_whole_comes_back_and_nothing_moves(machine):
    start(machine)
    before = machine.pids("sleep")
    daemon = daemons(machine)
    machine.kill(*daemon)
    eventually(lambda: not set(daemons(machine)) & set(daemon), "another daemon")
    found = "monitorhasrv found the services running here"
    eventually(lambda: found in machine.root.read("/run/had/status"), found)
    assert machine.show("had", "NRestarts") == "1"
    assert machine.pids("sleep") == before


@pytest.mark.parametrize("time_", range(3))
def test_a_guard_that_is_killed_leaves_a_unit_that_can_be_stopped(machine, time_):
    """systemd may hear of the guard's death before the worker speaks, or after: hence three times."""
    start(machine)
    before = machine.pids("sleep")
    guard = int(machine.show("had", "MainPID"))
    (worker,) = set(daemons(machine)) - {guard}
    machine.kill(guard)
    eventually(lambda: machine.show("had", "MainPID") == str(worker), "the worker is the main process")
    eventually(lambda: machine.show("had", "ActiveState") == "active", "the unit is up")
    assert daemons(machine, 1) == [worker]
    assert machine.pids("sleep") == before
    assert machine.systemctl("stop", "had")[0] == 0
    assert machine.pids("sleep") == []
    assert machine.pids("had") == []


def test_a_bad_configuration_is_not_tried_again_and_again(machine):
    with machine.root.file("/etc/had/had.conf").open("a") as file:
        file.write("nonsense = 1\n")
    try:
        assert machine.systemctl("start", "had")[0] != 0
        # A restart would come after 100 ms.
        throughout(lambda: machine.show("had", "ActiveState") == "failed", "failed, for good", 1)
        assert machine.show("had", "NRestarts") == "0"
    finally:
        configure(machine.root, "had", 3891)


def test_a_stop_that_failed_is_told(machine):
    start(machine)
    in_stophasrv(machine.root, "failed=1")
    machine.systemctl("stop", "had")
    assert machine.show("had", "ActiveState") == "failed"
    assert machine.show("had", "ExecMainStatus") == "1"


def test_reload_is_refused(machine):
    start(machine)
    code, said = machine.systemctl("reload", "had")
    assert code != 0
    assert "not applicable" in said
    assert "state=RUNNING\n" in machine.root.read("/run/had/status")


def test_a_daemon_that_an_initscript_has_started_is_not_systemds(machine):
    machine.run("had")
    wait_for(machine, "RUNNING")
    daemon = daemons(machine)
    try:
        assert machine.systemctl("start", "had")[0] != 0
        assert machine.show("had", "ExecMainStatus") == "1"
        assert daemons(machine) == daemon
    finally:
        machine.run("sh", "-c", "kill $(cat /run/had.pid)")
        eventually(lambda: machine.pids("had") == [], "it ends")


def test_a_second_instance_stands_beside_the_first(machine):
    root = machine.root
    root.good("cp", "-r", "/etc/had/hasrv", "/etc/had/web")
    root.file("/etc/had/web/services.list").write_text("process web sleep 999999\n")
    configure(root, "web", 3892)
    place = root.file("/etc/had/web.conf")
    place.write_text(place.read_text().replace("/etc/had/hasrv", "/etc/had/web"))
    start(machine)
    start(machine, "had@web", "had-web")
    daemons(machine, 4)
    assert len(machine.pids("sleep")) == 2
    machine.systemctl("stop", "had@web")
    daemons(machine, 2)
    assert len(machine.pids("sleep")) == 1


def test_options_come_from_the_settings_file(machine):
    root = machine.root
    root.file("/etc/default/had").write_text('HAD_OPTIONS="-N omega -F /etc/had/had.conf"\n')
    try:
        start(machine)
        assert "node=omega\n" in root.read("/run/had/status")
    finally:
        root.good("cp", "/tmp/src/init.d/had.sysconfig", "/etc/default/had")


# -- The machine is shut down -----------------------------------------------------------------------------


UNIT = """\
[Unit]
{order}
[Service]
ExecStart=/bin/sleep 999999
ExecStop=/bin/sh -c 'echo db >>/var/tmp/story'
"""


def shut_down(machine: Machine, order: str, stop: str) -> tuple[str, str]:
    """A node whose hooks mount a file system and run a unit on it is switched off.

    Returns what happened, in which order, and the last status file.
    """
    root = machine.root
    root.file(f"{UNITS}/db.service").write_text(UNIT.format(order=order))
    machine.systemctl("daemon-reload")
    hooks = {
        "starthasrv": "mkdir -p /srv/data; mount -t tmpfs x /srv/data; touch /srv/data/x\nsystemctl start db",
        "monitorhasrv": "systemctl -q is-active db",
        "stophasrv": "\n".join(
            (
                "mountpoint -q /srv/data || exit 0",
                "echo begin >>/var/tmp/story",
                "sleep 1",
                f"{stop} || exit 1",
                "ls /srv/data | sed 's/^/mounted: /' >>/var/tmp/story",
                "umount /srv/data",
                "echo end >>/var/tmp/story",
            )
        ),
    }
    for hook, text in hooks.items():
        root.file(f"/etc/had/hasrv/{hook}").write_text(f"#!/bin/sh\n{text}\n")
    start(machine)
    machine.systemctl("poweroff")
    machine.process.wait(60)
    return root.read("/var/tmp/story").replace("\n", " ").strip(), root.read("/run/had/status")


def test_a_shutdown_waits_for_stophasrv(doomed):
    """File systems stay that long, even those that a hook has mounted; but a unit that nobody has ordered is
    stopped at once, beside had.
    """
    story, status = shut_down(doomed, "", "systemctl stop db")
    assert sorted(story.split()[:2]) == ["begin", "db"]
    assert story.endswith("mounted: x end")
    assert "code=0\n" in status


@pytest.mark.parametrize(
    "stop", ["systemctl --job-mode=ignore-dependencies stop db", "/usr/lib/had/services/systemd stop db"]
)
def test_a_shutdown_keeps_the_order_of_the_hook(doomed, stop):
    """As docs/systemd.md says: the unit stays until had has stopped, and the hook stops it all the same."""
    story, status = shut_down(doomed, "Before=had.service", stop)
    assert story == "begin db mounted: x end"
    assert "code=0\n" in status
