"""The state file."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runtime_tools import wait_for

from had.core.actions import Level
from had.core.states import State
from had.runtime.statefile import StateFile, ctime, lines

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())
LINE = re.compile(VECTORS["statefile"]["regex"])
WHEN = 1_793_600_000


@pytest.fixture
def told():
    return []


@pytest.fixture
def state(tmp_path, told):
    return StateFile(str(tmp_path / "state"), lambda level, text: told.append((level, text)))


def test_lines_are_the_old_ones(monkeypatch):
    states = [State(number) for number in range(1, 8)]
    text = lines([(f"node-{state}_x", state, WHEN) for state in states])
    spellings = []
    for line in text.splitlines():
        match = LINE.match(line)
        assert match, line
        spellings.append(match["state"])
    assert spellings == [entry["statefile"] for entry in VECTORS["states"][1:]]


def test_unknown_state_is_spelled_with_two_brackets():
    assert lines([("aa", State.UNKNOWN, WHEN)]).startswith("aa [[invalid state]] ")


@pytest.mark.parametrize("sample", [s["text"] for s in VECTORS["statefile"]["samples"]])
def test_samples_of_the_old_daemon_are_reproduced(sample):
    for line in sample.splitlines():
        match = LINE.match(line)
        if match:
            when = time.mktime(time.strptime(match["when"], "%a %b %d %H:%M:%S %Y"))
            spelled = {e["statefile"]: e["number"] for e in VECTORS["states"]}
            assert lines([(match["name"], State(spelled[match["state"]]), when)]) == line + "\n"


def test_ctime_pads_the_day(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert ctime(1_793_595_600.9) == "Mon Nov  2 05:00:00 2026"
    assert ctime(0) == "Thu Jan  1 00:00:00 1970"
    monkeypatch.undo()
    time.tzset()


def test_ctime_is_english_and_local_in_any_locale():
    result = subprocess.run(
        [sys.executable, "-c", "from had.runtime.statefile import ctime; print(ctime(1793595600))"],
        env={**os.environ, "LC_ALL": "ru_RU.UTF-8", "TZ": "XXX-3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "Mon Nov  2 08:00:00 2026\n"


def test_waiting_text(state, tmp_path):
    assert state.write_waiting()
    data = (tmp_path / "state").read_bytes()
    assert len(data) == 43
    assert data.decode() == VECTORS["statefile"]["samples"][0]["text"]


def test_D4_shorter_text_leaves_no_tail(state, tmp_path):
    """COMPAT D4."""
    state.write([("aa", State.STOPPING, WHEN), ("b" * 32, State.STARTING, WHEN)])
    state.write([("aa", State.RUNNING, WHEN)])
    assert (tmp_path / "state").read_text() == lines([("aa", State.RUNNING, WHEN)])
    state.write([])
    assert (tmp_path / "state").read_text() == ""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_D29_mode_whatever_the_umask(state, tmp_path, umask):
    """COMPAT D29."""
    old = os.umask(umask)
    try:
        assert state.write_waiting()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o644


def test_link_is_replaced_not_followed(state, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "state").symlink_to(target)
    assert state.write_waiting()
    assert target.read_text() == "precious"
    assert not (tmp_path / "state").is_symlink()
    (tmp_path / ".state.new").symlink_to(target)  # and not where the new one is made
    assert state.write_waiting()
    assert target.read_text() == "precious"


def test_D4_readers_never_see_a_part(state, tmp_path):
    texts = [
        [(f"node{n}", State.RUNNING, WHEN) for n in range(200)],
        [("node", State.STANDBY, WHEN)],
    ]
    wholes = {lines(text) for text in texts}
    state.write(texts[0])
    pid = os.fork()
    if pid == 0:
        while True:
            state.write(texts[0])
            state.write(texts[1])
    try:
        for _ in range(2000):
            assert (tmp_path / "state").read_text() in wholes
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert state.write_waiting()  # what the killed one left is no hindrance
    assert os.listdir(tmp_path) == ["state"]


def test_directory_is_made(tmp_path):
    state = StateFile(str(tmp_path / "run" / "had" / "state"), lambda level, text: None)
    assert state.write_waiting()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_failure_is_told_once_per_change_and_not_raised(state, told, tmp_path):
    (tmp_path / "state").mkdir()
    for _ in range(3):
        assert not state.write_waiting()
    assert told == [(Level.ERROR, f"{tmp_path}/state: the state file cannot be written: Is a directory")]
    (tmp_path / "state").rmdir()
    assert state.write_waiting()
    assert state.write_waiting()
    assert told[1:] == [(Level.NOTICE, f"{tmp_path}/state: the state file can be written again")]
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small tmpfs")
def test_full_and_read_only_disk(told, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    os.system(f"mount -t tmpfs -o size=16k tmpfs {place}")
    try:
        state = StateFile(str(place / "state"), lambda level, text: told.append(text))
        assert state.write_waiting()
        big = [(f"node{n}", State.RUNNING, WHEN) for n in range(2000)]
        assert not state.write(big)
        assert not state.write(big)
        assert len(told) == 1
        assert "No space left on device" in told[0]
        assert os.listdir(place) == ["state"]
        assert (place / "state").read_text().startswith("Waiting")  # the old one is whole
        assert state.write_waiting()
        os.system(f"mount -o remount,ro {place}")
        assert not state.write_waiting()
        assert "Read-only file system" in told[-1]
    finally:
        os.system(f"umount {place}")


def test_close_removes_what_a_crash_left(state, tmp_path):
    (tmp_path / ".state.new").write_text("half")
    state.close()
    wait_for(lambda: os.listdir(tmp_path) == [])
    state.close()
