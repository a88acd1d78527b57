"""Hooks as real processes."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from runtime_tools import SECOND, Rig, Worker, alive, kill, now, wait_for

from had.core.actions import Hook, Reason
from had.core.events import Outcome
from had.core.states import State
from had.core.turn import InvariantError
from had.runtime import hookchild, hookfile
from had.runtime.processes import describe_status


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.close()


LIBRARYS_OWN = 1 << 31 | 1 << 32
"""The C library's own signals 32 and 33: who is started by posix_spawn, as by make, has them ignored, and
nobody may change that.
"""


def test_success(rig):
    rig.script(Hook.START, "echo up; echo trouble >&2; exit 0\n")
    rig.start()
    over = rig.over()
    assert (over.run, over.outcome, over.detail) == (1, Outcome.OK, "")
    assert rig.output() == ["up", "trouble"]


def test_exit_status(rig):
    rig.script(Hook.START, "exit 3\n")
    rig.start()
    over = rig.over()
    assert (over.outcome, over.detail) == (Outcome.FAILED, "exit status 3")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGTERM", "SIGHUP"])
def test_D22_killed_by_a_signal_has_failed(rig, name):
    """COMPAT D22: with some shells a hook that was killed counted as good."""
    rig.script(Hook.MONITOR, f"ulimit -c 0; kill -{name[3:]} $$; exit 0\n")
    rig.start(hook=Hook.MONITOR)
    over = rig.over()
    assert over.outcome is Outcome.FAILED
    assert over.detail == f"killed by {name}"


def test_describe_status():
    assert describe_status(3 << 8) == "exit status 3"
    assert describe_status(signal.SIGSEGV | 0x80) == "killed by SIGSEGV (core dumped)"
    assert describe_status(50) == "killed by signal 50"


def test_arguments_of_an_ordinary_hook(rig):
    rig.script(Hook.START, 'echo "$# $0"\n')
    rig.start()
    rig.over()
    assert rig.output() == [f"0 {rig.hooks}/starthasrv"]


def test_environment(rig, monkeypatch):
    monkeypatch.setenv("HAD_STATE", "stale")
    monkeypatch.setenv("HAD_FROM_OUTSIDE", "1")
    monkeypatch.setenv("OF_THE_DAEMON", "kept")
    rig.script(Hook.START, 'env | grep ^HAD_ | sort; echo "$OF_THE_DAEMON"\n')
    reason = Reason("take-over", "bravo fell silent\nrm -rf / \u2014 \x00\x1b[31m")
    rig.start(run=7, timeout_s=0.25 + 60, reason=reason)
    rig.over(7)
    assert rig.output() == [
        "HAD_CLUSTER=test",
        "HAD_GROUP=services",
        "HAD_HOOK=starthasrv",
        "HAD_INSTANCE=web",
        "HAD_NODE=alpha",
        "HAD_PREVIOUS_STATE=STANDBY",
        "HAD_REASON=bravo fell silent\\x0arm -rf / \u2014 \\x00\\x1b[31m",
        "HAD_REASON_CODE=take-over",
        "HAD_RUN_ID=7",
        "HAD_STATE=STARTING",
        "HAD_TIMEOUT=60.25",
        "kept",
    ]


def test_documented_variables_are_those_that_are_set(rig):
    page = Path(__file__).parents[2] / "docs" / "hooks-environment.md"
    documented = set(re.findall(r"`(HAD_[A-Z_]+)`", page.read_text()))
    rig.script(Hook.START, "env | grep ^HAD_\n")
    rig.start()
    rig.over()
    given = {line.split("=")[0] for line in rig.output()}
    assert documented - {"HAD_STATE_NOW"} == given
    assert "HAD_STATE_NOW" in documented


def test_D20_surroundings(rig, monkeypatch):
    leaked, other = os.pipe()
    os.set_inheritable(leaked, True)
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    old_umask = os.umask(0o077)
    monkeypatch.chdir(rig.top)
    # Not a shell: those open descriptors and change dispositions of their own.
    rig.script(
        Hook.START,
        "import os\n"
        "print(sorted(int(n) for n in os.listdir('/proc/self/fd')))\n"
        "print(os.readlink('/proc/self/fd/0'), os.getcwd(), oct(os.umask(0)))\n"
        "print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid())\n"
        "for line in open('/proc/self/status'):\n"
        "    if line[:6] in ('SigBlk', 'SigIgn'): print(line.split())\n",
        shebang=f"#!{sys.executable} -S\n",
    )
    try:
        rig.start()
        assert rig.over().outcome is Outcome.OK, rig.lines
    finally:
        os.umask(old_umask)
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        signal.signal(signal.SIGHUP, old)
        os.close(leaked)
        os.close(other)
    said = rig.output()
    assert said[0] == "[0, 1, 2, 3]"  # 3 is the directory being listed
    assert said[1] == "/dev/null / 0o22"
    assert said[2] == "True True"
    assert said[3] == "['SigBlk:', '0000000000000000']"
    # Python itself ignores SIGPIPE and SIGXFSZ.
    assert int(eval(said[4])[1], 16) & ~(1 << 12 | 1 << 24 | LIBRARYS_OWN) == 0


def test_sigpipe_is_not_ignored(rig):
    rig.script(Hook.START, "grep SigIgn /proc/self/status\n")
    rig.start()
    rig.over()
    assert int(rig.output()[0].split()[1], 16) & ~LIBRARYS_OWN == 0


@pytest.mark.parametrize(
    ("prepare", "detail"),
    [
        (lambda rig: None, "cannot be run: No such file or directory"),
        (lambda rig: rig.script(Hook.START, "exit 0\n", 0o644), "cannot be run: Permission denied"),
        (lambda rig: (rig.hooks / "starthasrv").mkdir(), "cannot be run: Permission denied"),
        (
            lambda rig: rig.script(Hook.START, "exit 0\n", shebang="#!/no/such/shell\n"),
            "cannot be run: No such file or directory",
        ),
    ],
)
def test_cannot_be_run(rig, prepare, detail):
    prepare(rig)
    rig.start()
    over = rig.over()
    assert (over.outcome, over.detail) == (Outcome.FAILED, detail)
    assert rig.output() == [detail]
    assert not (rig.run_directory / "hook-starthasrv").exists()


def test_exit_status_127_of_the_script_itself(rig):
    rig.script(Hook.START, "exit 127\n")
    rig.start()
    assert rig.over().detail == "exit status 127"


def test_script_without_interpreter_line(rig):
    rig.script(Hook.START, 'echo "by a shell: $0"\nexit 4\n', shebang="")
    rig.start()
    assert rig.over().detail == "exit status 4"
    assert rig.output() == [f"by a shell: {rig.hooks}/starthasrv"]


def test_D22_blanks_and_quotes_in_the_path(tmp_path):
    top = tmp_path / "a 'b' $(c); \"d\""
    top.mkdir()
    rig = Rig(top)
    rig.script(Hook.STOP, "echo fine\n")
    rig.start(hook=Hook.STOP)
    assert rig.over().outcome is Outcome.OK
    assert rig.output(Hook.STOP) == ["fine"]
    rig.close()


def test_timeout_ends_the_whole_group(rig):
    rig.script(Hook.START, f"sleep 1000 & echo $! >{rig.top}/child; sleep 1000\n")
    rig.start(timeout_s=0.3)
    child = rig.pid_from("child")
    over = rig.over()
    assert (over.outcome, over.detail) == (Outcome.TIMED_OUT, "timed out after 0.3 s")
    assert not alive(child)
    assert "SIGTERM" in rig.told[0][1]


def test_timeout_kills_who_ignores_sigterm(rig):
    rig.script(
        Hook.START,
        f"trap '' TERM; (echo $$; while :; do sleep 0.1; done) & echo $! >{rig.top}/child\n"
        "while :; do sleep 0.1; done\n",
    )
    rig.start(timeout_s=0.2)
    child = rig.pid_from("child")
    began = now()
    over = rig.over()
    assert over.outcome is Outcome.TIMED_OUT
    assert now() - began >= rig.grace_ns - SECOND // 10
    assert not alive(child)
    assert any("SIGKILL" in text for _, text in rig.told)


def test_child_that_ignores_sigterm_keeps_an_obedient_hook_from_being_over(rig):
    """Over only when the group is gone: the stop hook must not meet a start that goes on."""
    rig.script(
        Hook.START,
        f"sh -c \"trap '' TERM; echo \\$\\$ >{rig.top}/child; while :; do sleep 0.1; done\" &\nsleep 1000\n",
    )
    rig.start(timeout_s=0.5)
    child = rig.pid_from("child")
    leader = hookfile.read(str(rig.run_directory / "hook-starthasrv")).pid
    wait_for(lambda: rig.turn() or not alive(leader), "the leader obeys")
    rig.turn()
    assert alive(child)
    assert not rig.overs
    assert rig.over().outcome is Outcome.TIMED_OUT
    assert not alive(child)


def test_obedient_hook_is_over_without_waiting_for_the_grace(tmp_path):
    rig = Rig(tmp_path, grace_ns=100 * SECOND)
    rig.script(Hook.START, "trap 'exit 0' TERM; while :; do sleep 0.05; done\n")
    rig.start(timeout_s=0.3)
    over = rig.over()
    assert over.outcome is Outcome.TIMED_OUT  # exit status 0 does not make it good
    rig.close()


def test_end(rig):
    rig.script(Hook.START, f"echo $$ >{rig.top}/pid; sleep 1000\n")
    rig.start()
    pid = rig.pid_from("pid")
    rig.runner.end(1, now())
    rig.runner.end(1, now())
    rig.runner.end(99, now())
    over = rig.over()
    assert (over.outcome, over.detail) == (Outcome.ENDED, "was ended")
    assert not alive(pid)


def test_end_right_after_start(rig):
    rig.script(Hook.START, "sleep 1000\n")
    rig.start()
    rig.runner.end(1, now())
    assert rig.over().outcome is Outcome.ENDED


def test_end_of_one_that_has_ended_by_itself(rig):
    rig.script(Hook.START, "exit 0\n")
    rig.start()
    pid = rig.runner._runs[1].pid
    wait_for(lambda: not alive(pid))
    rig.runner.end(1, now())
    assert rig.over().outcome is Outcome.OK


def test_exit_just_before_the_timeout_is_noticed_counts(rig):
    rig.script(Hook.START, "exit 0\n")
    rig.start(timeout_s=0.2)
    pid = rig.runner._runs[1].pid
    wait_for(lambda: not alive(pid))
    assert [over.outcome for over in rig.runner.poll(now() + 10 * SECOND)] == [Outcome.OK]


def test_what_a_hook_started_lives_on(rig):
    """Over when it exits, not when its output closes; and its daemons are not killed."""
    rig.script(
        Hook.START,
        f"(echo $$; while :; do sleep 0.05; echo still here; done) & echo $! >{rig.top}/daemon; exit 0\n",
    )
    rig.start(timeout_s=1)
    daemon = rig.pid_from("daemon")
    try:
        over = rig.over()
        assert over.outcome is Outcome.OK
        rig.lines.clear()
        rig.wait_line("still here")
        assert not rig.runner.poll(now() + 100 * SECOND)  # the time-out is over with the hook
        assert alive(daemon)
    finally:
        kill(daemon)


def test_hook_file_while_it_runs(rig):
    rig.script(Hook.STOP, f"cat {rig.run_directory}/hook-stophasrv; sleep 1000\n")
    rig.start(run=12, hook=Hook.STOP)
    rig.wait_line("boot ")
    file = hookfile.read(str(rig.run_directory / "hook-stophasrv"))
    run = rig.runner._runs[12]
    assert (file.run, file.pid, file.started, file.failed) == (12, run.pid, run.started, 0)
    assert rig.output(Hook.STOP)[0] == "had-hook 1"
    assert sorted(os.listdir(rig.run_directory)) == ["hook-stophasrv"]
    rig.runner.end(12, now())
    rig.over(12)
    assert os.listdir(rig.run_directory) == []


def test_status_stays_until_it_is_forgotten(rig):
    rig.script(Hook.START, "exit 5\n")
    rig.start()
    wait_for(lambda: rig.turn() or rig.overs)
    pid = rig.runner._runs[1].pid
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == 5
    assert rig.runner.poll(now()) == []  # told once
    rig.runner.forget(1)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_two_kinds_at_once_and_one_kind_twice(rig):
    rig.script(Hook.START, "sleep 1000\n")
    rig.script(Hook.MONITOR, "exit 0\n")
    rig.start(1, Hook.START)
    rig.start(2, Hook.MONITOR)
    assert rig.over(2).outcome is Outcome.OK
    with pytest.raises(InvariantError):
        rig.start(3, Hook.START)
    rig.runner.end(1, now())
    rig.over(1)


def test_many_runs_leave_nothing(rig):
    rig.script(Hook.MONITOR, "exit 0\n")
    before = sorted(os.listdir("/proc/self/fd"))
    for run in range(1, 31):
        rig.start(run, Hook.MONITOR)
        assert rig.over(run).outcome is Outcome.OK
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert os.listdir(rig.run_directory) == []
    assert rig.runner.next_ns is None


def test_signal_meant_for_the_daemon_does_not_hit_the_new_hook(rig, monkeypatch):
    """killall finds the hook before its exec, while it still is a copy of the daemon."""
    real = os.setsid

    def hit() -> None:
        real()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(hookchild.os, "setsid", hit)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    old_fd = signal.set_wakeup_fd(writing)
    old = signal.signal(signal.SIGTERM, lambda *_: None)
    rig.script(Hook.STOP, "exit 0\n")
    try:
        rig.start(hook=Hook.STOP)
        assert rig.over().outcome is Outcome.OK
        with pytest.raises(BlockingIOError):
            os.read(reading, 10)
    finally:
        signal.set_wakeup_fd(old_fd)
        signal.signal(signal.SIGTERM, old)
        os.close(reading)
        os.close(writing)


def test_no_process_left_is_tried_again(rig, monkeypatch):
    real = hookchild.fork
    failures = [errno.EAGAIN, errno.ENOMEM]

    def fork(command):
        if failures:
            raise OSError(failures.pop(), "no")
        return real(command)

    monkeypatch.setattr(hookchild, "fork", fork)
    rig.script(Hook.START, "exit 0\n")
    rig.start()
    assert rig.over().outcome is Outcome.OK
    assert not failures


def test_no_process_left_for_long(rig, monkeypatch):
    def fork(command):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(hookchild, "fork", fork)
    rig.start()
    time_ns = now()
    while not rig.overs:
        assert rig.runner.next_ns is not None
        time_ns = max(time_ns + 1, rig.runner.next_ns)
        rig.overs += rig.runner.poll(time_ns)
    assert rig.overs[0].outcome is Outcome.FAILED
    assert rig.overs[0].detail == "cannot be started: Resource temporarily unavailable"


def test_run_directory_that_cannot_be_written(rig):
    """A full or broken run directory does not keep a service from being started."""
    rig.run_directory.rmdir()
    rig.run_directory.write_text("a file")
    rig.script(Hook.START, "echo up\n")
    rig.start()
    assert rig.over().outcome is Outcome.OK
    assert "Not a directory" in rig.output()[0]
    assert rig.output()[1] == "up"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small tmpfs")
def test_full_run_directory(rig):
    os.system(f"mount -t tmpfs -o size=64k tmpfs {rig.run_directory}")
    try:
        (rig.run_directory / "filler").write_bytes(b"x" * 65536)
        rig.script(Hook.START, "echo up\n")
        rig.start()
        assert rig.over().outcome is Outcome.OK
        assert "No space left" in rig.output()[0]
        assert os.listdir(rig.run_directory) == ["filler"]
    finally:
        os.system(f"umount {rig.run_directory}")


def test_group_that_survives_sigkill_is_waited_for_and_told(rig, monkeypatch):
    """As a process in uninterruptible sleep; here the signals are lost instead."""
    rig.script(Hook.START, "sleep 1000\n")
    rig.start()
    pid = rig.runner._runs[1].pid
    wait_for(lambda: os.getpgid(pid) == pid)
    with monkeypatch.context() as patch:
        patch.setattr("had.runtime.processes.os.killpg", lambda group, number: None)
        rig.runner.end(1, now())
        time_ns = now()
        for _ in range(200):
            time_ns = max(time_ns + 1, rig.runner.next_ns)
            assert rig.runner.poll(time_ns) == []
    assert len([text for _, text in rig.told if "still lives" in text]) == 1
    os.kill(pid, signal.SIGKILL)
    later = time_ns - now()
    over = wait_for(lambda: rig.runner.poll(later + now()))
    assert over[0].outcome is Outcome.ENDED


def test_state_names_are_those_of_the_old_alert():
    assert [state.name for state in State if 1 < state < 7] == [
        "RUNNING",
        "STOPPING",
        "STARTING",
        "STANDBY",
        "ERRORED",
    ]


def test_fork_leaves_the_mask_as_it_was(rig):
    rig.script(Hook.START, "exit 0\n")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    rig.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    rig.over()


def test_hook_in_a_worker_that_is_killed_before_the_exec(rig, monkeypatch):
    """Too late to be believed dead or alive: it must not run, the next worker may have started another."""
    gate_in, gate_out = os.pipe()

    def slow(pid):
        os.read(gate_in, 1)

    rig.script(Hook.START, f"echo ran >>{rig.top}/ran\n")

    def body(say):
        monkeypatch.setattr(hookchild, "look", slow)
        rig.start()
        say(rig.runner._runs[1].pid)
        signal.pause()

    worker = Worker(body)
    pid = worker.heard()
    worker.kill()
    began = now()
    wait_for(lambda: now() - began > 2 * hookchild.LATE_NS)
    os.write(gate_out, b"go")
    wait_for(lambda: not alive(pid))
    assert not (rig.top / "ran").exists()
    assert os.listdir(rig.run_directory) == []
    os.close(gate_in)
    os.close(gate_out)
