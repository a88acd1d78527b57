"""Why two nodes ran at one time, as far as nothing is wrong with that: no cluster here has a safeguard."""

from __future__ import annotations

from collections.abc import Sequence

from ..journal import Entry, Overlap
from .storm import Deed
from .watch import Stall

LASTING = ("kill daemon", "SIGUSR1")
"""What these lead to may come any time later in the round."""
AFTER = 2.0
"""Seconds, and two dead times: for so long the end of a wild deed may still lead to an overlap."""
TOGETHER = 0.5


def excuse(
    overlap: Overlap,
    deeds: Sequence[Deed],
    entries: Sequence[Entry],
    stalls: Sequence[Stall],
    dead: float,
    blocks: bool,
) -> str:
    """Say why, by what was done in this round and what is known of the machine; empty if there is no excuse.

    `blocks`: a node whose stop has failed says that it is busy (stop_failure = block), so that is no excuse.
    """
    first, began = overlap.nodes[0], overlap.began
    if _was_off(overlap, deeds, entries):
        return "its machine was being switched off"
    wild = {
        deed.what.partition(":")[0]
        for deed in deeds
        if deed.wild
        and deed.at <= began
        and (deed.what in LASTING or deed.until is None or began < deed.until + 2 * dead + AFTER)
    }
    if wild:
        return " + ".join(sorted(wild))
    if not blocks and _stop_failed(first, began, entries):
        return "a stop had failed"
    return _stalled(overlap, entries, stalls, dead)


def _was_off(overlap: Overlap, deeds: Sequence[Deed], entries: Sequence[Entry]) -> bool:
    """The power was cut before; the line that says so was written a moment later."""
    first = overlap.nodes[0]
    return any(
        entry.node == first and entry.word == "off" and entry.time == overlap.ended for entry in entries
    ) and any(deed.what == "power cut" and deed.node == first and deed.at <= overlap.began for deed in deeds)


def _stop_failed(node: str, before: float, entries: Sequence[Entry]) -> bool:
    """Whether the last stop of this run of the services had failed."""
    failed = False
    for entry in entries:
        if entry.node == node and entry.time <= before:
            if entry.hook == "starthasrv" and entry.word == "begin":
                failed = False
            elif entry.hook == "stophasrv" and entry.word != "begin":
                failed = entry.word == "gone" or entry.rest[0] != "0"
    return failed


def _stalled(overlap: Overlap, entries: Sequence[Entry], stalls: Sequence[Stall], dead: float) -> str:
    """A daemon that didn't get the processor for a good part of the dead time; or for a moment, while both
    claimed: a claim gets a tenth of a second to be heard (E5).
    """
    began = overlap.began
    near = [stall for stall in stalls if began - 2 * dead - 1 < stall.at < began + 1]
    for stall in near:
        if stall.seconds > dead / 4:
            return f"{stall.who} was stalled for a part of the dead time"
    started = [
        entry.time
        for entry in entries
        if (entry.node, entry.hook, entry.word) == (overlap.nodes[0], "starthasrv", "begin")
        and entry.time <= began
    ]
    if started and began - started[-1] < TOGETHER and any(began - 1 < stall.at for stall in near):
        return "both claimed while the machine was stalled"
    return ""
