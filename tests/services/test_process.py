"""The script process, with real programs."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from lab.namespaces import Namespace, alive, start_time, status
from lab.waiting import eventually

from .tools import SERVICES, call, every_shell

pytestmark = pytest.mark.lab
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Service:
    """One service of the script process."""

    def __init__(self, node: Namespace, name: str) -> None:
        self.node = node
        self.name = name
        self.file = f"/proc/{node.pid}/root/run/had-services/{name}.pid"

    def __call__(self, verb, *words, shell=()):
        return call("process", verb, self.name, *(words or ["sleep", "1000"]), shell=shell, inside=self.node)

    def recorded(self):
        with open(self.file) as file:
            return file.read().splitlines()

    def pid(self):
        return int(self.recorded()[0])

    def record(self, pid, began, boot=BOOT):
        os.makedirs(os.path.dirname(self.file), exist_ok=True)
        with open(self.file, "w") as file:
            file.write(f"{pid}\n{began} {boot}\n")

    def session(self):
        """The living processes of the session that the pid file names."""
        return [pid for pid in self.node.pids() if alive(pid) and status(pid)[3] == self.recorded()[0]]


@pytest.fixture
def service(node, tmp_path):
    made = Service(node, tmp_path.name)
    yield made
    node.kill_all()


@pytest.fixture
def stranger(node):
    """A process that has nothing to do with any service."""
    process = node.popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@every_shell
def test_its_life(service, shell):
    done = service("start", shell=shell)
    pid = service.pid()
    assert done == (0, f"process {service.name}: started as process {pid}\n", "")
    assert service.recorded() == [str(pid), f"{start_time(pid)} {BOOT}"]
    assert status(pid)[3] == str(pid), "it leads a session"
    assert service("start", shell=shell) == (0, "", "")
    assert service.pid() == pid
    assert service("monitor", shell=shell) == (0, "", "")
    assert service("stop", shell=shell) == (0, f"process {service.name}: stopped\n", "")
    assert not alive(pid)
    assert not os.path.exists(service.file)
    assert service("stop", shell=shell) == (0, "", "")
    assert service("monitor", shell=shell) == (3, "", f"process {service.name}: does not run\n")


def test_what_the_program_gets(service, tmp_path):
    log = tmp_path / "log"
    tmp_path.chmod(0o755)
    program = "pwd; id -un; echo $HOME; grep SigIgn /proc/$$/status; ls /proc/$$/fd; cat; exec sleep 1000"
    # The caller ignores two signals, has a third descriptor open, and a mail on standard input.
    caller = ["sh", "-c", 'trap "" INT QUIT; exec 7<"$1"; exec "$@"', "sh"]
    assert (
        service("start", f"log={log}", "directory=/usr", "user=nobody", "sh", "-c", program, shell=caller)[0]
        == 0
    )
    home = os.path.expanduser("~nobody")
    eventually(lambda: log.read_text().endswith("2\n"), "the program has said all")
    where, who, its_home, ignored, *descriptors = log.read_text().split("\n")[:-1]
    assert (where, who, its_home) == ("/usr", "nobody", home)
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0, "no signal is ignored"
    assert descriptors == ["0", "1", "2"]


def test_a_program_that_ends_at_once(service, tmp_path):
    log = tmp_path / "log"
    done = service("start", f"log={log}", "sh", "-c", "sleep 1000 & echo no such port; exit 3")
    ended = f"process {service.name}: it ended at once with exit status 3; "
    assert done == (1, "", f"{ended}the last line in {log}: no such port\n")
    assert not os.path.exists(service.file)
    assert service.node.pids() == [], "what it had started was ended too"
    assert service("start", "sh", "-c", "exit 3").err == f"{ended}log=FILE would keep what it says\n"
    assert "ended at once by SIGSEGV" in service("start", "sh", "-c", "kill -SEGV $$").err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["/nowhere/gateway"], "/nowhere/gateway: No such file or directory"),
        (["/etc/passwd"], "/etc/passwd: Permission denied"),
        (["user=nobody-here", "sleep", "1000"], "there is no user nobody-here here"),
        (["directory=/nowhere", "sleep", "1000"], "can't go to the directory /nowhere"),
        (["log=/nowhere/log", "sleep", "1000"], "/nowhere/log: No such file or directory"),
    ],
)
def test_what_can_not_be_started(service, words, complaint):
    assert service("start", *words) == (1, "", f"process {service.name}: {complaint}\n")
    assert service("monitor").code == 3
    assert service("stop") == (0, "", "")


def test_what_does_not_stop_is_killed_with_all_of_its_session(service):
    # One child has a process group of its own, as with a shell's job control.
    program = "trap '' TERM; set -m; sleep 1000 & set +m; sleep 1000 & while :; do wait; done"
    assert service("start", "bash", "-c", program).code == 0
    eventually(lambda: len(service.session()) == 3, "all three run")
    done = service("stop", "timeout=1", "x")
    assert done == (0, f"process {service.name}: killed: it hadn't stopped after 1 s\n", "")
    assert service.node.pids() == []


@every_shell
def test_the_program_has_ended_but_its_children_have_not(service, shell):
    assert service("start", "sh", "-c", "sleep 1000 & wait", shell=shell).code == 0
    eventually(lambda: len(service.session()) == 2, "the child runs")
    os.kill(service.pid(), signal.SIGKILL)
    eventually(lambda: len(service.session()) == 1, "the program has ended")
    (child,) = service.session()
    left = f"process {service.name}: the program has ended, but processes of its session have not: {child}"
    assert service("monitor", shell=shell) == (1, "", f"{left}\n")
    assert service("start", shell=shell) == (1, "", f"{left}; stop it first\n")
    assert service("stop", shell=shell) == (0, f"process {service.name}: stopped\n", "")
    assert not alive(child)


@pytest.mark.parametrize("began", ["another time", "another boot"])
def test_a_number_that_is_another_process_by_now(service, stranger, began):
    if began == "another time":
        service.record(stranger.pid, int(start_time(stranger.pid)) - 1)
    else:
        service.record(stranger.pid, start_time(stranger.pid), "another-boot")
    assert service("monitor").code == 3
    assert service("stop") == (0, "", "")
    service.record(stranger.pid, int(start_time(stranger.pid)) - 1)
    assert service("start").code == 0
    assert service("stop").code == 0
    assert stranger.poll() is None


def test_a_session_that_may_be_anothers(service):
    leader = service.node.popen(["sh", "-c", "sleep 1000 & exit"])
    service.record(leader.pid, start_time(leader.pid))
    leader.wait()
    (child,) = service.node.pids()
    for verb in ("start", "stop", "monitor"):
        done = service(verb)
        assert done.code == 1
        assert str(child) in done.err
    assert alive(child)
    assert service("stop").err == (
        f"process {service.name}: can't tell whose these processes are: {child}; "
        f"end them by hand if they belong to it, and remove /run/had-services/{service.name}.pid\n"
    )


@pytest.mark.parametrize("content", ["", "12", "-1\n5 6\n", "x\n5 6\n", "12\nx\n"])
def test_a_damaged_pid_file(service, content):
    service.record(1, 1)
    with open(service.file, "w") as file:
        file.write(content)
    for verb in ("start", "stop", "monitor"):
        done = service(verb)
        assert done.code == 1
        assert done.err.endswith(".pid is damaged; look for the program yourself, and remove it\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "arguments are missing; "),
        (["a"], "the COMMAND is missing"),
        (["a", "user=root"], "the COMMAND is missing"),
        (["a", "user=root", ""], "the COMMAND is missing"),
        (["a/b", "x"], "NAME a/b is no name: "),
        ([".a", "x"], "NAME .a is no name: "),
        (["a", "usr=root", "x"], "unknown option usr=; there are: user log directory timeout"),
        (["a", "user=root", "user=root", "x"], "user= is given twice"),
        (["a", "log=here", "x"], "log= here does not begin with a slash"),
        (["a", "timeout=0", "x"], "timeout= 0 is not a whole number from 1 to 86400"),
    ],
)
def test_mistakes(words, complaint):
    for verb in ("start", "check"):
        done = call("process", verb, *words)
        assert (done.code, done.out) == (2, "")
        assert complaint in done.err
        assert done.err.count("\n") == 1


def test_an_option_is_one_only_before_the_command(service):
    assert service("check", "timeout=5", "env", "user=x", "A=b", "sleep", "1000") == (0, "", "")
    assert service("check", "/opt/a=b/run") == (0, "", "")


def test_a_missing_program(service, bare):
    done = call("process", "start", "a", "sleep", "1000", inside=service.node, environment=bare)
    assert done == (5, "", "process a: the program python3 is missing here; install the package python3\n")


def test_two_starts_at_once_start_it_once(service):
    """One by had, one by hand."""
    words = ["process", "start", service.name, "sleep", "1000"]
    starts = [
        service.node.popen([str(SERVICES / words[0]), *words[1:]], stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert [start.wait(60) for start in starts] == [0] * 4
    assert service.node.pids() == [service.pid()]
    assert service("stop").code == 0
    assert service.node.pids() == []


def test_two_services_of_one_name(service):
    assert service("start").code == 0
    pid = service.pid()
    said = f"process {service.name}: another command runs by this name, as process {pid}"
    done = service("start", "sleep", "1001")
    assert done == (1, "", f"{said}; does another line of a list have the same NAME?\n")
    assert service("start") == (0, "", "")


def test_what_a_failed_start_leaves_is_ended(service):
    assert service("start", "sh", "-c", "trap : TERM; (sleep 1000; :) & exit 3").code == 1
    assert service.node.pids() == []
    assert not os.path.exists(service.file)


def test_a_full_disk_is_named(service, node):
    fill = "mount -t tmpfs -o size=16k none /run; cat /dev/zero >/run/x"
    words = f"{fill}; exec {SERVICES}/process start x sleep 1000"
    done = subprocess.run(
        node.command(["unshare", "--mount", "sh", "-c", f"{words} 2>&1"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, node.pids()) == (1, [])
    assert "/run/had-services" in done.stdout
    assert "No space left on device" in done.stdout or "can't be made" in done.stdout


@every_shell
def test_a_stop_where_nothing_can_be_written(node, shell):
    stop = " ".join([*shell, str(SERVICES / "process"), "stop x sleep 1000"])
    words = f"""mount -t tmpfs none /run; {SERVICES}/process start x sleep 1000 && mount -o remount,ro /run &&
        {stop} && {stop}"""
    command = node.command(["unshare", "--mount", "sh", "-c", words])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["process x: stopped"])
    assert node.pids() == []
