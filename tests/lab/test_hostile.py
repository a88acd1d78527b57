"""Garbage, floods and hostile names on the port; full disks."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .surroundings import fill, make_room, seen, small_disk
from .waiting import eventually, throughout
from .wire import heartbeat

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]
LINE = re.compile(r"[A-Za-z0-9_-]{1,32} \[\w+\] \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}")


def unharmed(lab: Lab, first: Node) -> bool:
    return lab.running() == [first] and all(
        node.state(first) == "Running" and all(LINE.fullmatch(line) for line in node.state_text.splitlines())
        for node in lab.nodes
    )


def test_garbage_and_hostile_names_change_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, _second = lab.start()
    say = lab.stranger()
    calls = [node.moves() for node in lab.nodes]
    chance = random.Random(1)
    for _ in range(300):
        say(chance.randbytes(chance.choice((0, 1, 40, 44, 47, 48, 49, 1400, 9000))))
        say(heartbeat(chance.randbytes(32), chance.randrange(9)))
    for name in (b"", b"sp ace", b"nl\nn1 [Standby] x", b"../../x", b"n1;reboot", b"%n%s", b"\xff" * 32):
        say(heartbeat(name, "Running"))
    for version in (0, 1, 3, 0x02000000):
        say(heartbeat(b"n9", "Running", version=version))
    # nothing happens, for two dead times
    throughout(lambda: unharmed(lab, first), "all is well", 2)
    assert [node.moves() for node in lab.nodes] == calls
    for node in lab.nodes:
        assert "Traceback" not in node.log
        assert node.log.count("\n") < 100


@pytest.mark.alone
def test_a_flood_of_short_datagrams_starves_nobody(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    say = lab.stranger()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for _ in range(50):
            say(b"short")
        time.sleep(0.002)  # some 20,000 a second, and time for the others on this machine
        assert unharmed(lab, first)
    first.send(signal.SIGHUP)
    second.wait("Running")


def test_invented_nodes_are_bounded_and_configured_ones_kept(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    say = lab.stranger()
    for number in range(3000):
        say(heartbeat(b"stranger%d" % number, "Standby"))
    # nothing happens, for a dead time
    throughout(lambda: unharmed(lab, first), "all is well", 1)
    assert second.state_text.count("\n") < 1100
    first.power_cut()
    second.wait("Running")


def test_packets_in_ones_own_name_change_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.start()
    say = lab.stranger()
    for _ in range(20):
        say(heartbeat(b"n1", "Standby"))
        say(heartbeat(b"n1", "Running"))
    # H6: to n1 they are nothing; n2 can't know better in the old format, but n1 goes on saying that it runs
    throughout(lambda: lab.running() == [first] and first.state() == "Running", "it runs", 1)
    second.wait("Running", of=first)


def test_a_full_disk_under_the_record_stops_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    small_disk(second, "/var/lib/had")
    fill(second, "/var/lib/had")
    lab.start()
    second.wait_log("No space left on device")
    first.power_cut()
    second.wait("Running")
    second.send(signal.SIGHUP)
    second.wait_call("stophasrv", 2)
    assert "Traceback" not in second.log


def test_a_full_run_directory_stops_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    small_disk(second, "/run/had", 64)
    first.start()
    second.start()
    state = seen(second, "/run/had/state")
    eventually(lambda: state.exists() and "n1 [Running]" in state.read_text(), "n2 sees n1 running")
    fill(second, "/run/had")
    first.power_cut()
    eventually(lambda: second.serving, "it takes over")
    second.send(signal.SIGHUP)
    second.wait_call("stophasrv", 2)
    eventually(lambda: not second.serving, "it stops")
    assert "Traceback" not in second.log
    make_room(second, "/run/had")
    eventually(lambda: "TIMEOUT" in state.read_text(), "the state file is written again")
