"""The lab itself: its auditor finds what it should, its cables can be cut, nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Lab, Node
from .journal import Journal, audit
from .namespaces import MARK, marked_environment, sweep
from .waiting import eventually
from .wire import PORT, heartbeat

MakeLab = Callable[..., Lab]


def kinds(tmp_path: Path, *lines: str) -> list[str]:
    journal = Journal(tmp_path / "journal")
    journal.path.write_text("".join(f"{number}.0 {line}\n" for number, line in enumerate(lines)))
    return [violation.kind for violation in audit(journal.entries())]


START = ("a starthasrv begin 1", "a starthasrv end 0 1")
STOP = ("a stophasrv begin 1", "a stophasrv end 0 1")


def test_the_auditor_finds_an_overlap(tmp_path: Path) -> None:
    assert kinds(tmp_path, *START, "b starthasrv begin 2") == ["overlap"]
    assert kinds(tmp_path, *START, *STOP[:1], "b starthasrv begin 2") == ["overlap"]
    assert kinds(tmp_path, *START, *STOP[:1], "a stophasrv end 1 1", "b starthasrv begin 2") == ["overlap"]


def test_the_auditor_passes_a_hand_over_and_a_dead_machine(tmp_path: Path) -> None:
    assert kinds(tmp_path, *START, *STOP, "b starthasrv begin 2") == []
    assert kinds(tmp_path, *START, "a machine off", "b starthasrv begin 2") == []


def test_the_auditor_finds_a_second_start_and_two_hooks_at_once(tmp_path: Path) -> None:
    assert kinds(tmp_path, *START, *START) == ["restart"]
    assert kinds(tmp_path, *START, "a monitorhasrv begin 2", *STOP) == ["two-hooks"]
    assert kinds(tmp_path, *START, "a alerthasrv begin 1 2 RUNNING", *STOP) == []


@pytest.mark.lab
def test_leftovers_of_dead_runs_are_swept_and_those_of_living_ones_are_not() -> None:
    dead = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: f"{os.getpid()}:1"})
    living = subprocess.Popen(["sleep", "1000"], env=marked_environment())
    try:
        sweep()  # unless another test run beside this one, which may do this at any time, was quicker
        assert dead.wait(10) == -signal.SIGKILL
        assert living.poll() is None
    finally:
        for process in (dead, living):
            process.kill()
            process.wait()


@pytest.mark.lab
def test_cables_can_be_cut_one_way_both_ways_and_by_carrier(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2)
    first, second = lab.nodes
    ears = {node: lab.socket(node, "10.77.1.255") for node in lab.nodes}
    mouths = {node: lab.socket(node, node.address()) for node in lab.nodes}

    def gets_to(speaker: Node, listener: Node) -> bool:
        """Whether one of some broadcasts gets there."""
        ear = ears[listener]
        with contextlib.suppress(BlockingIOError):
            while ear.recv(100):  # also what the listener said itself
                pass
        for _ in range(20):
            mouths[speaker].sendto(heartbeat(b"x", "Standby"), ("10.77.1.255", PORT))
            with contextlib.suppress(BlockingIOError):
                return bool(ear.recv(100))
        return False

    recorder = lab.record()
    eventually(lambda: gets_to(first, second) and gets_to(second, first), "both hear each other")
    lab.mute(first, second)
    assert not gets_to(first, second)
    assert gets_to(second, first)
    lab.heal()
    lab.cut(first, 2)
    assert gets_to(first, second)
    lab.cut(first, 1)
    said = len(recorder.heard())
    assert not gets_to(first, second)
    assert not gets_to(second, first)
    assert len(recorder.heard()) == said + 40  # the recorder sits in the switch
    lab.heal()
    lab.unplug(first)
    assert "NO-CARRIER" in first.namespace.run("ip", "link", "show", "net1")
    lab.plug(first)
    eventually(lambda: gets_to(second, first), "it hears again")


@pytest.mark.lab
def test_a_node_is_a_machine_of_its_own(make_lab: MakeLab) -> None:
    lab = make_lab(["web-1.example.com", "n2"])
    node = lab.nodes[0]
    assert node.namespace.run("uname", "-n").strip() == "web-1.example.com"
    node.namespace.run("touch", "/run/x", "/var/lib/y")
    assert (node.run_directory / "x").exists()
    assert not (lab.nodes[1].run_directory / "x").exists()
    assert not os.path.exists("/run/x")
    boot = node.namespace.run("cat", "/proc/sys/kernel/random/boot_id")
    sleeper = node.namespace.popen(["sleep", "1000"])
    eventually(lambda: Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n", "it is inside")
    node.power_cut()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not (node.run_directory / "x").exists()
    assert (node.directory / "var-lib" / "y").exists()
    assert node.namespace.run("cat", "/proc/sys/kernel/random/boot_id") != boot
