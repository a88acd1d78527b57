"""Rule S5: hooks of an earlier daemon are ended before the new one does anything."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from runtime_tools import SECOND, Rig, Worker, alive, be_subreaper, kill, now, reap_all, wait_for

from had.core.actions import Hook, Level
from had.runtime import hookfile
from had.runtime.leftovers import Leftovers
from had.runtime.processes import boot_id, look


@pytest.fixture
def rig(tmp_path):
    be_subreaper(True)
    rig = Rig(tmp_path)
    yield rig
    rig.close()
    reap_all()
    be_subreaper(False)


def left_by_a_daemon(rig, name="pid"):
    """A daemon that started a hook and was killed; returns the hook's process number."""

    def body(say):
        rig.start()
        say("started")
        signal.pause()

    daemon = Worker(body)
    daemon.heard()
    pid = rig.pid_from(name)
    daemon.kill()
    return pid


def ended(rig, leftovers):
    def gone():
        leftovers.tick(now())
        reap_all()
        return leftovers.gone

    wait_for(gone, "left-over hooks are gone")
    assert leftovers.next_ns is None
    assert os.listdir(rig.run_directory) == []


def test_S5_nothing_left(rig, tmp_path):
    assert Leftovers(str(rig.run_directory), rig.say, now()).gone
    assert Leftovers(f"{tmp_path}/nowhere", rig.say, now()).gone
    assert rig.told == []


def test_S5_left_over_hook_and_its_children_are_ended(rig):
    rig.script(Hook.START, f"sleep 1000 & echo $! >{rig.top}/child; echo $$ >{rig.top}/pid; sleep 1000\n")
    pid = left_by_a_daemon(rig)
    child = rig.pid_from("child")
    leftovers = Leftovers(str(rig.run_directory), rig.say, now())
    assert not leftovers.gone
    ended(rig, leftovers)
    assert not alive(pid)
    assert not alive(child)
    assert "starthasrv of an earlier daemon" in rig.told[0][1]


def test_S5_one_that_ignores_sigterm(rig):
    rig.script(Hook.START, f"trap '' TERM; echo $$ >{rig.top}/pid; while :; do sleep 0.1; done\n")
    pid = left_by_a_daemon(rig)
    leftovers = Leftovers(str(rig.run_directory), rig.say, now(), grace_ns=SECOND // 5)
    ended(rig, leftovers)
    assert not alive(pid)
    assert any("SIGKILL" in text for _, text in rig.told)


def test_S5_nothing_waits(rig):
    rig.script(Hook.START, f"trap '' TERM; echo $$ >{rig.top}/pid; while :; do sleep 0.1; done\n")
    pid = left_by_a_daemon(rig)
    began = now()
    leftovers = Leftovers(str(rig.run_directory), rig.say, now(), grace_ns=1000 * SECOND)
    for _ in range(100):
        leftovers.tick(now())
    assert now() - began < SECOND
    assert leftovers.next_ns is not None
    assert not leftovers.gone
    kill(pid)
    ended(rig, leftovers)


def test_S5_what_an_ended_hook_started_is_left_alone(rig):
    """Those are services; monitorhasrv will find them."""
    rig.script(Hook.START, f"sleep 1000 & echo $! >{rig.top}/service; exit 0\n")
    service = left_by_a_daemon(rig, "service")
    reap_all()
    path = rig.run_directory / "hook-starthasrv"
    assert path.exists()
    wait_for(lambda: reap_all() or not alive(hookfile.read(str(path)).pid))
    leftovers = Leftovers(str(rig.run_directory), rig.say, now())
    assert leftovers.gone
    assert alive(service)
    assert os.listdir(rig.run_directory) == []
    kill(service)


def write_file(rig, pid, started, boot):
    rig.run_directory.mkdir(exist_ok=True)
    path = rig.run_directory / "hook-stophasrv"
    path.write_text(f"had-hook 1\nrun 4\npid {pid}\nstarted {started}\nboot {boot}\n")
    return path


@pytest.fixture
def stranger():
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def test_S5_foreign_process_with_the_same_number_is_not_touched(rig, stranger):
    started = look(stranger).started
    for said in (
        (started + 1, boot_id()),
        (started - 1, boot_id()),
        (started, "another boot"),
        (started, ""),
    ):
        path = write_file(rig, stranger, *said)
        assert Leftovers(str(rig.run_directory), rig.say, now()).gone
        assert alive(stranger)
        assert not path.exists()
    write_file(rig, stranger, started, boot_id())
    leftovers = Leftovers(str(rig.run_directory), rig.say, now())
    ended(rig, leftovers)  # the same with the right values: the test can fail
    assert not alive(stranger)


def test_S5_process_that_leads_no_group_is_not_touched(rig):
    process = subprocess.Popen(["sleep", "1000"])
    try:
        write_file(rig, process.pid, look(process.pid).started, boot_id())
        assert Leftovers(str(rig.run_directory), rig.say, now()).gone
        assert alive(process.pid)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "text", ["", "rubbish", "had-hook 2\nrun 1\npid 1\n", "had-hook 1\npid x\n", "\xff\xfe"]
)
def test_S5_damaged_files_are_removed(rig, text):
    for name in ("hook-starthasrv", "hook-starthasrv.1234"):
        (rig.run_directory / name).write_bytes(text.encode("latin-1"))
    (rig.run_directory / "state").write_text("stays")
    assert Leftovers(str(rig.run_directory), rig.say, now()).gone
    assert os.listdir(rig.run_directory) == ["state"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files away")
def test_S5_file_written_by_somebody_else_kills_nobody(rig, stranger):
    path = write_file(rig, stranger, look(stranger).started, boot_id())
    os.chown(path, 65534, 65534)
    assert Leftovers(str(rig.run_directory), rig.say, now()).gone
    assert alive(stranger)
    assert "not believed" in rig.told[0][1]


def test_S5_link_is_not_followed(rig, stranger, tmp_path):
    path = write_file(rig, stranger, look(stranger).started, boot_id())
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert Leftovers(str(rig.run_directory), rig.say, now()).gone
    assert alive(stranger)


def test_S5_one_that_does_not_die_is_complained_about_once_a_minute(rig, stranger, monkeypatch):
    write_file(rig, stranger, look(stranger).started, boot_id())
    with monkeypatch.context() as patch:
        patch.setattr("had.runtime.processes.os.killpg", lambda group, number: None)
        time_ns = now()
        leftovers = Leftovers(str(rig.run_directory), rig.say, time_ns)
        end = time_ns + 131 * SECOND
        while time_ns < end:
            time_ns = max(time_ns + 1, leftovers.next_ns)
            leftovers.tick(time_ns)
    complaints = [text for level, text in rig.told if level is Level.ERROR]
    assert len(complaints) == 3  # at 10, 70 and 130 s
    assert "nothing is started until it is gone" in complaints[0]
    os.kill(stranger, signal.SIGKILL)
