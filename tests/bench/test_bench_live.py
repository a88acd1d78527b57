"""The bench itself, with `had` alone; and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import command

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--quick", "--peers", "none", "--only", "crash", "--groups", "20 ms"]
GENEROUS = 60.0


def bench(tmp_path, *words, **more):
    """Start it; its scratch files, which its daemons have on their command lines, are below tmp_path."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, env=environment, text=True, **more
    )


def its_processes(tmp_path):
    """All processes that have tmp_path on their command lines."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if str(tmp_path).encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                found.append(int(entry))
        except (OSError, ValueError):
            continue
    return found


def eventually(condition, what):
    until = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.lab
def test_two_crashes(tmp_path):
    samples, out = tmp_path / "samples.json", tmp_path / "out"
    words = ["--runs", "2", "--json", str(samples), "--output", str(out)]
    process = bench(tmp_path, *QUICK, *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text, _ = process.communicate(timeout=GENEROUS)
    assert process.returncode == 0, text
    rows = json.loads(samples.read_text())["rows"]
    assert [row["contender"] for row in rows] == ["had"]
    assert len(rows[0]["samples"]) == 2
    # Never before the dead time; and how soon after is not this test's affair.
    assert all(0 <= sample < 30_000 for sample in rows[0]["samples"]), text
    assert "| had " in (out / "RESULTS.md").read_text()
    assert (out / "RESULTS.svg").read_text().startswith("<svg")
    assert not list(tmp_path.glob("had-bench-*"))
    assert its_processes(tmp_path) == []


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_nothing_is_left_when_it_is_ended(tmp_path, number):
    process = bench(tmp_path, *QUICK, "--runs", "1000", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Guard and worker of both nodes, and nsenter before each.
        eventually(lambda: len(its_processes(tmp_path)) >= 6, "the daemons run")
        process.send_signal(number)
        code = process.wait(GENEROUS)
    finally:
        process.kill()
        process.wait()
    assert code == (143 if number == signal.SIGTERM else -9)
    eventually(lambda: its_processes(tmp_path) == [], "all are gone")
    if number == signal.SIGTERM:
        assert not list(tmp_path.glob("had-bench-*"))


def test_a_contender_that_is_missing_is_skipped_with_a_word(tmp_path, monkeypatch):
    from bench.hooks import Hooks
    from bench.plan import QUICK as FEW
    from bench.plan import Plan

    monkeypatch.setenv("PATH", str(tmp_path))
    options = command.parse(["--peers", "keepalived", "ucarp", "--old", str(tmp_path / "nothing")])
    plan = Plan(FEW, Hooks(tmp_path / "hooks", ()), tmp_path)
    there = command.present(plan, command.contenders(options, tmp_path))
    assert [contender.name for contender in there] == ["had"]
    assert len(plan.results.notes) == 3
    assert (
        "keepalived is skipped: keepalived is not installed (Debian: apt install keepalived)"
        in plan.results.notes
    )


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ([], True),
        (["--runs", "5"], True),
        (["--quick"], False),
        (["--only", "crash"], False),
        (["--had", "x"], False),
    ],
)
def test_only_a_whole_run_is_written_unasked(words, written):
    assert (command.parse(words).output is not None) == written


def test_options_change_the_amounts():
    assert command.amounts_of(command.parse([])).crash == 20
    assert command.amounts_of(command.parse(["--runs", "7"])).planned == 7
    quick = command.amounts_of(command.parse(["--quick", "--seconds", "4"]))
    assert (quick.idle_s, quick.load_s, quick.crash) == (4, 4, 3)
    for words in (["--runs", "0"], ["--only", "nonsense"], ["--peers", "nobody"]):
        with pytest.raises(SystemExit):
            command.parse(words)
