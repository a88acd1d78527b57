"""What is understood of hooks and of frames, and of the times that come from them."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time

import pytest

from bench.contenders.keepalived import PRIORITY, Keepalived
from bench.generator import datagrams
from bench.hooks import Hooks
from bench.measures.cut import intervals, overlaps
from bench.measures.load import longest_silence
from bench.watch import Frame, Mark, Watch, ip_protocol, is_udp, parse_mark
from had.core.states import State
from had.wire import freeha


def frame(protocol, port=0, *, options=b"", kind=b"\x08\x00"):
    header = bytes([0x40 | 5 + len(options) // 4]) + bytes(8) + bytes([protocol]) + bytes(10) + options
    return bytes(12) + kind + header + struct.pack("!HHHH", 1234, port, 8, 0)


def test_frames_are_told_apart_by_protocol_and_port():
    assert ip_protocol(frame(112)) == 112
    assert ip_protocol(frame(112, kind=b"\x86\xdd")) == -1
    assert ip_protocol(b"short") == -1
    assert is_udp(frame(socket.IPPROTO_UDP, 3891), 3891)
    assert is_udp(frame(socket.IPPROTO_UDP, 3891, options=bytes(8)), 3891)
    assert not is_udp(frame(socket.IPPROTO_UDP, 694), 3891)
    assert not is_udp(frame(socket.IPPROTO_TCP, 3891), 3891)


def test_lines_of_hooks():
    assert parse_mark("n1 start 100 200") == Mark("n1", "start", 100, 200)
    assert parse_mark("n1 stop 1100 1200 wall", 1000) == Mark("n1", "stop", 100, 200)
    for line in ("", "n1", "n1 start 1", "n1 start x y"):
        assert parse_mark(line) is None


@pytest.mark.parametrize("compilers", [("cc", "gcc", "clang", "tcc"), ()], ids=["compiled", "shell"])
def test_hooks_tell_when_they_ran(tmp_path, compilers):
    hooks = Hooks(tmp_path / "hooks", compilers)
    if compilers and not hooks.compiled:
        pytest.skip("needs a C compiler")
    watch = Watch(hooks.journal)
    node = os.uname().nodename
    try:
        begin_ns = time.monotonic_ns()
        assert _run(hooks, "monitorhasrv") != 0
        assert _run(hooks, "starthasrv") == 0
        assert _run(hooks, "monitorhasrv") == 0
        assert _run(hooks, "resource", "status") == 0
        mark = watch.wait_mark(node, "start", begin_ns, 20)
        assert begin_ns < mark.begin_ns <= mark.end_ns < time.monotonic_ns()
        assert watch.runs(node)
        assert _run(hooks, "stop", "more", "words") == 0
        assert _run(hooks, "resource", "start") == 0
        assert _run(hooks, "resource", "stop") == 0
        watch.wait(lambda: len(watch.marks) == 4, 20, "four marks")
        assert [each.word for each in watch.marks] == ["start", "stop", "start", "stop"]
        assert not watch.runs(node)
    finally:
        watch.close()
    # With nobody to hear it the compiled hook goes on all the same; a shell would wait.
    if hooks.compiled:
        assert _run(hooks, "starthasrv") == 0


def _run(hooks, name, *words):
    words = [hooks.path(name), *words]
    return subprocess.run(words, stdout=subprocess.DEVNULL, timeout=20, check=False).returncode


def test_what_is_awaited_and_does_not_come_is_an_error(tmp_path):
    watch = Watch(Hooks(tmp_path / "hooks", ()).journal)
    try:
        with pytest.raises(Exception, match="no stop hook has run on n1: not within 0 s"):
            watch.wait_mark("n1", "stop", 0, 0.01)
    finally:
        watch.close()


# --- what is made of it


def test_a_node_runs_from_the_begin_of_start_to_the_end_of_stop():
    marks = [
        Mark("n1", "exec", 1, 1),
        Mark("n1", "start", 10, 12),
        Mark("n2", "start", 15, 16),
        Mark("n1", "start", 17, 18),
        Mark("n1", "stop", 20, 25),
        Mark("n1", "stop", 30, 31),
        Mark("n1", "start", 40, 41),
        Mark("n1", "killed", 50, 50),
        Mark("n1", "start", 60, 61),
    ]
    assert intervals(marks, "n1") == [(10, 25), (40, 50), (60, float("inf"))]
    assert intervals(marks, "n2") == [(15, float("inf"))]


@pytest.mark.parametrize(
    ("one", "other", "both", "none"),
    [
        ([(0, 150)], [(50, float("inf"))], 50, 0),
        ([(0, 120)], [(50, 130), (160, float("inf"))], 20, 30),
        ([(0, 90)], [(0, float("inf"))], 0, 0),
        ([(0, 110)], [(0, 110)], 10, 90),
    ],
)
def test_how_long_two_run_and_how_long_nobody(one, other, both, none):
    assert overlaps([one, other], 100, 200) == (both, none)


def test_the_longest_silence():
    frames = [Frame("n1", ms * 1_000_000, 60) for ms in (10, 60, 200, 250)]
    assert longest_silence(frames, 0) == 140
    assert longest_silence(frames, -200_000_000) == 210
    assert longest_silence([], 0) == 0


def test_keepalived_calls_a_master_dead_after_three_intervals_and_the_skew():
    assert PRIORITY == 150
    assert [round(timing.dead_ms) for timing in Keepalived.timings] == [3414, 341, 68]


def test_the_generator_speaks_the_old_format():
    heard = [freeha.decode(datagram) for datagram in datagrams(3)]
    assert [each.name for each in heard] == ["m001", "m002", "m003"]
    assert [each.state for each in heard] == [State.RUNNING, State.STANDBY, State.STANDBY]
    assert len(datagrams(1)[0]) == freeha.SIZE
