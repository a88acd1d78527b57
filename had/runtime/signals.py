"""Signals as events: a handler that does nothing, and a descriptor that wakes the loop."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from typing import Callable, Optional

from had.core.events import Word

WORDS = {
    signal.SIGHUP: Word.STAND_DOWN,
    signal.SIGUSR1: Word.TAKE_OVER,
    signal.SIGUSR2: Word.CLEAR,
    signal.SIGTERM: Word.LEAVE,
    signal.SIGINT: Word.LEAVE,
}
"""What each signal says (rules M)."""
_CAUGHT = (*WORDS, signal.SIGCHLD)


def _nothing(number: int, frame: object) -> None:
    """Make the interpreter write the signal's number to the wake-up descriptor."""


class SignalPipe:
    """Catches the daemon's signals and SIGCHLD; ``arrived`` is called for each, from the loop."""

    def __init__(self, selector: selectors.BaseSelector, arrived: Callable[[int], None]) -> None:
        self._arrived = arrived
        self._selector = selector
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in _CAUGHT:
            signal.signal(number, _nothing)
        # Whoever started us may have left some blocked, and the guard blocks all of them around a fork.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        selector.register(self._reading, selectors.EVENT_READ, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._reading, 4096):
                self._arrived(number)

    def abandon(self) -> None:
        """Give the descriptors back in a forked child.

        The selector is the parent's: to unregister here would make the parent deaf.
        """
        signal.set_wakeup_fd(-1)
        os.close(self._reading)
        os.close(self._writing)


def ignore_words() -> None:
    """Take no more words: for a process that ends.

    Python's own end gives every signal that was caught its default back, and for these that is death: one
    more SIGTERM in that moment would take the place of the exit code.
    """
    for number in WORDS:
        signal.signal(number, signal.SIG_IGN)


def word_of(number: int) -> Optional[Word]:
    """Return what a signal says, or None for one that says nothing (SIGCHLD)."""
    return WORDS.get(signal.Signals(number))
