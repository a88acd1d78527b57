"""The table of all service scripts is complete, and what lies in their directory is what must lie there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .tools import SERVICES, every_shell

PAGES = Path(__file__).resolve().parents[2] / "docs" / "services"
SCRIPTS = sorted(path.name for path in SERVICES.iterdir() if os.access(path, os.X_OK))

every_script = pytest.mark.parametrize("name", SCRIPTS)


def test_the_table_has_all():
    table = (PAGES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", table, re.MULTILINE)) == SCRIPTS


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
        assert re.match(r"\w+:", target) or (page.parent / target).exists(), target


@every_script
def test_the_script_may_be_run_and_what_it_shares_may_not(name):
    assert (SERVICES / name).stat().st_mode & 0o777 == 0o755
    first = (SERVICES / name).read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/bin/sh"


def test_what_is_shared_is_no_service():
    shared = sorted(path.name for path in SERVICES.iterdir() if path.is_file() and path.name not in SCRIPTS)
    assert [name for name in shared if not name.endswith(".py")] == ["common"]


@pytest.mark.parametrize("name", [*SCRIPTS, "common"])
@every_shell
def test_it_is_posix_shell(name, shell):
    done = subprocess.run([*shell, "-n", SERVICES / name], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
