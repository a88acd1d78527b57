"""The script pidfile, with nginx and with small daemons."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from lab.namespaces import Namespace, alive, start_time
from lab.waiting import eventually

from .tools import SERVICES, call, every_shell

pytestmark = pytest.mark.lab

# A daemon in a session of its own, whose leader ends; it has a child, and keeps its output open.
DAEMON = """#!/bin/sh
echo this is $0 >&2
setsid sh -c '
    sh -c "$2; sleep 1000 & echo \\$\\$ >$1; while :; do wait; done" "$0" "$1" &
' "$0" "$1" "${2:-:}"
"""


class Daemon:
    def __init__(self, node: Namespace, place: Path) -> None:
        self.node = node
        self.command = place / "gateway"
        self.command.write_text(DAEMON)
        self.command.chmod(0o755)
        self.file = place / "gateway.pid"
        self.memory = Path(
            f"/proc/{node.pid}/root/run/had-services/pidfile-{str(self.file).replace('/', '%2F')}"
        )

    def __call__(self, verb, *options, command=(), shell=()):
        words = command or [str(self.command), str(self.file)]
        return call("pidfile", verb, str(self.file), *options, *words, shell=shell, inside=self.node)

    def check(self, verb, *options):
        return call("pidfile", verb, str(self.file), *options, inside=self.node)

    def pid(self):
        return int(self.file.read_text())

    def said(self, text):
        return f"pidfile {self.file}: {text}\n"


def nginx(place):
    """The arguments for an nginx, its pid file and its configuration."""
    file, configuration = place / "nginx.pid", place / "nginx.conf"
    settings = (
        f"pid {file}; error_log {place}/log; events {{}} http {{ server {{ listen 127.0.0.1:8081; }} }}"
    )
    configuration.write_text(settings)
    return [str(file), "name=nginx", "nginx", "-c", str(configuration)], file, configuration


@pytest.fixture
def daemon(node, tmp_path):
    yield Daemon(node, tmp_path)
    node.kill_all()


@pytest.fixture
def stranger(node):
    process = node.popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@every_shell
@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_the_life_of_nginx(node, tmp_path, shell):
    file = tmp_path / "nginx.pid"
    configuration = tmp_path / "nginx.conf"
    settings = (
        f"pid {file}; error_log {tmp_path}/log; events {{}} http {{ server {{ listen 127.0.0.1:8081; }} }}"
    )
    configuration.write_text(settings)
    words = [str(file), "name=nginx", "nginx", "-c", str(configuration)]

    def service(verb):
        return call("pidfile", verb, *words, shell=shell, inside=node)

    done = service("start")
    pid = int(file.read_text())
    assert done == (0, f"pidfile {file}: started as process {pid} (nginx)\n", "")
    assert service("start") == (0, "", "")
    assert service("monitor") == (0, "", "")
    assert service("stop") == (0, f"pidfile {file}: stopped\n", "")
    assert not alive(pid)
    assert service("stop") == (0, "", "")
    assert service("monitor") == (3, "", f"pidfile {file}: does not run\n")
    configuration.write_text(configuration.read_text().replace("listen", "lissen"))
    done = service("start")
    assert done.code == 1
    assert done.err.startswith(f"pidfile {file}: nginx failed with exit status 1: ")
    assert 'unknown directive "lissen"' in done.err


def test_a_daemon_that_keeps_its_output(daemon):
    began = time.monotonic()
    assert daemon("start") == (0, daemon.said(f"started as process {daemon.pid()} (sh)"), "")
    assert time.monotonic() - began < 15, "start did not wait for the daemon's end"
    assert daemon("start") == (0, "", "")
    assert daemon("monitor") == (0, "", "")
    pids = daemon.node.pids()
    assert len(pids) == 2
    assert daemon("stop", "timeout=1").code == 0
    assert not any(alive(pid) for pid in pids), "its child was ended too"
    assert not daemon.file.exists()


def test_what_does_not_stop_is_killed(daemon):
    assert daemon("start", command=[str(daemon.command), str(daemon.file), "trap '' TERM"]).code == 0
    assert daemon("stop", "timeout=1") == (0, daemon.said("killed: it hadn't stopped after 1 s"), "")
    assert daemon.node.pids() == []


def test_only_the_process_itself_where_somebody_has_started_it_by_hand(daemon):
    shell = daemon.node.popen(["sh", "-c", f"sleep 1000 & echo $! >{daemon.file}; sleep 1001 & wait; wait"])
    eventually(lambda: len(daemon.node.pids()) == 3 and daemon.file.exists(), "all three run")
    assert daemon("stop", "name=sleep") == (0, daemon.said("stopped"), "")
    assert len(daemon.node.pids()) == 2, "the shell and the other one live"
    shell.kill()
    shell.wait()


@every_shell
def test_an_old_file_names_another_program(daemon, stranger, shell):
    daemon.file.write_text(f"{stranger.pid}\n")
    options = ["name=sh"]
    assert daemon("monitor", *options, shell=shell).code == 3
    assert daemon("stop", *options, shell=shell) == (0, "", "")
    done = daemon("start", *options, shell=shell)
    assert done.code == 0
    assert done.err == daemon.said(
        f"the file is removed: it is old, process {stranger.pid} (sleep) is not the daemon"
    )
    assert daemon("stop", *options, shell=shell).code == 0
    assert stranger.poll() is None


def test_a_number_that_was_given_away_again(daemon):
    assert daemon("start").code == 0
    boot = daemon.memory.read_text().split()[2]
    assert daemon.memory.read_text().startswith(f"{daemon.pid()} {start_time(daemon.pid())} {boot}\nsh\n")
    daemon.node.kill_all()
    # One of the same name has its number now.
    foreign = daemon.node.popen(["sh", "-c", "sleep 1000 & wait"])
    daemon.file.write_text(f"{foreign.pid}\n")
    daemon.memory.write_text(f"{foreign.pid} {int(start_time(foreign.pid)) - 1} {boot}\nsh\n1234567\n")
    assert daemon("monitor").code == 3
    assert daemon("stop") == (0, "", "")
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_what_may_be_the_daemon_is_left_alone(daemon, stranger):
    daemon.file.write_text(f"{stranger.pid}\n")
    complaint = daemon.said(
        f"{daemon.file} names process {stranger.pid} (sleep), which was not started here: "
        "if that is the daemon, add name=sleep; if not, remove the file"
    )
    for verb in ("start", "stop", "monitor"):
        assert daemon(verb) == (1, "", complaint)
    assert stranger.poll() is None


@every_shell
def test_what_a_dead_daemon_has_left(daemon, shell):
    assert daemon("start", shell=shell).code == 0
    (child,) = set(daemon.node.pids()) - {daemon.pid()}
    os.kill(daemon.pid(), signal.SIGKILL)
    # The daemon is called sh, and its child sleep: no name tells that this is of it.
    may_be = f"the daemon has ended, and these may be processes of it: {child}; if so, end them; "
    may_be += f"then remove /run/had-services/{daemon.memory.name}"
    eventually(lambda: daemon("monitor", shell=shell) == (1, "", daemon.said(may_be)), "it is seen")
    for verb in ("start", "stop"):
        assert daemon(verb, shell=shell) == (1, "", daemon.said(may_be))
    options = ["name=sleep"]
    left = daemon.said(f"the daemon has ended, but processes of its group have not: {child}")
    assert daemon("monitor", *options, shell=shell) == (1, "", left)
    assert daemon("start", *options, shell=shell) == (1, "", left[:-1] + "; stop it first\n")
    assert alive(child)
    told = daemon.said("has ended the processes that a dead daemon had left")
    assert daemon("stop", *options, shell=shell) == (0, told, "")
    assert not alive(child)
    assert daemon("stop", shell=shell) == (0, "", "")


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_workers_of_a_dead_nginx(node, tmp_path):
    """They go on serving when the master is killed."""
    words, file, _ = nginx(tmp_path)
    assert call("pidfile", "start", *words, inside=node).code == 0
    os.kill(int(file.read_text()), signal.SIGKILL)
    eventually(lambda: call("pidfile", "monitor", *words, inside=node).code == 1, "the master has ended")
    assert call("port", "monitor", "8081", inside=node).code == 0
    assert call("pidfile", "stop", *words, inside=node).code == 0
    assert call("port", "monitor", "8081", inside=node).code == 3


def test_the_file_is_gone_but_the_daemon_is_not(daemon):
    assert daemon("start").code == 0
    pid = daemon.pid()
    daemon.file.unlink()
    assert daemon("monitor") == (0, "", "")
    assert daemon("start") == (0, "", "")
    assert daemon("stop").code == 0
    assert not alive(pid)


@pytest.mark.parametrize("content", ["", "0\n", "1\n", "-5\n", "x\n", "99999999999\n", "4194305\n"])
def test_a_file_that_names_no_process(daemon, content):
    daemon.file.write_text(content)
    assert daemon("monitor") == (3, "", daemon.said("does not run"))
    assert daemon("stop") == (0, "", "")


def test_one_that_was_restarted_by_hand_is_known_by_its_name(daemon):
    assert daemon("start").code == 0
    os.kill(daemon.pid(), signal.SIGKILL)
    daemon.node.kill_all()
    by_hand = daemon.node.popen([str(daemon.command), str(daemon.file)], stderr=subprocess.DEVNULL)
    by_hand.wait()
    eventually(lambda: alive(daemon.pid()), "it runs again")
    pid = daemon.pid()
    assert daemon("monitor") == (0, "", "")
    assert daemon("stop").code == 0
    assert not alive(pid)


def test_starts_that_fail(daemon):
    done = daemon("start", "timeout=1", command=["sleep", "1000"])
    assert done.err == daemon.said(
        "sleep did not go into the background within 1 s; if it is to stay, use the script process"
    )
    done = daemon("start", "timeout=1", command=["sh", "-c", "echo no licence"])
    assert done.err == daemon.said(f"{daemon.file} named no living process within 1 s; sh said: no licence")
    done = daemon("start", command=["sh", "-c", f"sleep 0.3 & echo $! >{daemon.file}; sleep 0.2"])
    assert done.err == daemon.said("it ended at once")
    assert daemon("start", command=["/nowhere/gateway"]).code == 1
    done = daemon("start", "user=nobody-here")
    assert done.err == daemon.said("there is no user nobody-here here")


def test_as_another_user(node):
    node.run("mkdir", "-m", "777", "/run/gateway")
    program = "sleep 1000 >/dev/null 2>&1 & echo $! >/run/gateway/pid"
    words = ["/run/gateway/pid", "user=nobody", "sh", "-c", program]
    assert call("pidfile", "start", *words, inside=node).code == 0
    pid = int(node.run("cat", "/run/gateway/pid"))
    assert os.stat(f"/proc/{pid}").st_uid != 0
    assert call("pidfile", "stop", *words, inside=node).code == 0
    assert not alive(pid)


def test_without_a_command_it_is_a_check(daemon, stranger):
    assert daemon.check("monitor").code == 3
    done = daemon.check("start", "timeout=1")
    assert done == (1, "", daemon.said(f"{daemon.file} named no living process within 1 s"))
    later = threading.Timer(0.5, daemon.file.write_text, [f"{stranger.pid}\n"])
    later.start()
    assert daemon.check("start") == (0, "", "")
    later.join()
    assert daemon.check("monitor") == (0, "", "")
    assert daemon.check("stop") == (0, "", "")
    assert stranger.poll() is None
    assert daemon.check("monitor", "name=nginx").code == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["gateway.pid"], "FILE gateway.pid does not begin with a slash"),
        (["/a", "name=/usr/sbin/nginx"], "name= /usr/sbin/nginx is no name of a process: it has a slash"),
        (["/a", "log=/b", "x"], "unknown option log=; there are: name user timeout"),
        (["/a", "timeout=x", "x"], "timeout= x is not a whole number from 1 to 86400"),
        (["/a", ""], "the COMMAND is empty"),
    ],
)
def test_mistakes(words, complaint):
    for verb in ("start", "check"):
        done = call("pidfile", verb, *words)
        assert done == (2, "", f"pidfile {words[0]}: {complaint}\n")


SLOW = "sh -c 'trap : TERM; sleep {}; setsid sleep 1000 & echo $! >$0; wait' $0 & wait"


@every_shell
@pytest.mark.parametrize("moment", ["before the daemon", "after it"])
def test_a_stop_after_a_start_that_was_ended_half_way(daemon, shell, moment):
    """had has ended the hook, but what makes the daemon is in a session of its own, and goes on."""
    daemon.command.write_text(f"#!/bin/sh\n{SLOW.replace('$0', str(daemon.file)).format(3)}\n")
    hook = daemon.node.popen(
        [*shell, str(SERVICES / "pidfile"), "start", str(daemon.file), str(daemon.command)]
    )
    if moment == "after it":
        eventually(daemon.file.exists, "the daemon is there")
    else:
        eventually(lambda: len(daemon.node.pids()) >= 5, "it is under way")
    os.killpg(os.getpgid(hook.pid), signal.SIGKILL)
    hook.wait()
    eventually(lambda: len(daemon.node.pids()) > 0, "what it has started goes on")
    assert daemon("start", shell=shell).code == 1
    said = daemon.said("has ended a start that was under way")
    assert daemon("stop", "timeout=1", shell=shell) == (0, said, "")
    assert daemon.node.pids() == []
    assert daemon("stop", shell=shell) == (0, "", "")


def test_a_start_that_goes_on_after_its_time(daemon):
    daemon.command.write_text(f"#!/bin/sh\n{SLOW.replace('$0', str(daemon.file)).format(1000)}\n")
    assert daemon("start", "timeout=1").code == 1
    said = daemon.said("has ended a start that was under way")
    assert daemon("stop", "timeout=1") == (0, said, "")
    assert daemon.node.pids() == []
