"""The script postgresql, with a real server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from lab.namespaces import alive
from lab.waiting import eventually

from .tools import SERVICES, call, every_shell

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [
    Path(shutil.which("pg_ctl") or "/nowhere/pg_ctl")
]
BIN = PROGRAMS[-1].parent


def _why_not():
    if not (BIN / "initdb").exists():
        return "needs PostgreSQL"
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return "needs the user postgres"
    return ""


pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]


class Server:
    def __init__(self, node, place):
        self.node = node
        self.place = place
        self.data = place / "data"
        self.pid_file = self.data / "postmaster.pid"

    def as_postgres(self, *words, **arguments):
        return self.node.popen(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words],
            cwd=self.place,
            **arguments,
        )

    def initialise(self):
        words = [f"{BIN}/initdb", "--auth=peer", "--no-sync", "--pgdata", str(self.data)]
        assert self.as_postgres(*words, stdout=subprocess.DEVNULL).wait() == 0
        with open(self.data / "postgresql.conf", "a") as file:
            file.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.place}'\nport = 5999\nfsync = off\n"
            )
        self.sql("create table rows (n int)", start=True)

    def sql(self, text, start=False):
        if start:
            assert self("start").code == 0
        words = [f"{BIN}/psql", "-h", str(self.place), "-p", "5999", "-Atqc", text]
        asked = self.as_postgres(*words, stdout=subprocess.PIPE)
        out = asked.communicate(timeout=60)[0].decode()
        assert asked.returncode == 0
        if start:
            assert self("stop").code == 0
        return out

    def __call__(self, verb, *words, shell=(), environment=None):
        words = [verb, str(self.data), *words]
        return call("postgresql", *words, shell=shell, inside=self.node, environment=environment)

    def pid(self):
        return int(self.pid_file.read_text().split("\n")[0])

    def said(self, text):
        return f"postgresql {self.data}: {text}\n"

    def backend(self):
        """A connection that is busy; returns its client and the pid of the server's process."""
        words = [f"{BIN}/psql", "-h", str(self.place), "-p", "5999", "-c", "select pg_sleep(1000)"]
        client = self.as_postgres(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        query = "select pid from pg_stat_activity where query like 'select pg_sleep%'"
        return client, int(eventually(lambda: self.sql(query), "the query runs"))


@pytest.fixture(scope="module")
def cluster(node):
    place = Path(tempfile.mkdtemp(prefix="had-postgresql-", dir="/tmp"))
    place.chmod(0o755)
    shutil.chown(place, "postgres")
    made = Server(node, place)
    made.initialise()
    yield made
    node.kill_all()
    shutil.rmtree(place)


@pytest.fixture
def server(cluster):
    yield cluster
    cluster.node.kill_all()
    cluster.pid_file.unlink(missing_ok=True)
    for left in cluster.place.glob(".s.PGSQL*"):
        left.unlink()


@every_shell
def test_its_life(server, shell):
    assert server("monitor", shell=shell) == (3, "", server.said("does not run"))
    assert server("stop", shell=shell) == (0, "", "")
    done = server("start", shell=shell)
    pid = server.pid()
    assert done == (0, server.said(f"started as process {pid}"), "")
    assert server("start", shell=shell) == (0, "", "")
    assert server.pid() == pid
    assert server("monitor", shell=shell) == (0, "", "")
    assert server("stop", shell=shell) == (0, server.said("stopped"), "")
    assert not alive(pid)
    assert server("stop", shell=shell) == (0, "", "")


def test_its_log_is_not_the_hooks_and_stays_quiet(server):
    log = server.data / "had-postgresql.log"
    log.unlink(missing_ok=True)
    assert server("start").code == 0
    targets = {os.readlink(f"/proc/{server.pid()}/fd/{number}") for number in (0, 1, 2)}
    assert targets == {"/dev/null", str(log)}
    assert server("monitor", environment={"PGUSER": "stranger", "PGDATABASE": "strange"}).code == 0
    assert "FATAL" not in log.read_text(), "monitor leaves no complaints"
    assert server("stop").code == 0


def test_a_stop_does_not_wait_for_clients(server):
    assert server("start").code == 0
    client, backend = server.backend()
    assert server("stop") == (0, server.said("stopped"), "")
    assert not alive(backend)
    client.wait()


def test_a_crash_and_its_recovery(server):
    assert server("start").code == 0
    server.sql("insert into rows select generate_series(1, 1000)")
    first = server.pid()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: server("monitor").code == 3, "all of its processes have ended")
    assert server.pid() == first, "postmaster.pid is left over"
    assert server("stop") == (0, "", "")
    done = server("start")
    assert (done.code, done.err) == (0, "")
    assert server.pid() != first
    assert server.sql("select count(*) from rows") == "1000\n"
    assert server("stop").code == 0


def test_a_foreign_process_in_postmaster_pid(server):
    """As another node leaves it on a shared disk. The server itself would fear a process of its own user."""
    foreign = server.as_postgres("sleep", "1000")
    server.pid_file.write_text(f"{foreign.pid}\n{server.data}\n1700000000\n5999\n{server.place}\n\n")
    shutil.chown(server.pid_file, "postgres")
    assert server("monitor") == (3, "", server.said("does not run"))
    assert server("stop") == (0, "", "")
    done = server("start")
    told = f"postmaster.pid is removed: it is old, its process {foreign.pid} is none of this server"
    assert done == (0, server.said(f"started as process {server.pid()}"), server.said(told))
    assert server("stop").code == 0
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_a_process_that_may_be_a_server(server):
    foreign = server.as_postgres("sh", "-c", f"cd {server.data} && exec sleep 1000")
    server.pid_file.write_text(f"{foreign.pid}\n")
    eventually(lambda: os.readlink(f"/proc/{foreign.pid}/cwd") == str(server.data), "it works there")
    done = server("start")
    assert done.code == 1
    assert f"process {foreign.pid} of postmaster.pid may be a server" in done.err
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_start_goes_on_waiting_while_it_recovers(server):
    """A standby that takes no queries stays in recovery for as long as one likes."""
    (server.data / "standby.signal").touch()
    words = ["sh", str(SERVICES / "postgresql"), "start", str(server.data), "options=-c hot_standby=off"]
    started = server.node.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = started.stdout.readline().decode()
    assert told.startswith(server.said("is still starting or recovering (")[:-1])
    assert told.endswith("waiting for 300 s at most\n")
    done = server("monitor")
    assert done.code == 1
    assert "does not accept connections" in done.err
    done = server("start", "timeout=1")
    assert done.code == 1
    assert "accepts no connections yet after 1 s" in done.err
    words = [f"{BIN}/pg_ctl", "promote", "--no-wait", "--pgdata", str(server.data)]
    assert server.as_postgres(*words, stdout=subprocess.DEVNULL).wait() == 0
    out, err = started.communicate(timeout=60)
    assert (started.returncode, err) == (0, b"")
    assert out.decode() == server.said(f"started as process {server.pid()}")
    assert server("stop").code == 0


def test_processes_that_a_dead_server_has_left(server):
    assert server("start").code == 0
    client, backend = server.backend()
    os.kill(backend, signal.SIGSTOP)  # or it would notice
    os.kill(server.pid(), signal.SIGKILL)
    left = server.said(f"the server has ended, but processes of it work in {server.data}: {backend} ")
    eventually(lambda: server("monitor").err == left, "all others have ended")
    assert server("start") == (1, "", left[:-1] + "; stop it first\n")
    os.kill(backend, signal.SIGCONT)
    done = server("stop")
    assert done.code == 0
    assert not alive(backend)
    client.wait()


def test_a_fast_shutdown_that_is_too_slow(server):
    assert server("start").code == 0
    client, backend = server.backend()
    os.kill(backend, signal.SIGSTOP)
    pid = server.pid()
    done = server("stop", "timeout=1")
    told = "stopped at once, and will recover when it is started: a fast shutdown took longer than 1 s"
    assert done == (0, server.said(told), "")
    assert "received immediate shutdown request" in (server.data / "had-postgresql.log").read_text()
    assert not alive(pid)
    assert not alive(backend)
    client.wait()


def test_starts_that_fail(server):
    done = server("start", "options=-c shared_buffers=x")
    assert done.code == 1
    assert 'invalid value for parameter "shared_buffers": "x"' in done.err
    assert done.err.endswith(f" (in {server.data}/had-postgresql.log)\n")
    assert server("monitor").code == 3
    assert server("start", "user=nobody-here").err == server.said("there is no user nobody-here here")
    nowhere = call("postgresql", "start", "/nowhere/data", inside=server.node)
    assert nowhere.code == 1
    assert "is its file system mounted?" in nowhere.err
    for verb, code in (("stop", 0), ("monitor", 3)):
        assert call("postgresql", verb, "/nowhere/data", inside=server.node).code == code


def test_settings_that_are_elsewhere(server, tmp_path):
    """As Debian keeps them."""
    settings = server.place / "elsewhere.conf"
    here = server.data / "postgresql.conf"
    here.rename(settings)
    try:
        done = server("start")
        assert done.code == 1
        assert "say where it is: options='-c config_file=/etc/...'" in done.err
        assert server("start", f"options=-c config_file={settings}", "port=5998").code == 0
        assert (server.place / ".s.PGSQL.5998").exists()
        assert server("monitor").code == 0
        assert server("stop").code == 0
    finally:
        settings.rename(here)


def test_the_directory_of_its_socket_is_made(server):
    """In /run, which is empty after a boot."""
    assert server("start", "options=-c unix_socket_directories=/run/pg-socket").code == 0
    assert server.node.run("ls", "-A", "/run/pg-socket").split() == [".s.PGSQL.5999", ".s.PGSQL.5999.lock"]
    assert server("monitor").code == 0
    assert server("stop").code == 0


def test_another_version(server, tmp_path):
    (tmp_path / "PG_VERSION").write_text("7.4\n")
    done = call("postgresql", "start", str(tmp_path), inside=server.node)
    missing = (
        "the programs of PostgreSQL 7.4 (pg_ctl) are missing here; "
        "install the package postgresql-7.4 or postgresql7.4-server"
    )
    assert done == (5, "", f"postgresql {tmp_path}: {missing}\n")
    assert call("postgresql", "stop", str(tmp_path), inside=server.node) == (0, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ["data"],
        ["/data", "user=-x"],
        ["/data", "port=0"],
        ["/data", "log=here"],
        ["/data", "timeout=x"],
        ["/data", "x"],
    ],
)
def test_mistakes(words):
    done = call("postgresql", "check", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
