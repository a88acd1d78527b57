"""Telling people: syslog, a file, or standard error.

The standard library's ``logging`` is not used: it costs start-up time and memory, its syslog handler
blocks when syslogd hangs, and its file handler raises on a full disk.  What a daemon that must not miss
a heartbeat needs is small: one line out, never waiting, never raising, and an honest count afterwards of
what could not be told.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Callable, Optional

from had.core.actions import Level
from had.runtime.files import why

Say = Callable[[Level, str], None]
"""How a part of the runtime tells people something; a :class:`Log` is one."""

MINUTE_NS = 60_000_000_000
MAX_LINE = 2000
"""Bytes of one line; below PIPE_BUF, so that a pipe takes a line whole or not at all."""
LOCAL1 = 17
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def printable(text: str) -> str:
    r"""Make ``text`` harmless for a terminal and a log: what could move the cursor, hide text or make a
    second line is shown as ``\x1b`` or ``\u202e``; a tab becomes a blank.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character == "\t":
        return " "
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def stamp(wall_seconds: float) -> str:
    """Return local time as ISO 8601 with milliseconds and offset, in any locale."""
    whole = int(wall_seconds)
    local = time.localtime(whole)
    offset = local.tm_gmtoff // 60
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset), 60)
    milliseconds = int((wall_seconds - whole) * 1000)
    return (
        f"{local.tm_year:04d}-{local.tm_mon:02d}-{local.tm_mday:02d}T{local.tm_hour:02d}:{local.tm_min:02d}:"
        f"{local.tm_sec:02d}.{milliseconds:03d}{sign}{hours:02d}:{minutes:02d}"
    )


class Target:
    """Where lines go.  :meth:`write` never waits and never raises."""

    def write(self, level: Level, text: str) -> Optional[str]:
        """Tell ``text``; returns why it could not be told, or None."""
        raise NotImplementedError

    def problem(self) -> Optional[str]:
        """Return one line on why this target cannot be used, asked before the start; None if it can."""
        return None

    def warning(self) -> Optional[str]:
        """Return one line on what is not as it should be with it now; None if all is well."""
        return None

    def fileno(self) -> Optional[int]:
        """Return the descriptor to keep while detaching, if there is one."""
        return None

    def close(self) -> None:
        """Give the descriptor back."""


class Syslog(Target):
    """``/dev/log``, facility LOCAL1, spoken by hand because ``syslog(3)`` waits for a hung syslogd.

    A missing or restarted syslogd is asked for again with each line; meanwhile the line goes to the
    console, as the old daemon's did.
    """

    def __init__(
        self,
        ident: str,
        *,
        path: str = "/dev/log",
        console: str = "/dev/console",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ident = ident
        self._path = path
        self._console = console
        self._wall = wall
        self._socket: Optional[socket.socket] = None

    def write(self, level: Level, text: str) -> Optional[str]:
        local = time.localtime(self._wall())
        when = f"{MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} "
        when += f"{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}"
        body = _cut(f"{self._ident}[{os.getpid()}]: {text}")
        packet = f"<{LOCAL1 * 8 + level}>{when} ".encode("ascii") + body
        try:
            self._send(packet)
        except BlockingIOError:
            return "syslogd does not take any more"
        except OSError as error:
            self.close()
            # Where the console got the line nothing is lost.
            return None if self._to_console(body) else why(error)
        return None

    def warning(self) -> Optional[str]:
        try:
            with _log_socket() as probe:
                probe.connect(self._path)
        except OSError as error:
            there = "the log goes to the console" if self._has_console() else "the log is lost"
            return f"there is no syslogd ({self._path}: {why(error)}): {there} until there is one"
        return None

    def _send(self, packet: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.send(packet)
                return
            except BlockingIOError:
                raise
            except OSError:  # syslogd was restarted: once more on a new socket
                self.close()
        fresh = self._socket = _log_socket()
        fresh.connect(self._path)
        fresh.send(packet)

    def _has_console(self) -> bool:
        try:
            os.close(self._open_console())
        except OSError:
            return False
        return True

    def _open_console(self) -> int:
        return os.open(self._console, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _to_console(self, body: bytes) -> bool:
        try:
            console = self._open_console()
        except OSError:
            return False
        try:
            os.write(console, body + b"\r\n")
        except OSError:
            return False
        finally:
            os.close(console)
        return True

    def fileno(self) -> Optional[int]:
        return None if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _log_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


class LogFile(Target):
    """A file that lines are appended to.  Looks with each line whether it was rotated away."""

    def __init__(self, path: str, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._file = -1
        self._torn = False

    def problem(self) -> Optional[str]:
        try:
            self._open()
        except OSError as error:
            return f"{self._path}: the log cannot be written: {why(error)}"
        return None

    def write(self, level: Level, text: str) -> Optional[str]:
        line = _cut(f"{stamp(self._wall())} had[{os.getpid()}] {level.name.lower()}: {text}") + b"\n"
        try:
            self._open()
            # After a full disk cut a line short the next one must not be glued to it.
            data = b"\n" + line if self._torn else line
            written = os.write(self._file, data)
        except OSError as error:
            return why(error)
        if written < len(data):
            self._torn = True
            return "only a part of a line could be written"
        self._torn = False
        return None

    def _open(self) -> None:
        if self._file >= 0:
            ours = os.fstat(self._file)
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if there is not None and (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                return
            self.close()
        # O_NONBLOCK: a FIFO in this place must not hold the daemon up.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        self._torn = False

    def fileno(self) -> Optional[int]:
        return self._file if self._file >= 0 else None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Stderr(Target):
    """Standard error, or another descriptor.  A reader that does not read loses lines instead of holding
    the daemon up.
    """

    def __init__(self, descriptor: int = 2, *, wall: Callable[[], float] = time.time) -> None:
        self._descriptor = descriptor
        self._wall = wall
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def _head(self, level: Level) -> str:
        return f"{stamp(self._wall())} {level.name.lower()}: "

    def write(self, level: Level, text: str) -> Optional[str]:
        line = _cut(self._head(level) + text) + b"\n"
        try:
            # O_NONBLOCK would be set for everybody who shares the terminal, so ask instead.
            if not self._poll.poll(0):
                return "nobody reads standard error"
            os.write(self._descriptor, line)
        except OSError as error:
            return why(error)
        return None

    def fileno(self) -> Optional[int]:
        return self._descriptor


class Journal(Stderr):
    """Standard error, where systemd's journal reads it: that has the time of a line, and takes its priority
    from the number in front.
    """

    def _head(self, level: Level) -> str:
        return f"<{int(level)}>"


def is_journal(stream: str, descriptor: int = 2) -> bool:
    """Whether a descriptor is the stream that JOURNAL_STREAM (``device:inode``) says is the journal's: the
    variable is inherited even where standard error was led elsewhere since.
    """
    found = os.fstat(descriptor)
    return stream == f"{found.st_dev}:{found.st_ino}"


def _cut(text: str) -> bytes:
    data = printable(text).encode("utf-8", "backslashreplace")
    if len(data) <= MAX_LINE:
        return data
    return data[: MAX_LINE - 3].decode("utf-8", "ignore").encode("utf-8") + b"..."


def open_target(where: str, instance: str = "") -> Target:
    """Make the target for ``log =``: ``syslog``, ``stderr``, or the absolute path of a file."""
    if where == "stderr":
        return Journal() if is_journal(os.environ.get("JOURNAL_STREAM", "")) else Stderr()
    if where == "syslog":
        return Syslog(f"had-{instance}" if instance else "had")
    return LogFile(where)


class OncePerMinute:
    """Says whether something may be told again, for at most ``keys`` different things at a time.

    When that many were told within the last minute, whatever is new shares one place: somebody who
    invents a new sender address with each packet must not fill the log.
    """

    def __init__(self, keys: int = 128) -> None:
        self._keys = keys
        self._told: dict[str, tuple[int, int]] = {}  # key -> (when told, left out since); oldest first

    def left_out(self, key: str, now_ns: int) -> Optional[int]:
        """Return how many were left out since ``key`` was last told, or None: not to be told now."""
        if key not in self._told and len(self._told) >= self._keys:
            self._forget(now_ns)
            if len(self._told) >= self._keys:
                key = ""
        since, count = self._told.get(key, (now_ns - MINUTE_NS, 0))
        if now_ns - since < MINUTE_NS:
            self._told[key] = (since, count + 1)
            return None
        self._told.pop(key, None)
        self._told[key] = (now_ns, 0)
        return count

    def _forget(self, now_ns: int) -> None:
        for key, (since, _) in list(self._told.items()):
            if now_ns - since < MINUTE_NS:
                return
            del self._told[key]


class Log:
    """What the rest of the daemon speaks to.  No method waits, none raises."""

    def __init__(self, target: Target, threshold: Level = Level.INFO) -> None:
        self.target = target
        self.threshold = threshold
        self._once = OncePerMinute()
        self._lost = 0
        self._lost_why = ""

    def __call__(self, level: Level, text: str) -> None:
        """Tell one line; the same as ``say`` callbacks of the runtime's parts expect."""
        if level > self.threshold:
            return
        if self._lost and self.target.write(Level.WARNING, self._confession()) is None:
            self._lost = 0
        failure = self.target.write(level, text)
        if failure is not None:
            self._lost += 1
            self._lost_why = failure

    def _confession(self) -> str:
        lines = "1 line" if self._lost == 1 else f"{self._lost} lines"
        return f"{lines} before this could not be told: {self._lost_why}"

    def once_per_minute(self, key: str, level: Level, text: str, now_ns: int) -> None:
        """Tell this at most once a minute for each ``key``, with a count of what was left out."""
        left_out = self._once.left_out(key, now_ns)
        if left_out is None:
            return
        self(level, f"{text} ({left_out} more like it were not told)" if left_out else text)

    def error(self, text: str) -> None:
        self(Level.ERROR, text)

    def warning(self, text: str) -> None:
        self(Level.WARNING, text)

    def notice(self, text: str) -> None:
        self(Level.NOTICE, text)

    def info(self, text: str) -> None:
        self(Level.INFO, text)

    def debug(self, text: str) -> None:
        self(Level.DEBUG, text)
