"""systemd's notify protocol: a socket in place of systemd's, and real daemons."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from daemon_tools import Daemon, daemons, eventually, is_alive, kill

from had.core.actions import Level
from had.core.states import State
from had.runtime.notify import Notify, take_address

Make = Callable[..., Daemon]
_CREDENTIALS = struct.Struct("=iii")
_SCM_CREDENTIALS = 2  # not in the socket module


class Said(NamedTuple):
    """One line, and who said it."""

    pid: int
    line: str


class Supervisor:
    """Hears what is said to a socket, as systemd does."""

    def __init__(self, abstract: bool = False) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="had-test-")  # a short path
        self.address = f"@had-test-{uuid.uuid4().hex}" if abstract else f"{self._directory.name}/notify"
        self.socket = self._open()
        self._said: list[Said] = []

    def _open(self) -> socket.socket:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        fresh.bind(self.address.replace("@", "\0"))
        return fresh

    def said(self) -> list[Said]:
        """All that was said so far, line by line."""
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(8192, 256)
            except BlockingIOError:
                return list(self._said)
            (pid,) = (_CREDENTIALS.unpack(data)[0] for _, kind, data in ancillary if kind == _SCM_CREDENTIALS)
            self._said += [Said(pid, line) for line in data.decode().split("\n")]

    def lines(self) -> list[str]:
        return [said.line for said in self.said()]

    def wait(self, line: str) -> Said:
        """Wait until a line is said that this matches."""

        def found() -> Said | None:
            return next((said for said in self.said() if re.fullmatch(line, said.line)), None)

        said: Said = eventually(found, f"{line!r} in {self._said}")
        return said

    def close(self) -> None:
        self.socket.close()
        self._directory.cleanup()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def notified(make: Make, supervisor: Supervisor, **settings: str) -> Daemon:
    """A daemon that is to tell the supervisor."""
    daemon = make(**settings)
    daemon.variables = {"NOTIFY_SOCKET": supervisor.address}
    return daemon


# --- the protocol


def test_what_is_meant_for_us_alone_is_taken_out_of_the_environment() -> None:
    names = ("WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    environment = {**dict.fromkeys(names, "1"), "NOTIFY_SOCKET": "/run/x", "INVOCATION_ID": "7"}
    assert take_address(environment) == "/run/x"
    assert environment == {"INVOCATION_ID": "7"}
    assert take_address(environment) == ""


@pytest.mark.parametrize("abstract", [False, True])
def test_only_what_is_new_is_told(abstract: bool) -> None:
    supervisor = Supervisor(abstract)
    notify = Notify(supervisor.address, lambda level, text: pytest.fail(text))
    notify.tell(MAINPID="7", READY="1")
    notify.tell(READY="1", STATUS="up")
    notify.tell(STATUS="up")
    notify.tell(STATUS="down")
    assert supervisor.lines() == ["MAINPID=7", "READY=1", "STATUS=up", "STATUS=down"]
    assert {said.pid for said in supervisor.said()} == {os.getpid()}
    supervisor.close()


def test_a_value_stays_one_line_of_decent_length(supervisor: Supervisor) -> None:
    notify = Notify(supervisor.address, lambda level, text: pytest.fail(text))
    notify.tell(STATUS="two\nREADY=1\x1b \udcff" + "я" * 5000)
    (line,) = supervisor.lines()
    assert line.startswith("STATUS=two\\x0aREADY=1\\x1b \\udcffяя")
    assert len(line) < 600


def test_a_full_queue_does_not_hold_us_up_and_loses_nothing(supervisor: Supervisor) -> None:
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with filler, contextlib.suppress(BlockingIOError):
        while True:
            filler.sendto(b"FILLER=1", supervisor.address)
    notify = Notify(supervisor.address, lambda level, text: pytest.fail(text))
    notify.tell(READY="1", STATUS="first")
    notify.tell(STATUS="second")
    assert set(supervisor.lines()) == {"FILLER=1"}
    notify.retry()
    assert [line for line in supervisor.lines() if line != "FILLER=1"] == ["READY=1", "STATUS=second"]
    notify.retry()
    assert supervisor.lines().count("READY=1") == 1


def test_a_supervisor_that_is_away_for_a_while(supervisor: Supervisor) -> None:
    told: list[tuple[Level, str]] = []
    notify = Notify(supervisor.address, lambda level, text: told.append((level, text)))
    supervisor.socket.close()
    for number in range(3):
        notify.tell(READY="1", STATUS=f"{number}")
    text = f"NOTIFY_SOCKET: systemd cannot be told how had is: {os.strerror(errno.ECONNREFUSED)}"
    assert told == [(Level.WARNING, text)]
    os.unlink(supervisor.address)
    supervisor.socket = supervisor._open()
    notify.retry()
    assert supervisor.lines() == ["READY=1", "STATUS=2"]


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative", "/" + "x" * 300, "/nowhere/notify"])
def test_an_address_that_is_none_is_told_once(address: str) -> None:
    told: list[tuple[Level, str]] = []
    notify = Notify(address, lambda level, text: told.append((level, text)))
    for number in range(3):
        notify.tell(READY="1", STATUS=f"{number}")
    (line,) = told
    assert line[0] is Level.WARNING
    assert line[1].startswith("NOTIFY_SOCKET")


def test_without_an_address_nothing_is_done() -> None:
    notify = Notify("", lambda level, text: pytest.fail(text))
    notify.tell(READY="1")
    notify.retry()
    assert notify._waiting == {}


# --- daemons


def held_up(daemon: Daemon) -> Path:
    """Let the daemon be up only once the file that is returned is there."""
    go = daemon.top / "go"
    daemon.prelude = f"""
import os, time
import had.runtime.channel as c
tell = c.Channel.tell
def late(self, kind, *rest, **named):
    while kind == c.UP and not os.path.exists({str(go)!r}): time.sleep(0.01)
    return tell(self, kind, *rest, **named)
c.Channel.tell = late
"""
    return go


def test_detached_it_is_ready_when_the_command_returns(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor)
    daemon.prelude = """
import time
import had.runtime.notify as n
tell = n.Notify.tell
def slowly(self, **values):
    if "READY" in values:
        time.sleep(0.5)  # so that the command would be back before, if it could
    tell(self, **values)
n.Notify.tell = slowly
"""
    daemon.up()
    lines = supervisor.lines()  # at once: a unit whose command has returned and is not ready has failed
    assert lines.count("READY=1") == 1
    assert f"MAINPID={daemon.guard}" in lines
    supervisor.wait("STATUS=alpha RUNNING: services run here: starthasrv succeeded")


@pytest.mark.parametrize("foreground", [False, True])
def test_ready_is_said_only_when_it_is_up(make: Make, supervisor: Supervisor, foreground: bool) -> None:
    daemon = notified(make, supervisor, dead="60s")  # so long the guard waits for a worker that is held up
    go = held_up(daemon)
    flags = ["-f"] if foreground else []
    with daemon.log_path.open("ab") as log:
        daemon.process = subprocess.Popen(
            daemon.words(*flags), env=daemon.environment(), stdin=subprocess.DEVNULL, stderr=log
        )
    supervisor.wait("STATUS=alpha INITIAL: .*")  # the worker's first turn is over
    time.sleep(0.3)  # shows that nothing comes: it would take a millisecond
    assert "READY=1" not in supervisor.lines()
    go.touch()
    assert supervisor.wait("READY=1").pid == daemon.guard
    supervisor.wait(f"MAINPID={daemon.guard}")
    assert supervisor.lines().count("READY=1") == 1
    if foreground:
        assert daemon.guard == daemon.process.pid


def test_a_start_that_fails_is_never_ready(make: Make, supervisor: Supervisor) -> None:
    first, second = make(), notified(make, supervisor)
    first.running()
    second.address, second.port = first.address, first.port
    second.configure()
    assert second.start().returncode == 1
    assert "READY=1" not in supervisor.lines()


def test_the_status_follows_and_stopping_comes_before_the_stop_is_over(
    make: Make, supervisor: Supervisor
) -> None:
    daemon = notified(make, supervisor)
    daemon.running()
    daemon.send(signal.SIGHUP)
    supervisor.wait("STATUS=alpha STOPPING: SIGHUP: another node is to run the services")
    supervisor.wait("STATUS=alpha STANDBY, not ready: SIGHUP put alpha on hold until another node .*")
    daemon.send(signal.SIGUSR2)
    supervisor.wait("STATUS=alpha RUNNING: .*")
    time.sleep(0.3)  # three heartbeats: what has not changed is not said again
    lines = supervisor.lines()
    assert lines == [line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1]]
    assert "STOPPING=1" not in lines
    hang = daemon.control("stophasrv.hang")
    guard = daemon.guard
    daemon.send(signal.SIGTERM)
    daemon.wait_call("stophasrv", 3)
    supervisor.wait("STOPPING=1")
    assert daemon.journal("stophasrv", word="end") == ["stophasrv"] * 2
    assert "STATUS=alpha ENDED" not in "\n".join(supervisor.lines())
    hang.unlink()
    daemon.wait_end(guard)
    reason = "stophasrv succeeded: the services are stopped; the daemon ends"
    assert supervisor.lines()[-1] == f"STATUS=alpha ENDED: {reason}"
    assert supervisor.lines().count("STOPPING=1") == 1


def test_hooks_and_services_do_not_get_what_is_meant_for_us(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor)
    for name in ("WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        daemon.variables[name] = "1"
    daemon.variables["INVOCATION_ID"] = "kept"
    for hook in ("starthasrv", "alerthasrv"):
        daemon.control(f"{hook}.do", f"env >{daemon.top}/{hook}.environment\n")
    daemon.running()
    daemon.settle()
    for hook in ("starthasrv", "alerthasrv"):
        lines = (daemon.top / f"{hook}.environment").read_text().splitlines()
        names = {line.partition("=")[0] for line in lines}
        assert {"HAD_STATE", "INVOCATION_ID"} <= names
        assert not {name for name in names if re.match("NOTIFY|WATCHDOG|LISTEN", name)}
    supervisor.wait("READY=1")


def test_a_new_worker_is_no_new_start(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor)
    daemon.running()
    daemon.kill_worker()
    daemon.wait_log("goes on after")
    daemon.send(signal.SIGHUP)
    supervisor.wait("STATUS=alpha STANDBY, not ready: .*")
    lines = supervisor.lines()
    assert [line for line in lines if not line.startswith("STATUS=")] == [
        f"MAINPID={daemon.guard}",
        "READY=1",
    ]


def test_the_worker_that_goes_on_alone_is_the_main_process(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor)
    guard = daemon.running()
    worker = daemon.worker()
    kill(guard)
    assert supervisor.wait(f"MAINPID={worker}").pid == worker
    eventually(lambda: daemon.pid_text() == f"{worker}\n", "the pid file names the worker")
    daemon.send(signal.SIGTERM)
    supervisor.wait("STOPPING=1")
    supervisor.wait("STATUS=alpha ENDED: .*")


def test_G3_the_guards_farewell_is_a_stop(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor, nodes="alpha, zeta")
    daemon.peer("zeta", State.STANDBY)
    guard = daemon.running()
    hang = daemon.control("stophasrv.hang")
    worker = 0
    for _ in range(5):
        worker = daemon.worker(but=worker)
        kill(worker)
        eventually(lambda dead=worker: not is_alive(dead), "it is dead")
    assert supervisor.wait("STOPPING=1").pid == guard
    supervisor.wait("STATUS=alpha STOPPING: the workers of had die again and again")
    hang.unlink()
    daemon.wait_end(guard)
    assert supervisor.lines()[-1].startswith("STATUS=alpha ENDED: 5 workers died within a minute; stophasrv")


@pytest.mark.alone
def test_a_supervisor_that_is_gone_harms_nothing(make: Make, supervisor: Supervisor) -> None:
    daemon = notified(make, supervisor)
    supervisor.socket.close()
    listener = daemon.listen()
    daemon.running()
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.wait_log("systemd cannot be told")
    assert max(listener.gaps()) < 1.0
    daemon.terminate()
    assert daemon.exit_code() == 0
    assert daemon.log.count("systemd cannot be told") <= 2, "once for guard and worker"
