"""Small disks on a node, full and with room again; load; a wall clock that a person sets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .cluster import Node

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def small_disk(node: Node, directory: str, kib: int = 16) -> None:
    """Mount a small file system on a node; it outlasts a power cut, as a disk does."""
    node.namespace.run("mkdir", "-p", directory)
    node.namespace.run("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "none", directory)


def fill(node: Node, directory: str) -> None:
    """Nothing more can be written there."""
    node.namespace.run("sh", "-c", f"dd if=/dev/zero of={directory}/fill bs=1k 2>/dev/null || true")


def make_room(node: Node, directory: str) -> None:
    node.namespace.run("rm", "-f", f"{directory}/fill")


def seen(node: Node, path: str) -> Path:
    """A file on a disk of a node, as it is reached from here."""
    return Path(f"/proc/{node.namespace.pid}/root{path}")


@contextlib.contextmanager
def load(node: Node, processes: int, seconds: int = 30) -> Iterator[None]:
    """That many busy loops on a node, for so many seconds of processor time each at most."""
    words = ["prlimit", f"--cpu={seconds}", "sh", "-c", "while :; do :; done"]
    busy = [node.namespace.popen(words) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def set_clock(node: Node, offset: str) -> None:
    """Set the wall clock of a daemon that was started after `own_clock`: +1d, -1d, +0, ..."""
    path = node.directory / "clock"
    path.with_suffix(".new").write_text(f"{offset}\n")
    os.replace(path.with_suffix(".new"), path)


def own_clock(node: Node) -> None:
    """Give a node a wall clock of its own, by libfaketime, for daemons that are started from now on.

    The monotonic clock and that of the boot go on as they are.  The times of files are the machine's.
    """
    node.namespace.run("mount", "-t", "tmpfs", "none", "/dev/shm")  # where the library leaves things
    set_clock(node, "+0")
    node.environment = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(node.directory / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
