"""The soak's excuses: what may be let pass, and what may not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from .cluster import Lab
from .journal import Overlap, parse
from .soak.excuses import excuse
from .soak.storm import RECORD, Deed, Storm
from .soak.watch import Stall
from .surroundings import fill, small_disk

DEAD = 2.0
JOURNAL = """\
5.0 a starthasrv begin 1
5.1 a starthasrv end 0 1
"""


def why(
    *deeds: Deed, began: float = 20.0, stalls: tuple[Stall, ...] = (), journal: str = "", blocks: bool = True
) -> str:
    entries = parse((JOURNAL + journal).splitlines())
    ended = entries[-1].time if entries[-1].word == "off" else began + 1
    return excuse(Overlap(("a", "b"), began, ended), deeds, entries, stalls, DEAD, blocks)


def test_without_a_reason_there_is_no_excuse() -> None:
    assert why() == ""
    assert why(Deed(19.0, "kill worker", "a"), Deed(19.0, "weather: bad", "a")) == ""


def test_what_may_lead_to_two_is_an_excuse_for_a_while() -> None:
    cut = Deed(15.0, "split: all links", "a", until=16.0, wild=True)
    assert why(cut) == "split"
    assert why(cut, began=16.0 + 2 * DEAD + 3) == ""
    assert why(Deed(21.0, "split: all links", "a", wild=True)) == ""  # it came later
    assert why(Deed(1.0, "SIGUSR1", "b", until=2.0, wild=True)) == "SIGUSR1"


def test_a_machine_that_was_switched_off_is_one_only_if_it_was() -> None:
    off = "20.1 a machine off\n"
    assert why(Deed(19.9, "power cut", "a"), journal=off) == "its machine was being switched off"
    assert why(Deed(19.9, "power cut", "b"), journal=off) == ""
    assert why(journal=off) == ""


def test_a_stop_that_failed_is_one_only_where_the_node_does_not_say_so() -> None:
    failed = "19.0 a stophasrv begin 2\n19.5 a stophasrv end 1 2\n"
    assert why(journal=failed, blocks=False) == "a stop had failed"
    assert why(journal=failed) == ""
    assert why(journal=failed.replace("end 1", "end 0"), blocks=False) == ""


def test_a_stall_counts_by_its_length() -> None:
    assert "stalled" in why(stalls=(Stall(18.0, 0.6, "a"),))
    assert why(stalls=(Stall(18.0, 0.2, "the machine"),)) == ""
    assert why(stalls=(Stall(3.0, 0.6, "a"),)) == ""
    # a short one only where both claimed at once
    assert "claimed" in why(began=5.2, stalls=(Stall(5.1, 0.1, "the machine"),))
    assert why(began=5.2) == ""


@pytest.mark.lab
def test_the_calm_takes_everything_back(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(2, links=2, seed=1)
    for node in lab.nodes:
        small_disk(node, RECORD)
    storm = Storm(lab, random.Random(1), {}, lane="wild", dead=DEAD)
    machine = storm.machines["n1"]
    for deed in (
        storm.weather,
        storm.cut,
        storm.mute,
        storm.unplug,
        storm.split,
        storm.isolate,
        storm.slow_hook,
    ):
        deed(machine)
    storm.full_disk(machine)
    storm.calm()
    assert all(deed.until is not None for deed in storm.deeds)
    for link in lab.links:
        assert "NO-CARRIER" not in machine.node.namespace.run("ip", "link", "show", f"net{link}")
        first, second = lab.nodes
        assert lab.weather_counts(first, second, link) is not None
    assert not list(machine.node.control.glob("*.hang"))
    machine.node.namespace.run("sh", "-c", f"echo room >{RECORD}/x")
    fill(machine.node, RECORD)
