"""Calls of the service scripts, in the shells that they must run in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
from lab.namespaces import Namespace, marked_environment

SERVICES = Path(__file__).resolve().parents[2] / "scripts" / "services"
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}

every_shell = pytest.mark.parametrize(
    "shell",
    [
        pytest.param(
            words,
            id=name,
            marks=[] if shutil.which(words[0]) else [pytest.mark.skip(reason=f"needs {words[0]}")],
        )
        for name, words in SHELLS.items()
    ],
)


class Done(NamedTuple):
    """How a call ended, and what it said."""

    code: int
    out: str
    err: str


def call(
    script: str | Path,
    *words: str,
    shell: Sequence[str] = (),
    inside: Optional[Namespace] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> Done:
    """Run `script WORDS`; a name without a slash is one of the service scripts. `shell` replaces that of its
    first line.
    """
    path = SERVICES / script
    command = [*shell, str(path), *words]
    done = subprocess.run(
        inside.command(command) if inside else command,
        env={**marked_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def path_without(directory: Path, *missing: str) -> str:
    """Make a PATH that has all programs of this machine but the missing ones."""
    directory.mkdir()
    for place in marked_environment()["PATH"].split(":"):
        for name in os.listdir(place) if os.path.isdir(place) else []:
            if name not in missing and not (directory / name).is_symlink():
                (directory / name).symlink_to(os.path.join(place, name))
    return str(directory)
