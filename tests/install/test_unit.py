"""The systemd units: what they say, and what systemd would do by them, played through the notify socket."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from roots import ROOT, clean_environment, make

sys.path.append(str(ROOT / "tests" / "runtime"))
from daemon_tools import HAD, Daemon, eventually, is_alive

UNIT = ROOT / "systemd" / "had.service"
TEMPLATE = ROOT / "systemd" / "had@.service"


def read_unit(path: Path) -> dict[str, dict[str, str]]:
    """Sections, keys and values; the values of a key that comes more than once are joined by blanks."""
    sections: dict[str, dict[str, str]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections[section] = {}
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            before = sections[section].get(key)
            sections[section][key] = value if before is None else f"{before} {value}"
    return sections


@pytest.fixture
def unit():
    return read_unit(UNIT)


# -- What they say --------------------------------------------------------------------------------------


def test_what_must_not_be_changed_lightly(unit):
    service = unit["Service"]
    for key, value in {
        "Type": "notify",
        "NotifyAccess": "all",  # guard and worker speak
        "KillMode": "process",  # the services are had's to stop
        "SendSIGKILL": "no",
        "Restart": "on-abnormal",  # not after exit code 1
        "OOMPolicy": "continue",
        "TasksMax": "infinity",
    }.items():
        assert service[key] == value, key
    assert "ExecReload" not in service, "SIGHUP moves the services away"
    assert "WatchdogSec" not in service, "nobody feeds it"
    assert unit["Install"] == {"WantedBy": "multi-user.target"}


def test_services_inherit_no_restriction(unit):
    """Whatever is said of had's process is said of all that hooks start."""
    restricting = (
        r"(Protect|Private|Restrict|ReadOnly|Inaccessible|NoNew|Capab|Ambient|SystemCall|Memory|Lock)"
    )
    inherited = r"(OOMScore|Nice|Limit|CPU|IO|UMask|User|Group|WorkingDir|RootDir|RuntimeDir|StateDir)"
    for key in unit["Service"]:
        assert not re.match(f"{restricting}|{inherited}", key), key


def test_it_waits_a_little_longer_than_the_initscript(unit):
    found = re.search(r"^HAD_OPTIONS=.* STOP_TIMEOUT=(\d+)", (ROOT / "init.d/had").read_text(), re.MULTILINE)
    assert int(found[1]) < int(unit["Service"]["TimeoutStopSec"]) <= int(found[1]) + 60


def test_it_stops_before_what_its_hooks_need(unit):
    """Stop jobs run in the opposite order of After=."""
    after = unit["Unit"]["After"].split()
    for name in (
        "network.target",
        "network-online.target",
        "remote-fs.target",
        "drbd.service",
        "rsyslog.service",
    ):
        assert name in after
    assert "network-online.target" in unit["Unit"]["Wants"]
    assert "time-sync.target" not in after


def test_an_instance_differs_only_in_its_name(unit):
    template = read_unit(TEMPLATE)
    for section in unit:
        for key in {*unit[section], *template[section]}:
            if unit[section].get(key) != template[section].get(key):
                assert key in ("Description", "ExecStart", "EnvironmentFile", "SyslogIdentifier")
                assert "%i" in template[section][key]
    assert template["Service"]["ExecStart"] == "/usr/sbin/had -f -I %i -F /etc/had/%i.conf $HAD_OPTIONS"


def test_they_are_off_until_somebody_enables_them():
    words = [
        line for line in (ROOT / "systemd/had.preset").read_text().splitlines() if not line.startswith("#")
    ]
    assert words == ["disable had.service", "disable had@.service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (package systemd)")
def test_systemd_understands_every_line(tmp_path):
    dest = tmp_path / "root"
    assert make("install", f"DESTDIR={dest}").returncode == 0
    units = dest / "usr/lib/systemd/system"
    for path in Path("/lib/systemd/system").glob("*.target"):
        shutil.copy(path, units)

    def verify() -> str:
        done = subprocess.run(
            ["systemd-analyze", f"--root={dest}", "verify", "had.service", "had@web.service"],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=False,
        )
        return f"{done.returncode}{done.stdout}{done.stderr}"

    assert verify() == "0"
    text = (units / "had.service").read_text()
    (units / "had.service").write_text(text.replace("OOMPolicy=continue", "OOMPolicy=go-on"))
    assert "Failed to parse" in verify(), "it does look"


# -- What systemd does ----------------------------------------------------------------------------------


class Manager:
    """Plays systemd: starts what a unit says, hears the notify socket, stops as the unit says."""

    def __init__(self, unit: dict[str, dict[str, str]], directory: Path) -> None:
        self.service = unit["Service"]
        self.told: dict[str, str] = {}
        self.senders: set[int] = set()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.path = directory / "notify"
        self.socket.bind(str(self.path))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def main(self) -> int:
        assert self.process is not None
        return int(self.told.get("MAINPID", self.process.pid))

    def start(self, daemon: Daemon) -> None:
        environment = {**daemon.environment(), "HAD_OPTIONS": f"-F {shlex.quote(str(daemon.config))}"}
        program, *words = self.service["ExecStart"].split()
        assert program == "/usr/sbin/had"
        expanded = [HAD]
        for word in words:  # $NAME as a word of its own is split at blanks
            expanded += shlex.split(environment[word[1:]]) if word.startswith("$") else [word]
        environment["NOTIFY_SOCKET"] = str(self.path)
        with daemon.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                expanded, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        daemon.process = self.process

    def hear(self, seconds: float) -> bool:
        """Take one message, if one comes."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        self.senders.add(struct.unpack("3i", ancillary[0][2])[0])
        for line in data.decode().splitlines():
            name, _, value = line.partition("=")
            self.told[name] = value
        return True

    def wait(self, name: str, value: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while self.told.get(name) != value:
            assert time.monotonic() < deadline, f"{name}={value} was not said: {self.told}"
            self.hear(0.1)

    def stop(self, members: list[int]) -> None:
        """`systemctl stop`, by the rules of systemd.kill(5)."""
        mode = self.service.get("KillMode", "control-group")
        for pid in [self.main] if mode in ("process", "mixed") else members:
            os.kill(pid, signal.SIGTERM)

    def after_stop(self, members: list[int]) -> None:
        """What becomes of what is left when the main process has ended."""
        if (
            self.service.get("KillMode", "control-group") != "process"
            and self.service.get("SendSIGKILL") != "no"
        ):
            for pid in members:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def manager(unit, tmp_path) -> Iterator[Manager]:
    manager = Manager(unit, tmp_path)
    yield manager
    manager.socket.close()


@pytest.fixture
def daemon(tmp_path) -> Iterator[Daemon]:
    with_services = Daemon(tmp_path / "d")
    yield with_services
    with_services.close()


SERVICE = """\
case $hook in
starthasrv) sleep 1000 >/dev/null 2>&1 & echo $! >"$top/pid-of-service" ;;
stophasrv)
    [ -e "$top/pid-of-service" ] || exit 0
    sleep 2 # it takes its time, and the service lives until then
    kill -0 "$(cat "$top/pid-of-service")" && echo alive >>"$top/journal"
    kill "$(cat "$top/pid-of-service")"
    ;;
esac
"""


def test_a_slow_stop_is_waited_for_and_nothing_is_killed(unit, daemon, manager):
    for hook in ("starthasrv", "stophasrv"):
        (daemon.top / f"{hook}.do").write_text(SERVICE)
    manager.start(daemon)
    manager.wait("READY", "1", float(unit["Service"]["TimeoutStartSec"]))
    assert manager.main == manager.process.pid == daemon.guard
    assert "STOPPING" not in manager.told
    place = daemon.top / "pid-of-service"
    eventually(lambda: place.exists() and place.read_text().endswith("\n"), "the service was started")
    eventually(lambda: manager.hear(0.05) and "RUNNING" in manager.told.get("STATUS", ""), "it says RUNNING")
    service = int(place.read_text())
    members = [manager.main, daemon.find_worker(), service]

    began = time.monotonic()
    manager.stop(members)
    manager.wait("STOPPING", "1")
    assert manager.process.poll() is None
    code = manager.process.wait(float(unit["Service"]["TimeoutStopSec"]))
    assert time.monotonic() - began >= 2
    assert code == 0, "exit code 0 is what systemd calls success"
    manager.after_stop(members)
    journal = daemon.journal_path.read_text()
    assert "alive\n" in journal, "only stophasrv has ended the service"
    assert re.search(r"stophasrv end \d+ 0\n\Z", journal), journal
    while manager.hear(0.2):
        pass
    assert "ENDED" in manager.told["STATUS"]
    assert manager.senders <= {daemon.process.pid, *members}, "no hook has the socket"
    assert not is_alive(service)


def test_a_failed_start_is_told_by_exit_code_1(daemon, manager):
    """Which Restart=on-abnormal takes for an answer."""
    daemon.config.write_text("nonsense = 1\n")
    manager.start(daemon)
    assert manager.process.wait(20) == 1
    assert not manager.hear(0.2)
    assert "unknown key 'nonsense'" in daemon.log


def test_a_worker_that_systemd_has_lost_is_shown_to_it_again(daemon, manager):
    """The guard is killed; systemd takes had for dead before the worker has said that it goes on, and starts
    had anew (Restart=on-abnormal).
    """
    manager.start(daemon)
    manager.wait("READY", "1")
    guard, worker = manager.process, daemon.find_worker()
    guard.kill()
    guard.wait()
    manager.wait("MAINPID", str(worker))  # too late, systemd has turned away
    manager.told.clear()
    manager.start(daemon)
    assert manager.process.wait(20) == 0
    manager.wait("READY", "1")
    assert manager.main == worker
    assert manager.told["STATUS"] == f"had runs already as process {worker}; systemd goes on with that"
    os.kill(manager.main, signal.SIGTERM)
    manager.wait("STOPPING", "1")
    eventually(lambda: not is_alive(worker), "it ends")
