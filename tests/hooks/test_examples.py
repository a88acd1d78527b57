"""The example hooks in scripts/ can be taken as they are, and call what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from had.runtime.hookcheck import check_hooks

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def tools(tmp_path):
    """Stand-ins for the programs that the hooks call: they write down how, and end as told."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("service", "logger"):
        tool = directory / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\nexit ${{RESULT:-0}}\n')
        tool.chmod(0o755)
    return directory


def run(tools, script, *arguments, **environment):
    done = subprocess.run(
        [SCRIPTS / script, *arguments],
        env={"PATH": f"{tools}:{os.defpath}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = tools.parent / "calls"
    return done.returncode, calls.read_text() if calls.exists() else ""


def test_installed_as_they_are_the_daemon_takes_them(tmp_path):
    hooks = tmp_path / "hasrv"
    hooks.mkdir(mode=0o755)
    for script in SCRIPTS.iterdir():
        shutil.copyfile(script, hooks / script.name)
        (hooks / script.name).chmod(0o755)
    assert sorted(path.name for path in hooks.iterdir()) == [
        "alerthasrv",
        "monitorhasrv",
        "starthasrv",
        "stophasrv",
    ]
    assert check_hooks(str(hooks)) == []


@pytest.mark.parametrize(
    ("script", "verb"), [("starthasrv", "start"), ("stophasrv", "stop"), ("monitorhasrv", "status")]
)
@pytest.mark.parametrize("result", [0, 3])
def test_the_services_answer_is_the_hooks(tools, script, verb, result):
    code, calls = run(tools, script, RESULT=str(result))
    assert code == result
    assert calls == f"service nginx {verb}\n"


def test_an_alert_is_logged(tools):
    code, calls = run(tools, "alerthasrv", "2", "RUNNING", HAD_NODE="alpha", HAD_REASON="beta is silent")
    assert code == 0
    assert calls == "logger -t alerthasrv -p local1.notice alpha is RUNNING: beta is silent\n"
