"""The runner (scripts/run-services): what it makes of a list, with small services of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from lab.namespaces import marked_environment
from services.tools import SHELLS, call, every_shell

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
AWKS = {"mawk": "mawk", "gawk": "gawk", "busybox": "busybox"}

every_awk = pytest.mark.parametrize("awk", AWKS)

SERVICE = """#!/bin/sh
# Writes down how it was called, and ends as told: one of the words may be VERB=STATUS.
{ printf '%s' "${0##*/}"; for word; do printf '<%s>' "$word"; done; echo; } >>"${0%/*/*}/calls"
for word; do
    case $word in "$1="*) exit "${word#*=}" ;; esac
done
"""


class Runner:
    """A copy of the runner with services beside it that write down their calls."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.services = directory / "services"
        self.services.mkdir()
        self.program = directory / "run-services"
        shutil.copy(SCRIPTS / "run-services", self.program)
        for name in ("disk", "address", "web"):
            self.add(self.services / name)
        self.list = directory / "services.list"

    def add(self, path):
        path.write_text(SERVICE)
        path.chmod(0o755)

    def run(self, verb, text=None, shell=(), **environment):
        """Run it on a list; return its exit code, what it said, and how the services were called."""
        if text is not None:
            self.list.write_bytes(text if isinstance(text, bytes) else text.encode())
        calls = self.directory / "calls"
        calls.unlink(missing_ok=True)
        done = call(self.program, verb, str(self.list), shell=shell, environment=environment)
        return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def runner(tmp_path):
    directory = tmp_path / "had"
    directory.mkdir()
    return Runner(directory)


@pytest.fixture
def awk_path(awk, tmp_path):
    """A PATH in which this awk is the first."""
    program = shutil.which(AWKS[awk])
    if program is None:
        pytest.skip(f"needs {AWKS[awk]}")
    (tmp_path / "awk").symlink_to(program)
    return f"{tmp_path}:{marked_environment()['PATH']}"


LIST = """# comment
disk /dev/x  '/a b'
\taddress 10.0.0.1/24

web
"""


@every_shell
def test_start_in_order(runner, shell):
    done, calls = runner.run("start", LIST, shell)
    assert calls == ["disk<start></dev/x></a b>", "address<start><10.0.0.1/24>", "web<start>"]
    assert done == (0, "start disk /dev/x '/a b'\nstart address 10.0.0.1/24\nstart web\n", "")


@every_shell
def test_stop_in_reverse_order(runner, shell):
    done, calls = runner.run("stop", LIST, shell)
    assert calls == ["web<stop>", "address<stop><10.0.0.1/24>", "disk<stop></dev/x></a b>"]
    assert done == (0, "stop web\nstop address 10.0.0.1/24\nstop disk /dev/x '/a b'\n", "")


@every_shell
def test_monitor_is_silent(runner, shell):
    done, calls = runner.run("monitor", LIST, shell)
    assert calls == ["disk<monitor></dev/x></a b>", "address<monitor><10.0.0.1/24>", "web<monitor>"]
    assert done == (0, "", "")


@every_shell
def test_a_start_ends_at_the_first_failure(runner, shell):
    done, calls = runner.run("start", "disk\naddress start=7\nweb\n", shell)
    assert calls == ["disk<start>", "address<start><start=7>"]
    assert done.code == 1
    assert done.err == f"start failed: address start=7 (exit status 7, {runner.list}:2)\n"


@every_shell
def test_a_stop_goes_on_after_failures_and_names_all_of_them(runner, shell):
    done, calls = runner.run("stop", "disk stop=1\naddress\nweb 'a b' stop=5\n", shell)
    assert calls == ["web<stop><a b><stop=5>", "address<stop>", "disk<stop><stop=1>"]
    assert done.code == 1
    assert done.err.splitlines() == [
        f"stop failed: web 'a b' stop=5 (exit status 5, {runner.list}:3)",
        f"stop failed: disk stop=1 (exit status 1, {runner.list}:1)",
        "not stopped: web 'a b' stop=5; disk stop=1",
    ]


@every_shell
def test_a_monitor_tells_of_the_first_failure(runner, shell):
    done, calls = runner.run("monitor", "disk\naddress monitor=3\nweb monitor=1\n", shell)
    assert calls == ["disk<monitor>", "address<monitor><monitor=3>"]
    assert done == (1, "", f"monitor failed: address monitor=3 (exit status 3, {runner.list}:2)\n")


WORDS = r"""
disk 'a b' "c d" e'f g'h"i j" '' ""
disk $HOME ${HOME} $(id) `id` * ~ ? [a-z] {a,b} a\b \ ; & | < > ( ) ! !x
disk it"'"s 'say "x"' '$HOME' "$HOME" "`id`" '#' "#" a#b a'#'
disk --flag=1 key=value -n é 'ü ö' %s %
disk a #comment 'not closed
disk#no b
"""
GOT = [
    "disk<start><a b><c d><ef ghi j><><>",
    r"disk<start><$HOME><${HOME}><$(id)><`id`><*><~><?><[a-z]><{a,b}><a\b><\><;><&><|><<><>><(><)><!><!x>",
    'disk<start><it\'s><say "x"><$HOME><$HOME><`id`><#><#><a#b><a#>',
    "disk<start><--flag=1><key=value><-n><é><ü ö><%s><%>",
    "disk<start><a>",
    "disk#no<start><b>",
]


@every_shell
@every_awk
def test_words_are_taken_as_they_are(runner, shell, awk_path):
    runner.add(runner.services / "disk#no")
    done, calls = runner.run("start", WORDS, shell, PATH=awk_path)
    assert calls == GOT
    assert (done.code, done.err) == (0, "")


@every_awk
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_whatever_an_editor_leaves(runner, awk_path, locale):
    """Windows line ends, a byte order mark, no newline at the end, tabs, bytes that are no UTF-8."""
    text = b"\xef\xbb\xbfdisk a\r\n\r\n# comment\r\naddress\t'b c'\t \r\nweb \xff \xe9t\xe9"
    calls_file = runner.directory / "calls"
    runner.list.write_bytes(text)
    done = subprocess.run(
        [runner.program, "start", runner.list],
        env={"PATH": awk_path, "LC_ALL": locale},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert calls_file.read_bytes() == b"disk<start><a>\naddress<start><b c>\nweb<start><\xff><\xe9t\xe9>\n"
    assert (done.returncode, done.stderr) == (0, b"")


MISTAKES = {
    "disk 'open\nweb": "{list}:1: the quote ' is not closed",
    'disk\n\nweb a"b\n': '{list}:3: the quote " is not closed',
    "disk \a\nweb": "{list}:1: a control character",
    "web\ndisc x\n": "{list}:2: there is no service script 'disc' in {services}",
    "web\n/no/such program\n": "{list}:2: there is no file /no/such",
    "web\n/etc/passwd x\n": "{list}:2: /etc/passwd can't be executed",
    "bin/web\nweb\n": "{list}:1: bin/web: write the whole path, from the first slash on",
    "web\n''\n": "{list}:2: there is no service script '' in {services}",
    "common\nweb": "{list}:1: {services}/common can't be executed",
}


@every_awk
@pytest.mark.parametrize("text", MISTAKES)
def test_a_list_with_a_mistake(runner, text, awk_path):
    """Starts nothing, and stops everything else."""
    (runner.services / "common").write_text("")
    message = MISTAKES[text].format(list=runner.list, services=runner.services)
    done, calls = runner.run("start", text, PATH=awk_path)
    assert (done, calls) == ((1, "", f"{message}\n"), [])

    done, calls = runner.run("stop", text, PATH=awk_path)
    assert (done.code, calls) == (1, [line for line in ["web<stop>", "disk<stop>"] if line[:3] in calls[0]])
    line = message.split(":")[1]
    assert done.err.splitlines() == [message, f"not stopped: line {line}"]


def test_all_mistakes_are_told(runner):
    done, calls = runner.run("start", "a\nweb 'x\nb\n")
    assert (done.code, calls) == (1, [])
    assert [line.split(":")[1] for line in done.err.splitlines()] == ["1", "2", "3"]


@every_shell
@pytest.mark.parametrize("verb", ["start", "stop", "monitor", "check"])
@pytest.mark.parametrize("text", ["", "\n\n", "# web\n", "   \r\n"])
def test_a_list_without_services(runner, shell, verb, text):
    """It was cut off, perhaps: nothing can be said to be down."""
    done, calls = runner.run(verb, text, shell)
    assert (done, calls) == ((1, "", f"{verb}: {runner.list} names no service\n"), [])


@every_shell
@pytest.mark.parametrize("verb", ["start", "stop", "monitor", "check"])
def test_no_list(runner, shell, verb):
    done, calls = runner.run(verb, None, shell)
    said = f"{verb}: the list of services {runner.list} is missing or can't be read\n"
    assert (done, calls) == ((1, "", said), [])


@pytest.mark.parametrize("verb", ["start", "check"])
def test_a_list_that_others_may_write_to(runner, verb):
    """Whoever writes it is root."""
    runner.run("check", "web\n")
    runner.list.chmod(0o666)
    done, calls = runner.run(verb)
    assert (done.code, calls) == (1, [])
    assert (
        done.err
        == f"{verb}: {runner.list} may be written by its group or by others; chmod go-w {runner.list}\n"
    )
    assert runner.run("stop")[0].code == 0


@pytest.mark.parametrize("words", [(), ("start",), ("restart", "list"), ("start", "list", "more")])
def test_usage(runner, words):
    done = call(runner.program, *words)
    assert done == (2, "", "usage: run-services start|stop|monitor|check LIST\n")


@every_shell
def test_check_shows_what_would_run_and_lets_the_scripts_check_their_arguments(runner, shell):
    own = runner.directory / "own program"
    runner.add(own)
    done, calls = runner.run("check", f"disk 'a b'\n\nweb check=2\n'{own}' x\n", shell)
    assert calls == ["disk<check><a b>", "web<check><check=2>"]
    assert done.code == 1
    assert done.out.splitlines() == ["1: disk 'a b'", "3: web check=2", f"4: '{own}' x"]
    assert done.err == f"{runner.list}:3: mistake in the arguments\n"
    assert runner.run("check", "disk\n")[0] == (0, "1: disk\n", "")


def test_a_program_of_ones_own(runner, tmp_path):
    own = tmp_path / "own"
    runner.add(own)
    assert runner.run("start", f"{own} 'a b'\n")[0].code == 0
    assert (tmp_path.parent / "calls").read_text() == "own<start><a b>\n"
    (tmp_path.parent / "calls").unlink()


def test_services_read_nothing(runner):
    """One that reads its standard input would otherwise eat the list, or wait for a terminal."""
    (runner.services / "web").write_text(f"#!/bin/sh\ncat >{runner.directory}/read\n")
    runner.list.write_text("web\ndisk\n")
    done = subprocess.run(
        [runner.program, "start", runner.list], input=b"x", stdout=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == 0
    assert (runner.directory / "calls").read_text() == "disk<start>\n"
    assert (runner.directory / "read").read_text() == ""


def test_tools_of_the_administrator_are_found(runner):
    """A daemon that was started by cron has no /usr/sbin in its PATH."""
    (runner.services / "web").write_text('#!/bin/sh\necho "$PATH"\n')
    done, _ = runner.run("start", "web\n", PATH="/usr/bin:/bin")
    assert done.out == "start web\n/usr/bin:/bin:/usr/sbin:/sbin\n"


@pytest.mark.parametrize("shell", [[], *SHELLS.values()], ids=["itself", *SHELLS])
@pytest.mark.parametrize(("verb", "all_of_it"), [("stop", True), ("start", False)])
def test_a_stop_goes_on_when_nobody_listens(runner, shell, verb, all_of_it):
    """The daemon may be killed meanwhile. A start had better end: another node will start the services."""
    if shell and shutil.which(shell[0]) is None:
        pytest.skip(f"needs {shell[0]}")
    runner.list.write_text("disk\nweb\n")
    read, write = os.pipe()
    os.close(read)
    code = subprocess.call(
        [*shell, runner.program, verb, runner.list], stdout=write, stderr=write, timeout=60
    )
    os.close(write)
    calls = runner.directory / "calls"
    assert (calls.read_text() if calls.exists() else "") == ("web<stop>\ndisk<stop>\n" if all_of_it else "")
    assert (code == 0) == all_of_it


def test_a_file_that_is_none(runner):
    runner.list.mkdir()
    assert runner.run("stop")[0].code == 1


def test_a_path_with_blanks(tmp_path):
    directory = tmp_path / "a b"
    directory.mkdir()
    done, calls = Runner(directory).run("start", "web x\n")
    assert (done.code, calls) == (0, ["web<start><x>"])


@every_shell
def test_a_stop_that_hangs_leaves_time_for_the_others(runner, shell):
    """The hook as a whole has HAD_TIMEOUT seconds; what comes after one that hangs is stopped too."""
    hanging = runner.services / "web"
    hanging.write_text(SERVICE + "case $1 in stop) sleep 1000 ;; esac\n")
    began = time.monotonic()
    # In a session of its own, as had runs a hook; `timeout` waits for it.
    done, calls = runner.run("stop", LIST, ("setsid", "--wait", *shell), HAD_TIMEOUT="12.5")
    assert done.code == 1
    assert time.monotonic() - began < 12
    assert [line.split("<")[0] for line in calls] == ["web", "address", "disk"]
    assert "web: was ended after 3 s, for the others are to be stopped too\n" in done.err
    assert done.err.endswith("not stopped: web\n")


def test_by_hand_a_stop_may_take_its_time(runner):
    (runner.services / "web").write_text(SERVICE + "case $1 in stop) sleep 2 ;; esac\n")
    done, calls = runner.run("stop", LIST)
    assert (done.code, len(calls)) == (0, 3)
