"""Linux namespaces without names: they live as long as their processes, so nothing can be left behind but
processes, and those carry a mark in their environment by which a later run recognises them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MARK = "HAD_LAB_OWNER"
CLONE_NEWNET = 0x40000000
INIT = """
import os, signal, sys
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
signal.signal(signal.SIGCHLD, reap)
sys.stdin.read()
"""
"""The first process of a namespace with process numbers of its own: for orphans, and it ends with us."""
_libc = ctypes.CDLL(None, use_errno=True)


def status(pid: int) -> list[str]:
    """The words of /proc/PID/stat from the state on: state, parent, group, session, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie, which init may be slow to reap, doesn't."""
    try:
        return status(pid)[0] != "Z"
    except OSError:
        return False


def start_time(pid: int) -> str:
    """When a process began, in the kernel's ticks; with the pid it names a process for good."""
    return status(pid)[19]


def marked_environment() -> dict[str, str]:
    """The environment of all that the lab starts: the test run's pid and start time are its mark."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment[MARK] = f"{os.getpid()}:{start_time(os.getpid())}"
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return environment


def sweep() -> list[int]:
    """Kill what test runs that no longer live have left, and return the pids."""
    killed = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            for word in (directory / "environ").read_bytes().split(b"\0"):
                name, _, owner = word.decode("ascii", "replace").partition("=")
                if name == MARK and not _lives(owner):
                    os.kill(int(directory.name), signal.SIGKILL)
                    killed.append(int(directory.name))
        except OSError:
            continue  # ended meanwhile
    return killed


def _lives(owner: str) -> bool:
    pid, _, began = owner.partition(":")
    try:
        words = status(int(pid))
        return words[0] != "Z" and words[19] == began
    except (OSError, ValueError):
        return False


class Namespace:
    """Own network, host name and mounts, held by a `cat` that ends when the test run ends.

    `setup` is a shell script, run inside before anything else.
    """

    def __init__(self, hostname: str, setup: str = "", *, own_pids: bool = False) -> None:
        """With `own_pids` processes have numbers of their own; `setup` is to mount a /proc for them."""
        rest = f"exec python3 -c '{INIT}'" if own_pids else "exec cat"
        script = f"set -e\nhostname {hostname}\nip link set lo up\n{setup}\necho ready\n{rest}"
        kinds = ["--net", "--uts", "--mount", "--propagation", "private"]
        if own_pids:
            kinds += ["--pid", "--fork", "--kill-child"]
        self.holder = subprocess.Popen(
            ["unshare", *kinds, "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=marked_environment(),
            start_new_session=True,  # Ctrl-C is for the test run, which then tidies up
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != b"ready\n":
            self.holder.kill()
            raise RuntimeError(f"no namespace for {hostname}: {self.holder.communicate()[1].decode()}")
        self.pid = self.holder.pid
        self._pids = []
        if own_pids:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            self.pid = int(children)
            self._pids = ["-p"]
        self._net = os.readlink(f"/proc/{self.pid}/ns/net")

    def command(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-u", "-m", *self._pids, "--", *words]

    def run(self, *words: str, given: str = "") -> str:
        """Run a command inside and return what it printed; a failure is an error."""
        done = subprocess.run(
            self.command(words),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env=marked_environment(),
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: status {done.returncode}: {done.stdout}{given}")
        return done.stdout

    def popen(self, words: Sequence[str], **arguments: Any) -> subprocess.Popen[bytes]:
        """Start a command inside; nsenter becomes it, so the pid is the command's."""
        arguments.setdefault("env", marked_environment())
        return subprocess.Popen(self.command(words), start_new_session=True, **arguments)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """The calling thread is in this network: sockets made here stay in it."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            self._enter(inside)
            try:
                yield
            finally:
                self._enter(outside)
        finally:
            os.close(outside)
            os.close(inside)

    @staticmethod
    def _enter(descriptor: int) -> None:
        if _libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def udp(self, address: str, port: int) -> socket.socket:
        """A UDP socket that may broadcast, bound inside."""
        with self.network():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.bind((address, port))
        made.setblocking(False)
        return made

    def pids(self) -> list[int]:
        """The living processes inside, but for those that hold the namespace."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(directory / "ns" / "net") == self._net:
                    found.append(int(directory.name))
            except OSError:
                continue  # ended meanwhile, or a zombie
        return [pid for pid in found if pid not in (self.pid, self.holder.pid)]

    def kill_all(self) -> None:
        """Every process inside but the holder ends, as if at one instant: all are stopped, then killed."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pids = self.pids()
            if not pids:
                return
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            time.sleep(0.01)
        raise RuntimeError(f"processes {self.pids()} can't be killed")

    def close(self) -> None:
        self.kill_all()
        self.holder.kill()
        self.holder.communicate()
