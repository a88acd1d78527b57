"""A machine's stand-in: own network, host name, mounts and process numbers.

Its first process ends when the bench does, however that ends, and with it every process inside: nothing can
be left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Optional, Union

from bench.errors import BenchError

_CLONE_NEWNET = 0x40000000
_PATIENCE_S = 30.0
_INIT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
signal.signal(signal.SIGCHLD, reap)
print("ready", flush=True)
for line in sys.stdin:
    try: os.kill(-1, signal.SIGKILL)
    except ProcessLookupError: pass
    print("killed", flush=True)
"""
"""The first process: for orphans; and at any line it kills all others, at one instant."""
_SETUP = """
set -e
hostname {name}
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
for each in all default; do
    echo 1 >/proc/sys/net/ipv6/conf/$each/disable_ipv6 || :
done 2>/dev/null
ip link set lo up
exec {python} -I -S -c '{init}'
"""
_libc = ctypes.CDLL(None, use_errno=True)


def environment() -> dict[str, str]:
    """Return what everything inside is started with: nothing of the caller's that could make runs differ."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": "/root"}


class Namespace:
    """Close it, whatever happens."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        kinds = ["--net", "--uts", "--ipc", "--mount", "--propagation", "private", "--pid"]
        script = _SETUP.format(name=name, python=python, init=_INIT)
        self._holder = subprocess.Popen(
            ["unshare", *kinds, "--fork", "--kill-child", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the bench, which then tidies up
        )
        self._started: list[subprocess.Popen[bytes]] = []
        self._answer("ready")
        pid = self._holder.pid
        self.pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        self.root = Path(f"/proc/{self.pid}/root")
        self._processes = os.readlink(f"/proc/{self.pid}/ns/pid")

    def _answer(self, expected: str) -> None:
        """Wait for a line of the first process."""
        # A pipe that nobody writes to would be read for ever: after the deadline, the writer is killed.
        timer = threading.Timer(_PATIENCE_S, self._holder.kill)
        timer.start()
        try:
            assert self._holder.stdout is not None
            line = self._holder.stdout.readline().decode().strip()
        finally:
            timer.cancel()
            timer.join()
        if line != expected:
            self._holder.kill()
            said = self._holder.communicate()[1].decode(errors="replace").strip()
            raise BenchError(f"no namespace for {self.name}: {said or line or 'no answer'}")

    def _command(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-u", "-i", "-m", "-p", "--", *words]

    def ip(self, *lines: str) -> None:
        """Run `ip` in this network.  Process numbers in the lines are those outside."""
        words = ["nsenter", "-t", str(self.pid), "-n", "--", "ip", "-batch", "-"]
        self._run(words, "".join(f"{line}\n" for line in lines), _PATIENCE_S)

    def run(self, *words: str, given: str = "", timeout: float = _PATIENCE_S) -> str:
        """Run a command inside to its end and return what it printed."""
        return self._run(self._command(words), given, timeout)

    def _run(self, words: list[str], given: str, timeout: float) -> str:
        try:
            done = subprocess.run(
                words,
                input=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout,
                env=environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"{self.name}: {' '.join(words)} takes longer than {timeout:.0f} s") from late
        if done.returncode:
            raise BenchError(
                f"{self.name}: {' '.join(words)}: status {done.returncode}: {done.stdout.strip()}"
            )
        return done.stdout

    def start(
        self, words: Sequence[str], output: Union[IO[Any], int] = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a program inside.  The process returned is nsenter, which waits for it; see :meth:`main`."""
        process = subprocess.Popen(
            self._command(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
            cwd="/",
        )
        self._started.append(process)
        return process

    @staticmethod
    def main(process: subprocess.Popen[bytes]) -> Optional[int]:
        """Return the process number, as seen from outside, of what :meth:`start` started."""
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def pids(self) -> list[int]:
        """Return the processes inside, as numbered outside, but for the first."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != self.pid:
                with contextlib.suppress(OSError):  # ended meanwhile, or a zombie
                    if os.readlink(f"/proc/{entry}/ns/pid") == self._processes:
                        found.append(int(entry))
        return sorted(found)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Take the calling thread into this network: sockets made meanwhile stay in it."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            _enter(inside)
            try:
                yield
            finally:
                _enter(outside)
        finally:
            os.close(outside)
            os.close(inside)

    def kill_all(self) -> None:
        """Make a power cut: every process inside but the first is killed at one instant."""
        assert self._holder.stdin is not None
        try:
            self._holder.stdin.write(b"kill\n")
            self._holder.stdin.flush()
        except OSError as error:
            raise BenchError(f"the namespace of {self.name} has gone: {error}") from error
        self._answer("killed")
        for process in self._started:
            process.wait(_PATIENCE_S)
        self._started.clear()

    def close(self) -> None:
        self._holder.kill()  # and the kernel kills what is inside
        self._holder.communicate()
        for process in self._started:
            process.wait(_PATIENCE_S)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
