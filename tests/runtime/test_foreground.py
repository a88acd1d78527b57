"""The daemon in the foreground (-f): its log, its terminal, its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import PATIENCE_S, Daemon, daemons

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def test_ctrl_c_in_the_foreground_ends_it_cleanly(make: Make) -> None:
    daemon = make()
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    assert daemon.guard == process.pid
    assert "starts on alpha" in daemon.log
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole process group
    assert process.wait(PATIENCE_S) == 0
    assert daemon.moves() == ["stophasrv", "starthasrv", "stophasrv"]
    assert not daemon.pid_path.exists()
    assert "Traceback" not in daemon.log
    daemon.wait_gone()


def test_ctrl_z_in_the_foreground_is_survived(make: Make) -> None:
    daemon = make(dead="3s")
    process = daemon.run_foreground(start_new_session=True)
    daemon.wait_state("Running")
    worker = daemon.worker()
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(1.5)  # longer than the guard waits for a worker
    os.killpg(process.pid, signal.SIGCONT)
    daemon.send(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "hung" not in daemon.log, f"{worker} was not to blame"


def test_the_foreground_tells_why_it_ends(make: Make) -> None:
    first, second = make(), make()
    first.running()
    second.address, second.port = first.address, first.port
    second.configure()
    done = second.start("-f")
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not second.pid_path.exists()


def test_systemds_journal_gets_priorities(make: Make) -> None:
    daemon = make()
    reading, writing = os.pipe()
    found = os.fstat(writing)
    daemon.variables["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
    daemon.process = subprocess.Popen(
        daemon.words("-f"), env=daemon.environment(), stdin=subprocess.DEVNULL, stderr=writing
    )
    os.close(writing)
    daemon.wait_state("Running")
    daemon.kill_worker()
    daemon.send(signal.SIGTERM)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    assert daemon.process.wait(PATIENCE_S) == 0
    assert "<5>services run here: starthasrv succeeded" in lines
    assert lines[-1] == "<5>had ends with exit code 0"
    assert [line for line in lines if line.startswith("<3>worker ")], "an error"
    assert all(re.match(r"<[3-6]>(?!\d{4}-)", line) for line in lines), lines


@pytest.mark.alone
def test_a_log_that_nobody_reads_does_not_hold_the_daemon_up(make: Make) -> None:
    # had -f 2>&1 | something that hangs: the pipe fills
    daemon = make()
    listener = daemon.listen()
    reading, writing = os.pipe()
    daemon.control(
        "starthasrv.do",
        "i=0; while [ $i -lt 1500 ]; do echo a line that is long enough to fill it $i; i=$((i+1)); done\n",
    )
    daemon.process = subprocess.Popen(
        daemon.words("-f"), env=daemon.environment(), stdin=subprocess.DEVNULL, stderr=writing
    )
    os.close(writing)
    daemon.wait_state("Running")
    os.close(reading)  # and then the reader dies
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    assert max(listener.gaps()) < 1.0
    daemon.send(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_S) == 0
