"""The command ``had`` from outside: what it says, where, and with which exit code; never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from daemon_tools import HAD, PATIENCE_S, Daemon, daemons

from had import __version__

Make = Callable[..., Daemon]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with daemons(tmp_path) as made:
        yield made


def had(*words: str, shell: str = '"$@"', **changed: str) -> subprocess.CompletedProcess[str]:
    """Run the command; ``shell`` says how."""
    return subprocess.run(
        ["/bin/sh", "-c", shell, "sh", HAD, *words],
        env={**os.environ, **changed},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE_S,
        check=False,
        cwd="/",
    )


def nothing_was_done(daemon: Daemon) -> None:
    assert not daemon.pid_path.exists()
    assert not daemon.log_path.exists()
    assert not (daemon.top / "run").exists()
    assert not (daemon.top / "record").exists()
    assert daemon.journal() == []
    assert daemon.processes() == []


def test_version_and_help() -> None:
    done = had("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"had {__version__}\n", "")
    for flag in ("-h", "--help"):
        done = had(flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: had")


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "had", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == f"had {__version__}\n"


@pytest.mark.parametrize(
    "words", [("-Z",), ("--nonsense",), ("-p", "0"), ("-a", "here"), ("-n", "-4"), ("-F",), ("-N", "a b")]
)
def test_a_bad_command_line(words: tuple[str, ...]) -> None:
    done = had(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("had: ")


def test_all_mistakes_are_told_at_once(make: Make) -> None:
    daemon = make(haertbeat="1s", dead="soon", startup="1s", nodes="0")
    done = had("-F", str(daemon.config))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 3
    assert all(line.startswith(f"had: {daemon.config}:") for line in done.stderr.splitlines())
    nothing_was_done(daemon)


@pytest.mark.parametrize("text", [b"", b"\0\0\0", b"\xff\xfe[links", b"[links]\n[[a]]\n" * 3000])
def test_a_file_that_is_no_configuration(make: Make, text: bytes) -> None:
    daemon = make()
    daemon.config.write_bytes(text)
    done = had("-F", str(daemon.config))
    assert done.returncode == 1
    assert done.stderr
    assert "Traceback" not in done.stderr
    nothing_was_done(daemon)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/", "/dev/null", "/proc/self/mem"])
def test_a_configuration_that_cannot_be_read(path: str) -> None:
    done = had("-F", path)
    assert done.returncode == 1
    assert done.stderr.startswith("had: ")
    assert "Traceback" not in done.stderr


def test_check_says_what_would_run_and_does_nothing(make: Make) -> None:
    daemon = make()
    done = had("--check", "-F", str(daemon.config))
    assert (done.returncode, done.stderr) == (0, "")
    for text in (daemon.address, str(daemon.port), str(daemon.hooks), "Nothing stands against starting it."):
        assert text in done.stdout
    nothing_was_done(daemon)


def test_check_finds_what_stands_against_it(make: Make) -> None:
    daemon = make()
    (daemon.hooks / "stophasrv").chmod(0o644)
    done = had("--check", "-F", str(daemon.config))
    assert done.returncode == 1
    assert str(daemon.hooks / "stophasrv") in done.stderr
    assert "Nothing stands against" not in done.stdout
    nothing_was_done(daemon)


def test_check_finds_places_where_nothing_can_be_written(make: Make) -> None:
    daemon = make()
    done = had("--check", "-F", str(daemon.config), "-l", str(daemon.top))
    assert (done.returncode, done.stderr) == (1, f"had: {daemon.top}: is a directory\n")


def test_check_works_beside_a_daemon_that_runs(make: Make) -> None:
    daemon = make()
    daemon.running()
    done = had("--check", "-F", str(daemon.config))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("locale", ["C", "POSIX", "ru_RU.KOI8-R", "tlh_KX"])
def test_odd_names_in_odd_locales(make: Make, locale: str) -> None:
    daemon = make()
    odd = daemon.top / os.fsdecode("хуки \udcff\n".encode("utf-8", "surrogateescape"))
    daemon.hooks.rename(odd)
    for words in (("--check",), ()):
        done = had(*words, "-F", str(daemon.config), "-s", str(odd), "-N", "nowhere", LC_ALL=locale)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1)
    if daemon.pid_path.exists():
        daemon.terminate()


def test_a_directory_that_is_gone(make: Make) -> None:
    daemon = make()
    gone = daemon.top / "gone"
    shell = f'mkdir {gone} && cd {gone} && rmdir {gone} && "$@"'
    # an absolute name needs no directory
    done = had("--check", "-F", str(daemon.config), shell=shell)
    assert done.returncode == 0, done
    # a relative one does, and that is told
    for words in (("-F", "had.conf"), ("-F", str(daemon.config), "-s", "hooks")):
        done = had(*words, shell=shell)
        assert done.returncode == 1
        assert done.stderr.startswith("had: ")
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--check",)])
def test_nobody_reads_what_it_says(make: Make, words: tuple[str, ...]) -> None:
    daemon = make()
    words = (*words, "-F", str(daemon.config))
    full = had(*words, shell='"$@" >/dev/full')
    assert full.returncode == 1
    assert full.stderr == "had: standard output: No space left on device\n"
    broken = had(*words, shell='(sleep 0.3; "$@"; echo $? >&2) | true')
    assert broken.stderr.endswith("\n1\n")
    assert "Traceback" not in broken.stderr
    assert "Exception" not in broken.stderr
    closed = had(*words, shell='"$@" >&-')
    assert closed.returncode == 0
    assert closed.stderr == ""


def test_complaints_that_nobody_reads_do_no_harm() -> None:
    for shell in ('"$@" 2>/dev/full', '"$@" 2>&-'):
        done = had("-p", "0", shell=shell)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_warnings_are_told_and_the_daemon_starts(make: Make) -> None:
    daemon = make()
    done = daemon.start("begin")
    assert done.returncode == 0
    assert done.stderr == "had: 'begin' is not a flag; it is ignored\n"
    daemon.wait_state("Running")


def test_check_finds_what_start_refuses(make: Make, tmp_path: Path) -> None:
    """A restart asks --check first: what passes there must not leave a node without its daemon."""
    daemon = make()
    for log, complaint in (
        ("stderr", "log = stderr: the daemon detaches"),
        (tmp_path, f"had: {tmp_path}: the log is a directory"),
        (
            tmp_path / "no" / "log",
            f"had: {tmp_path}/no/log: the log cannot be written: there is no directory",
        ),
    ):
        text = daemon.config.read_text()
        daemon.config.write_text(re.sub("^log = .*$", f"log = {log}", text, flags=re.MULTILINE))
        for words in (("--check",), ()):
            done = had("-F", str(daemon.config), *words)
            assert done.returncode == 1
            if words or log != tmp_path / "no" / "log":
                assert complaint.removeprefix("had: ").split(": ")[0] in done.stderr
        assert daemon.processes() == []


def test_check_says_that_no_link_is_up_and_that_a_node_is_alone(tmp_path: Path) -> None:
    file = tmp_path / "had.conf"
    hooks = Path(__file__).resolve().parents[2] / "scripts"
    node = os.uname().nodename.partition(".")[0]
    file.write_text(
        f"nodes = {node},\n[hooks]\ndirectory = {hooks}\n[links]\n[[lan]]\nnetwork = 198.51.100.0/24\n"
    )
    done = had("--check", "-F", str(file))
    assert "no link is up: the daemon would start, and wait for one" in done.stdout
    assert "is the only node: it starts the services and waits for nobody" in done.stdout
