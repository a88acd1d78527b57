"""No entry of a table, no constant and no default can be changed without a test that notices."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_every_entry_is_held_by_a_test():
    """In a process of its own, since it forks for every entry; see tables.py."""
    path = os.pathsep.join(str(ROOT / part) for part in ("tests", "tests/wire", "tests/config"))
    done = subprocess.run(
        [sys.executable, "-m", "mutation.tables"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
