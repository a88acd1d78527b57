"""The fuzz targets without atheris: their committed corpus, inputs near it, and that each check bites."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import tracemalloc

import fuzz_targets
import fuzzing
import pytest
from fuzz_targets import TARGETS, Wrong

from had.config.load import load
from had.core.states import State
from had.runtime import hookcheck, hookfile, netlink, record
from had.wire import freeha


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_and_what_lies_near_it(name):
    """Every committed input, each of its beginnings, and some with a few bytes changed (always the same)."""
    target = TARGETS[name]
    dice = random.Random(name)
    paths = fuzzing.corpus_of(name)
    assert paths, f"a target without a corpus under {fuzzing.CORPUS}"
    for path in paths:
        data = path.read_bytes()
        target.play(data)
        for end in range(0, len(data), 1 + len(data) // 64):
            target.play(data[:end])
        for _ in range(40):
            changed = bytearray(data)
            for _ in range(dice.randint(1, 4)):
                changed[dice.randrange(len(changed))] = dice.choice(
                    (0, 1, 2, 10, 34, 255, dice.randrange(256))
                )
            target.play(bytes(changed))


def test_every_directory_of_the_corpus_is_a_target():
    assert sorted(path.name for path in fuzzing.CORPUS.iterdir()) == sorted(TARGETS)


def test_a_datagram_costs_no_more_memory_than_its_first_bytes():
    data = freeha.encode("alpha", State.RUNNING) + bytes(65_459)
    bad = b"\0\0\0\2" + b"\n" * 65_503
    for _ in range(2):  # the first time something may be cached
        tracemalloc.start()
        freeha.decode(data)
        with pytest.raises(freeha.Rejected):
            freeha.decode(bad)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8192


# That the checks bite: each of these breaks the code as a slip could, and the corpus must find it.


def broken(monkeypatch, name):
    """Whether the target's corpus finds what was patched."""
    try:
        for path in fuzzing.corpus_of(name):
            TARGETS[name].play(path.read_bytes())
    except Exception:
        return True
    finally:
        monkeypatch.undo()
    return False


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("SIZE_SHORT", 47),  # other short packets are let in
        ("SIZE", 49),  # a whole one is refused
        ("VERSION", 1),
        ("_LAYOUT", struct.Struct("<I32sI")),
        ("_LAYOUT", struct.Struct("!I31sxI")),  # the longest name loses its last byte
        ("_NAME_BYTES", fuzz_targets.freeha.re.compile(rb"[A-Za-z0-9_\n-]*")),
        ("_STATE_OF_STATUS", {int(state): state for state in State}),  # 7 is nothing that is sent
        ("_STATE_OF_STATUS", {1: State.INITIAL, 2: State.RUNNING}),
    ],
)
def test_a_broken_decoder_is_found(monkeypatch, attribute, value):
    monkeypatch.setattr(freeha, attribute, value)
    assert broken(monkeypatch, "wire")


def test_a_broken_record_is_found(monkeypatch):
    monkeypatch.setattr(record, "_number", lambda text: int(text) + 1)
    assert broken(monkeypatch, "record")
    monkeypatch.setattr(record.zlib, "crc32", len)
    assert broken(monkeypatch, "record")


def test_an_input_that_breaks_something_is_repeated_without_atheris(tmp_path):
    """As the runner tells people to: by file or in hex, the exit code says whether it still breaks."""
    script = [sys.executable, str(fuzzing.HERE / "fuzzing.py")]
    good = freeha.encode("alpha", State.RUNNING)
    (tmp_path / "input").write_bytes(good)
    for how in (["--hex", good.hex()], ["--input", str(tmp_path / "input")]):
        done = subprocess.run([*script, "wire", *how], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "fuzz: 48 bytes: nothing is wrong\n")
    assert subprocess.run([*script, "nothing"], capture_output=True, check=False).returncode == 2


def test_what_is_wrong_is_said():
    with pytest.raises(Wrong, match="not one printable line"):
        fuzz_targets.harmless("a\nb", 10)
    with pytest.raises(Wrong, match="3 characters"):
        fuzz_targets.harmless("abc", 2)


# What fuzzing has found; the inputs are in the corpus too.


@pytest.mark.parametrize(
    "line",
    [b"started -9", b"started 1_0", b"run --1", b"run -", b"pid 1", b"failed 4096", b"failed 99999999999"],
)
def test_a_hook_file_with_numbers_that_claim_never_writes_is_not_believed(line):
    """int() takes signs and underscores, and no error has a number that os.strerror can't take."""
    lines = [b"had-hook 1", b"run 3", b"pid 4711", b"started 10", b"boot x", b"failed 13"]
    assert hookfile.understand(b"\n".join(lines) + b"\n") == hookfile.HookFile(3, 4711, 10, "x", 13)
    alert = b"\n".join([*lines[:1], b"run -3", *lines[2:]]) + b"\n"
    assert hookfile.understand(alert) == hookfile.HookFile(-3, 4711, 10, "x", 13), "those of alerts are"
    lines = [line if line.split()[0] == old.split()[0] else old for old in lines]
    assert hookfile.understand(b"\n".join(lines) + b"\n") is None


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("=IHHII", 16, 16, 0, 1, 0),  # a link without a body
        struct.pack("=IHHII", 16, 2, 0, 1, 0),  # an error without a number
        struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -(2**31)),  # and with one that is none
    ],
)
def test_an_answer_that_is_no_netlink_is_an_os_error(monkeypatch, answer):
    done = struct.pack("=IHHII", 16, 3, 0, 1, 0)

    class Socket(fuzz_targets._Kernel):
        def __init__(self, *_):
            super().__init__([answer + done, done])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def setblocking(self, _):
            pass

    monkeypatch.setattr(netlink.socket, "socket", Socket)
    with pytest.raises(OSError, match="Protocol error"):
        netlink.read_interfaces()


def test_a_first_line_with_a_nul_is_a_complaint(tmp_path):
    path = tmp_path / "starthasrv"
    path.write_bytes(b"#!/bin/sh\0\n")
    assert hookcheck._bad_interpreter(str(path)) == [
        f"{path}: line 1 names '/bin/sh\\x00', which can't be run"
    ]


@pytest.mark.parametrize("path", ["x/", "/", ".", "x/.."])
def test_the_flag_for_the_state_file_takes_no_directory_as_the_file_does(path):
    with pytest.raises(fuzz_targets.UsageError, match="is a directory's path; allowed is a path"):
        fuzz_targets.parse(["-l", path])


@pytest.mark.parametrize("flags", [["-T", "300"], ["-T", "7200", "-M", "3600"], ["-T", "121"]])
def test_defaults_that_do_not_go_together_are_described_so_that_they_are_read_again(tmp_path, flags):
    """startup is 200 s also where the dead time is longer; written down, that would be refused."""
    settings = load(fuzz_targets.parse(["-a", "10.1.1.1", *flags]), uname="alpha")
    text = fuzz_targets.describe(settings)
    assert "startup = 200s" in text
    (tmp_path / "had.conf").write_text(text)
    again = load(fuzz_targets.Options(config_file=str(tmp_path / "had.conf")), uname="alpha")
    assert (again.core.startup_ns, again.core.startup_quorum_ns) == (200_000_000_000, 200_000_000_000)
