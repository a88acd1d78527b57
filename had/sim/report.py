"""What many seeds came through: per rule, per row of the table, per excuse and per kind of trouble.

A rule is recognised by what it leaves behind: the code of a reason that the core gives, or something that
only the simulator sees.  :data:`UNSEEN` lists those that leave no trace, and says why.
"""

from __future__ import annotations

import collections

from had.core.states import TRANSITIONS

RULES: dict[str, tuple[str, ...]] = {
    "H1 a peer dies, or comes back": ("note peer-dead", "note peer-back"),
    "H3 P1 silence counts anew after a pause": ("note stall-over",),
    "H4 isolated": ("note isolated ERROR",),
    "H4 isolated no longer": ("note not-isolated",),
    "H6 our own packets": ("fault: junk",),
    "S1 all heard, or a quorum": ("INITIAL ends: go-on",),
    "S2 alone = wait": ("note waiting",),
    "S2 alone = exit": ("row WAITING GIVE_UP",),
    "S2 L3 goes on alone": ("INITIAL ends: go-on-alone",),
    "S3 found running": ("row PROBING FOUND_RUNNING",),
    "S3 found stopped, clean-up": ("row PROBING FOUND_STOPPED",),
    "S4 clean-up that fails": ("row CLEANING CLEANING_FAILED",),
    "S5 left-over hooks are ended": ("S5 left-over hook",),
    "E1 E5 elected": ("note elected NOTICE",),
    "E3 not ready: no quorum": ("note no-quorum",),
    "E4 passed over": ("note passed-over",),
    "E5 claim withdrawn": ("note claim-withdrawn",),
    "E7 start that fails": ("row STARTING START_FAILED",),
    "M1 SIGHUP while running": ("SIGHUP in RUNNING", "SIGHUP in STARTING"),
    "M1 SIGHUP on STANDBY": ("SIGHUP in STANDBY",),
    "M1 SIGHUP during a claim": ("SIGHUP in CLAIMING", "SIGHUP in ASKING"),
    "M1 SIGHUP on ERRORED": ("SIGHUP in ERRORED",),
    "M1 SIGHUP while blocked": ("SIGHUP in BLOCKED",),
    "M2 a hold ends": ("note hold-over",),
    "M2 M6 a hold is taken back": ("note released",),
    "M2 nobody else is ready": ("note on-hold",),
    "M3 SIGUSR1: nobody runs": ("row STANDBY TAKE_OVER", "row ERRORED TAKE_OVER"),
    "M3 SIGUSR1 beside one that runs": ("row STANDBY ASK", "row ERRORED ASK"),
    "M3 it yields": ("note forced NOTICE",),
    "M3 it does not yield": ("note forced-beside",),
    "M3 it has only just started": ("note asking-later",),
    "M3 during a claim": ("SIGUSR1 in CLAIMING",),
    "M5 -m": ("note forced WARNING",),
    "M6 SIGUSR2 on ERRORED": ("row ERRORED CLEARED",),
    "M6 SIGUSR2 while blocked": ("row BLOCKED STOP_AGAIN",),
    "M7 SIGTERM while running": ("stop: leaving",),
    "M7 exit 0": ("exit code 0",),
    "M7 S2 G3 exit 1": ("exit code 1",),
    "M7 SIGTERM while blocked": ("note leaving-blocked",),
    "T2 the newest start stays": ("stop: newer-start",),
    "T3 the later in order stops": ("stop: later-in-order",),
    "T4 never yields": ("stop: never-yields",),
    "T4 forced against it": ("T excuse: forced against it",),
    "T5 a stop during the start": ("row STARTING STOP",),
    "P1 stalled": ("note stalled",),
    "P1 another has taken over": ("stop: taken-over",),
    "P1 late": ("note late",),
    "P2 held with its clock": ("fault: hold",),
    "G1 a hook outlives its worker": ("G1 a hook outlives its worker",),
    "G2 a worker hangs": ("fault: hang",),
    "G3 farewell": ("G3 farewell",),
    "G3 back-off": ("G3 back-off",),
    "G4 the guard dies": ("G4",),
    "G5 worker replaced": ("G1 G5 worker replaced",),
    "L1 mark written": ("note sole-survivor",),
    "L1 no privileges": ("note no-privileges",),
    "L2 mark erased": ("note not-sole-survivor",),
    "L3 the mark lets it go on": ("L3 goes on by the mark",),
    "I1 isolated = stop": ("stop: isolated",),
    "Q1 strangers": ("note stranger",),
    "monitor fails": ("stop: monitor-failed",),
    "record can't be written": ("note record-failed",),
}
UNSEEN = {
    "H2": "the dead time is our own: no decision says so",
    "H5": "which link's word counts is not told; the check of E1 would see a wrong one",
    "E2": "the order shows only in who is elected",
    "E6": "checked at each claim and each start, leaves no note",
    "M8": "words that come together are sorted silently; a second one is counted with the first",
    "T6": "STANDBY after a stop by T: with T2 to T4",
    "Q1 late for the quorum": "not told: it is a moment's wait; the check of quorum would see it forgotten",
    "Q2": "a node that goes on without a quorum does nothing",
    "V1": "the last word: checked when it is sent",
    "A1": "alerts are queued by the runtime",
    "L4, P2": "limits, not decisions",
}


def times(counts: collections.Counter[str], beginnings: tuple[str, ...]) -> int:
    return sum(number for key, number in counts.items() if key.startswith(beginnings))


def lines(counts: collections.Counter[str]) -> list[str]:
    """Return the report."""
    text = ["how often the seeds came through each rule:"]
    for rule, beginnings in RULES.items():
        text.append(f"{times(counts, beginnings):>10}  {rule}")
    text.append("rules that leave no trace:")
    text += [f"{'-':>10}  {rule}: {why}" for rule, why in UNSEEN.items()]
    text.append("rows of the table of transitions:")
    for phase, cause in TRANSITIONS:
        text.append(f"{counts[f'row {phase.name} {cause.name}']:>10}  {phase.name} {cause.name}")
    for title, beginning in (
        ("what the checks excused:", "excuse: "),
        ("how the calm ended without anybody running:", "calm: "),
        ("kinds of trouble:", "fault: "),
    ):
        text.append(title)
        for key in sorted(counts):
            if key.startswith(beginning):
                text.append(f"{counts[key]:>10}  {key[len(beginning) :]}")
    shown = ("note ", "row ", "excuse: ", "calm: ", "fault: ")
    text.append("and:")
    text += [f"{counts[key]:>10}  {key}" for key in sorted(counts) if not key.startswith(shown)]
    return text


def never(counts: collections.Counter[str]) -> list[str]:
    """Return rules and rows that no seed came through."""
    rules = [rule for rule, beginnings in RULES.items() if not times(counts, beginnings)]
    rows = [
        f"{phase.name} {cause.name}"
        for phase, cause in TRANSITIONS
        if not counts[f"row {phase.name} {cause.name}"]
    ]
    return rules + rows
