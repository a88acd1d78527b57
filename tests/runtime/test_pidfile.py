"""The pid file and its lock."""

from __future__ import annotations

import os
import signal
import stat

import pytest
from runtime_tools import Worker, descriptors, wait_for

from had.runtime.pidfile import AlreadyRunningError, PidFile, PidFileError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "had.pid"


def test_written_with_newline_and_mode(path):
    old = os.umask(0o777)
    try:
        file = PidFile(str(path))
        file.write(1234567)
        file.write(89)
    finally:
        os.umask(old)
    assert path.read_text() == "89\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert file.stale is None
    assert not os.get_inheritable(file.fileno())  # hooks don't get it
    file.close()


def test_directory_is_made(tmp_path):
    file = PidFile(str(tmp_path / "run" / "had.pid"))
    file.write(1)
    file.close()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_second_instance_is_refused_and_named(path):
    def body(say):
        file = PidFile(str(path))
        file.write(os.getpid())
        say("locked")
        signal.pause()

    daemon = Worker(body)
    daemon.heard()
    before = descriptors()
    with pytest.raises(AlreadyRunningError) as refusal:
        PidFile(str(path))
    assert str(refusal.value) == f"had runs already as process {daemon.pid}: {path} is locked"
    assert descriptors() == before
    assert path.read_text() == f"{daemon.pid}\n"
    daemon.kill()
    file = PidFile(str(path))  # kill -9 left it there, unlocked
    assert file.stale == daemon.pid
    file.close()


def test_refused_before_the_number_is_written(path):
    first = PidFile(str(path))
    with pytest.raises(AlreadyRunningError, match="its number is not written yet"):
        PidFile(str(path))
    first.close()


def test_number_of_a_living_process_proves_nothing(path):
    path.write_text("1\n")
    file = PidFile(str(path))
    assert file.stale == 1
    file.close()


def test_lock_is_inherited_and_lasts_as_long_as_anybody_has_it(path):
    """Guard and worker: the lock outlives either."""

    def guard(say):
        file = PidFile(str(path))
        file.write(os.getpid())
        worker = os.fork()
        if worker == 0:
            signal.pause()
        say(worker)
        signal.pause()

    daemon = Worker(guard)
    worker = daemon.heard()
    daemon.kill()
    with pytest.raises(AlreadyRunningError):
        PidFile(str(path))
    os.kill(worker, signal.SIGKILL)

    def free():
        try:
            PidFile(str(path)).close()
        except AlreadyRunningError:
            return False
        return True

    wait_for(free)


def test_hook_does_not_hold_the_lock(path):
    """COMPAT D20."""
    file = PidFile(str(path))
    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
    try:
        wait_for(
            lambda: (
                "sleep" in os.readlink(f"/proc/{pid}/exe") or "coreutils" in os.readlink(f"/proc/{pid}/exe")
            )
        )
        file.close()
        PidFile(str(path)).close()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_removed_by_the_owner_only(path):
    file = PidFile(str(path))
    file.write(os.getpid())

    def worker(say):
        file.remove()
        say("done")

    child = Worker(worker)
    child.heard()
    child.wait()
    assert path.exists()
    with pytest.raises(AlreadyRunningError):
        PidFile(str(path))
    file.remove()
    assert not path.exists()


def test_not_removed_when_it_is_another_file(path):
    file = PidFile(str(path))
    file.write(os.getpid())
    path.unlink()
    path.write_text(f"{os.getpid()}\n")
    file.remove()
    assert path.exists()


def test_not_removed_when_the_number_is_another(path):
    file = PidFile(str(path))
    file.write(1)
    file.remove()
    assert path.exists()


def test_link_is_not_followed(path, tmp_path):
    target = tmp_path / "target"
    path.symlink_to(target)
    with pytest.raises(PidFileError, match="is a symbolic link"):
        PidFile(str(path))
    assert not target.exists()


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), os.mkfifo])
def test_not_a_regular_file(path, make):
    make(path)
    with pytest.raises(PidFileError, match=f"^{path}: the pid file cannot be used: "):
        PidFile(str(path))


def test_other_peoples_file_is_not_overwritten(path):
    path.write_text("node = alpha\n")
    before = descriptors()
    with pytest.raises(PidFileError, match="is not a pid file"):
        PidFile(str(path))
    assert path.read_text() == "node = alpha\n"
    assert descriptors() == before


def test_removed_under_us_is_noticed_and_mended(path):
    file = PidFile(str(path))
    file.write(77)
    assert file.check(77) is None
    path.unlink()
    before = len(descriptors())
    assert "made anew" in file.check(77)
    assert len(descriptors()) == before
    assert path.read_text() == "77\n"
    assert file.check(77) is None
    with pytest.raises(AlreadyRunningError):
        PidFile(str(path))
    file.close()


def test_replaced_by_another_daemon_under_us(path):
    file = PidFile(str(path))
    file.write(77)
    path.unlink()
    other = PidFile(str(path))
    other.write(88)
    assert "had runs already as process 88" in file.check(77)
    assert path.read_text() == "88\n"
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(-1)
    os.fstat(file.fileno())  # the old lock is still ours
    other.close()
    file.close()


def test_daemon_that_ends_while_another_starts(path, monkeypatch):
    """The file is opened, then removed by its owner, then locked: that lock would be on nothing."""
    old = PidFile(str(path))
    old.write(os.getpid())
    real = PidFile._lock
    calls = []

    def lock(self, file):
        if not calls:
            old.remove()
        calls.append(file)
        return real(self, file)

    monkeypatch.setattr(PidFile, "_lock", lock)
    new = PidFile(str(path))
    assert len(calls) == 2
    assert path.exists()
    new.write(5)
    assert path.read_text() == "5\n"
    new.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small tmpfs")
def test_full_and_read_only_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    os.system(f"mount -t tmpfs -o size=4k tmpfs {place}")
    try:
        (place / "filler").write_bytes(b"x" * 4096)
        file = PidFile(str(place / "had.pid"))
        with pytest.raises(PidFileError, match="cannot be written: No space left"):
            file.write(1)
        file.close()
        os.system(f"mount -o remount,ro {place}")
        with pytest.raises(PidFileError, match="cannot be used: Read-only file system"):
            PidFile(str(place / "had.pid"))
    finally:
        os.system(f"umount {place}")
