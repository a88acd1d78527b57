"""Statistics, and what is read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench import processes
from bench.numbers import ratio, shown, summarise


def test_a_summary_has_median_best_and_worst():
    summary = summarise([5.0, 1.0, -2.0, 9.0])
    assert summary is not None
    assert (summary.count, summary.median, summary.best, summary.worst) == (4, 3.0, -2.0, 9.0)
    assert summarise([]) is None


@pytest.mark.parametrize(
    ("ours", "peer", "expected"), [(6.0, 3.0, 2.0), (6.0, 0.0, None), (-6.0, 3.0, None), (None, 3.0, None)]
)
def test_a_ratio_is_only_of_what_is_more_than_nothing(ours, peer, expected):
    assert ratio(ours, peer) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (4.5678, "4.57"),
        (78.94, "78.9"),
        (100, "100"),
        (1234.5, "1230"),
        (-7.321, "-7.32"),
        (0.5, "0.5"),
        (1000000, "1000000"),
        (float("inf"), "-"),
    ],
)
def test_three_digits_are_shown(value, text):
    assert shown(value) == text


def test_what_proc_says_is_read():
    assert processes.parse_schedstat("123456 789 4\n") == 123456
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    words = "S 1 1 1 0 -1 0 0 0 0 0 7 3 0 0 20"
    assert processes.parse_stat(f"12 (a) b) {words}\n") == 10 * tick
    rollup = "0-1 ---p [rollup]\nPrivate_Clean:     5 kB\nPrivate_Dirty:   112 kB\nSwap:    3 kB\n"
    assert processes.parse_rollup(rollup) == 112 * 1024
    assert processes.parse_rollup(rollup, "Swap") == 3 * 1024
    assert processes.parse_rollup(rollup, "Locked") == 0


def test_processor_time_and_memory_of_a_process():
    program = (
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
        "much = bytearray(20 << 20)\nprint('x', flush=True)\ninput()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-I", "-c", program], stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            # What it waits for now is over when the kernel has taken it off its processor.
            time.sleep(0.05)
            used = processes.processor_ns([process.pid, 2**22 + 1])
            assert 0.3e9 <= used[process.pid] < 5e9
            assert list(used) == [process.pid]
            assert 20 << 20 <= processes.private_dirty([process.pid]) < 80 << 20
            assert processes.private_dirty([process.pid]) <= processes.dirty([process.pid])
        finally:
            process.kill()
