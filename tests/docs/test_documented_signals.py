"""docs/signals.md says what a signal does in each state; here each row is done, in the core."""

from __future__ import annotations

import re

import pytest
from document_tools import ROOT, read, rows

from had.core.actions import Exit, Hook, Note, Reason
from had.core.data import Group, GroupWord, LinkWord, NodeData, Peer
from had.core.events import Command, Word
from had.core.node import Node
from had.core.settings import SECOND, Settings
from had.core.states import STATE_OF, Phase, State

NOW_NS = 1000 * SECOND
PHASES = {
    "INITIAL": Phase.WAITING,
    "INITIAL, the first `monitorhasrv` runs": Phase.PROBING,
    "STOPPING, clean-up at the start": Phase.CLEANING,
    "STANDBY": Phase.STANDBY,
    "STARTING, asking a peer to stop": Phase.ASKING,
    "STARTING, announced": Phase.CLAIMING,
    "STARTING, `starthasrv` runs": Phase.STARTING,
    "RUNNING": Phase.RUNNING,
    "STOPPING, `starthasrv` still runs": Phase.ABORTING,
    "STOPPING, `stophasrv` runs": Phase.STOPPING,
    "STOPPING, blocked": Phase.BLOCKED,
    "ERRORED": Phase.ERRORED,
}
HOOKS = {
    Phase.PROBING: Hook.MONITOR,
    Phase.CLEANING: Hook.STOP,
    Phase.STARTING: Hook.START,
    Phase.ABORTING: Hook.START,
    Phase.STOPPING: Hook.STOP,
}


def documented(word):
    """The rows of one signal's table, by phase."""
    text = read(ROOT / "docs" / "signals.md")
    table = re.search(rf"<!-- signal: {word.value} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert table, f"no table for {word.value}"
    return {PHASES[row[0]]: row for row in rows(table[1])}


def node_in(phase):
    """A node, second in order, that is in this phase; its peer is STANDBY, or RUNNING where it is asked."""
    settings = Settings("beta", names=("alpha", "beta"))
    data = NodeData(begun=True, ran_ns=NOW_NS, initial_ns=NOW_NS, heard_ns=NOW_NS, leftovers=False)
    data.beat_ns = NOW_NS + SECOND
    group = Group(phase, NOW_NS, Reason("test", "test"), run=7, hook=HOOKS.get(phase))
    group.monitor_ns = NOW_NS + 5 * SECOND
    group.claim_ns = NOW_NS + SECOND
    group.asked_ns = group.run_since_ns = NOW_NS
    data.groups.append(group)
    data.announced = [STATE_OF[phase]]
    if phase is not Phase.WAITING:
        said = GroupWord(State.RUNNING if phase is Phase.ASKING else State.STANDBY)
        data.peers["alpha"] = Peer("alpha", NOW_NS - 9 * SECOND, NOW_NS, {0: LinkWord(NOW_NS, [said])})
    return Node(settings, data)


@pytest.mark.parametrize("word", Word, ids=lambda word: word.value)
def test_every_state_has_its_row(word):
    assert set(documented(word)) == set(Phase) - {Phase.GONE}


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.GONE}), ids=lambda phase: phase.name)
@pytest.mark.parametrize("word", Word, ids=lambda word: word.value)
def test_the_row_is_true(word, phase):
    _, log, then, happens = documented(word)[phase]
    node = node_in(phase)
    actions = node.step(Command(word), NOW_NS + 1)
    group = node.data.groups[0]

    notes = [action.reason.text for action in actions if isinstance(action, Note)]
    assert log == ("`" + "`, `".join(notes) + "`" if notes else "nothing")
    assert then == ("gone" if group.phase is Phase.GONE else STATE_OF[group.phase].name)
    assert (group.hold is not None) == bool(re.search(r"(^|\. )Hold", happens))
    codes = [action.code for action in actions if isinstance(action, Exit)]
    assert codes == ([0] if then == "gone" else [])
