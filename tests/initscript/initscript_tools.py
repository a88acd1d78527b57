"""Machines with the initscript on them: nodes of the lab, and init functions of one of three families."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lab.cluster import HAD, Node
from lab.namespaces import alive, status
from lab.waiting import GENEROUS, eventually
from lab.wire import PORT

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "init.d" / "had"
ALT_FUNCTIONS = Path(__file__).with_name("alt-functions") / "functions"
LSB_FUNCTIONS = "/lib/lsb/init-functions"
FAMILIES = ("alt", "debian", "plain")
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
BUSYBOX_TOOLS = ("cat", "date", "id", "readlink", "rm", "sleep", "touch", "uname")
DONE = {"alt": "[ DONE ]\n", "debian": "had.\n", "plain": "done\n"}
FAILED = {"alt": "[FAILED]\n", "debian": " failed!\n", "plain": "failed\n"}
PASSED = {"alt": "[PASSED]\n", "debian": ").\n", "plain": "\n"}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run of the script came to."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        return self.out + self.err

    def __repr__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.1f} s\n--- out\n{self.out}--- err\n{self.err}"


class Run:
    """A run of the script that is under way."""

    def __init__(self, machine: Machine, words: list[str], directory: Path) -> None:
        directory.mkdir()
        self._files: list[IO[str]] = [(directory / name).open("w+") for name in ("out", "err")]
        self._began = time.monotonic()
        self.process = machine.node.namespace.popen(
            words, stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1], cwd="/"
        )

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return Path(self._files[0].name).read_text()

    def wait(self, timeout: float = GENEROUS) -> Result:
        try:
            code = self.process.wait(timeout)
        finally:
            self.process.kill()
            self.process.wait()
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Result(code, texts[0], texts[1], time.monotonic() - self._began)

    def close(self) -> None:
        """For one that nobody waits for."""
        self.process.kill()
        self.process.wait()
        for file in self._files:
            file.close()


class Machine:
    """A node of the lab with `init.d/had`, run by one shell beside the functions of one family."""

    def __init__(self, node: Node, family: str = "debian", shell: str = "dash", flags: str = "") -> None:
        self.node = node
        self.family = family
        self.shell = [*SHELLS[shell], *flags.split()]
        self.etc = node.etc
        self.run_directory = node.run_directory
        self._runs = 0
        self.settings_path = self.etc / ("sysconfig" if family == "alt" else "default") / "had"
        for name in ("init.d", "rc.d", "sysconfig", "default", *(f"rc{level}.d" for level in "0123456S")):
            (self.etc / name).unlink(missing_ok=True)  # that of the host
        (self.etc / "init.d").mkdir()
        self.settings_path.parent.mkdir()
        shutil.copy(SCRIPT, self.etc / "init.d" / "had")
        if family == "alt":
            (self.etc / "rc.d").mkdir()
            (self.etc / "init.d").rename(self.etc / "rc.d" / "init.d")
            (self.etc / "init.d").symlink_to("rc.d/init.d")
            shutil.copy(ALT_FUNCTIONS, self.etc / "init.d" / "functions")
            (self.run_directory / "lock" / "subsys").mkdir(parents=True)  # /var/lock is a link to /run/lock
        if family != "debian" and os.path.exists(LSB_FUNCTIONS):
            empty = node.directory / "empty"
            empty.touch()
            node.namespace.run("mount", "--bind", str(empty), LSB_FUNCTIONS)
        if shell == "busybox":
            busybox = str(shutil.which("busybox"))
            for tool in BUSYBOX_TOOLS:
                node.namespace.run("mount", "--bind", busybox, str(shutil.which(tool)))
        self.configure()
        self.set()

    def configure(self, **settings: object) -> None:
        """Write had.conf; the log goes to a file."""
        self.node.configure(**{"places__log": "/run/had.log", **settings})

    def set(self, **settings: object) -> None:
        """Write the script's settings file."""
        values = {"DAEMON": HAD, **settings}
        text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())
        self.settings_path.write_text(text)

    # --- running it

    def begin(self, verb: str, script: str = "/etc/init.d/had", before: tuple[str, ...] = ()) -> Run:
        self._runs += 1
        words = [*before, *self.shell, script, *verb.split()]
        return Run(self, words, self.node.directory / f"run{self._runs}")

    def __call__(self, verb: str, script: str = "/etc/init.d/had", timeout: float = GENEROUS) -> Result:
        return self.begin(verb, script).wait(timeout)

    def good(self, verb: str) -> Result:
        result = self(verb)
        assert result.code == 0, result
        return result

    def start(self) -> None:
        """Start, and wait until the services run."""
        self.good("start")
        self.wait_told("RUNNING")
        self.node.wait("Running")

    # --- looking

    @property
    def pid_path(self) -> Path:
        return self.run_directory / "had.pid"

    @property
    def lock_path(self) -> Path:
        return self.run_directory / "lock" / "subsys" / "had"

    @property
    def log(self) -> str:
        path = self.run_directory / "had.log"
        return path.read_text() if path.exists() else ""

    def told(self) -> dict[str, str]:
        """The status file."""
        path = self.run_directory / "had" / "status"
        try:
            return dict(line.split("=", 1) for line in path.read_text().splitlines())
        except FileNotFoundError:
            return {}

    def wait_told(self, state: str, reason: str = "") -> None:
        def is_so() -> bool:
            told = self.told()
            return told.get("state") == state and reason in told.get("reason", "")

        eventually(is_so, f"{self.node.name} is {state}: {reason}")

    def daemons(self) -> list[int]:
        """The daemons here, by their first processes (each has a worker, and forks others now and then)."""
        return [
            pid
            for pid in self.node.namespace.pids()
            if alive(pid) and _name(pid) == "had" and _name(int(status(pid)[1])) != "had"
        ]

    def slow_stop(self, seconds: float) -> None:
        """Make stophasrv take so long."""
        hook = self.etc / "had" / "hasrv" / "stophasrv"
        quick = self.node.directory / "quick" / "stophasrv"
        quick.parent.mkdir()
        shutil.copy(hook, quick)
        hook.write_text(f"#!/bin/sh\nsleep {seconds}\nexec {quick}\n")

    def other_daemon(self) -> list[str]:
        """Flags of a daemon of the instance `web`, with a port and hooks of its own."""
        hooks = self.etc / "had" / "web"
        hooks.mkdir()
        for name in ("starthasrv", "stophasrv", "monitorhasrv"):
            (hooks / name).write_text("#!/bin/sh\n")
            (hooks / name).chmod(0o755)
        return ["-I", "web", "-p", str(PORT + 1), "-s", "/etc/had/web"]

    def background(self, *words: str) -> subprocess.Popen[bytes]:
        return self.node.namespace.popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


MakeMachines = Callable[..., "list[Machine]"]


@dataclasses.dataclass(frozen=True)
class Minute:
    """A stop that takes a minute, under way."""

    machine: Machine
    pid: int
    run: Run


def why_not(family: str, shell: str) -> str:
    """What is missing on this machine for this family and shell; empty if nothing is."""
    for program in SHELLS[shell][:1] + (["start-stop-daemon"] if family == "alt" else []):
        if shutil.which(program) is None:
            return f"needs {program}"
    if family == "debian" and not Path(LSB_FUNCTIONS).exists():
        return f"needs {LSB_FUNCTIONS}"
    return ""
