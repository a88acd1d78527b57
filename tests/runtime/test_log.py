"""The log: never waiting, never raising, honest about what was lost."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import time

import pytest
from runtime_tools import Worker

from had.core.actions import Level
from had.runtime.log import (
    MAX_LINE,
    MINUTE_NS,
    Journal,
    Log,
    LogFile,
    OncePerMinute,
    Stderr,
    Syslog,
    Target,
    is_journal,
    open_target,
    printable,
    stamp,
)

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small tmpfs")


class Listener:
    """A syslogd."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def heard(self):
        return self.socket.recv(10000).decode()

    def close(self):
        self.socket.close()


@pytest.fixture
def console(tmp_path):
    path = tmp_path / "console"
    path.touch()
    return path


@pytest.fixture
def place(tmp_path):
    return tmp_path / "log"


def test_stamp(monkeypatch):
    for zone, text in (
        ("UTC", "2026-11-22T16:00:00.250+00:00"),
        ("XXX-3", "2026-11-22T19:00:00.250+03:00"),
        ("XXX3:30", "2026-11-22T12:30:00.250-03:30"),
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert stamp(1_795_363_200.25) == text
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("два слова", "два слова"),
        ("two\nlines\r", "two\\x0alines\\x0d"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("tab\tbed", "tab bed"),
        ("\u2028 \u202e \ud800", "\\u2028 \\u202e \\ud800"),
        ("\x85\x9b", "\\x85\\x9b"),
    ],
)
def test_printable(text, safe):
    assert printable(text) == safe


def test_syslog(place, console):
    listener = Listener(place)
    log = Log(Syslog("had-web", path=str(place), console=str(console), wall=lambda: 0.0))
    log.notice("up\x1b")
    when = time.localtime(0)
    assert listener.heard() == (
        f"<{17 * 8 + 5}>{'Jan' if when.tm_year == 1970 else 'Dec'} {when.tm_mday:2d} "
        f"{time.strftime('%H:%M:%S', when)} had-web[{os.getpid()}]: up\\x1b"
    )
    log.error("bad")
    assert listener.heard().startswith("<139>")
    listener.close()
    log.target.close()


def test_syslogd_restarted_loses_nothing(place, console):
    log = Log(Syslog("had", path=str(place), console=str(console)))
    for number in range(3):
        listener = Listener(place)
        log.info(f"line {number}")
        assert listener.heard().endswith(f": line {number}")
        listener.close()
        place.unlink()
    log.target.close()


def test_without_syslogd_the_console_gets_it(place, console):
    log = Log(Syslog("had", path=str(place), console=str(console)))
    log.error("nobody there")
    assert console.read_bytes() == f"had[{os.getpid()}]: nobody there\r\n".encode()


def test_without_syslogd_and_console(place, tmp_path):
    log = Log(Syslog("had", path=str(place), console=str(tmp_path / "none")))
    for _ in range(5):
        log.error("nobody there")
    listener = Listener(place)
    log.error("now")
    assert listener.heard().endswith(": 5 lines before this could not be told: No such file or directory")
    assert listener.heard().endswith(": now")
    listener.close()
    log.target.close()


def test_syslogd_that_hangs_does_not_hold_us_up(place, console):
    listener = Listener(place)
    log = Log(Syslog("had", path=str(place), console=str(console)))
    began = time.monotonic()
    for number in range(3000):
        log.info(f"line {number}")
    assert time.monotonic() - began < 5
    numbers = []
    while not numbers or numbers[-1] is not None:
        text = listener.heard()
        match = re.search(r"line (\d+)$", text)
        assert match, text
        numbers.append(int(match[1]))
        if numbers[-1] == len(numbers) - 1 and not _more(listener):
            numbers.append(None)
    received = len(numbers) - 1
    assert received < 3000
    log.info("at last")
    assert listener.heard().endswith(
        f"{3000 - received} lines before this could not be told: syslogd does not take any more"
    )
    assert listener.heard().endswith("at last")
    listener.close()
    log.target.close()


def _more(listener):
    listener.socket.setblocking(False)
    try:
        listener.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        listener.socket.settimeout(10)
    return True


def test_long_line_is_cut(place, console):
    listener = Listener(place)
    log = Log(Syslog("had", path=str(place), console=str(console)))
    log.info("ж" * 5000)
    text = listener.heard()
    assert len(text.encode()) <= MAX_LINE + 30
    assert text.endswith("ж...")
    listener.close()
    log.target.close()


def test_file(place):
    log = Log(LogFile(str(place)))
    assert log.target.problem() is None
    log.info("one")
    log.warning("two\nthree")
    log.debug("not told")
    lines = place.read_text().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(rf"{STAMP} had\[{os.getpid()}\] info: one", lines[0])
    assert lines[1].endswith(" warning: two\\x0athree")
    assert not os.get_inheritable(log.target.fileno())
    log.target.close()


def test_file_is_reopened_when_rotated(place, tmp_path):
    log = Log(LogFile(str(place)))
    log.info("first")
    place.rename(tmp_path / "log.1")
    log.info("second")
    place.unlink()
    log.info("third")
    place.unlink()
    place.write_text("made by logrotate\n")
    log.info("fourth")
    assert "first" in (tmp_path / "log.1").read_text()
    assert "second" not in (tmp_path / "log.1").read_text()
    assert place.read_text().startswith("made by logrotate\n")
    assert place.read_text().endswith("fourth\n")
    log.target.close()


def test_file_that_cannot_be_opened(tmp_path):
    target = LogFile(f"{tmp_path}/none/log")
    assert target.problem() == f"{tmp_path}/none/log: the log cannot be written: No such file or directory"
    log = Log(target)
    log.info("lost")
    (tmp_path / "none").mkdir()
    log.info("told")
    text = (tmp_path / "none" / "log").read_text()
    assert "warning: 1 line before this could not be told: No such file or directory" in text
    assert text.endswith("info: told\n")
    target.close()


def test_fifo_as_file_does_not_hold_us_up(place):
    os.mkfifo(place)
    assert "cannot be written" in (LogFile(str(place)).problem() or "")


@root
def test_full_disk_is_survived_and_told_later(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    os.system(f"mount -t tmpfs -o size=16k tmpfs {small}")
    try:
        log = Log(LogFile(str(small / "log")))
        log.info("before")
        (small / "filler").write_bytes(b"x" * 8192)
        for number in range(200):
            log.info(f"{number:03d} " + "x" * 100)
        (small / "filler").unlink()
        log.info("after")
        lines = (small / "log").read_text().splitlines()
        assert lines[-1].endswith("info: after")
        match = re.search(r"warning: (\d+) lines before this could not be told: ", lines[-2])
        assert match
        # A line that was cut short counts as lost, and nothing is glued to it.
        whole = [line for line in lines if line.endswith("x" * 100)]
        assert len(whole) + int(match[1]) == 200
        assert all(re.match(STAMP, line) for line in lines)
        log.target.close()
    finally:
        os.system(f"umount {small}")


def test_line_that_was_cut_short_is_ended_before_the_next(place):
    def body(say):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = Log(LogFile(str(place)))
        log.info("first")
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (place.stat().st_size + 40, hard))
        log.info("second, which is too long for what is left")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        log.info("third")
        say("done")

    child = Worker(body)
    assert child.heard() == "done"
    child.wait()
    lines = place.read_text().splitlines()
    assert len(lines) == 4
    assert len(lines[1]) == 40
    assert lines[2].endswith(
        "warning: 1 line before this could not be told: only a part of a line could be written"
    )
    assert lines[3].endswith("info: third")


def test_stderr():
    reading, writing = os.pipe()
    log = Log(Stderr(writing))
    log.error("bad\x07")
    assert re.fullmatch(rf"{STAMP} error: bad\\x07\n", os.read(reading, 1000).decode())
    os.close(reading)
    log.error("nobody")  # EPIPE
    os.close(writing)


def test_stderr_that_nobody_reads_does_not_hold_us_up():
    reading, writing = os.pipe()
    log = Log(Stderr(writing))
    for number in range(3000):
        log.info(f"line {number}")
    os.set_blocking(reading, False)
    data = b""
    while True:
        try:
            data += os.read(reading, 65536)
        except BlockingIOError:
            break
    lines = data.decode().splitlines()
    assert lines[-1].endswith(f"line {len(lines) - 1}")
    assert len(lines) < 3000
    log.info("more")
    assert (
        f"{3000 - len(lines)} lines before this could not be told: nobody reads"
        in os.read(reading, 999).decode()
    )
    os.close(reading)
    os.close(writing)


def test_the_journal_gets_the_priority_and_no_time():
    reading, writing = os.pipe()
    log = Log(Journal(writing))
    log.error("bad\x07")
    log.info("<3>not so bad")
    log.warning("x" * 5000)
    lines = os.read(reading, 10000).decode().splitlines()
    assert lines[:2] == ["<3>bad\\x07", "<6><3>not so bad"]
    assert lines[2].startswith("<4>xxx")
    assert len(lines[2]) == MAX_LINE
    os.close(reading)
    log.error("nobody")  # EPIPE
    os.close(writing)


def test_the_journal_is_known_by_its_device_and_inode(monkeypatch):
    reading, writing = os.pipe()
    found = os.fstat(writing)
    stream = f"{found.st_dev}:{found.st_ino}"
    assert is_journal(stream, writing)
    for other in ("", "1", "1:1", f"{stream}0", stream[:-1]):
        assert not is_journal(other, writing)
    standard = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{standard.st_dev}:{standard.st_ino}")
    assert isinstance(open_target("stderr"), Journal)
    monkeypatch.setenv("JOURNAL_STREAM", stream)  # inherited, but standard error was led elsewhere
    assert not isinstance(open_target("stderr"), Journal)
    os.close(reading)
    os.close(writing)


def test_a_syslogd_that_is_not_there_is_told_before(place, console, tmp_path):
    target = Syslog("had", path=str(place), console=str(console))
    text = f"there is no syslogd ({place}: No such file or directory): "
    assert target.warning() == f"{text}the log goes to the console until there is one"
    assert console.read_bytes() == b""
    listener = Listener(place)
    assert target.warning() is None
    listener.close()
    assert "Connection refused" in target.warning()
    place.unlink()
    target = Syslog("had", path=str(place), console=str(tmp_path / "none"))
    assert target.warning() == f"{text}the log is lost until there is one"
    assert LogFile(str(place)).warning() is None


def test_open_target():
    assert isinstance(open_target("stderr"), Stderr)
    assert isinstance(open_target("/var/log/had.log"), LogFile)
    assert open_target("syslog")._ident == "had"
    assert open_target("syslog", "web")._ident == "had-web"
    assert open_target("syslog").fileno() is None


class Memory(Target):
    def __init__(self):
        self.lines = []

    def write(self, level, text):
        self.lines.append((level, text))


def test_levels():
    target = Memory()
    log = Log(target, Level.WARNING)
    for say in (log.error, log.warning, log.notice, log.info, log.debug):
        say("x")
    assert [level for level, _ in target.lines] == [Level.ERROR, Level.WARNING]


def test_once_per_minute():
    target = Memory()
    log = Log(target)
    start = 10**15
    for second in range(0, 121, 10):
        log.once_per_minute("a", Level.WARNING, "garbage from a", start + second * 10**9)
    log.once_per_minute("b", Level.WARNING, "garbage from b", start)
    assert [text for _, text in target.lines] == [
        "garbage from a",
        "garbage from a (5 more like it were not told)",
        "garbage from a (5 more like it were not told)",
        "garbage from b",
    ]


def test_once_per_minute_is_bounded():
    """Who invents a new key each time shares one place."""
    once = OncePerMinute(keys=10)
    told = [once.left_out(f"key{number}", 10**15) for number in range(1000)]
    assert [number for number, count in enumerate(told) if count is not None] == list(range(11))
    assert len(once._told) <= 11
    later = 10**15 + MINUTE_NS
    assert once.left_out("key3", later) == 0
    assert once.left_out("new", later) == 0
    assert len(once._told) <= 11
    assert once.left_out("key3", later) is None
