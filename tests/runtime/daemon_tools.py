"""What the tests of the daemon as processes share: real daemons on loopback, without root or namespaces.

Each test gets an address, a port and directories of its own.  All that a daemon ever starts is found again by
a mark in its environment, so a test can say that nothing is left, and nothing is left in any case.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from had.core.states import State
from had.wire import freeha

HAD = str(Path(sys.executable).parent / "had")
BROADCAST = "127.255.255.255"
PATIENCE_S = 20.0
"""A deadline for what ought to take milliseconds, on a machine where others work too."""
HOOKS = ("starthasrv", "stophasrv", "monitorhasrv", "alerthasrv")
_SO_TIMESTAMPNS = 35  # in the socket module only since Python 3.14

# The hooks: they write down that they begin and end, and do what the control files say.
HOOK = r"""#!/bin/sh
hook=${0##*/} top=@TOP@
echo "$hook begin $$ $*" >>"$top/journal"
trap 'echo "$hook end $$ 143" >>"$top/journal"; exit 143' TERM
if [ -e "$top/$hook.do" ]; then . "$top/$hook.do"; fi
trap '' PIPE # the shell itself speaks when a TERM ends its sleep; the daemon may be dead by then
while [ -e "$top/$hook.hang" ]; do sleep 0.03; done
trap - PIPE
status=0
case $hook in
starthasrv) : >"$top/service" ;;
stophasrv) rm -f "$top/service" ;;
monitorhasrv) [ -e "$top/service" ] || status=3 ;;
esac
if [ -e "$top/$hook.fail" ]; then status=1; fi
echo "$hook end $$ $status" >>"$top/journal"
exit $status
"""

PROBE = """
import os
opened = {}
for number in sorted(map(int, os.listdir("/proc/self/fd"))):
    try:
        opened[number] = os.readlink(f"/proc/self/fd/{number}")
    except OSError:  # the one by which the list was read
        continue
said = " ".join(f"{number}={what}" for number, what in opened.items())
print(f"session {os.getsid(0) == os.getppid()} opened {said}", flush=True)
"""


def eventually(condition: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


class Status(NamedTuple):
    """A line of /proc/PID/stat, as far as it matters here."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    terminal: int


def status(pid: int) -> Optional[Status]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return Status(pid, fields[0], *(int(field) for field in fields[1:5]))


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only its zombie."""
    found = status(pid)
    return found is not None and found.state not in "ZX"


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def children_of(pid: int) -> list[Status]:
    """All children, zombies too."""
    found = [status(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    return [each for each in found if each is not None and each.parent == pid]


def descriptors_of(pid: int) -> dict[int, str]:
    """What a process has open."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(path.name)] = os.readlink(path)
    return found


def proc_status(pid: int, key: str) -> str:
    """One line of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(key + ":"))


def free_port() -> int:
    """A UDP port that nobody uses on loopback.  Each worker of a test run has ports of its own: a daemon that
    is just being started again doesn't hold its port, and no other daemon may take it then.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    while True:
        port = random.randrange(30000 + worker % 100, 60000, 100)  # below are the demo's
        with contextlib.ExitStack() as stack:
            try:
                for address in ("127.0.0.1", BROADCAST):
                    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    probe.bind((address, port))
            except OSError:
                continue
            return port


class Beat(NamedTuple):
    """A heartbeat and when the kernel got it (wall clock, seconds)."""

    time: float
    state: State


class Listener:
    """Hears the heartbeats of one node by itself, with the kernel's time of arrival."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((BROADCAST, port))
        self._socket.settimeout(0.05)
        self.beats: list[Beat] = []
        self._over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(2048, 64)
            except socket.timeout:  # an OSError of its own until Python 3.10
                continue
            except OSError:
                return
            with contextlib.suppress(freeha.Rejected):
                heartbeat = freeha.decode(data)
                if heartbeat.name == self._name:
                    seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
                    self.beats.append(Beat(seconds + nanoseconds / 1e9, heartbeat.state))

    def states(self) -> list[State]:
        """The states that were announced, repetitions left out."""
        seen: list[State] = []
        for beat in list(self.beats):
            if not seen or seen[-1] is not beat.state:
                seen.append(beat.state)
        return seen

    def gaps(self, since: float = 0.0) -> list[float]:
        """Seconds between one heartbeat and the next, those after ``since``."""
        times = [beat.time for beat in list(self.beats)]
        return [later - earlier for earlier, later in zip(times, times[1:]) if later > since]

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._socket.close()


class FakePeer:
    """Another node that says what it is told to, in old format."""

    def __init__(self, daemon: Daemon, name: str, state: State, interval: float = 0.1) -> None:
        self.state: Optional[State] = state
        self._name = name
        self._interval = interval
        self._to = (BROADCAST, daemon.port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.bind((f"127.{random.randrange(1, 250)}.{random.randrange(250)}.9", 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self) -> None:
        while not self._over.wait(self._interval):
            if self.state is not None:
                self._socket.sendto(freeha.encode(self._name, self.state), self._to)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


class Daemon:
    """A daemon's directories, and the daemon in them."""

    def __init__(self, top: Path, **settings: str) -> None:
        top.mkdir(parents=True, exist_ok=True)
        self.top = top
        self.name = "alpha"
        self.mark = f"DAEMON_TEST={uuid.uuid4().hex}"
        self.address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"
        self.port = free_port()
        self.hooks = top / "hasrv"
        self.log_path = top / "log"
        self.pid_path = top / "pid"
        self.state_path = top / "run" / "state"
        self.status_path = top / "run" / "status"
        self.journal_path = top / "journal"
        self.config = top / "had.conf"
        self.process: Optional[subprocess.Popen[bytes]] = None
        self._closing: list[Callable[[], None]] = []
        self.variables: dict[str, str] = {}
        """What is added to the environment of the starting command."""
        self.prelude = ""
        """Python that the daemon runs before anything else: to make a rare moment certain."""
        self.hooks.mkdir(mode=0o755, exist_ok=True)
        for hook in HOOKS:
            self.script(hook, HOOK.replace("@TOP@", str(top)))
        self.journal_path.touch()
        self.configure(**settings)

    # --- making

    def script(self, hook: str, text: str, mode: int = 0o755) -> Path:
        path = self.hooks / hook
        path.write_text(text)
        path.chmod(mode)
        return path

    def configure(self, **changed: str) -> None:
        """Write had.conf; a name with ``__`` stands in a section."""
        settings = {
            "node": self.name,
            "nodes": "1",
            "heartbeat": "100ms",
            "dead": "1s",
            "startup": changed.get("dead", "1s"),
            "hooks__directory": str(self.hooks),
            "hooks__monitor_interval": "1h",
            "places__run": str(self.top / "run"),
            "places__record": str(self.top / "record"),
            "places__pid": str(self.pid_path),
            "places__log": str(self.log_path),
            **changed,
        }
        lines = [f"{key} = {value}" for key, value in settings.items() if "__" not in key]
        for section in ("hooks", "places", "process"):
            lines.append(f"[{section}]")
            pairs = [(key.partition("__"), value) for key, value in settings.items()]
            lines += [f"{key[2]} = {value}" for key, value in pairs if key[0] == section and key[1]]
        lines += ["[links]", "[[lo]]", "kind = broadcast", f"address = {self.address}"]
        lines += [f"broadcast = {BROADCAST}", f"port = {self.port}"]
        self.config.write_text("\n".join(lines) + "\n")

    def environment(self) -> dict[str, str]:
        key, _, value = self.mark.partition("=")
        return {**os.environ, key: value, **self.variables}

    def words(self, *flags: str) -> list[str]:
        """The command line."""
        given = [*flags] if "-F" in flags else ["-F", str(self.config), *flags]
        if self.prelude:
            program = f"{self.prelude}\nimport sys\nfrom had.cli.had import main\nsys.exit(main())"
            return [sys.executable, "-c", program, *given]
        return [HAD, *given]

    def start(self, *flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the starting command to its end.  Its output goes through pipes: what keeps one of them open
        after it has ended fails the test.
        """
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "cwd": "/", **options}
        options.setdefault("env", self.environment())
        # stdin stays open over exec only where it should; the rest is Popen's business
        return subprocess.run(self.words(*flags), text=True, timeout=PATIENCE_S, check=False, **options)

    def up(self, *flags: str) -> int:
        """Start and expect that it works; returns the guard's number."""
        done = self.start(*flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{done} {self.log}"
        return self.guard

    def run_foreground(self, *flags: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start with -f, the log going to the log file."""
        with self.log_path.open("ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": "/", **options}
            self.process = subprocess.Popen(self.words("-f", *flags), env=self.environment(), **options)
        return self.process

    def peer(self, name: str, state: State) -> FakePeer:
        peer = FakePeer(self, name, state)
        self._closing.append(peer.close)
        return peer

    def listen(self) -> Listener:
        listener = Listener(self.port, self.name)
        self._closing.append(listener.close)
        return listener

    # --- looking

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text: str, count: int = 1, timeout: float = PATIENCE_S) -> None:
        eventually(lambda: self.log.count(text) >= count, f"{text!r} in the log:\n{self.log}", timeout)

    def pid_text(self) -> str:
        try:
            return self.pid_path.read_text()
        except OSError:
            return ""

    @property
    def guard(self) -> int:
        """The process that the pid file names."""
        return int(eventually(self.pid_text, f"a pid file; {self.log}"))

    def find_worker(self, but: int = 0) -> int:
        """The guard's child that has a loop, or 0: not a hook, and not the writer of a record that a dead
        worker has left.
        """
        guard = status(self.guard)
        if guard is None:
            return 0
        for each in children_of(guard.pid):
            if each.pid != but and each.state != "Z" and each.session == guard.session:
                with contextlib.suppress(OSError):
                    if "anon_inode:[eventpoll]" in descriptors_of(each.pid).values():
                        return each.pid
        return 0

    def worker(self, but: int = 0) -> int:
        return int(eventually(lambda: self.find_worker(but), f"a worker; {self.log}"))

    def state(self) -> str:
        """Our own state, by the state file."""
        with contextlib.suppress(OSError):
            found = re.search(rf"^{self.name} \[(\w+)\]", self.state_path.read_text(), re.MULTILINE)
            return found[1] if found else ""
        return ""

    def wait_state(self, *states: str) -> None:
        eventually(lambda: self.state() in states, f"{states}; {self.state()}\n{self.log}")

    def shown(self) -> dict[str, str]:
        """What the status file says; empty if there is none."""
        try:
            lines = self.status_path.read_text("utf-8").splitlines()
        except OSError:
            return {}
        return dict(line.split("=", 1) for line in lines)

    def wait_shown(self, **values: str) -> dict[str, str]:
        """Wait until the status file says all this; returns all that it says."""

        def says_it() -> dict[str, str]:
            shown = self.shown()
            return shown if values.items() <= shown.items() else {}

        found = eventually(says_it, f"{values} in {self.shown()}\n{self.log}")
        return dict(found)

    def running(self, *flags: str) -> int:
        """Start, and wait until the services run; returns the guard's number."""
        guard = self.up(*flags)
        self.wait_state("Running")
        return guard

    def journal(self, *hooks: str, word: str = "begin") -> list[str]:
        """The calls so far, in order; alerts with the state's number."""
        made = []
        for line in self.journal_path.read_text().splitlines():
            hook, what, _, *rest = line.split()
            if what == word and (not hooks or hook in hooks):
                made.append(f"{hook} {rest[0]}" if hook == "alerthasrv" and word == "begin" else hook)
        return made

    def settle(self, alerts: int = 4) -> None:
        """Wait until so many alerts have been called in all, and every hook that has begun has ended (but for
        the monitor, which may be ended before it can write that down).
        """
        hooks = ("starthasrv", "stophasrv", "alerthasrv")

        def settled() -> bool:
            begun, ended = self.journal(*hooks), self.journal(*hooks, word="end")
            return len(self.alerts()) >= alerts and len(begun) == len(ended)

        eventually(settled, f"hooks come to rest: {self.journal()}\n{self.log}")

    def moves(self) -> list[str]:
        return self.journal("starthasrv", "stophasrv")

    def alerts(self) -> list[str]:
        return [call.partition(" ")[2] for call in self.journal("alerthasrv")]

    def control(self, name: str, text: str = "") -> Path:
        """Make a file that steers the hooks: HOOK.hang, HOOK.fail, HOOK.do (shell commands)."""
        path = self.top / name
        temporary = self.top / "new"
        temporary.write_text(text)
        temporary.rename(path)
        return path

    def probe(self) -> str:
        """Return the shell command for a hook that makes it tell what it was given."""
        path = self.top / "probe.py"
        path.write_text(PROBE)
        return f"{sys.executable} {path}\n"

    def wait_call(self, hook: str, count: int = 1, word: str = "begin") -> None:
        eventually(
            lambda: len(self.journal(hook, word=word)) >= count, f"{hook} {word} ({count})\n{self.log}"
        )

    def processes(self) -> list[int]:
        """All living processes that this daemon has ever started."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return [pid for pid in found if is_alive(pid)]

    def wait_gone(self) -> None:
        """Wait until no process is left."""
        eventually(lambda: not self.processes(), f"no process is left: {self.processes()}\n{self.log}")

    # --- doing

    def send(self, number: int) -> None:
        """Signal the process that the pid file names."""
        os.kill(self.guard, number)

    def kill_worker(self) -> int:
        """kill -9, and wait for the next one; returns its number."""
        old = self.worker()
        kill(old)
        return self.worker(but=old)

    def wait_end(self, guard: int) -> None:
        eventually(lambda: not is_alive(guard), f"the daemon ends\n{self.log}")

    def terminate(self) -> None:
        """SIGTERM to the pid of the file, and wait for the end of everything."""
        guard = self.guard
        kill(guard, signal.SIGTERM)
        self.wait_end(guard)
        eventually(lambda: not self.pid_path.exists(), "the pid file is gone")

    def exit_code(self) -> int:
        """By the log: nobody but init hears it."""
        found = eventually(
            lambda: re.findall(r"had ends with exit code (\d+)", self.log), f"an end\n{self.log}"
        )
        return int(found[-1])

    def close(self) -> None:
        for close in self._closing:
            close()
        for path in self.top.glob("*.hang"):
            path.unlink()
        for _ in range(50):
            found = self.processes()
            for pid in found:
                kill(pid, signal.SIGSTOP)  # or they would replace each other
            for pid in found:
                kill(pid)
            if not found:
                break
            time.sleep(0.02)
        if self.process is not None:
            self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def daemons(top: Path) -> Iterator[Callable[..., Daemon]]:
    """Give out daemons by ``make(**settings)``; in the end there are none."""
    made: list[Daemon] = []

    def make(**settings: str) -> Daemon:
        made.append(Daemon(top / f"d{len(made)}", **settings))
        return made[-1]

    try:
        yield make
    finally:
        for daemon in made:
            daemon.close()


CRASH_ONCE = """
def crash_once(owner, name, *, after=True, times=1, marker):
    "Let the worker be killed right before or after its first calls of owner.name."
    import functools, os, signal
    original = getattr(owner, name)

    @functools.wraps(original)
    def crashing(*args, **kwargs):
        done = [number for number in range(times) if os.path.exists(f"{marker}.{number}")]
        if len(done) == times:
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        open(f"{marker}.{len(done)}", "x").close()
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, crashing)

import had.runtime.guard
had.runtime.guard.DEATHS = 10000  # many deaths are what is wanted here, not rule G3
"""
"""A prelude: what follows it may call ``crash_once``."""
