"""The durable record: rules E5, E6, L, and a disk in all its moods."""

from __future__ import annotations

import fcntl
import os
import signal
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_tools import SECOND, Worker, alive, be_subreaper, descriptors, now, reap, reap_all, wait_for

from had.core.actions import Level
from had.core.events import EpochRecorded, RecordFailed
from had.runtime import record as record_module
from had.runtime.processes import boot_id
from had.runtime.record import Record, Recorder, load

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small tmpfs")


class Desk:
    """A recorder in a small loop."""

    def __init__(self, directory):
        self.directory = directory
        self.told = []
        self.events = []
        self.recorder = Recorder(str(directory), self.say, load(str(directory)))

    def say(self, level, text):
        self.told.append((level, text))

    def poll(self, time_ns=None):
        self.events += self.recorder.poll(now() if time_ns is None else time_ns)

    def settle(self):
        """Until nothing is left to write."""
        wait_for(lambda: self.poll() or self.recorder.idle, f"the record is written; {self.told}")
        assert self.recorder.next_ns is None

    def answer(self):
        """Until there is an event."""
        wait_for(lambda: self.poll() or self.events)
        return self.events[-1]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "lib" / "had"


@pytest.fixture
def desk(directory):
    return Desk(directory)


def test_E5_epoch_is_recorded(desk, directory):
    desk.recorder.record_epoch(1000, now())
    desk.settle()
    assert desk.events == [EpochRecorded(1000)]
    assert load(str(directory)) == Record(1000, None, False, ())
    lines = (directory / "epoch").read_text().splitlines()
    assert lines[:2] == ["had-record 1", "epoch 1000"]
    assert oct(directory.stat().st_mode) == "0o40755"
    assert os.listdir(directory) == ["epoch"]


def test_E6_epoch_never_goes_back(desk, directory):
    desk.recorder.record_epoch(1000, now())
    desk.settle()
    desk.recorder.record_epoch(5, now())
    desk.settle()
    assert desk.events == [EpochRecorded(1000), EpochRecorded(1000)]
    assert load(str(directory)).epoch == 1000


def test_L1_mark_and_boot(desk, directory):
    desk.recorder.record_epoch(12, now())
    desk.recorder.write_mark(7, now())
    desk.settle()
    assert load(str(directory)) == Record(12, 7, True, ())
    assert boot_id() in (directory / "sole-survivor").read_text()


def test_L3_mark_of_another_boot(desk, directory, monkeypatch):
    desk.recorder.record_epoch(12, now())
    desk.recorder.write_mark(7, now())
    desk.settle()
    monkeypatch.setattr(record_module, "boot_id", lambda: "another")
    assert load(str(directory)) == Record(12, 7, False, ())
    monkeypatch.setattr(record_module, "boot_id", lambda: "")
    assert load(str(directory)) == Record(12, 7, False, ())


def test_L2_mark_is_erased(desk, directory):
    desk.recorder.record_epoch(12, now())
    desk.recorder.write_mark(7, now())
    desk.settle()
    desk.recorder.erase_mark(now())
    desk.settle()
    assert load(str(directory)) == Record(12, None, False, ())
    desk.recorder.erase_mark(now())  # there is none: fine
    desk.settle()
    assert desk.told == []


def test_newest_wish_wins(desk, directory):
    desk.recorder.record_epoch(1, now())
    desk.poll()  # this one is being written
    for epoch in range(2, 50):
        desk.recorder.record_epoch(epoch, now())
        desk.recorder.write_mark(epoch, now())
    desk.recorder.erase_mark(now())
    desk.settle()
    assert desk.events == [EpochRecorded(1), EpochRecorded(49)]
    assert load(str(directory)) == Record(49, None, False, ())


def test_same_again_is_not_written_again(desk, directory):
    desk.recorder.record_epoch(9, now())
    desk.settle()
    before = (directory / "epoch").stat().st_ino
    desk.recorder.record_epoch(9, now())
    desk.settle()
    assert desk.events == [EpochRecorded(9), EpochRecorded(9)]
    assert (directory / "epoch").stat().st_ino == before


def test_caller_never_waits_and_nothing_is_left(desk, directory, monkeypatch):
    """A disk that hangs: the writer does, we don't."""
    directory.mkdir(parents=True)
    before = descriptors()
    reading, writing = os.pipe()  # what a hung writer must not keep open
    go = directory.parent / "go"
    real = os.fsync

    def hang(descriptor):
        wait_for(go.exists)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", hang)
    began = now()
    desk.recorder.record_epoch(3, began)
    desk.poll(began)
    assert desk.recorder.next_ns == began + 10 * SECOND
    for seconds in range(1, 30):
        desk.poll(began + seconds * SECOND)
    assert now() - began < 5 * SECOND
    assert desk.events == [RecordFailed("the disk has not answered for 10 s; waiting")]
    assert [level for level, _ in desk.told] == [Level.ERROR]
    assert desk.recorder.next_ns is None
    child = desk.recorder._child
    wait_for((directory / ".epoch.new").exists)
    numbers = [number for number in os.listdir(f"/proc/{child}/fd") if int(number) > 2]
    held = {os.readlink(f"/proc/{child}/fd/{number}") for number in numbers}
    assert held == {str(directory), str(directory / ".epoch.new")}
    go.touch()
    desk.settle()
    assert desk.events[-1] == EpochRecorded(3)
    assert "can be written again" in desk.told[-1][1]
    os.close(reading)
    os.close(writing)
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_writer_killed(desk, directory, monkeypatch):
    monkeypatch.setattr(record_module, "replace", lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
    desk.recorder.record_epoch(3, now())
    assert desk.answer() == RecordFailed("its writer was killed by signal 9")
    monkeypatch.undo()
    desk.settle()
    assert desk.events[1:] == [EpochRecorded(3)]


def test_writer_that_breaks_does_not_return_into_the_worker(desk, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(record_module, "replace", broken)
    desk.recorder.record_epoch(3, now())
    assert desk.answer() == RecordFailed("its writer failed")


def test_no_process_left(desk, monkeypatch):
    def fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", fork)
        desk.recorder.record_epoch(3, now())
        desk.poll()
    assert desk.events == [RecordFailed("there is no process to write it: Resource temporarily unavailable")]
    desk.settle()
    assert desk.events[-1] == EpochRecorded(3)


def test_directory_that_cannot_be_made(directory):
    directory.parent.write_text("a file")
    desk = Desk(directory)
    desk.recorder.record_epoch(3, now())
    assert desk.answer() == RecordFailed("Not a directory")
    assert desk.told == [(Level.ERROR, f"{directory}/epoch: the record cannot be written: Not a directory")]


def test_tries_again_with_back_off_and_is_loud_once(directory, monkeypatch):
    directory.parent.write_text("a file")
    desk = Desk(directory)
    time_ns = 10**15
    desk.recorder.record_epoch(3, time_ns)
    tries = []
    real = record_module._fork_writer
    monkeypatch.setattr(record_module, "_fork_writer", lambda *a: tries.append(time_ns) or real(*a))
    while len(tries) < 10:
        desk.poll(time_ns)
        if desk.recorder._writing is None:
            time_ns = max(time_ns, desk.recorder.next_ns)
    seconds = [(after - before) // SECOND for before, after in zip(tries, tries[1:])]
    assert seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(desk.told) == 1
    assert desk.events == [RecordFailed("Not a directory")]
    # A new wish is answered at once, but does not make the tries more frequent.
    before = desk.recorder._next_ns
    desk.recorder.record_epoch(4, time_ns)
    wait_for(lambda: desk.poll(time_ns) or len(desk.events) == 2)
    assert desk.events[1] == RecordFailed("Not a directory")
    wait_for(lambda: desk.poll(time_ns) or desk.recorder._writing is None)
    assert desk.recorder.next_ns >= time_ns
    assert before is not None
    assert len(desk.told) == 1


@root
def test_full_and_read_only_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    os.system(f"mount -t tmpfs -o size=16k tmpfs {place}")
    try:
        desk = Desk(place)
        desk.recorder.record_epoch(3, now())
        desk.recorder.write_mark(2, now())
        desk.settle()
        (place / "filler").write_bytes(b"x" * 8192)
        desk.recorder.record_epoch(4, now())
        assert desk.answer() == EpochRecorded(3)
        wait_for(lambda: desk.poll() or desk.events[-1] == RecordFailed("No space left on device"))
        assert load(str(place)) == Record(3, 2, True, ())  # the old one is whole
        assert sorted(os.listdir(place)) == ["epoch", "filler", "sole-survivor"]
        desk.recorder.erase_mark(now())  # a full disk does not keep the mark alive
        wait_for(lambda: desk.poll() or load(str(place)).mark_epoch is None)
        # Busy while the writer, which goes on trying epoch 4, has a file open.
        wait_for(lambda: os.system(f"mount -o remount,ro {place}") == 0)
        desk.recorder.write_mark(4, now())
        wait_for(lambda: desk.poll() or "Read-only file system" in desk.told[-1][1])
        os.system(f"mount -o remount,rw {place}")
        (place / "filler").unlink()
        desk.settle()
        assert load(str(place)) == Record(4, 4, True, ())
    finally:
        os.system(f"umount {place}")


def test_erasing_is_not_overtaken_by_a_dead_workers_write(directory):
    """The writer of a worker that was killed comes late: what the next worker erased stays erased."""
    desk = Desk(directory)
    desk.recorder.record_epoch(9, now())
    desk.settle()
    be_subreaper(True)
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # so that the first writer waits where it is worst
    try:

        def first(say):
            os.close(lock)
            old = Desk(directory)
            old.recorder.write_mark(9, now())
            old.poll()
            say((old.recorder.dump(), old.recorder._child))
            signal.pause()

        worker = Worker(first)
        data, writer = worker.heard()
        assert data.wishes[0].epoch == 9
        worker.kill()
        assert alive(writer)
        desk.recorder.resume(data, now())
        desk.recorder.erase_mark(now())
        desk.poll()
        os.close(lock)
        assert os.WEXITSTATUS(reap(writer)) == 254
        desk.settle()
        assert load(str(directory)) == Record(9, None, False, ())
        assert sorted(os.listdir(directory)) == ["epoch"]
    finally:
        reap_all()
        be_subreaper(False)


def test_next_worker_fulfils_what_was_wished(directory):
    def first(say):
        desk = Desk(directory)
        desk.recorder.record_epoch(50, now())
        desk.recorder.write_mark(50, now())
        say(desk.recorder.dump())
        signal.pause()

    worker = Worker(first)
    data = worker.heard()
    worker.kill()
    desk = Desk(directory)
    desk.recorder.resume(data, now())
    desk.settle()
    assert desk.events == [EpochRecorded(50)]
    assert load(str(directory)) == Record(50, 50, True, ())


def test_kill_9_at_any_moment_leaves_an_old_or_a_new_record(directory):
    desk = Desk(directory)
    desk.recorder.record_epoch(1, now())
    desk.settle()
    for number in range(2, 40):
        desk.recorder.record_epoch(number * 1000, now())
        desk.poll()
        wait_until = now() + (number % 10) * SECOND // 2000
        wait_for(lambda end=wait_until: now() >= end)
        if desk.recorder._child and desk.recorder._writing is not None:
            os.kill(desk.recorder._child, signal.SIGKILL)
        found = load(str(directory))
        assert found.complaints == ()
        assert found.epoch % 1000 in (0, 1)
        wait_for(lambda: desk.poll() or desk.recorder._writing is None)
        desk.recorder._next_ns = now()  # not after the back-off
        desk.settle()
        assert load(str(directory)).epoch == number * 1000


def with_checksum(text):
    data = text.encode()
    return data + f"checksum {zlib.crc32(data):08x}\n".encode()


GOOD = with_checksum("had-record 1\nepoch 12\n")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "damaged or cut short"),
        (GOOD[:-1], "damaged or cut short"),
        (GOOD[:20], "damaged or cut short"),
        (GOOD + b"\n", "damaged or cut short"),
        (GOOD.replace(b"12", b"13"), "damaged or cut short"),
        (b"\0" * 60, "damaged or cut short"),
        (b"x" * 100_000, "damaged or cut short"),
        (with_checksum("had-record 2\nepoch 12\n"), "of another version ('had-record 2')"),
        (with_checksum("\n"), "of another version ('')"),
        (with_checksum(""), "of another version ('')"),
        (with_checksum("had-record 1\n"), "not what should stand there"),
        (with_checksum("had-record 1\nepoch 12\nboot x\n"), "not what should stand there"),
        (with_checksum("had-record 1\nepoch -1\n"), "its epoch is not a number in range"),
        (with_checksum("had-record 1\nepoch 9999999999999999999\n"), "its epoch is not a number in range"),
        (with_checksum("had-record 1\nepoch 1e3\n"), "its epoch is not a number in range"),
    ],
)
def test_damaged_epoch(tmp_path, data, complaint):
    (tmp_path / "epoch").write_bytes(data)
    found = load(str(tmp_path))
    assert (found.epoch, found.mark_epoch) == (0, None)
    assert len(found.complaints) == 1
    assert found.complaints[0] == f"{tmp_path}/epoch: {complaint}; no privileges"


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), os.mkfifo, lambda p: p.symlink_to("other")])
@pytest.mark.parametrize("name", ["epoch", "sole-survivor"])
def test_not_a_file(tmp_path, name, make):
    (tmp_path / "epoch").write_bytes(GOOD)
    (tmp_path / "other").write_bytes(GOOD)
    if name == "epoch":
        (tmp_path / "epoch").unlink()
    make(tmp_path / name)
    found = load(str(tmp_path))
    assert found.mark_epoch is None
    assert any(complaint.startswith(f"{tmp_path}/{name}: ") for complaint in found.complaints)


def test_nothing_there(tmp_path):
    found = load(str(tmp_path / "none"))
    assert found == Record(0, None, False, (f"{tmp_path}/none/epoch: there is no record yet; no privileges",))


def test_L_mark_without_epoch_or_above_it_gives_nothing(tmp_path):
    (tmp_path / "sole-survivor").write_bytes(with_checksum(f"had-record 1\nepoch 12\nboot {boot_id()}\n"))
    found = load(str(tmp_path))
    assert (found.epoch, found.mark_epoch, found.mark_same_boot) == (12, None, False)
    assert "does not fit epoch" in found.complaints[-1]
    (tmp_path / "epoch").write_bytes(with_checksum("had-record 1\nepoch 11\n"))
    found = load(str(tmp_path))
    assert (found.epoch, found.mark_epoch) == (12, None)
    (tmp_path / "epoch").write_bytes(GOOD)
    assert load(str(tmp_path)) == Record(12, 12, True, ())


def test_L_damaged_mark_gives_nothing(tmp_path):
    (tmp_path / "epoch").write_bytes(GOOD)
    (tmp_path / "sole-survivor").write_bytes(b"had-record 1\nepoch 12\n")
    found = load(str(tmp_path))
    assert (found.epoch, found.mark_epoch, found.mark_same_boot) == (12, None, False)
    assert "sole-survivor: damaged or cut short" in found.complaints[0]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_give_a_record(tmp_path_factory, first, second):
    place = tmp_path_factory.getbasetemp() / "any"
    place.mkdir(exist_ok=True)
    for checksum in (False, True):
        for name, data in (("epoch", first), ("sole-survivor", second)):
            tail = f"checksum {zlib.crc32(data):08x}\n".encode() if checksum else b""
            (place / name).write_bytes(data + tail)
        assert load(str(place)).mark_epoch is None


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_every_torn_length(tmp_path, cut):
    (tmp_path / "epoch").write_bytes(GOOD[:cut])
    assert load(str(tmp_path)).complaints


@root
def test_unreadable(tmp_path):
    place = tmp_path / "closed"
    place.mkdir()
    (place / "epoch").write_bytes(GOOD)
    (place / "epoch").chmod(0)
    for above in place.parents:
        if str(above).startswith("/tmp/"):
            above.chmod(0o755)

    def body(say):
        os.setuid(65534)
        say(load(str(place)))

    child = Worker(body)
    found = child.heard()
    child.wait()
    assert found.epoch == 0
    assert found.complaints == (f"{place}/epoch: Permission denied; no privileges",)
