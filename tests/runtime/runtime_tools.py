"""What the tests of hooks and files share: real hooks in a real directory, and a loop that waits."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import time
from pathlib import Path
from typing import Any, Callable, Optional

from had.config.settings import DaemonSettings
from had.core.actions import Hook, Level, Reason, RunHook
from had.core.events import HookOver
from had.core.settings import Settings
from had.core.states import State
from had.runtime.hooks import HookRunner
from had.runtime.output import OutputPipes, OutputReader

SECOND = 1_000_000_000
PATIENCE_S = 30
"""A deadline for what ought to take milliseconds, on a machine where others work too."""

now = time.monotonic_ns


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        select.select([], [], [], 0.005)
    raise AssertionError(f"waited in vain: {what or condition}")


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


class Rig:
    """A runner with its directories and output, driven by hand."""

    def __init__(self, top: Path, grace_ns: int = SECOND // 2) -> None:
        self.top = top
        self.hooks = top / "hasrv"
        self.hooks.mkdir(mode=0o755, exist_ok=True)
        self.run_directory = top / "run"
        self.settings = DaemonSettings(
            core=Settings(node="alpha", group="services"),
            links=(),
            cluster="test",
            instance="web",
            hooks_directory=str(self.hooks),
            run_directory=str(self.run_directory),
        )
        self.told: list[tuple[Level, str]] = []
        self.lines: list[tuple[Hook, str]] = []
        self.overs: list[HookOver] = []
        self.grace_ns = grace_ns
        self.pipes = OutputPipes()
        self.reader = OutputReader(self.pipes, lambda hook, line: self.lines.append((hook, line)), now)
        self.runner = self.new_runner()

    def say(self, level: Level, text: str) -> None:
        self.told.append((level, text))

    def new_runner(self) -> HookRunner:
        return HookRunner(self.settings, self.pipes, self.say, grace_ns=self.grace_ns)

    def close(self) -> None:
        self.runner.close()
        self.pipes.close()

    def script(self, hook: Hook, body: str, mode: int = 0o755, shebang: str = "#!/bin/sh\n") -> Path:
        path = self.hooks / hook.value
        path.write_text(shebang + body)
        path.chmod(mode)
        return path

    def action(self, run: int = 1, hook: Hook = Hook.START, timeout_s: float = 60, **other: Any) -> RunHook:
        return RunHook(
            run=run,
            hook=hook,
            timeout_ns=int(timeout_s * SECOND),
            state=other.get("state", State.STARTING),
            previous=other.get("previous", State.STANDBY),
            reason=other.get("reason", Reason("first", "first in order")),
        )

    def start(self, run: int = 1, hook: Hook = Hook.START, timeout_s: float = 60, **other: Any) -> None:
        look_first = other.pop("look_first", False)
        self.runner.start(self.action(run, hook, timeout_s, **other), now(), look_first=look_first)

    def turn(self) -> None:
        for over in self.runner.poll(now()):
            self.overs.append(over)
        for hook in Hook:
            self.reader._readable(self.reader._streams[hook])
        self.reader.tick(now())

    def over(self, run: int = 1) -> HookOver:
        """Wait for a run's end, and forget it as the daemon does."""

        def ended() -> Optional[HookOver]:
            self.turn()
            return next((over for over in self.overs if over.run == run), None)

        found: HookOver = wait_for(ended, f"run {run} is over; {self.told} {self.lines}")
        self.runner.forget(run)
        for hook in Hook:
            self.reader.finish(hook, now())
        return found

    def output(self, hook: Hook = Hook.START) -> list[str]:
        return [line for kind, line in self.lines if kind is hook]

    def wait_line(self, text: str) -> str:
        def there() -> Optional[str]:
            self.turn()
            return next((line for _, line in self.lines if text in line), None)

        line: str = wait_for(there, f"output {text!r}; {self.lines}")
        return line

    def pid_from(self, name: str) -> int:
        """Wait until a hook has written a process number into a file of the test's directory."""
        path = self.top / name
        text = wait_for(lambda: path.exists() and path.read_text().strip(), f"{path}")
        return int(text)


def be_subreaper(on: bool) -> None:
    """As the guard is: what a dead worker leaves becomes our child."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1 if on else 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Worker:
    """A forked process that runs a function, says things to us, and can be killed."""

    def __init__(self, body: Callable[[Callable[[Any], None]], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(reading)
                with os.fdopen(writing, "wb", buffering=0) as file:
                    body(lambda thing: pickle.dump(thing, file))
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        self._file = os.fdopen(reading, "rb", buffering=0)

    def heard(self) -> Any:
        ready, _, _ = select.select([self._file], [], [], PATIENCE_S)
        assert ready, "the worker says nothing"
        return pickle.load(self._file)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        status = os.waitpid(self.pid, 0)[1]
        self._file.close()
        return status


def reap(pid: int) -> int:
    """Wait, as the guard, for an orphan that became our child; returns its status."""

    def reaped() -> Optional[tuple[int, int]]:
        try:
            found = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # not ours yet
            return None
        return found if found[0] else None

    result: tuple[int, int] = wait_for(reaped, f"process {pid} becomes ours and ends")
    return result[1]


def reap_all() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
