"""What is fuzzed: one function for each thing in had that reads bytes which others wrote.

A target takes any bytes, gives them to the code, and raises if what came back is not right: an exception that
is not in the contract, a value out of range, a message that could harm a terminal, or something else than an
independent reading of the same bytes gives.  Where plain bytes would never get far (a checksum stands before
the interesting part), the first byte chooses how the rest is made into an input.

No pytest and no atheris here: ``fuzzing.py`` plays them with atheris, ``test_fuzz_corpus.py`` without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import struct
import tempfile
import zlib
from typing import Callable

from had.cli.options import Options, UsageError, parse
from had.config.describe import describe
from had.config.load import ConfigErrors, load_with_origins
from had.core.actions import Hook
from had.core.data import NodeData
from had.core.states import State
from had.runtime import handover, hookcheck, hookfile, netlink, output, pidfile
from had.runtime.alerts import AlertData
from had.runtime.channel import Channel
from had.runtime.files import MAX_SMALL
from had.runtime.hooks import RunnerData
from had.runtime.log import printable
from had.runtime.processes import look
from had.runtime.record import EPOCH, MARK, MAX_EPOCH, Record, RecorderData, Wish, encode, understand
from had.wire import freeha

NAME_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Wrong(AssertionError):  # noqa: N818  # what a target raises is not an error of the target
    """What came back is not right."""


def expect(condition: object, why: str) -> None:
    """Not an assert statement: those would be gone with -O, and pytest would rewrite them."""
    if not condition:
        raise Wrong(why)


def harmless(text: str, limit: int) -> None:
    """One line for people: bounded, and nothing in it that steers a terminal."""
    expect(text and text.isprintable(), f"not one printable line: {text!a}")
    expect(len(text) <= limit, f"{len(text)} characters, more than {limit}: {text[:100]!a}")


class Source:
    """The input, taken piece by piece; zeros and nothing where it ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size), "big")

    def piece(self) -> bytes:
        """As many bytes as the next two say, but for the rest of the input."""
        return self.take(self.number(2))

    def rest(self) -> bytes:
        return self.take(len(self._data))


# The wire


def heartbeat_by_hand(data: bytes) -> tuple[str, State] | None:
    """Read a datagram as docs/compat.md tells the format, with nothing of had.wire."""
    if len(data) != 44 and len(data) < 48:
        return None
    if data[0] or data[1] or data[2] or data[3] != 2:
        return None
    name = bytearray()
    for byte in data[4:36]:
        if not byte:
            break
        name.append(byte)
    if not name or not NAME_BYTES.issuperset(name):
        return None
    status = ((data[36] * 256 + data[37]) * 256 + data[38]) * 256 + data[39]
    return name.decode("ascii"), State(status) if 1 <= status <= 6 else State.UNKNOWN


def _decoded(data: bytes) -> freeha.Heartbeat | None:
    try:
        return freeha.decode(data)
    except freeha.Rejected as rejected:
        expect(rejected.code in freeha.REJECTION_CODES, f"unknown code {rejected.code!a}")
        expect(rejected.text.isascii(), f"not ASCII: {rejected.text!a}")
        harmless(rejected.text, 200)
        return None


def wire(data: bytes) -> None:
    """A datagram."""
    found = _decoded(data)
    by_hand = heartbeat_by_hand(data)
    expect((found and (found.name, found.state)) == by_hand, f"{found} where {by_hand} was said")
    if len(data) > freeha.SIZE:
        expect(_decoded(data[: freeha.SIZE]) == found, "what follows the first 48 bytes matters")
    if found is None:
        return
    expect(0 < len(found.name) <= freeha.NAME_SIZE, f"a name of {len(found.name)} bytes")
    if found.state is not State.UNKNOWN:
        again = freeha.encode(found.name, found.state, short=len(data) == freeha.SIZE_SHORT)
        expect(len(again) == min(len(data), freeha.SIZE), "encoded to another size")
        expect(_decoded(again) == found, "said again it means something else")
    # What nobody reads: behind the name's NUL, and the timestamp.
    stamp = zlib.crc32(data).to_bytes(4, "big") * 8
    mine = 4 + len(found.name) + 1
    other = data[:mine] + stamp[: max(0, 36 - mine)] + data[max(mine, 36) : 40] + stamp[: len(data) - 40]
    expect(_decoded(other[: len(data)].ljust(len(data), b"\xff")) == found, "what nobody reads matters")


def speak(data: bytes) -> None:
    """A name and a state to be sent."""
    source = Source(data)
    choice = source.number()
    state, short = State(choice & 7), bool(choice & 8)
    name = source.rest().decode("utf-8", "surrogateescape")
    proper = 0 < len(name) <= 32 and name.isascii() and NAME_BYTES.issuperset(name.encode("ascii"))
    try:
        said = freeha.encode(name, state, short=short)
    except ValueError as error:
        harmless(str(error), 400)
        expect(not proper or state in (State.UNKNOWN, State.TIMEDOUT), f"refused: {error}")
    else:
        expect(proper and 1 <= state <= 6, f"{name!a} {state!r} was encoded")
        expect(heartbeat_by_hand(said) == (name, state), "says something else")
        expect(
            said
            == bytes((0, 0, 0, 2)) + name.encode().ljust(32, b"\0") + said[36:40] + bytes(4 if short else 8),
            "something of ours goes out with it",
        )
    ours = freeha.node_name(name)
    expect(name.startswith(ours) and NAME_BYTES.issuperset(ours.encode("ascii")), f"node name {ours!a}")


# The durable record

PLACE = "/var/lib/had"
BOOTS = ("11111111-2222-3333-4444-555555555555", "", "22222222-2222-3333-4444-555555555555")


def _summed(head: bytes) -> bytes:
    return head + f"checksum {zlib.crc32(head):08x}\n".encode("ascii")


def _is_summed(data: bytes) -> bool:
    return len(data) >= 18 and data == _summed(data[:-18])


def _check_record(found: Record, epoch_file: bytes, mark_file: bytes, boot: str) -> None:
    expect(0 <= found.epoch <= MAX_EPOCH, f"epoch {found.epoch}")
    expect(len(found.complaints) <= 3, "too many complaints")
    for complaint in found.complaints:
        harmless(complaint, 500)
        expect(complaint.startswith(PLACE), f"does not say where: {complaint}")
    if found.mark_epoch is None:
        expect(not found.mark_same_boot, "a boot without a mark")
    else:
        expect(0 <= found.mark_epoch <= found.epoch, f"mark {found.mark_epoch} above {found.epoch}")
        expect(not found.complaints, "a mark that is believed in spite of complaints")
        expect(_is_summed(epoch_file) and _is_summed(mark_file), "a mark without two whole files")
        expect(boot or not found.mark_same_boot, "the same boot, though this one is not known")
    if found.epoch:
        expect(_is_summed(epoch_file) or _is_summed(mark_file), "an epoch without a whole file")
    if found.complaints:
        return
    # What was understood and is written anew is understood the same.
    other = boot if found.mark_same_boot else "none of these"
    epoch_again = encode(Wish(EPOCH, found.epoch), boot)
    mark_again: bytes | OSError = FileNotFoundError(2, "No such file or directory")
    if found.mark_epoch is not None:
        mark_again = encode(Wish(MARK, found.mark_epoch), other)
    expect(understand(PLACE, epoch_again, mark_again, boot) == found, "written anew it says something else")


def record(data: bytes) -> None:
    """The two files of the record: as they are, with right checksums, or damaged on their way to the disk."""
    source = Source(data)
    kind, boot = source.number() % 4, BOOTS[source.number() % 3]
    if kind < 2:
        first, second = source.piece()[:MAX_SMALL], source.rest()[:MAX_SMALL]
        files = (_summed(first), _summed(second)) if kind else (first, second)
        _check_record(understand(PLACE, *files, boot), *files, boot)
        return
    mark = source.number(8) & MAX_EPOCH
    epoch = mark + source.number(2) if mark < 2**62 else mark
    files = encode(Wish(EPOCH, epoch), boot), encode(Wish(MARK, mark), boot)
    expect(all(len(file) <= MAX_SMALL for file in files), "larger than what is read")
    expect(understand(PLACE, *files, boot) == Record(epoch, mark, bool(boot)), "not understood as written")
    expect(understand(PLACE, *reversed(files), boot).mark_epoch is None, "one file taken for the other")
    number, place = source.number() % 2, source.number(2) % len(files[0])
    if kind == 2:  # torn
        bad = files[number][:place]
    else:  # some neighbouring bytes are others
        place %= len(files[number])
        changes = source.take(4)
        bytes_ = bytearray(files[number])
        for offset, change in enumerate(changes[: len(bytes_) - place]):
            bytes_[place + offset] ^= change
        bad = bytes(bytes_)
        if bad == files[number]:
            return
    damaged = (bad, files[1]) if number == 0 else (files[0], bad)
    found = understand(PLACE, *damaged, boot)
    _check_record(found, *damaged, boot)
    expect(found.mark_epoch is None and found.complaints, f"{bad!a} was believed")
    expect(found.epoch in (epoch, mark), f"epoch {found.epoch} comes from nowhere")


def hook_file(data: bytes) -> None:
    """The file that says which hook runs."""
    source = Source(data)
    kind = source.number() % 2
    text = source.rest()[:MAX_SMALL]
    found = hookfile.understand((b"had-hook 1\n" if kind else b"") + text)
    if found is None:
        return
    expect(found.pid > 1, f"pid {found.pid}")
    look(found.pid)
    os.strerror(found.failed)
    expect(found.started >= 0, "below zero")  # the runs of alerts are
    lines = [f"run {found.run}", f"pid {found.pid}", f"started {found.started}", f"boot {found.boot}"]
    lines = ["had-hook 1", *lines, f"failed {found.failed}"]
    again = hookfile.understand("\n".join(lines).encode("ascii") + b"\n")
    expect(again == found, f"{again} where {found} was written anew")


def pid_file(data: bytes) -> None:
    """What stands in a pid file before us."""
    file = os.memfd_create("fuzz")
    try:
        os.write(file, data[:MAX_SMALL])
        with contextlib.suppress(ValueError):
            number = pidfile._number(file)
            expect(number is None or data[:64].strip().isdigit(), f"{number} was read")
    finally:
        os.close(file)


# What the kernel says


class _Kernel:
    """Stands for a netlink socket; answers what the input has, then nothing more."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def send(self, question: bytes) -> int:
        return len(question)

    def recv(self, size: int) -> bytes:
        return self._answers.pop(0)[:size] if self._answers else b""


def interfaces(data: bytes) -> None:
    """The kernel's answers to what interfaces and addresses there are."""
    source = Source(data)
    answers = []
    for _ in range(source.number() % 8):
        answers.append(source.piece())
    try:
        found = netlink.ask(_Kernel([*answers, source.rest()]))  # type: ignore[arg-type]
    except OSError as error:
        expect(error.errno is not None and error.strerror is not None, "an error that says nothing")
        return
    except (struct.error, ValueError, OverflowError):
        return  # read_interfaces makes an OSError of these
    for interface in found:
        expect("\0" not in interface.name.rstrip("\0") or interface.name.isascii(), "its name")
        for address in interface.addresses:
            socket.inet_pton(address.family, address.address)
            if address.broadcast:
                socket.inet_pton(socket.AF_INET, address.broadcast)
        expect(interface.up or not interface.carrier, "carrier while it is down")


# Between guard and worker, and what hooks print

_SIDES: list[socket.socket] = []


def channel(data: bytes) -> None:
    """A record from the other side."""
    if not _SIDES:
        _SIDES.extend(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    side = Channel(_SIDES[0])
    _SIDES[1].send(data[:8192] or b"\0")
    message = side.take()
    expect((message is None) == side.closed, "neither a message nor the end")
    expect(side.closed or len(data) >= 17, "a message out of too few bytes")
    if message is not None:
        kind, first, second = struct.unpack("=BqQ", data[:17])
        expect(message[:3] == (kind, first, second), f"{message}")
        expect(len(message.text) <= 4096, "too long a text")
    expect(side.take() is None, "more than one")


_SNAPSHOTS = [
    handover.Snapshot(
        NodeData(epoch=number),
        RunnerData((), ()),
        AlertData((), None, 0, 0),
        RecorderData((), ()),
        (),
        number,
    )
    for number in (1, 2, 3)
]


def shared_memory(data: bytes) -> None:
    """What a worker leaves behind that was killed while it wrote."""
    source = Source(data)
    memory = handover.Handover()
    saved = 1 + source.number() % 3
    for snapshot in _SNAPSHOTS[:saved]:
        memory.save(snapshot)
    newest = handover._HEAD_SIZE + (saved % 2) * handover._SLOT_SIZE
    good = memory._memory[newest : newest + 4096]
    spoiled = False
    for _ in range(source.number() % 4):
        # Behind the number, which is written last and at once.
        place, change = newest + 8 + source.number(2) % 2048, source.number()
        memory._memory[place] ^= change
    length = struct.unpack_from("=I", good, 8)[0]
    spoiled = memory._memory[newest : newest + 16 + length] != good[: 16 + length]
    found = memory.load()
    wanted = _SNAPSHOTS[saved - 1] if not spoiled else (_SNAPSHOTS[saved - 2] if saved > 1 else None)
    expect(found == wanted, f"{found and found.obeyed} of {saved}, spoiled {spoiled}")
    memory.save(_SNAPSHOTS[0])
    expect(memory.load() == _SNAPSHOTS[0], "the next one is not found")
    memory._memory.close()


_PIPE: list[int] = []
SECOND = 1_000_000_000


def hook_output(data: bytes) -> None:
    """What hooks print, in pieces of any size, at any time."""
    if not _PIPE:
        _PIPE.extend(os.pipe2(os.O_NONBLOCK))
    said: list[str] = []
    stream = output._Stream(Hook.START, _PIPE[0], lambda _, line: said.append(line))
    source = Source(data)
    waits, sizes = source.number() % 2, source.number()
    text = b""
    now_ns, second = 10 * SECOND, 0
    rest = source.rest() * (1 + sizes % 3 * 40)
    while rest:
        size = 1 + (sizes * 97) % 3000
        part, rest = rest[:size], rest[size:]
        text += part
        os.write(_PIPE[1], part)
        before = len(said)
        stream.read(now_ns)
        expect(len(stream._rest) <= output.MAX_LINE, "what has no end grows")
        second += len(said) - before
        expect(second <= output.MAX_LINES_PER_SECOND + 1, "too many lines in a second")
        if waits:
            now_ns += SECOND
            second = 0
            stream.tick(now_ns)
    stream.give_unfinished(now_ns)
    for line in said:
        harmless(line, 4 * output.MAX_LINE + 3)
    lines = text.split(b"\n")
    if not waits and len(lines) <= output.MAX_LINES_PER_SECOND and max(map(len, lines)) <= output.MAX_LINE:
        whole = [line.rstrip(b"\r") for line in lines]
        wanted = [printable(line.decode("utf-8", "backslashreplace")) for line in whole if line]
        expect(said == wanted, "other lines than were printed")


# What an administrator writes


def _temporary(name: str) -> str:
    return os.path.join(tempfile.gettempdir(), f"had-fuzz-{os.getpid()}-{name}")


def _check_settings(options: Options, path: str, lines: int) -> None:
    try:
        settings, origins = load_with_origins(options, uname="alpha.example.com")
    except ConfigErrors as errors:
        expect(errors.complaints, "refused without a word")
        for complaint in errors.complaints:
            harmless(complaint.text, 2000)
            expect(complaint.file in (path, "command line"), f"of which file? {complaint}")
            expect(0 <= complaint.line <= lines, f"line {complaint.line} of {lines}")
        return
    for warning in settings.warnings:
        harmless(warning, 2000)
    core = settings.core
    expect(0 < 2 * core.heartbeat_ns <= core.dead_ns, "timers")
    expect(settings.links and len(settings.links) == len(core.links), "links")
    expect(not core.names or (core.node in core.names and len(core.names) == core.count), "names")
    shown = describe(settings, origins)
    for line in shown.splitlines():
        harmless(line or "-", 40_000)
    paths = (settings.hooks_directory, settings.run_directory, settings.record_directory)
    paths = (*paths, settings.state_file, settings.pid_file, settings.log)
    if not all(text.isprintable() and not ('"' in text and "'" in text) for text in paths):
        return  # that can't be written so that it is read again
    if any(not link.interface.isprintable() or set(link.interface) >= {'"', "'"} for link in settings.links):
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(shown)
    again, _ = load_with_origins(Options(config_file=path), uname="elsewhere")
    expect(again.links == settings.links, "described, it has other links")
    core = dataclasses.replace(core, force_main=False, isolation_by_machine=False)
    expect(again.core == core, f"described, it decides otherwise: {again.core} {core}")


def had_conf(data: bytes) -> None:
    """A configuration file."""
    path = _temporary("conf")
    try:
        with open(path, "wb") as file:
            file.write(data)
        _check_settings(Options(config_file=path), path, data.count(b"\n") + 1)
    finally:
        os.unlink(path)


def flags(data: bytes) -> None:
    """A command line, its words separated by line feeds."""
    words = data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
    try:
        options = parse(words)
    except UsageError as error:
        expect(error.complaints, "refused without a word")
        for line in error.complaints:
            harmless(line, 500)
        return
    for line in options.warnings:
        harmless(line, 500)
    path = _temporary("flags")
    # A file that is not there, if one was named: what stands in files is another target's.
    given = None if options.config_file is None else path
    options = dataclasses.replace(options, config_file=given)
    if given is None and not options.has_links:
        return  # this machine's own file would be read
    try:
        _check_settings(options, path, 0)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def script(data: bytes) -> None:
    """The first line of a hook."""
    path = _temporary("script")
    try:
        with open(path, "wb") as file:
            file.write(data)
        for line in hookcheck._bad_interpreter(path):
            harmless(line, 2000)
    finally:
        os.unlink(path)


@dataclasses.dataclass(frozen=True)
class Target:
    """One thing to be fuzzed."""

    play: Callable[[bytes], None]
    longest: int
    """Bytes of an input."""


TARGETS = {
    "wire": Target(wire, 96),
    "speak": Target(speak, 64),
    "record": Target(record, 512),
    "hook_file": Target(hook_file, 512),
    "pid_file": Target(pid_file, 128),
    "interfaces": Target(interfaces, 2048),
    "channel": Target(channel, 256),
    "shared_memory": Target(shared_memory, 32),
    "hook_output": Target(hook_output, 2048),
    "had_conf": Target(had_conf, 1024),
    "flags": Target(flags, 256),
    "script": Target(script, 128),
}
