"""The script mysql, with stand-ins for the server and its programs."""

from __future__ import annotations

import os
import pwd
import signal
import time

import pytest
from lab.namespaces import alive, status
from lab.waiting import eventually

from .standins import StandIns
from .tools import call, every_shell

pytestmark = pytest.mark.lab

# Like the real one: it works in its data directory, and ends by SIGTERM.
SERVER = """
case $* in
*--print-defaults*) echo "would start with"; echo "--port=3306 --socket=$PLACE/run/mysqld.sock"; exit 0 ;;
esac
for word; do case $word in --datadir=*) cd "${word#*=}" ;; esac; done
[ ! -e $PLACE/fails ] || { echo "[Note] hm"; echo "[ERROR] no space"; echo "[ERROR] Aborting"; exit 1; }
trap 'kill $sleeper; exit 0' TERM
[ ! -e $PLACE/deaf ] || trap '' TERM
sleep 1000 & sleeper=$!
while :; do wait $sleeper; done
"""
ADMIN = """
[ ! -e $PLACE/recovers ] || { echo "error: Can't connect to local server"; exit 1; }
[ ! -e $PLACE/denies ] || { echo "error: Access denied for user"; exit 1; }
"""


class Server(StandIns):
    def __init__(self, node, directory):
        directory.mkdir(exist_ok=True)
        super().__init__(directory, {"mariadbd": SERVER, "mariadb-admin": ADMIN})
        self.node = node
        self.place = directory
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.data = directory / "data"
        (self.data / "mysql").mkdir(parents=True)

    def __call__(self, verb, *words, shell=()):
        words = [str(self.data), f"user={self.user}", *words]
        return call("mysql", verb, *words, shell=shell, inside=self.node, environment=self.environment)

    def has(self, *marks):
        for mark in ("fails", "deaf", "recovers", "denies"):
            (self.place / mark).unlink(missing_ok=True)
        for mark in marks:
            (self.place / mark).touch()

    def pids(self):
        """The servers that live; not their helpers."""
        found = []
        for pid in self.node.pids():
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read() == "mariadbd\n" and alive(pid):
                        found.append(pid)
            except OSError:
                continue
        return found

    def said(self, text):
        return f"mysql {self.data}: {text}\n"


@pytest.fixture
def server(node, tmp_path):
    yield Server(node, tmp_path)
    node.kill_all()


@every_shell
def test_its_life(server, shell):
    assert server("monitor", shell=shell) == (3, "", server.said("does not run"))
    assert server("stop", shell=shell) == (0, "", "")
    done = server("start", shell=shell)
    (pid,) = server.pids()
    assert done == (0, server.said(f"started as process {pid}"), "")
    assert status(pid)[3] == str(pid), "it leads a session"
    socket = f"{server.place}/run/mysqld.sock"
    assert server.calls() == [
        "mariadbd --print-defaults",
        f"mariadbd --datadir={server.data} --pid-file={server.data}/had-mysql.pid --socket={socket}",
        f"mariadb-admin --socket={socket} --connect-timeout=5 ping",
    ]
    assert (server.place / "run").is_dir(), "the directory of the socket was made"
    assert server("start", shell=shell) == (0, "", "")
    assert server.pids() == [pid]
    assert server("monitor", shell=shell) == (0, "", "")
    assert server("stop", shell=shell) == (0, server.said("stopped"), "")
    assert not alive(pid)
    assert server("stop", shell=shell) == (0, "", "")


def test_settings(server):
    settings = server.place / "my.cnf"
    settings.touch()
    words = [f"defaults={settings}", f"socket={server.place}/s", f"log={server.place}/log"]
    assert server("start", *words).code == 0
    first, second = server.calls()
    assert first.startswith(f"mariadbd --defaults-file={settings} --datadir=")
    assert first.endswith(f"--socket={server.place}/s")
    assert second == (
        f"mariadb-admin --defaults-file={settings} --socket={server.place}/s --connect-timeout=5 ping"
    )
    assert (server.place / "log").exists()


def test_it_is_known_by_its_directory_alone(server):
    """Another server on this machine, a pid file that lies: neither counts."""
    other = Server(server.node, server.place / "other")
    assert other("start").code == 0
    (server.data / "had-mysql.pid").write_text(f"{other.pids()[0]}\n")
    assert server("monitor").code == 3
    assert server("stop") == (0, "", "")
    assert server("start").code == 0
    assert server("stop").code == 0
    assert len(other.pids()) == 1


def test_start_goes_on_waiting_while_it_recovers(server):
    server.has("recovers")
    process = server.node.popen(
        ["sh", "-c", "sleep 4; rm $PLACE/recovers"], env={**os.environ, **server.environment}
    )
    done = server("start")
    process.wait()
    assert done.code == 0
    told = "is still starting or recovering (error: Can't connect to local server); waiting for "
    assert done.out.startswith(server.said("")[:-1] + told)
    assert "started as process" in done.out
    server.has("recovers")
    assert server("monitor").code == 1
    server.has("denies")
    assert server("monitor") == (0, "", "")


def test_starts_that_fail(server):
    server.has("fails")
    done = server("start")
    last = f"the last error in {server.data}/had-mysql.log: [ERROR] no space"
    assert done == (1, "", server.said(f"has not started: it ended at once with exit status 1; {last}"))
    server.has("recovers")
    done = server("start", "timeout=1")
    assert done.code == 1
    assert done.err.startswith(server.said("does not answer yet after 1 s ")[:-1])
    assert len(server.pids()) == 1
    assert server("stop").code == 0
    server.user = "nobody-here"
    assert server("start").err == server.said("there is no user nobody-here here")
    (server.data / "mysql").rmdir()
    assert "is its file system mounted?" in server("start").err
    assert server("stop") == (0, "", "")


def test_one_that_does_not_stop_is_killed(server):
    server.has("deaf")
    assert server("start").code == 0
    began = time.monotonic()
    done = server("stop", "timeout=1")
    killed = "killed, and will recover when it is started: it hadn't stopped after 1 s"
    assert done == (0, server.said(killed), "")
    assert time.monotonic() - began < 20
    assert server.pids() == []


def test_a_keeper_is_killed_first(server):
    """mysqld_safe would start a server that was killed again."""
    server.has("deaf")
    keeper = server.directory / "mysqld_safe"
    keeper.write_text(f"#!/bin/sh\nwhile :; do mariadbd --datadir={server.data}; done\n")
    keeper.chmod(0o755)
    process = server.node.popen([str(keeper)], env={**os.environ, **server.environment})
    eventually(server.pids, "the server runs")
    assert server("monitor").code == 0
    assert server("stop", "timeout=1").code == 0
    assert process.wait() == -signal.SIGKILL
    assert server.pids() == []


def test_mistakes():
    assert call("mysql", "check", "data").code == 2
    assert call("mysql", "check", "/data", "user=a/b").code == 2
    assert call("mysql", "check", "/data", "defaults=my.cnf").code == 2
    assert call("mysql", "check", "/data", "socket=s").code == 2
    assert call("mysql", "check", "/data", "timeout=0").code == 2
    assert call("mysql", "check", "/data", "defaults-file=/x").code == 2
