"""The demo's processes: every one that comes from it stays its descendant, and none outlives it.

The demo is a child subreaper: whatever loses its parent, such as a daemon that detaches or the service of a
node whose daemon was killed, becomes its child.  So to find all that is left, it looks for descendants.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Optional

from had.runtime.processes import Process, look

PR_SET_CHILD_SUBREAPER = 36
_END_TRIES = 500
_STEP = 0.02


class Children:
    """Starts processes and waits for whatever ends, those that were inherited too."""

    def __init__(self) -> None:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "the demo can't adopt what its daemons leave")
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self, words: Sequence[str], out: IO[bytes] | int, *, cwd: str, env: Optional[dict[str, str]] = None
    ) -> subprocess.Popen[bytes]:
        """Start a program away from the terminal, so that Ctrl-C reaches only the demo."""
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if out != subprocess.PIPE else None,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        self._started[process.pid] = process
        return process

    def reap(self) -> bool:
        """Wait for all that has ended.  Returns whether a child is left; if not, there is no descendant."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            process = self._started.pop(pid, None)
            if process is not None:
                process.returncode = os.waitstatus_to_exitcode(status)

    def end_all(self) -> list[int]:
        """Kill all descendants, until there are none.  Returns those that are left, normally nobody."""
        left: list[Process] = []
        for _ in range(_END_TRIES):
            # Only this is certain: a daemon that detaches just now may be on no list.
            if not self.reap():
                return []
            left = descendants(os.getpid())
            for process in left:
                send(process, signal.SIGKILL)
            time.sleep(_STEP)
        return [process.pid for process in left]


def descendants(ancestor: int) -> list[Process]:
    """Return all living processes below this one, parents before their children."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = look(int(name))
            if process is not None:
                children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [ancestor]
    while queue:
        for process in children.get(queue.pop(0), []):
            queue.append(process.pid)
            if not process.dead:
                found.append(process)
    return found


def send(process: Process, number: int) -> None:
    """Send a signal to a process, unless it has ended; never to another one that got its number."""
    now = look(process.pid)
    if now is not None and now.started == process.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill_at_once(root: int) -> list[Process]:
    """Kill a process and all below it as if at one instant: nobody gets to see that another has died.

    First all are frozen, parents first and until no new one is found, and then killed.
    """
    frozen: dict[int, Process] = {}
    while True:
        top = look(root)
        found = ([] if top is None or top.dead else [top]) + descendants(root)
        new = [process for process in found if process.pid not in frozen]
        if not new:
            break
        for process in new:
            send(process, signal.SIGSTOP)
            frozen[process.pid] = process
    for process in frozen.values():
        send(process, signal.SIGKILL)
    return list(frozen.values())
