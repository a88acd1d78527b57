"""The starting command: what it returns when, what it leaves behind, and what the daemon inherits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_tools import (
    HOOKS,
    PATIENCE_S,
    Daemon,
    daemons,
    descriptors_of,
    eventually,
    is_alive,
    proc_status,
    status,
)

Make = Callable[..., Daemon]
WAITING = "Waiting for quorum of nodes to come online\n"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def refused(daemon: Daemon, done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line, exit 1, no traceback, nothing left behind."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("had: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stderr + daemon.log
    assert "bug" not in done.stderr + daemon.log
    assert not daemon.pid_path.exists()
    daemon.wait_gone()
    assert daemon.journal() == []


# --- up


def test_the_command_returns_when_the_daemon_is_up(make: Make) -> None:
    daemon = make(nodes="2")
    listener = daemon.listen()
    done = daemon.start()
    # Looked at once, without waiting: all of it was there before the command returned.
    pid, text = daemon.pid_text(), daemon.state_path.read_text()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pid == f"{daemon.guard}\n"
    assert is_alive(daemon.guard)
    assert text == WAITING
    assert proc_status(daemon.guard, "Name") == proc_status(daemon.worker(), "Name") == "had"
    for path in (daemon.pid_path, daemon.state_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    eventually(lambda: listener.beats, "a heartbeat")
    assert listener.beats[0].time < time.time()


def test_the_daemon_is_detached(make: Make) -> None:
    daemon = make()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limits = (min(12345, hard) if hard != resource.RLIM_INFINITY else 12345, hard)
    secret = os.open("/", os.O_RDONLY)

    def before() -> None:
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_CORE, limits)

    done = daemon.start(pass_fds=[secret], preexec_fn=before, cwd=str(daemon.top), stdin=subprocess.PIPE)
    inherited = os.readlink(f"/proc/self/fd/{secret}")
    os.close(secret)
    assert done.returncode == 0
    for pid in (daemon.guard, daemon.worker()):
        found = status(pid)
        assert found is not None
        assert found.session == found.group
        assert found.session != os.getsid(0)
        assert found.session != daemon.guard, "a session leader can get a terminal again"
        assert found.terminal == 0
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert int(proc_status(pid, "Umask"), 8) == 0o022
        core = next(
            line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line
        )
        assert core.split()[4] == str(limits[0])
        opened = descriptors_of(pid)
        assert [opened[number] for number in (0, 1, 2)] == [os.devnull] * 3
        assert inherited not in opened.values()
    assert len(descriptors_of(daemon.guard)) <= 18
    assert stat.S_IMODE(daemon.pid_path.stat().st_mode) == 0o644


def test_a_pipe_behind_the_command_ends(make: Make) -> None:
    # had | cat must return: nothing may keep the pipe open
    daemon = make()
    begun = subprocess.run(
        ["/bin/sh", "-c", '"$@" 2>&1 | cat', "sh", *daemon.words()],
        env=daemon.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (begun.returncode, begun.stdout, begun.stderr) == (0, b"", b"")
    daemon.wait_state("Running")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("foreground", [False, True])
def test_closed_standard_descriptors_do_no_harm(
    make: Make, closed: tuple[int, ...], foreground: bool
) -> None:
    # as cron, a careless initscript or an ssh -n may do it: >&- <&-
    daemon = make()
    redirections = " ".join(f"{number}>&-" for number in closed)
    words = [*daemon.words(), *(["-f"] if foreground else [])]
    daemon.control("starthasrv.do", daemon.probe() + "echo to stderr >&2\n")
    with (daemon.log_path if foreground else daemon.top / "said").open("wb") as said:
        daemon.process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *words],
            env=daemon.environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    if not foreground:
        assert daemon.process.wait(PATIENCE_S) == 0, daemon.log
    daemon.wait_state("Running")
    for pid in (daemon.guard, daemon.worker()):
        assert {0, 1, 2} <= set(descriptors_of(pid))
        assert [descriptors_of(pid)[number] for number in closed] == [os.devnull] * len(closed)
    if not (foreground and 2 in closed):  # else there is no log
        daemon.wait_log("starthasrv: to stderr")
        assert re.search(r"opened 0=/dev/null 1=pipe:\S+ 2=pipe:\S+$", daemon.log, re.MULTILINE), daemon.log
    # the lock holds
    again = daemon.start()
    assert again.returncode == 1
    assert "runs already" in again.stderr
    daemon.terminate()


def test_a_closed_standard_error_does_not_hide_a_failure(make: Make) -> None:
    daemon = make()
    (daemon.hooks / "stophasrv").unlink()
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *daemon.words()],
        env=daemon.environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_signals_that_the_starter_ignored_or_blocked_are_heard(make: Make) -> None:
    # nohup, a trap '' in a script, a parent that blocks signals
    daemon = make()
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)

    def before() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    daemon.control("starthasrv.do", f"grep Sig /proc/self/status >{daemon.top}/hook-status\n")
    assert daemon.start(preexec_fn=before).returncode == 0
    daemon.wait_state("Running")
    text = (daemon.top / "hook-status").read_text()
    for key in ("SigIgn", "SigBlk"):
        # The C library's own signals 32 and 33 are as whoever started us left them.
        assert re.search(rf"{key}:\s+0{{7}}[01][08]0{{7}}$", text, re.MULTILINE), text
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    daemon.send(signal.SIGUSR1)
    daemon.wait_state("Running")
    daemon.terminate()
    assert daemon.exit_code() == 0


def test_hooks_get_a_clean_environment(make: Make) -> None:
    daemon = make()
    # a program of its own: the shell has descriptors and signal handlers that are no business of ours
    daemon.control(
        "starthasrv.do",
        f"grep Sig /proc/self/status >{daemon.top}/signals\n"
        f"env >{daemon.top}/environment\npwd >{daemon.top}/directory\numask >{daemon.top}/umask\n"
        + daemon.probe(),
    )
    daemon.running()
    daemon.wait_log("starthasrv: session")
    (said,) = re.findall(r"starthasrv: session (\w+) opened (.*)", daemon.log)
    assert said[0] == "True", "it has a session of its own"
    opened = dict(item.split("=") for item in said[1].split())
    assert set(opened) == {"0", "1", "2"}
    assert opened["0"] == os.devnull
    assert opened["1"] == opened["2"]
    assert opened["1"].startswith("pipe:")
    text = (daemon.top / "signals").read_text()
    for key in ("SigIgn", "SigBlk"):  # SIGPIPE for one must be at its default
        # The C library's own signals 32 and 33 are as whoever started us left them.
        assert re.search(rf"{key}:\s+0{{7}}[01][08]0{{7}}$", text, re.MULTILINE), text
    assert (daemon.top / "directory").read_text() == "/\n"
    assert (daemon.top / "umask").read_text() == "0022\n"
    lines = (daemon.top / "environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["HAD_HOOK"] == "starthasrv"
    assert environment["HAD_NODE"] == "alpha"


def test_hooks_have_no_descriptors_of_the_daemon_after_a_worker_died(make: Make) -> None:
    daemon = make()
    daemon.control("stophasrv.do", f"ls -l /proc/$$/fd >{daemon.top}/fds\n")
    daemon.running()
    daemon.kill_worker()
    daemon.send(signal.SIGHUP)
    daemon.wait_state("Standby")
    text = (daemon.top / "fds").read_text()
    assert "socket:" not in text
    assert "eventpoll" not in text
    assert str(daemon.pid_path) not in text
    assert str(daemon.log_path) not in text


def test_relative_places_and_another_directory(make: Make) -> None:
    daemon = make(places__pid="pid", places__run="run", hooks__directory="hasrv")
    done = daemon.start("-F", "had.conf", cwd=str(daemon.top))
    assert done.returncode == 0, done
    daemon.wait_state("Running")
    assert daemon.pid_text()
    assert "starts on alpha" in daemon.log


def test_a_starter_that_is_killed_takes_nobody_along(make: Make) -> None:
    daemon = make(dead="60s")  # so long the guard waits for a worker that is held up
    go = daemon.top / "go"
    # Who runs the tests in the background has SIGINT ignored, and so would the command.
    daemon.prelude = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    daemon.prelude += "import had.runtime.worker as w, os, time\nbegin = w.Worker._begin\n"
    daemon.prelude += f"def late(self, *rest):\n    while not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    daemon.prelude += "    begin(self, *rest)\nw.Worker._begin = late\n"
    with subprocess.Popen(
        daemon.words(),
        env=daemon.environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as starter:
        eventually(daemon.pid_text, "a pid file")
        os.killpg(starter.pid, signal.SIGINT)
        _, error = starter.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in error
        assert starter.returncode not in (0, 1)
    go.touch()
    daemon.wait_state("Running")


def test_a_huge_limit_on_open_files_costs_no_time(make: Make) -> None:
    # Containers have a limit of a thousand million; to close as many one by one takes minutes.
    daemon = make()
    daemon.prelude = """
import os, resource
getrlimit, closerange = resource.getrlimit, os.closerange
resource.getrlimit = lambda what: (1024, 10**9) if what == resource.RLIMIT_NOFILE else getrlimit(what)
def closing(low, high):
    if high - low > 10**6:
        raise RuntimeError("far too many")
    closerange(low, high)
os.closerange = closing
"""
    daemon.running()


def test_timezone_and_locale_do_not_matter(make: Make) -> None:
    daemon = make()
    environment = {**daemon.environment(), "TZ": ":nowhere/at all", "LC_ALL": "ru_RU.KOI8-R", "LANG": "tlh"}
    assert daemon.start(env=environment).returncode == 0
    daemon.wait_state("Running")


# --- not up


@pytest.mark.parametrize("hook", HOOKS[:3])
def test_a_missing_hook(make: Make, hook: str) -> None:
    daemon = make()
    (daemon.hooks / hook).unlink()
    refused(daemon, daemon.start(), str(daemon.hooks / hook))


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("mode", [0o644, 0o777])
def test_a_hook_that_cannot_or_must_not_run(make: Make, hook: str, mode: int) -> None:
    daemon = make()
    (daemon.hooks / hook).chmod(mode)
    refused(daemon, daemon.start(), str(daemon.hooks / hook))


def test_a_bad_configuration(make: Make) -> None:
    daemon = make(haertbeat="1s")
    refused(daemon, daemon.start(), f"{daemon.config}:", "haertbeat")


def test_D21_an_address_in_use_leaves_the_old_state_file_alone(make: Make) -> None:
    first, second = make(), make()
    first.running()
    second.address, second.port = first.address, first.port
    second.configure()
    second.state_path.parent.mkdir()
    second.state_path.write_text("old text\n")
    refused(second, second.start(), second.address, str(second.port), "in use")
    assert second.state_path.read_text() == "old text\n"
    assert first.state() == "Running"
    assert first.moves() == ["stophasrv", "starthasrv"]


@pytest.mark.parametrize("foreground", [False, True])
def test_a_second_one_is_refused_and_harms_nothing(make: Make, foreground: bool) -> None:
    daemon = make()
    daemon.running()
    daemon.settle()
    before, journal, log = daemon.pid_text(), daemon.journal(), daemon.log
    done = daemon.start(*(["-f"] if foreground else []))
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"process {daemon.guard}" in done.stderr
    assert (daemon.pid_text(), daemon.journal(), daemon.log) == (before, journal, log)
    assert daemon.state() == "Running"


def test_many_at_once_give_one(make: Make) -> None:
    daemon = make()
    starters = [
        subprocess.Popen(
            daemon.words(), env=daemon.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    errors = [starter.communicate(timeout=PATIENCE_S)[1] for starter in starters]
    assert sorted(starter.returncode for starter in starters) == [0, 1, 1, 1], errors
    daemon.wait_state("Running")
    assert daemon.moves() == ["stophasrv", "starthasrv"]


def test_a_stale_pid_file_is_recognised(make: Make) -> None:
    daemon = make()
    daemon.pid_path.write_text(f"{os.getpid()}\n")  # it may well name somebody who lives
    daemon.running()
    daemon.wait_log(f"was left by process {os.getpid()}")


def test_a_file_that_is_no_pid_file_is_left_alone(make: Make) -> None:
    daemon = make()
    daemon.pid_path.write_text("precious\n")
    done = daemon.start()
    assert done.returncode == 1
    assert "not a pid file" in done.stderr
    assert daemon.pid_path.read_text() == "precious\n"


@pytest.mark.parametrize("what", ["log", "state", "pid"])
def test_a_place_that_cannot_be_written(make: Make, what: str) -> None:
    # a file where a directory is to be: root can't write there either
    daemon = make()
    (daemon.top / "file").touch()
    place = daemon.top / "file" / what
    daemon.configure(**{f"places__{what}": str(place)})
    log_path, daemon.log_path = daemon.log_path, daemon.top / "no-log" if what == "log" else daemon.log_path
    refused(daemon, daemon.start(), str(place))
    daemon.log_path = log_path


def test_log_to_standard_error_needs_a_foreground(make: Make) -> None:
    # detached there is none: all would be lost without a word
    daemon = make(places__log="stderr")
    refused(daemon, daemon.start(), "-f")


def syslog_in(daemon: Daemon) -> str:
    """A prelude: syslogd and console are looked for in the daemon's own directory."""
    return f"""
import had.runtime.log as l
l.Syslog.__init__.__kwdefaults__.update(
    path={str(daemon.top / "dev-log")!r}, console={str(daemon.top / "console")!r}
)
"""


def test_a_missing_syslogd_is_told_by_the_command(make: Make) -> None:
    daemon = make(places__log="syslog")
    daemon.prelude = syslog_in(daemon)
    (daemon.top / "console").touch()
    done = daemon.start()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"had: there is no syslogd ({daemon.top}/dev-log: No such file or directory): "
        "the log goes to the console until there is one\n"
    )
    assert (daemon.top / "console").read_text().startswith("had[")
    daemon.terminate()
    # Where the start fails that is what is told.
    (daemon.status_path.parent / "state").unlink()
    (daemon.status_path.parent / "state").mkdir()
    done = daemon.start()
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "state file" in done.stderr


def test_a_syslogd_that_is_there_is_no_news(make: Make) -> None:
    with tempfile.TemporaryDirectory(prefix="had-test-") as top, daemons(Path(top)) as made:
        daemon = made(places__log="syslog")
        daemon.prelude = syslog_in(daemon)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
            syslogd.bind(str(daemon.top / "dev-log"))
            daemon.up()
            assert b"had 2" in syslogd.recv(4096)


def as_another_user(limit: int, uid: int) -> str:
    """A prelude: become an ordinary user who may have only so many processes, as late as can be, since that
    user may not be able to read this Python's files.
    """
    return f"""
import os, resource, daemon.daemon, encodings.ascii, had.cli.had
check = had.cli.had.check_hooks
def become(directory):
    os.setgroups([])
    os.setgid({uid})
    resource.setrlimit(resource.RLIMIT_NPROC, ({limit}, {limit}))
    os.setuid({uid})
    return check(directory)
had.cli.had.check_hooks = become
"""


@pytest.fixture
def make_open(make: Make) -> Iterator[Make]:
    """Daemons in a directory that everybody can reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    with tempfile.TemporaryDirectory(prefix="had-test-") as top, daemons(Path(top)) as made:
        os.chmod(top, 0o755)

        def make_for(uid: int) -> Daemon:
            daemon = made()
            for path in (daemon.top, *daemon.top.rglob("*")):
                os.chown(path, uid, uid)
            return daemon

        yield make_for


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_too_few_processes(make_open: Make, limit: int) -> None:
    # RLIMIT_NPROC counts all processes of a user, so one that nobody else is; the command itself is one
    uid = 54320 + limit
    daemon = make_open(uid)
    daemon.prelude = as_another_user(limit, uid)
    refused(daemon, daemon.start(), "Resource temporarily unavailable")


def test_an_ordinary_user_may_start_it(make_open: Make) -> None:
    daemon = make_open(54320)
    daemon.prelude = as_another_user(100, 54320)
    daemon.running()
    assert daemon.pid_path.stat().st_uid == 54320
    daemon.kill_worker()
    daemon.terminate()
    assert daemon.exit_code() == 0


def test_a_worker_that_always_dies_ends_the_start(make: Make) -> None:
    daemon = make()
    daemon.prelude = "import had.runtime.worker as w\ndef die(self, *_): raise RuntimeError('planted')\n"
    daemon.prelude += "w.Worker._begin = die\n"
    done = daemon.start()
    assert done.returncode == 1
    assert "the workers die as soon as they start" in done.stderr
    assert "Traceback" not in done.stderr + daemon.log
    assert daemon.log.count("RuntimeError: planted (") == 5
    assert not daemon.pid_path.exists()
    daemon.wait_gone()


def test_too_few_descriptors(make: Make) -> None:
    daemon = make()
    for limit in (8, 12, 16, 18, 20):
        done = daemon.start(
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        )
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr + daemon.log, f"{limit}: {done.stderr} {daemon.log}"
        if done.returncode == 0:
            daemon.terminate()
        else:
            assert len(done.stderr.splitlines()) == 1, f"{limit}: {done.stderr}"
            daemon.wait_gone()
            assert not daemon.pid_path.exists(), f"{limit}"


# --- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that fills at once."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "had-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    path = place / "filler"
    with path.open("ab", buffering=0) as file:
        try:
            for size in (4096, 1):
                while True:
                    file.write(b"x" * size)
        except OSError:
            pass
    return path


def test_a_full_disk_at_the_start_is_told(make: Make, small_disk: Path) -> None:
    daemon = make(places__pid=str(small_disk / "pid"))
    daemon.pid_path = small_disk / "pid"
    fill(small_disk)
    refused(daemon, daemon.start(), str(small_disk / "pid"), "No space left")

    daemon = make(places__state=str(small_disk / "state"))
    (small_disk / "state").write_text("")
    done = daemon.start()
    refused(daemon, done, str(small_disk / "state"), "No space left")


@pytest.mark.alone
@pytest.mark.parametrize("what", ["record", "log", "run"])
def test_a_disk_that_fills_stops_no_heartbeat_and_no_hook(make: Make, small_disk: Path, what: str) -> None:
    place = {"record": "record", "log": "log", "run": "run"}[what]
    daemon = make(**{f"places__{what}": str(small_disk / place)})
    if what == "log":
        daemon.log_path = small_disk / "log"
    if what == "run":
        daemon.state_path = small_disk / "run" / "state"
    listener = daemon.listen()
    daemon.running()
    daemon.settle()
    filler = fill(small_disk)
    if what == "log":
        daemon.control(
            "starthasrv.do",
            "i=0; while [ $i -lt 150 ]; do echo a line to fill what is left $i; i=$((i+1)); done\n",
        )
    begun = time.time()
    for _ in range(2):
        daemon.send(signal.SIGHUP)
        eventually(lambda: listener.states()[-1].name in ("STANDBY", "ERRORED"), "stopped")
        daemon.send(signal.SIGUSR1)
        eventually(lambda: listener.states()[-1].name == "RUNNING", "started")
        daemon.kill_worker()
    assert daemon.moves() == ["stophasrv", "starthasrv"] * 3
    assert max(listener.gaps(begun)) < 1.0
    filler.unlink()
    eventually(lambda: daemon.state() == "Running", f"the state file is true again: {daemon.state()}")
    if what == "log":
        daemon.kill_worker()  # which the guard tells, and what it could not tell before
        daemon.wait_log("could not be told: ")
    daemon.terminate()
    daemon.wait_gone()
