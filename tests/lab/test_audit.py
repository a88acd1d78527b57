"""The auditor on records made by hand, and the hooks that write them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .journal import Auditor, Journal, Overlap, audit, install, parse


def records(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def kinds(text: str) -> list[str]:
    return [violation.kind for violation in audit(parse(records(text)))]


def up(text: str) -> list[str]:
    return sorted(Auditor().read(parse(records(text))).up)


START = "1.000 a starthasrv begin 11\n1.100 a starthasrv end 0 11\n"


def test_an_overlap_of_a_millisecond_is_found() -> None:
    text = START + "5.000 a stophasrv begin 12\n5.100 b starthasrv begin 21\n5.101 a stophasrv end 0 12"
    auditor = Auditor().read(parse(records(text)))
    assert auditor.overlaps == [Overlap(("a", "b"), 5.1, 5.101)]
    assert [violation.kind for violation in auditor.violations] == ["overlap"]
    assert sorted(auditor.up) == ["b"]


def test_one_after_the_other_is_none_though_in_the_same_instant() -> None:
    assert (
        kinds(START + "5.000 a stophasrv begin 12\n5.1 a stophasrv end 0 12\n5.1 b starthasrv begin 21") == []
    )


def test_a_service_is_up_from_the_first_moment_of_its_start() -> None:
    assert kinds("1.0 a starthasrv begin 11\n1.0 b starthasrv begin 21") == ["overlap"]


@pytest.mark.parametrize(
    "end",
    [
        "2.0 a stophasrv end 1 12",
        "2.0 a stophasrv end 143 12",
        "2.0 a stophasrv gone 12",
        "",
    ],
    ids=["failed", "ended", "killed", "still-running"],
)
def test_only_a_stop_that_succeeded_takes_a_service_down(end: str) -> None:
    assert up(f"{START}1.5 a stophasrv begin 12\n{end}") == ["a"]


@pytest.mark.parametrize("end", ["1.1 a starthasrv end 1 11", "1.1 a starthasrv gone 11", ""])
def test_a_start_that_failed_or_was_killed_counts_as_up_until_a_good_stop(end: str) -> None:
    text = f"1.0 a starthasrv begin 11\n{end}\n"
    assert up(text) == ["a"]
    assert kinds(text + "2.0 b starthasrv begin 21")[-1:] == ["overlap"]
    if end:
        assert up(text + "2.0 a stophasrv begin 12\n2.1 a stophasrv end 0 12") == []


def test_a_stop_beside_a_start_that_still_runs_takes_nothing_down() -> None:
    begun = "1.0 a starthasrv begin 11\n1.5 a stophasrv begin 12\n"
    assert up(begun + "1.6 a stophasrv end 0 12\n1.7 a starthasrv end 0 11") == ["a"]
    assert up(begun + "1.6 a starthasrv end 0 11\n1.7 a stophasrv end 0 12") == ["a"]
    # and one that began before the start
    begun = "1.0 a stophasrv begin 12\n1.5 a starthasrv begin 11\n"
    assert up(begun + "1.6 a starthasrv end 0 11\n1.7 a stophasrv end 0 12") == ["a"]
    assert kinds(begun) == ["two-hooks"]


def test_the_end_of_the_machine_ends_all_of_it() -> None:
    text = "1.0 a starthasrv begin 11\n1.1 a machine off\n"
    assert kinds(text + "1.1 b starthasrv begin 21\n1.2 b starthasrv end 0 21") == []
    # its hooks are gone, too
    assert kinds(text + "2.0 a stophasrv begin 12\n2.1 a stophasrv end 0 12") == []
    # and an overlap ends with it
    text = START + "5.0 b starthasrv begin 21\n6.0 b machine off"
    assert Auditor().read(parse(records(text))).overlaps == [Overlap(("a", "b"), 5.0, 6.0)]


def test_monitors_and_alerts_move_nothing() -> None:
    text = (
        START
        + "2.0 a monitorhasrv begin 13\n2.1 a alerthasrv begin 14 3 STOPPING\n2.2 a monitorhasrv end 3 13"
    )
    assert (kinds(text), up(text)) == ([], ["a"])


def test_three_at_once_are_two_overlaps_and_more() -> None:
    text = START + "2.0 b starthasrv begin 21\n3.0 c starthasrv begin 31"
    assert kinds(text) == ["overlap", "overlap", "overlap"]


def test_what_comes_in_pieces_is_the_same_as_the_whole() -> None:
    entries = parse(
        records(START + "2.0 b starthasrv begin 21\n2.5 a stophasrv begin 12\n2.6 a stophasrv end 0 12")
    )
    auditor = Auditor()
    for entry in entries:
        auditor.read([entry])
    assert auditor.overlaps == Auditor().read(entries).overlaps == [Overlap(("a", "b"), 2.0, 2.6)]


@pytest.fixture
def hook(tmp_path: Path) -> Callable[[str], subprocess.Popen[bytes]]:
    control = tmp_path / "control"
    control.mkdir()
    install(tmp_path / "hooks", "a", Journal(tmp_path / "journal").path, control)
    return lambda name: subprocess.Popen([str(tmp_path / "hooks" / name)])


def entries_of(tmp_path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(entry.hook, entry.word, entry.rest) for entry in Journal(tmp_path / "journal").entries()]


def wait_begun(tmp_path: Path, name: str) -> None:
    deadline = time.monotonic() + 20
    while (name, "begin") not in [(hook, word) for hook, word, _ in entries_of(tmp_path)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_hook_is_known_by_the_next_one(
    tmp_path: Path, hook: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    (tmp_path / "control" / "starthasrv.hang").touch()
    start = hook("starthasrv")
    wait_begun(tmp_path, "starthasrv")
    # a second one beside it is told as such
    assert hook("monitorhasrv").wait() == 3
    assert kinds_of(tmp_path) == ["two-hooks"]
    os.kill(start.pid, signal.SIGKILL)
    os.waitid(os.P_PID, start.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped: as the daemon does it
    (tmp_path / "control" / "running").write_text(f"starthasrv {start.pid}\n")
    stop = hook("stophasrv")
    assert stop.wait() == 0
    start.wait()
    assert entries_of(tmp_path)[-3:] == [
        ("starthasrv", "gone", (str(start.pid),)),
        ("stophasrv", "begin", (str(stop.pid),)),
        ("stophasrv", "end", ("0", str(stop.pid))),
    ]
    assert kinds_of(tmp_path) == ["two-hooks"]
    assert Auditor().read(Journal(tmp_path / "journal").entries()).up == {}


def kinds_of(tmp_path: Path) -> list[str]:
    return [violation.kind for violation in audit(Journal(tmp_path / "journal").entries())]


def test_a_hook_that_is_ended_says_so(tmp_path: Path, hook: Callable[[str], subprocess.Popen[bytes]]) -> None:
    (tmp_path / "control" / "stophasrv.hang").touch()
    stop = hook("stophasrv")
    wait_begun(tmp_path, "stophasrv")
    deadline = time.monotonic() + 20
    while stop.poll() is None:  # the first may come before the hook listens
        assert time.monotonic() < deadline
        os.kill(stop.pid, signal.SIGTERM)
        time.sleep(0.1)
    if stop.returncode == 143:
        assert entries_of(tmp_path)[-1] == ("stophasrv", "end", ("143", str(stop.pid)))
