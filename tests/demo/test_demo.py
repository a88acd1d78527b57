"""The demo, run for real: what it shows, its exit codes, and that nothing of it is left, however it ends."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENEROUS = 150.0
ACTS = (
    r"three nodes start +- > n1 +",
    r"n1 crashes +n1 > n2 +",
    r"n1 comes back +n2 +",
    r"SIGHUP: n2 hands over +n2 > n1 +",
    r"SIGUSR1: n3 takes over +n1 > n3 +",
    r"worker of n3 is killed +n3 +",
)
NUMBERS = r"(?P<outage>\d+) +(?P<lost>\d+) +(?P<bound>\d+)  [a-z+]+ +ok"


class Demo:
    """A run of ``python -m demo``; all its processes bear a mark in their environment."""

    def __init__(self, place: Path, *flags: str, user: str = "", out: IO[bytes] | None = None) -> None:
        self.mark = f"mark-{uuid.uuid4()}"
        self.temporary = place / "tmp"
        self.temporary.mkdir()
        root, python, more = ROOT, sys.executable, {}
        who: dict[str, object] = {}
        if user:
            entry = pwd.getpwnam(user)
            who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.temporary, entry.pw_uid, entry.pw_gid)
            python = interpreter_for(who)
            root = readable_copy(place)
            more = {"PYTHONPATH": str(root / "site"), "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
        self.out = place / "out"
        with self.out.open("wb") as file:
            self.process = subprocess.Popen(
                [python, "-W", "error", "-m", "demo", *flags],
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=out or file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **more, "TMPDIR": str(self.temporary), "DEMO_TEST": self.mark},
                **who,  # type: ignore[call-overload]
            )

    @property
    def text(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def press(self, key: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(key.encode())
        self.process.stdin.flush()

    def wait(self) -> int:
        return self.process.wait(GENEROUS)

    def wait_text(self, pattern: str) -> None:
        self.wait_for(lambda: re.search(pattern, self.text), f"the demo shows {pattern!r}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + GENEROUS
        while not condition():
            assert self.process.poll() is None, f"the demo has ended before {what}:\n{self.text}"
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.text}"
            time.sleep(0.02)

    def processes(self) -> dict[int, str]:
        """All living processes of this run, with their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def assert_nothing_left(self) -> None:
        assert self.processes() == {}
        assert list(self.temporary.iterdir()) == []

    def close(self) -> None:
        """Let a run that failed leave nothing either."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GENEROUS)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def interpreter_for(who: dict[str, object]) -> str:
    """A Python, 3.9 or newer, that this user may run; the one of the tests may be in somebody's home."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        check = "import sys; sys.exit(sys.version_info < (3, 9))"
        with contextlib.suppress(OSError):
            words = [python, "-c", check]
            if subprocess.run(words, cwd="/", check=False, stderr=subprocess.DEVNULL, **who).returncode == 0:  # type: ignore[call-overload]
                return python
    pytest.skip("no Python that nobody may run")


def readable_copy(place: Path) -> Path:
    """Copy the demo, the daemon and what it needs to where everybody may read it."""
    copy = place / "copy"
    site = copy / "site"
    site.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("had", "demo"):
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    for name in ("configobj", "validate", "daemon", "lockfile"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            if origin.name == "__init__.py":
                shutil.copytree(origin.parent, site / name, ignore=unwanted)
            else:
                shutil.copy(origin, site)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    return copy


Start = Callable[..., Demo]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start demos; each gets a directory that every user may get at."""
    with contextlib.ExitStack() as stack:

        def begin(*flags: str, user: str = "", out: IO[bytes] | None = None) -> Demo:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="test-demo-")))
            place.chmod(0o755)
            demo = Demo(place, *flags, user=user, out=out)
            stack.callback(demo.close)
            return demo

        yield begin


def check_whole_run(demo: Demo) -> None:
    assert demo.wait() == 0, demo.text
    for act in ACTS:
        match = re.search(f"^{act}{NUMBERS}$", demo.text, re.MULTILINE)
        assert match, f"{act!r} not in\n{demo.text}"
        assert 0 <= int(match["outage"]) <= int(match["bound"])
    # Outages that can't be shorter, and acts that may not cost a single request.
    crash = re.search(f"^{ACTS[1]}{NUMBERS}$", demo.text, re.MULTILINE)
    assert crash is not None
    assert int(crash["outage"]) > 800
    assert int(crash["lost"]) > 10
    for act in (ACTS[2], ACTS[5]):
        still = re.search(f"^{act}{NUMBERS}$", demo.text, re.MULTILINE)
        assert still is not None
        assert int(still["lost"]) == 0
    assert "Starts of the service: 4; two were never up at once." in demo.text
    assert "\x1b" not in demo.text
    assert max(map(len, demo.text.splitlines())) < 80
    demo.assert_nothing_left()


def test_two_demos_at_once_each_end_well_and_leave_nothing(start: Start) -> None:
    """As the user that we are and, if that is root, as nobody too."""
    demos = [start(), start(user="nobody" if os.geteuid() == 0 else "")]
    for demo in demos:
        check_whole_run(demo)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("span", [(0.3, 1.5), (1.5, 4.0), (4.0, 9.0)], ids=str)
def test_a_signal_at_any_moment_leaves_nothing(
    start: Start, number: signal.Signals, span: tuple[float, float]
) -> None:
    demo = start()
    # The signal is for the demo; before it can handle one there is nothing to leave.
    demo.wait_text("=== three nodes start")
    moment = random.uniform(*span)
    time.sleep(moment)
    demo.process.send_signal(number)
    assert demo.wait() == 128 + number, f"signalled after {moment:.3f} s:\n{demo.text}"
    assert "Traceback" not in demo.text
    demo.assert_nothing_left()


def test_a_failure_half_way_leaves_nothing(start: Start) -> None:
    demo = start()
    demo.wait_text("=== n1 crashes")
    client = [pid for pid, words in demo.processes().items() if "client.py" in words]
    os.kill(client[0], signal.SIGKILL)
    assert demo.wait() == 1
    assert "demo: the client has ended" in demo.text
    assert re.search(r"three nodes start .* ok\n", demo.text)
    demo.assert_nothing_left()


def test_nobody_who_reads_any_more_leaves_nothing(start: Start) -> None:
    """As by ``python -m demo | head -3``."""
    reading, writing = os.pipe()
    with open(writing, "wb") as out:
        demo = start(out=out)
    with open(reading, "rb") as shown:
        shown.readline()
    assert demo.wait() == 1
    demo.assert_nothing_left()


def test_a_service_that_is_lost_is_no_success(start: Start) -> None:
    """What the demo promises is measured: without the service on the last node, it fails."""
    demo = start()
    demo.wait_text("=== n1 comes back")
    service = [pid for pid, words in demo.processes().items() if "service.py" in words]
    os.kill(service[0], signal.SIGKILL)
    assert demo.wait() == 1
    assert re.search(r"^n1 comes back .* NO$", demo.text, re.MULTILINE)
    demo.assert_nothing_left()


def test_keys_do_what_they_say(start: Start) -> None:
    demo = start("--interactive")
    demo.wait_text("--- - > n1: .* ok")
    for key, shown in (
        ("c", r"--- n1 > n2: .* ok"),
        ("b", r"=== n1 comes back\n(.*\n)*.*--- n2: .* ok"),
        ("h", r"--- n2 > n1: .* ok"),
        ("u", r"takes over\n(.*\n)*.*--- n1 > n2: .* ok"),
        ("w", r"worker .* is killed\n(.*\n)*.*--- n2: .* ok"),
    ):
        demo.press(key)
        demo.wait_text(shown)
    demo.press("q")
    assert demo.wait() == 0, demo.text
    demo.assert_nothing_left()


def test_keep_leaves_the_directory_but_no_process(start: Start) -> None:
    demo = start("--interactive", "--keep")
    demo.wait_text("--- - > n1: .* ok")
    demo.press("q")
    assert demo.wait() == 0, demo.text
    assert demo.processes() == {}
    kept = re.search(r"^kept: (.*)$", demo.text, re.MULTILINE)
    assert kept is not None
    directory = Path(kept[1])
    assert directory.stat().st_mode & 0o777 == 0o700
    assert "services run here" in (directory / "n1.log").read_text()


def test_help_names_every_flag(start: Start) -> None:
    demo = start("--help")
    assert demo.wait() == 0
    for flag in ("--interactive", "--keep"):
        assert flag in demo.text
    demo.assert_nothing_left()
