"""What hooks print, in whatever form."""

from __future__ import annotations

import os
import select
import selectors
import time

import pytest
from runtime_tools import now, wait_for

from had.core.actions import Hook
from had.runtime.output import MAX_LINE, MAX_LINES_PER_SECOND, OutputPipes, OutputReader

MS = 1_000_000


class Clock:
    def __init__(self):
        self.ns = 1000 * 1000 * MS

    def __call__(self):
        return self.ns


class Ear:
    """A reader in a small loop with a clock of its own."""

    def __init__(self):
        self.pipes = OutputPipes()
        self.clock = Clock()
        self.lines = []
        self.reader = OutputReader(self.pipes, lambda hook, line: self.lines.append((hook, line)), self.clock)
        self.selector = selectors.DefaultSelector()
        self.reader.register(self.selector)

    def turn(self, forward_ns=0):
        self.clock.ns += forward_ns
        self.reader.tick(self.clock.ns)
        ready = self.selector.select(0)
        for key, _ in ready:
            key.data()
        return len(ready)

    def write(self, data, hook=Hook.START):
        assert os.write(self.pipes.writer(hook), data) == len(data)
        while self.turn():
            pass

    def texts(self):
        return [line for _, line in self.lines]

    def close(self):
        self.reader.unregister()
        self.selector.close()
        self.pipes.close()


@pytest.fixture
def ear():
    ear = Ear()
    yield ear
    ear.close()


def test_lines_as_they_come(ear):
    ear.write(b"one\ntw")
    assert ear.texts() == ["one"]
    ear.write(b"o\n\nthree\r\n")
    assert ear.texts() == ["one", "two", "three"]


def test_each_kind_has_its_own_line(ear):
    ear.write(b"st", Hook.START)
    ear.write(b"monitor\n", Hook.MONITOR)
    ear.write(b"art\n", Hook.START)
    assert ear.lines == [(Hook.MONITOR, "monitor"), (Hook.START, "start")]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xfe binary \x00", "\\xff\\xfe binary \\x00"),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("за́пуск \u2014 \u202e".encode(), "за́пуск \u2014 \\u202e"),
        (b"a\tb\x7f", "a b\\x7f"),
        (b"10%\r20%\r30%", "10%\\x0d20%\\x0d30%"),
        ("\U000e0001".encode(), "\\U000e0001"),
    ],
)
def test_harmless(ear, data, text):
    ear.write(data + b"\n")
    assert ear.texts() == [text]


def test_line_without_an_end(ear):
    ear.write(b"prompt> ")
    assert ear.texts() == []
    assert ear.reader.next_ns is not None
    ear.turn(499 * MS)
    assert ear.texts() == []
    ear.turn(1 * MS)
    assert ear.texts() == ["prompt> "]
    assert ear.reader.next_ns is None


def test_line_without_an_end_when_the_hook_ends(ear):
    os.write(ear.pipes.writer(Hook.STOP), b"first\nlast words")
    ear.reader.finish(Hook.STOP, ear.clock())
    assert ear.texts() == ["first", "last words"]


def test_long_line_in_pieces(ear):
    ear.write(b"x" * 2500 + b"\nshort\n")
    assert ear.texts() == ["x" * 1000 + "...", "x" * 1000 + "...", "x" * 500, "short"]


def test_long_line_is_not_cut_inside_a_character(ear):
    text = "яж" * 700
    ear.write(("x" + text).encode() + b"\n")
    whole = "".join(piece[:-3] if piece.endswith("...") else piece for piece in ear.texts())
    assert whole == "x" + text
    assert all(len(piece.encode()) <= MAX_LINE + 3 for piece in ear.texts())


def test_endless_line_is_given_out_and_bounded(ear):
    for _ in range(20):
        ear.write(b"y" * 10000)
    assert len(ear.texts()) == 199 or len(ear.texts()) == 200
    assert all(len(piece) <= MAX_LINE + 3 for piece in ear.texts())


def test_flood_is_counted_not_told(ear):
    ear.write(b"".join(b"line %d\n" % n for n in range(5000)))
    assert ear.texts() == [f"line {n}" for n in range(MAX_LINES_PER_SECOND)]
    assert ear.reader.next_ns is not None
    ear.turn(1000 * MS)
    assert ear.texts()[MAX_LINES_PER_SECOND:] == ["(4800 lines left out: more than 200 in a second)"]
    ear.write(b"again\n")
    assert ear.texts()[-1] == "again"
    assert ear.reader.next_ns is None


def test_flood_in_one_kind_does_not_touch_another(ear):
    ear.write(b"z\n" * 1000, Hook.START)
    ear.write(b"heard\n", Hook.ALERT)
    assert ear.lines[-1] == (Hook.ALERT, "heard")


def test_reading_is_bounded_and_takes_breath(ear):
    """A pipe that one reading does not empty is left alone for a moment, so that others get their turn."""
    size = os.write(ear.pipes.writer(Hook.START), b"x" * 99 + b"\n" + b"flood\n" * 20000)
    assert size > 100_000  # the pipe has room for what comes while a worker is replaced
    assert ear.turn() == 1
    os.write(ear.pipes.writer(Hook.STOP), b"another hook\n")
    assert ear.turn() == 1
    assert ear.lines[-1] == (Hook.STOP, "another hook")
    assert ear.turn() == 0
    assert ear.reader.next_ns == ear.clock() + 10 * MS
    assert ear.turn(9 * MS) == 0
    assert ear.turn(1 * MS) == 1  # the rest
    assert ear.turn() == 0
    assert len(ear.lines) == MAX_LINES_PER_SECOND + 1


@pytest.mark.alone
def test_flood_costs_little(ear):
    """Half a second of a hook that prints as fast as it can: the loop keeps most of its processor."""
    pid = os.fork()
    if pid == 0:
        block = b"\n" * 65536
        while True:
            os.write(ear.pipes.writer(Hook.START), block)
    try:
        began = time.monotonic()
        worst = 0.0
        spent = time.process_time()
        while time.monotonic() - began < 0.5:
            ear.clock.ns = now()
            turn_began = time.process_time()
            ear.turn()
            worst = max(worst, time.process_time() - turn_began)
            wait = ((ear.reader.next_ns or now() + MS) - now()) / 1e9
            select.select([], [], [], max(wait, 0))
        spent = time.process_time() - spent
        assert worst < 0.1
        assert spent < 0.2
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_descriptors(ear):
    for hook in Hook:
        assert not os.get_inheritable(ear.pipes.reader(hook))
        assert not os.get_inheritable(ear.pipes.writer(hook))
        assert not os.get_blocking(ear.pipes.reader(hook))
        assert os.get_blocking(ear.pipes.writer(hook))  # hooks expect an ordinary one
    assert len(set(ear.pipes.filenos())) == 8


def test_hook_that_makes_its_output_nonblocking_harms_nobody(ear):
    os.set_blocking(ear.pipes.writer(Hook.START), False)
    ear.write(b"fine\n")
    assert ear.texts() == ["fine"]


def test_discard(ear):
    os.write(ear.pipes.writer(Hook.START), b"nobody hears this\n")
    ear.pipes.discard()
    assert ear.turn() == 0
    assert ear.texts() == []


def test_no_sigpipe_after_the_reader_is_gone():
    pipes = OutputPipes()
    pid = os.fork()
    if pid == 0:  # a worker, which dies with its copies
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.write(pipes.writer(Hook.START), b"still fine\n") == 11
    wait_for(lambda: select.select([pipes.reader(Hook.START)], [], [], 0)[0])
    pipes.close()
