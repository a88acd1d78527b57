"""Whatever the demo has started ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# As a daemon does when it detaches, but again and again: a child goes on, and its parent ends.
DETACHING = """
import os, time
print("it begins", flush=True)
for _ in range(300):
    if os.fork():
        os._exit(0)
    time.sleep(0.002)
time.sleep(100)
"""
PROGRAM = f"""
import os, subprocess, sys, time
from demo.processes import Children
children = Children()
for _ in range(20):  # one of them is caught between two processes
    process = children.start([sys.executable, "-c", {DETACHING!r}], subprocess.PIPE, cwd="/")
    process.stdout.readline()
    assert children.end_all() == []
    process.stdout.close()
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        continue
    time.sleep(1)
    children.end_all()
    sys.exit("somebody lived on")
"""


def test_a_process_that_is_just_detaching_is_ended_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
