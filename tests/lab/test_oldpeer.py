"""The model of the old daemon is what COMPAT.md's captured data says, alone and among its like."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import oldpeer
from .cluster import Lab
from .waiting import eventually, throughout
from .wire import heartbeat

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())
MakeLab = Callable[..., Lab]


@pytest.mark.parametrize(
    ("uname", "name"), sorted({(sent["uname"], sent["node_name"]) for sent in VECTORS["sent"]})
)
def test_node_names_are_cut_as_captured(uname: str, name: str) -> None:
    assert oldpeer.cut_name(uname.encode()) == name.encode()


def test_packets_are_the_captured_ones_but_for_left_over_memory() -> None:
    for sent in VECTORS["sent"]:
        captured = bytes.fromhex(sent["hex"])
        state = 1 if sent["state"] == "(corrupt)" else sent["status"]
        made = oldpeer.packet(sent["node_name"].encode(), state)
        first, last = sent["unspecified_bytes"] or (48, 47)
        same = [place for place in range(48) if not first <= place <= last]
        assert [made[place] for place in same] == [captured[place] for place in same]


@pytest.mark.parametrize("row", VECTORS["election"]["rows"], ids=lambda row: "-".join(map(str, row.values())))
def test_the_election_is_the_observed_table(row: dict[str, object]) -> None:
    own, peer = oldpeer.Peer(str(row["node"]).encode()), oldpeer.Peer(str(row["peer"]).encode())
    own.state = oldpeer.STANDBY
    peer.state = row["peer_status"] if row["peer_status"] in range(8) else oldpeer.UNKNOWN
    # In the observation the own packet had been heard first.
    table = sorted([own, peer], key=lambda each: oldpeer.lowered(each.name))
    assert oldpeer.is_elected(own.name, table, 2) == row["node_starts"]


def test_three_nodes_need_a_quorum_to_elect() -> None:
    own = oldpeer.Peer(b"a")
    own.state = oldpeer.STANDBY
    other = oldpeer.Peer(b"b")
    other.state = oldpeer.TIMEDOUT
    assert not oldpeer.is_elected(b"a", [own, other], 3)
    other.state = oldpeer.ERRORED
    assert oldpeer.is_elected(b"a", [own, other], 3)


@pytest.mark.parametrize(
    ("text", "value"), [("1x", 1), ("abc", 0), ("0xf33", 0), ("69427", 69427), ("-3", -3), (" 7", 7), ("", 0)]
)
def test_numbers_are_read_as_c_does(text: str, value: int) -> None:
    assert oldpeer.number(text) == value


def test_addresses_are_read_as_inet_aton_does() -> None:
    assert oldpeer.address("10.7") == "10.0.0.7"
    assert oldpeer.address("0x0a070001") == "10.7.0.1"
    assert oldpeer.address("localhost") is None
    options = oldpeer.Options(["word", "-n3", "-n", "4", "-p", "69427", "-a", "nonsense"])
    assert (options.nodes, options.port, options.addresses) == (4, 3891, [None, None, None])


def lines(text: str) -> list[str]:
    """The lines of a state file with the times taken out, its bytes read as those of vectors.json."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        shown = data.decode()
    except UnicodeDecodeError:
        shown = data.decode("latin-1")
    return [re.sub(r"\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$", "<ctime>", line) for line in shown.splitlines()]


@pytest.mark.lab
def test_received_packets_do_what_was_observed(make_lab: MakeLab) -> None:
    lab = make_lab(["zz-self"])
    (node,) = lab.nodes
    say = lab.stranger()
    for case in VECTORS["received"]:
        if case["sent_to"] != "broadcast address":
            continue
        starts = len(node.calls("starthasrv"))
        node.start_old("-n", "1")
        node.wait_call("starthasrv", starts + 1)
        say(bytes.fromhex(case["hex"]))
        for _ in range(2):
            rounds = len(node.calls("monitorhasrv"))
            node.send(signal.SIGUSR2)  # does nothing but make the next round come at once
            node.wait_call("monitorhasrv", rounds + 1)
        expected = case["state_file_after"]
        assert lines(node.state_text)[: len(expected)] == expected
        assert " [" not in "".join(lines(node.state_text)[len(expected) :])  # only the tails of old lines
        node.power_cut()


@pytest.mark.lab
def test_two_start_take_over_and_obey_hup(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    first, second = lab.nodes
    recorder = lab.record()
    first.start_old(dead=2)
    eventually(lambda: first.state_text.startswith("Waiting for quorum"), "the waiting text")
    assert first.state_text == "Waiting for quorum of nodes to come online\n"
    second.start_old(dead=2)
    first.wait("Running")
    second.wait("Running", of=first)
    assert second.state() == "Standby"
    assert first.calls("alerthasrv") == [f"alerthasrv {number}" for number in (3, 5, 4, 2)]
    assert second.calls("alerthasrv") == ["alerthasrv 3", "alerthasrv 5"]

    # HUP on the first in order: it stops and, after a pause, starts again itself.
    first.send(signal.SIGHUP)
    first.wait_call("starthasrv", 2)
    first.wait("Running")
    assert second.calls("starthasrv") == []

    # The power cut of the running node: the other one starts more than T seconds after its last word.
    first.power_cut()
    last_word = recorder.of(first.name)[-1][0]
    second.wait("Running")
    assert second.states()[first.name] == "TIMEOUT"
    started = next(at for at, state in recorder.of(second.name) if state == "Starting")
    assert 2.0 < started - last_word < 4.5
    assert lab.journal.serving() == [second.name]

    # It comes back as standby; HUP on the later one moves the services to the first.
    first.start_old(dead=2)
    first.wait("Running", of=second)
    first.wait("Standby")
    second.send(signal.SIGHUP)
    first.wait("Running")
    second.wait("Standby")
    assert second.calls("alerthasrv")[-2:] == ["alerthasrv 3", "alerthasrv 5"]

    # D5: HUP on STANDBY leaves it stuck, but TERM ends it, without stophasrv.
    stops = len(second.calls("stophasrv"))
    second.send(signal.SIGHUP)
    time_of_hup = time.monotonic()
    eventually(
        lambda: len([at for at, _ in recorder.of(second.name) if at > time_of_hup]) >= 6,
        "two packets per round",
        5,
    )
    assert second.stop() == 0
    assert first.stop() == 0
    assert len(second.calls("stophasrv")) == stops
    assert recorder.of(first.name)[-1][1] == "Stopping"
    assert lab.journal.serving() == []


@pytest.mark.lab
def test_failures_of_monitor_and_start(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    lab.allow(
        "restart", because="row 15: USR1 on ERRORED starts again, and no failed start is cleaned up (D24)"
    )
    (node,) = lab.nodes
    node.hook("starthasrv", "fail", "3")
    node.start_old("-n", "1")
    node.wait("ERRORED")
    assert node.calls("alerthasrv")[-2:] == ["alerthasrv 4", "alerthasrv 6"]
    assert len(node.calls("stophasrv")) == 1
    node.unhook("starthasrv", "fail")
    node.send(signal.SIGUSR1)
    node.wait("Running")
    node.kill_service()
    node.wait("ERRORED")
    eventually(
        lambda: node.calls("alerthasrv")[-3:] == [f"alerthasrv {n}" for n in (6, 3, 6)], "alerts 6 3 6"
    )
    assert len(node.calls("stophasrv")) == 2
    node.send(signal.SIGUSR2)
    node.wait("Running")
    # D26: INT is lost while a script runs; TERM is not
    node.hook("stophasrv", "hang")
    node.send(signal.SIGHUP)
    node.wait_call("stophasrv", 3)
    node.send(signal.SIGINT)
    node.unhook("stophasrv", "hang")
    node.wait_call("starthasrv", 4)
    node.hook("monitorhasrv", "hang")
    monitors = len(node.calls("monitorhasrv"))
    node.wait_call("monitorhasrv", monitors + 1)
    node.send(signal.SIGTERM)
    node.unhook("monitorhasrv", "hang")
    assert node.wait_exit() == 0
    assert not node.serving


@pytest.mark.lab
def test_signals_on_a_running_and_an_errored_node(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    lab.allow("restart", because="row 10: USR1 on RUNNING starts again")
    (node,) = lab.nodes
    alerts: list[str] = []

    def alerted(*numbers: int) -> None:
        """Wait for these alerts, the next ones since the last call."""
        alerts.extend(f"alerthasrv {number}" for number in numbers)
        eventually(lambda: len(node.calls("alerthasrv")) >= len(alerts), f"alerts {numbers}")
        assert node.calls("alerthasrv")[: len(alerts)] == alerts

    node.start_old("-n", "1")
    alerted(3, 5, 4, 2)
    node.send(signal.SIGUSR1)  # row 10
    alerted(4, 2)
    assert node.calls("starthasrv", "stophasrv") == ["stophasrv", "starthasrv", "starthasrv"]
    node.hook("starthasrv", "fail", "1")
    node.send(signal.SIGHUP)  # row 8, elected again, row 6
    alerted(3, 5, 4, 6)
    node.send(signal.SIGHUP)  # row 13: STANDBY, and it tries again
    alerted(3, 5, 4, 6)
    node.unhook("starthasrv", "fail")
    node.send(signal.SIGUSR2)  # row 14: no alert 5
    alerted(4, 2)
    node.kill_service()  # row 7
    alerted(6, 3, 6)
    node.send(signal.SIGHUP)  # row 12: it stays ERRORED
    alerted(3, 6)
    node.hook("stophasrv", "hang")
    node.send(signal.SIGHUP)
    alerted(3)
    node.send(signal.SIGUSR2)  # during stophasrv after a monitor failure: STANDBY
    node.unhook("stophasrv", "hang")
    alerted(5, 4, 2)
    node.kill_service()
    alerted(6, 3, 6)
    stops = len(node.calls("stophasrv"))
    assert node.stop() == 0  # row 16
    alerted(3)
    assert len(node.calls("stophasrv")) == stops + 1


@pytest.mark.lab
def test_three_that_were_cut_apart(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    first, second, third = lab.nodes
    for node in lab.nodes:
        node.start_old("-n", "3", dead=2)
    for node in (second, third):
        node.wait("Running", of=first)
        node.wait("Standby")
    # two have a quorum and start, and the running one goes on without (D11)
    lab.allow("overlap", because="D9, D11")
    lab.cut(first)
    second.wait("Running")
    assert lab.running() == [first, second]
    assert first.states() == {"n1": "Running", "n2": "TIMEOUT", "n3": "TIMEOUT"}


@pytest.mark.lab
def test_a_hook_blocks_the_daemon(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    lab.allow("overlap", because="D2: a script longer than the dead time means two that run")
    first, second = lab.nodes
    for node in lab.nodes:
        node.start_old(dead=2)
    first.wait("Running")
    second.wait("Standby")
    first.hook("monitorhasrv", "hang")
    second.wait("Running")
    first.unhook("monitorhasrv", "hang")
    first.wait("Running", of=second)
    # nothing happens: neither ever yields (D9), seen for more than a round
    throughout(lambda: lab.running() == lab.nodes, "both run", 1.5)


@pytest.mark.lab
def test_without_a_quorum_it_gives_up(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLDPEER_TURNS", "2")
    lab = make_lab(1)
    (node,) = lab.nodes
    node.start_old()
    assert node.wait_exit() == 1
    assert node.state_text == "Waiting for quorum of nodes to come online\n"
    assert node.calls("stophasrv", "monitorhasrv") == []
    # and TERM while it waits: exit 0, no script
    recorder = lab.record()
    node.start_old()
    eventually(recorder.heard, "it waits")
    assert node.stop() == 0
    assert node.calls("stophasrv", "monitorhasrv") == []


@pytest.mark.lab
def test_the_command_line_of_the_old_daemon(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    node.start_old("-h")
    assert node.wait_exit() == 1
    assert "usage" in node.log
    (node.etc / "had" / "hasrv" / "stophasrv").chmod(0o644)
    node.start_old()
    assert node.wait_exit() == 1
    assert "/etc/had/hasrv/stophasrv" in node.log


@pytest.mark.lab
def test_short_datagrams_starve_it(make_lab: MakeLab) -> None:
    lab = make_lab(1)
    (node,) = lab.nodes
    say = lab.stranger()
    node.start_old("-n", "1")
    node.wait("Running")
    for _ in range(20):
        say(b"short")
    say(heartbeat(b"peer", "Standby"))
    # D16: each short one ends a round's reading, so the peer is not seen for many rounds
    throughout(lambda: "peer" not in node.states(), "the peer's packet waits", 1.5)
