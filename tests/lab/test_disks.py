"""Full disks under the record and the log, with a failover going on."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from .cluster import HAD, Lab, Node
from .surroundings import fill, make_room, seen, small_disk
from .waiting import eventually, throughout

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]
RECORD = "/var/lib/had"
FULL = "No space left on device"


def mark(node: Node) -> bool:
    return seen(node, f"{RECORD}/sole-survivor").exists()


def test_a_full_disk_under_the_record_is_told_once_and_gives_no_privileges(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    small_disk(second, RECORD)
    fill(second, RECORD)
    lab.start(startup="1s")
    first.power_cut()
    second.wait("Running")
    second.wait_log("could not start again alone")
    # it tries again and says nothing new, seen for two of its tries
    throughout(lambda: second.state() == "Running" and not mark(second), "it runs", 3)
    complaints = [line for line in second.log.splitlines() if FULL in line and " error: " in line]
    assert len(complaints) == 1, complaints
    assert second.log.count("could not start again alone") == 1
    assert "Traceback" not in second.log
    # after a power cut it has no right to start alone
    second.power_cut()
    second.start(startup="1s")
    second.wait_log("no privileges")
    throughout(lambda: lab.running() == [], "nobody runs", 2)
    # with the other one it runs; with room the record is written
    first.start(startup="1s")
    eventually(lambda: len(lab.running()) == 1, "one runs")
    make_room(second, RECORD)
    eventually(seen(second, f"{RECORD}/epoch").exists, "the record is written")


def test_room_on_the_disk_of_a_lone_runner_gives_it_back_its_right(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    small_disk(second, RECORD)
    lab.start(startup="1s")
    eventually(seen(second, f"{RECORD}/epoch").exists, "there is a record")
    fill(second, RECORD)
    first.power_cut()
    second.wait("Running")
    # Its epoch was reserved before, so all that is missing is the mark.
    second.wait_log(f"sole-survivor: the record cannot be written: {FULL}")
    assert not mark(second)
    make_room(second, RECORD)
    second.wait_log("the record can be written again")
    eventually(lambda: mark(second), "the mark")
    second.power_cut()
    second.start(startup="1s")
    second.wait("Running")


def test_a_full_disk_under_the_log_delays_no_failover_and_is_confessed(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    small_disk(second, "/run/log", 32)
    log = seen(second, "/run/log/had.log")
    second.configure(places__log="/run/log/had.log")
    assert second.command(HAD).returncode == 0  # in the foreground it would speak to standard error
    first.start()
    first.wait("Running")
    second.wait("Running", of=first)
    fill(second, "/run/log")
    # what is left of the last page of the file itself
    second.namespace.run("sh", "-c", "yes '' | head -c 5000 >>/run/log/had.log 2>/dev/null || true")
    said = log.read_text()
    for _ in range(3):
        first.send(signal.SIGHUP)
        second.wait("Running")
        second.send(signal.SIGHUP)
        first.wait("Running")
        second.wait("Standby")
    first.power_cut()
    second.wait("Running")
    second.wait("TIMEOUT", of=first)
    assert log.read_text() == said
    make_room(second, "/run/log")
    second.send(signal.SIGHUP)
    eventually(
        lambda: re.search(r"\d+ lines before this could not be told: " + FULL, log.read_text()), "told"
    )
    assert log.read_text().count("could not be told") == 1
    eventually(lambda: not second.serving, "it stops")
    assert "Traceback" not in log.read_text()
