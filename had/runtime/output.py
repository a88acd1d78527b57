"""What hooks print, line by line into the log.

One pipe for each kind of hook, made by the guard before it forks the first worker; both keep both ends.
So a service that goes on writing to what its start hook gave it does not get SIGPIPE when a worker dies,
and a hook is over when it exits, not when its output closes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
from typing import Callable, Optional

from had.core.actions import Hook
from had.runtime.log import printable

MS = 1_000_000
SECOND = 1_000_000_000

MAX_LINE = 1000
"""Bytes; a longer line is given out in pieces, each but the last ending in ``...``."""
MAX_LINES_PER_SECOND = 200
_READ = 65536
_BREATH_NS = 10 * MS
"""After so much that one reading did not empty the pipe, it is left alone for this long: some 6 MB/s are
enough for a log, and a hook that prints for ever must not have a processor."""
_UNFINISHED_NS = SECOND // 2
"""How long a line without an end may wait for one."""
_F_SETPIPE_SZ = 1031  # in fcntl only since Python 3.10
_PIPE_SIZE = 256 * 1024


class OutputPipes:
    """The pipes: made once, inherited over fork, never over exec."""

    def __init__(self) -> None:
        self._ends: dict[Hook, tuple[int, int]] = {}
        for hook in Hook:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            # The two ends have flags of their own: hooks keep an ordinary, waiting end.
            os.set_blocking(reading, False)
            # Room for what comes while one worker is replaced by the next; refused, the usual size does.
            with contextlib.suppress(OSError):
                fcntl.fcntl(writing, _F_SETPIPE_SZ, _PIPE_SIZE)
            self._ends[hook] = (reading, writing)

    def reader(self, hook: Hook) -> int:
        return self._ends[hook][0]

    def writer(self, hook: Hook) -> int:
        """Return the descriptor that becomes the hook's standard output and error."""
        return self._ends[hook][1]

    def filenos(self) -> list[int]:
        """Return all descriptors, to be kept while detaching."""
        return [end for ends in self._ends.values() for end in ends]

    def discard(self) -> None:
        """Throw away what is in the pipes: for a guard without a worker, so that no service that
        prints a lot stands still meanwhile.
        """
        for reading, _ in self._ends.values():
            with contextlib.suppress(BlockingIOError):
                os.read(reading, _PIPE_SIZE)

    def close(self) -> None:
        for end in self.filenos():
            os.close(end)
        self._ends = {}


class OutputReader:
    """Reads the pipes and gives out lines; bounded in all it does, whatever hooks print."""

    def __init__(
        self, pipes: OutputPipes, said: Callable[[Hook, str], None], clock: Callable[[], int]
    ) -> None:
        """``said`` gets each line, printable and without its end; ``clock`` tells nanoseconds."""
        self._streams = {hook: _Stream(hook, pipes.reader(hook), said) for hook in Hook}
        self._clock = clock
        self._selector: Optional[selectors.BaseSelector] = None

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register all reading ends, with a callable without arguments as data."""
        self._selector = selector
        for stream in self._streams.values():
            self._listen(stream)

    def unregister(self) -> None:
        for stream in self._streams.values():
            self._pause(stream, 0)
        self._selector = None

    def _listen(self, stream: _Stream) -> None:
        stream.paused_until_ns = None
        if self._selector is not None:
            self._selector.register(stream.descriptor, selectors.EVENT_READ, lambda: self._readable(stream))

    def _pause(self, stream: _Stream, until_ns: int) -> None:
        if self._selector is not None and stream.paused_until_ns is None:
            self._selector.unregister(stream.descriptor)
        stream.paused_until_ns = until_ns

    def _readable(self, stream: _Stream) -> None:
        now_ns = self._clock()
        if stream.read(now_ns):
            self._pause(stream, now_ns + _BREATH_NS)

    def finish(self, hook: Hook, now_ns: int) -> None:
        """Give out what a hook that has just ended left, a last line without an end too."""
        stream = self._streams[hook]
        for _ in range(_PIPE_SIZE // _READ):
            if not stream.read(now_ns):
                break
        stream.give_unfinished(now_ns)

    def tick(self, now_ns: int) -> None:
        """Do what :attr:`next_ns` was for."""
        for stream in self._streams.values():
            stream.tick(now_ns)
            if stream.paused_until_ns is not None and now_ns >= stream.paused_until_ns:
                self._listen(stream)

    @property
    def next_ns(self) -> Optional[int]:
        """When :meth:`tick` has something to do, or None."""
        times = [time for stream in self._streams.values() for time in stream.times()]
        return min(times) if times else None


class _Stream:
    """One pipe's bytes on their way to lines."""

    def __init__(self, hook: Hook, descriptor: int, said: Callable[[Hook, str], None]) -> None:
        self.descriptor = descriptor
        self.paused_until_ns: Optional[int] = None
        self._hook = hook
        self._said = said
        self._rest = b""
        self._rest_until_ns = 0
        self._second_ns = 0
        self._lines = 0
        self._left_out = 0

    def read(self, now_ns: int) -> bool:
        """Read once; returns whether more may be waiting."""
        try:
            data = os.read(self.descriptor, _READ)
        except BlockingIOError:
            return False
        if now_ns - self._second_ns >= SECOND:
            self._new_second(now_ns)
        if self._lines >= MAX_LINES_PER_SECOND:
            self._skip(data, now_ns)
        else:
            self._split(data, now_ns)
        return len(data) == _READ

    def _split(self, data: bytes, now_ns: int) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            while len(line) > MAX_LINE:
                piece, line = _cut(line)  # noqa: PLW2901
                self._give(piece, b"...")
            self._give(line)
        while len(rest) > MAX_LINE:
            piece, rest = _cut(rest)
            self._give(piece, b"...")
        self._rest = rest
        self._rest_until_ns = now_ns + _UNFINISHED_NS

    def _skip(self, data: bytes, now_ns: int) -> None:
        """Count lines without making them: a flood costs little more than its reading."""
        self._left_out += data.count(b"\n")
        self._rest = data[data.rfind(b"\n") + 1 :][-MAX_LINE:]
        self._rest_until_ns = now_ns + _UNFINISHED_NS

    def _give(self, line: bytes, mark: bytes = b"") -> None:
        if self._lines >= MAX_LINES_PER_SECOND:
            self._left_out += 1
            return
        self._lines += 1
        line = line.rstrip(b"\r")
        if line:  # an empty one tells nothing in a log
            self._said(self._hook, printable((line + mark).decode("utf-8", "backslashreplace")))

    def give_unfinished(self, now_ns: int) -> None:
        if now_ns - self._second_ns >= SECOND:
            self._new_second(now_ns)
        rest, self._rest = self._rest, b""
        if rest:
            self._give(rest)

    def _new_second(self, now_ns: int) -> None:
        self._second_ns = now_ns
        self._lines = 0
        if self._left_out:
            lines = "1 line" if self._left_out == 1 else f"{self._left_out} lines"
            self._said(self._hook, f"({lines} left out: more than {MAX_LINES_PER_SECOND} in a second)")
            self._left_out = 0

    def tick(self, now_ns: int) -> None:
        if self._left_out and now_ns - self._second_ns >= SECOND:
            self._new_second(now_ns)
        if self._rest and now_ns >= self._rest_until_ns:
            self.give_unfinished(now_ns)

    def times(self) -> list[int]:
        times = []
        if self.paused_until_ns is not None:
            times.append(self.paused_until_ns)
        if self._left_out:
            times.append(self._second_ns + SECOND)
        if self._rest:
            times.append(self._rest_until_ns)
        return times


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Cut a piece off a line that is too long, not in the middle of a UTF-8 character."""
    end = MAX_LINE
    while end > MAX_LINE - 3 and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end], line[end:]
