"""The durable record: the highest epoch (rules E5, E6) and the sole survivor's mark (rules L).

Two small text files, each with a version and a checksum.  Whatever is wrong with them means "no
privileges" and a complaint, never a crash.  What the bytes mean is in :func:`encode` and
:func:`understand`, which touch no file; the simulator keeps them on a disk of its own.

Writing is done by a child process that lives as long as one write: an fsync may take seconds on a busy
disk and for ever on a broken one, and no heartbeat may wait for it.  Who may write when is settled by a
lock on the directory and a look at the parent: a writer whose worker has died gives up before it changes
anything, so a mark that the next worker erases can't come back by an older write that was late.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import zlib
from typing import NoReturn, Optional, Union

from had.core.actions import Level
from had.core.events import EpochRecorded, RecordFailed
from had.runtime.files import make_directory, read_small, remove, replace, sync_directory, why
from had.runtime.log import Say
from had.runtime.processes import boot_id, close_descriptors, signals_blocked

SECOND = 1_000_000_000
EPOCH = "epoch"
MARK = "sole-survivor"
_TITLE = "had-record 1"
_RETRY_NS = SECOND
RETRY_MAX_NS = 60 * SECOND
_SLOW_NS = 10 * SECOND
"""A write that takes longer is told as a failure; it is still waited for."""
_ABANDONED = 254
_UNKNOWN = 255
MAX_EPOCH = 2**63 - 1

Answer = Union[EpochRecorded, RecordFailed]


@dataclasses.dataclass(frozen=True)
class Record:
    """What the record directory says."""

    epoch: int = 0
    mark_epoch: Optional[int] = None
    """None: there is no mark that can be believed."""
    mark_same_boot: bool = False
    """The mark was made since the machine was last booted (L3)."""
    complaints: tuple[str, ...] = ()


class _UnusableError(Exception):
    pass


def load(directory: str) -> Record:
    """Read the record.  Never raises; what can't be believed is in the complaints."""
    epoch_file = _read(os.path.join(directory, EPOCH))
    return understand(directory, epoch_file, _read(os.path.join(directory, MARK)), boot_id())


def _read(path: str) -> Union[bytes, OSError]:
    try:
        return read_small(path)
    except OSError as error:
        return error


def understand(
    directory: str, epoch_file: Union[bytes, OSError], mark_file: Union[bytes, OSError], boot: str
) -> Record:
    """Say what is known by the two files, or by why they could not be read.

    ``boot`` is the name of this boot of the machine, empty if it is not known.
    """
    complaints: list[str] = []
    epoch_path = os.path.join(directory, EPOCH)
    mark_path = os.path.join(directory, MARK)
    epoch: Optional[int] = None
    mark_epoch: Optional[int] = None
    same_boot = False
    try:
        epoch = _number(_parse(_bytes(epoch_file), ("epoch",))["epoch"])
    except FileNotFoundError:
        complaints.append(f"{epoch_path}: there is no record yet; no privileges")
    except (OSError, _UnusableError) as error:
        complaints.append(f"{epoch_path}: {_text(error)}; no privileges")
    try:
        said = _parse(_bytes(mark_file), ("epoch", "boot"))
        mark_epoch = _number(said["epoch"])
        same_boot = bool(said["boot"]) and said["boot"] == boot
    except FileNotFoundError:
        pass
    except (OSError, _UnusableError) as error:
        complaints.append(f"{mark_path}: {_text(error)}; no privileges")
    if mark_epoch is not None and (epoch is None or mark_epoch > epoch):
        # Epochs are reserved before they are used: a mark above them tells that one of the two is wrong.
        complaints.append(f"{mark_path}: does not fit {EPOCH}; no privileges")
        epoch = max(epoch or 0, mark_epoch)
        mark_epoch = None
    if mark_epoch is None:
        same_boot = False
    return Record(epoch or 0, mark_epoch, same_boot, tuple(complaints))


def _bytes(found: Union[bytes, OSError]) -> bytes:
    if isinstance(found, OSError):
        raise found
    return found


def encode(wish: Wish, boot: str) -> bytes:
    """Return what is to stand in the file of a wish that has an epoch."""
    pairs = {"epoch": str(wish.epoch)}
    if wish.file == MARK:
        pairs["boot"] = boot
    text = _TITLE + "\n" + "".join(f"{key} {value}\n" for key, value in pairs.items())
    data = text.encode("ascii")
    return data + f"checksum {zlib.crc32(data):08x}\n".encode("ascii")


def _parse(data: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    head, mark, tail = data.rpartition(b"checksum ")
    if not mark or tail != f"{zlib.crc32(head):08x}\n".encode("ascii"):
        raise _UnusableError("damaged or cut short")
    title, *rest = head.decode("ascii", "replace").split("\n")[:-1] or [""]
    if title != _TITLE:
        raise _UnusableError(f"of another version ({title[:40]!a})")
    said = dict(line.partition(" ")[::2] for line in rest)
    if tuple(said) != keys:
        raise _UnusableError("not what should stand there")
    return said


def _number(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_EPOCH:
        raise _UnusableError("its epoch is not a number in range")
    return int(text)


def _text(error: Exception) -> str:
    return why(error) if isinstance(error, OSError) else str(error)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to stand in one file: an epoch, or nothing at all."""

    file: str
    epoch: Optional[int]


@dataclasses.dataclass(frozen=True)
class RecorderData:
    """What the next worker needs to know: wishes not yet fulfilled, and what is known to be recorded."""

    wishes: tuple[Wish, ...]
    recorded: tuple[Wish, ...]


class Recorder:
    """Writes the record.  The newest wish for each file counts; one write at a time."""

    def __init__(self, directory: str, say: Say, record: Record) -> None:
        """``record`` is what :func:`load` gave."""
        self._directory = directory
        self._say = say
        self._wishes: dict[str, Wish] = {}
        self._recorded: dict[str, Wish] = {}
        if record.epoch:
            self._recorded[EPOCH] = Wish(EPOCH, record.epoch)
        if record.mark_epoch is not None:
            self._recorded[MARK] = Wish(MARK, record.mark_epoch)
        self._writing: Optional[Wish] = None
        self._child = 0
        self._started_ns = 0
        self._told_slow = False
        self._retry_ns = _RETRY_NS
        self._next_ns: Optional[int] = None
        self._failure: Optional[str] = None
        self._unanswered: set[str] = set()  # files whose newest wish no event has answered yet
        self._early: list[Answer] = []

    # Wishes

    def record_epoch(self, epoch: int, now_ns: int) -> None:
        """Reserve epochs up to this one; EpochRecorded or RecordFailed follows.  It never goes back (E6)."""
        known = self._wishes.get(EPOCH) or self._recorded.get(EPOCH)
        if known is not None and known.epoch is not None:
            epoch = max(epoch, known.epoch)
        self._wish(Wish(EPOCH, epoch), now_ns)

    def write_mark(self, epoch: int, now_ns: int) -> None:
        """Write the sole survivor's mark."""
        self._wish(Wish(MARK, epoch), now_ns)

    def erase_mark(self, now_ns: int) -> None:
        """Erase the sole survivor's mark."""
        self._wish(Wish(MARK, None), now_ns)

    def _wish(self, wish: Wish, now_ns: int) -> None:
        self._wishes[wish.file] = wish
        self._unanswered.add(wish.file)
        if self._failure is None or self._next_ns is None:
            self._next_ns = now_ns
        else:  # the answer is known; asking often does not make a disk better
            self._answer_failed(wish.file, self._failure, self._early)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to write."""
        return not self._wishes and self._writing is None

    @property
    def failing(self) -> bool:
        """Whether the last write failed, and none is under way: waiting does not help."""
        return self._failure is not None and self._writing is None

    @property
    def next_ns(self) -> Optional[int]:
        """When :meth:`poll` has something to do though no child has ended, or None."""
        if self._early:
            return 0
        if self._writing is not None:
            return None if self._told_slow else self._started_ns + _SLOW_NS
        return self._next_ns if self._wishes else None

    def poll(self, now_ns: int) -> list[Answer]:
        """Take a finished write's result and begin the next; to be called when a child has ended
        (SIGCHLD) and at :attr:`next_ns`.
        """
        events, self._early = self._early, []
        if self._writing is not None:
            self._look(self._writing, now_ns, events)
        while self._writing is None and self._wishes and self._next_ns is not None:
            if now_ns < self._next_ns:
                break
            self._begin(now_ns, events)
        return events

    # One write

    def _begin(self, now_ns: int, events: list[Answer]) -> None:
        # The mark first: erasing it is what keeps two from running.
        wish = self._wishes.pop(MARK, None) or self._wishes.pop(EPOCH)
        if self._recorded.get(wish.file) == wish:
            self._done(wish, events)
            return
        self._recorded.pop(wish.file, None)  # what stands there is not known until this write is over
        try:
            self._start_writer(wish)
        except OSError as error:
            self._failed(wish, f"there is no process to write it: {why(error)}", now_ns, events)
            return
        self._writing = wish
        self._started_ns = now_ns
        self._told_slow = False

    def _look(self, wish: Wish, now_ns: int, events: list[Answer]) -> None:
        status = self._writer_status()
        if status is None:
            if now_ns - self._started_ns >= _SLOW_NS and not self._told_slow:
                self._told_slow = True
                self._complain(f"the disk has not answered for {_SLOW_NS // SECOND} s; waiting", wish, events)
            return
        self._writing = None
        if status == 0:
            self._recorded[wish.file] = wish
            self._done(wish, events)
        else:
            self._failed(wish, _explain(status), now_ns, events)

    def _start_writer(self, wish: Wish) -> None:
        """Begin a write beside the worker.

        :raises OSError: no process or memory left.
        """
        self._child = _fork_writer(self._directory, wish)

    def _writer_status(self) -> Optional[int]:
        """Return how the write ended, as waitpid gives it, or None while it goes on."""
        try:
            pid, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            return _UNKNOWN << 8
        return None if pid == 0 else status

    def _done(self, wish: Wish, events: list[Answer]) -> None:
        self._unanswered.discard(wish.file)
        self._retry_ns = _RETRY_NS
        if wish.file == EPOCH and wish.epoch is not None:
            events.append(EpochRecorded(wish.epoch))
        if self._failure is not None:
            self._failure = None
            self._say(Level.NOTICE, f"{self._directory}: the record can be written again")

    def _failed(self, wish: Wish, text: str, now_ns: int, events: list[Answer]) -> None:
        self._wishes.setdefault(wish.file, wish)  # unless there is a newer one
        self._next_ns = now_ns + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, RETRY_MAX_NS)
        self._complain(text, wish, events)

    def _complain(self, text: str, wish: Wish, events: list[Answer]) -> None:
        if text != self._failure:
            self._failure = text
            self._say(
                Level.ERROR,
                f"{os.path.join(self._directory, wish.file)}: the record cannot be "
                f"{'erased' if wish.epoch is None else 'written'}: {text}",
            )
        self._answer_failed(wish.file, text, events)

    def _answer_failed(self, file: str, text: str, events: list[Answer]) -> None:
        """Each wish gets one answer at least; the tries that follow are silent."""
        if file in self._unanswered:
            self._unanswered.discard(file)
            events.append(RecordFailed(text))

    # Over the death of a worker

    def dump(self) -> RecorderData:
        """Return what :meth:`resume` needs: plain data."""
        wishes = dict(self._wishes)
        if self._writing is not None:
            wishes.setdefault(self._writing.file, self._writing)
        return RecorderData(tuple(wishes.values()), tuple(self._recorded.values()))

    def resume(self, data: RecorderData, now_ns: int) -> None:
        """Go on where a former worker was.  A write that it had begun is made again, in its turn."""
        self._recorded = {wish.file: wish for wish in data.recorded}
        for wish in data.wishes:
            self._wish(wish, now_ns)


def _fork_writer(directory: str, wish: Wish) -> int:
    """Fork a process that writes one file and ends; returns its number.

    :raises OSError: no process or memory left.
    """
    # Its signals stay blocked: with the worker's handlers and wake-up descriptor it would pass them on.
    with signals_blocked():
        worker = os.getpid()
        pid = os.fork()
        if pid == 0:
            _write_and_end(directory, wish, worker)
    return pid


def _write_and_end(directory: str, wish: Wish, worker: int) -> NoReturn:
    code = _UNKNOWN
    try:
        # On a broken disk this process may never end; it must not hold ports, locks and pipes till then.
        close_descriptors()
        code = _write(directory, wish, worker)
    except OSError as error:
        code = error.errno if error.errno and error.errno < _ABANDONED else _UNKNOWN
    finally:
        os._exit(code)  # nothing of the worker's may run in its copy, whatever went wrong


def _write(directory: str, wish: Wish, worker: int) -> int:
    """Do it, durably; returns the exit code.

    :raises OSError:
    """
    if not os.path.isdir(directory):
        make_directory(directory)
        sync_directory(os.path.dirname(directory))
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)  # a writer of a former worker may still be at it
    if os.getppid() != worker:
        return _ABANDONED  # the next worker has newer wishes
    path = os.path.join(directory, wish.file)
    if wish.epoch is None:
        remove(path)
        sync_directory(directory)
        return 0
    replace(path, encode(wish, boot_id()), durable=True)
    return 0


def _explain(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"its writer was killed by signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    return os.strerror(code) if code < _ABANDONED else "its writer failed"
