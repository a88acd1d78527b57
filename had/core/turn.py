"""One step of a node in the making: the time, what is wanted done, and small common words.

:meth:`Turn.due` is how all code of the core asks the time.  It remembers the nearest moment that had not
come yet; what was decided can't change before that moment without another event, so the node has to be
woken then and not earlier.  Nobody has to list deadlines a second time, and none can be forgotten.
"""

from __future__ import annotations

from had.core.actions import Action, Level, Note, Reason
from had.core.data import NodeData
from had.core.settings import SECOND, Settings

COMPLAIN_NS = 60 * SECOND
COMPLAINTS_MAX = 100
"""Different complaints within a minute; names that somebody makes up must not fill log or memory."""


class InvariantError(Exception):
    """The core found itself in a state that must not exist: a bug.  The worker dies of it, and the next
    one goes on from the last good state.
    """


class Turn:
    """What the parts of the core hand to each other during one step."""

    def __init__(self, settings: Settings, node: NodeData, now_ns: int) -> None:
        self.settings = settings
        self.node = node
        self.now_ns = now_ns
        self.wake_ns: int | None = None
        self.actions: list[Action] = []
        self.changed = False

    def due(self, moment_ns: int) -> bool:
        """Whether the moment has come; if not, the node is woken when it does."""
        if self.now_ns >= moment_ns:
            return True
        if self.wake_ns is None or moment_ns < self.wake_ns:
            self.wake_ns = moment_ns
        return False

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def note(self, level: Level, reason: Reason) -> None:
        """Tell people; the first that they are told about a word is its answer."""
        answers = reason.word in self.node.unanswered
        if reason.word is not None and answers:
            self.node.unanswered.remove(reason.word)
        self.actions.append(Note(level, reason, answers))

    def complain(self, reason: Reason, about: str = "") -> None:
        """Tell people, and again every minute as long as this goes on being called."""
        key = f"{reason.code} {about}"
        if self.due(self.node.told_ns.get(key, 0)):
            told = self.node.told_ns
            for old in [old for old, until_ns in told.items() if until_ns <= self.now_ns]:
                del told[old]
            if len(told) >= COMPLAINTS_MAX:
                return
            told[key] = self.now_ns + COMPLAIN_NS
            self.due(self.now_ns + COMPLAIN_NS)
            self.note(Level.WARNING, reason)


def seconds(span_ns: int) -> str:
    """Write a span for people: ``0.25 s``, ``3.2 s``, ``121 s``."""
    value = span_ns / SECOND
    if value >= 10:
        return f"{value:.0f} s"
    return f"{value:.1f} s" if value >= 1 else f"{value:.3g} s"


def listed(names: list[str]) -> str:
    """Write names in a sentence: ``n1``, ``n1 and n2``, ``n1, n2 and n3``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
