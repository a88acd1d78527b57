"""Checks of the durable record: what is said to be written survives any power cut (rules E6, L)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from had.core.node import Node
from had.runtime.record import MARK, Record
from had.sim.disk import DIRECTORY, Call, understand

if TYPE_CHECKING:
    from had.sim.judge import Judge
    from had.sim.machine import Machine


def spoilt(judge: Judge, machine: Machine) -> None:
    judge.truths[machine.index].spoilt = True
    judge.count("record spoilt")


def loaded(judge: Judge, machine: Machine, known: Record) -> None:
    """Look at the record that a daemon has read."""
    truth = judge.truths[machine.index]
    _check_belief(judge, machine, known)
    if truth.spoilt:
        truth.epoch_made = truth.epoch_confirmed = known.epoch
        truth.erasing = truth.spoilt = False
        return
    if known.epoch < truth.epoch_confirmed:
        raise judge.broken(
            "E6 no epoch goes back",
            f"{machine.name} finds epoch {known.epoch}, had recorded {truth.epoch_confirmed}",
        )
    truth.epoch_made = min(truth.epoch_made, max(truth.epoch_confirmed, known.epoch))
    truth.same_boot = known.mark_same_boot
    if known.mark_epoch is not None:
        judge.count("L a daemon starts with the mark")
    if truth.erasing and known.mark_epoch is not None:
        judge.count("mark outlived an erasure that was under way")
    truth.erasing = False


def _check_belief(judge: Judge, machine: Machine, known: Record) -> None:
    """See that a torn record gives no privilege, and that it is known which boot a mark is from (L3)."""
    if known.mark_epoch is None:
        return
    if machine.disk.damaged:
        raise judge.broken("4 the mark", f"{machine.name} believes a mark though the record is torn")
    same = f"boot {machine.boot}\n".encode("ascii") in machine.disk.image()[f"{DIRECTORY}/{MARK}"]
    if known.mark_same_boot is not same:
        raise judge.broken(
            "L3 the mark's boot", f"{machine.name} takes it for {'another' if same else 'this'}"
        )


def changed(judge: Judge, machine: Machine, call: Call) -> None:
    """Look at a disk after a call: a mark never stands there without the epoch that it names."""
    moved = call.name == "rename" and call.second.endswith(MARK)
    if moved and machine.disk.load(machine.boot).mark_epoch is None:
        raise judge.broken("4 the mark", f"{machine.name} writes the mark before the epoch is on the disk")


def idle(judge: Judge, machine: Machine, node: Node) -> None:
    """Look at a disk on which all is written, says the recorder: then a power cut must not change it."""
    truth = judge.truths[machine.index]
    truth.erasing = False
    truth.epoch_confirmed = max(truth.epoch_confirmed, node.data.epoch_recorded)
    if not node.data.begun or machine.record_locked:
        return
    image = machine.disk.certain()
    if image is None:
        raise judge.broken(
            "4 durable record", f"{machine.name}: written, it is said, but a power cut may undo it"
        )
    known = understand(image, machine.boot)
    if known.epoch < node.data.epoch_recorded:
        raise judge.broken("E6 durable epoch", f"{machine.name}: the disk has epoch {known.epoch}")
    if (known.mark_epoch is not None) != node.data.mark:
        on_disk = "stands" if known.mark_epoch is not None else "does not stand"
        raise judge.broken(
            "4 the mark", f"{machine.name}: on the disk the mark {on_disk}, for the core otherwise"
        )
