"""How the demo is asked to end: by Ctrl-C, SIGTERM, or a terminal that is closed."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(Exception):
    """A signal asks the demo to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"ended by {signal.Signals(number).name}")


class Signals:
    """Remembers a signal until it is asked: so none comes at a moment that would leave something behind."""

    def __init__(self) -> None:
        self._number = 0
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._note)

    def _note(self, number: int, _: object) -> None:
        self._number = self._number or number

    def check(self) -> None:
        """Raise StoppedError if one has come."""
        if self._number:
            raise StoppedError(self._number)
