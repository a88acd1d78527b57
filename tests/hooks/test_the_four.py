"""The hooks in scripts/ as they are shipped: the daemon takes them, and they do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from services.tools import SHELLS, call, every_shell

from had.runtime.hookcheck import check_hooks

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
HOOKS = ["starthasrv", "stophasrv", "monitorhasrv", "alerthasrv"]
INSTALLED = "/usr/lib/had/"


@pytest.fixture
def hooks(tmp_path):
    """The hooks and the list as they are installed, with a service that writes down its calls."""
    library = tmp_path / "lib had"
    (library / "services").mkdir(parents=True)
    shutil.copy(SCRIPTS / "run-services", library)
    service = library / "services" / "process"
    service.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\nexit ${{RESULT:-0}}\n')
    service.chmod(0o755)
    directory = tmp_path / "hasrv"
    directory.mkdir()
    for name in HOOKS:
        text = (SCRIPTS / name).read_text()
        # Quoted, for this directory has a blank in its name.
        (directory / name).write_text(text.replace(f"{INSTALLED}run-services", f"'{library}/run-services'"))
        (directory / name).chmod(0o755)
    shutil.copyfile(SCRIPTS / "services.list", directory / "services.list")
    return directory


def test_the_daemon_takes_them(hooks):
    assert check_hooks(str(hooks)) == []


def test_they_are_installed_as_they_must_be():
    for name in [*HOOKS, "run-services"]:
        assert (SCRIPTS / name).stat().st_mode & 0o777 == 0o755, name
    assert (SCRIPTS / "services.list").stat().st_mode & 0o777 == 0o644


@every_shell
@pytest.mark.parametrize("result", [0, 3])
@pytest.mark.parametrize(
    ("hook", "verb"), [("starthasrv", "start"), ("stophasrv", "stop"), ("monitorhasrv", "monitor")]
)
def test_the_example_of_the_list_is_called(hooks, hook, verb, shell, result):
    done = call(hooks / hook, shell=shell, environment={"RESULT": str(result)})
    assert (hooks.parent / "calls").read_text() == f"{verb} example sleep 1000000\n"
    assert done.code == (1 if result else 0)
    assert done.out == ("" if verb == "monitor" else f"{verb} process example sleep 1000000\n")


@every_shell
def test_a_step_of_ones_own_fails(hooks, shell):
    """A start ends there; a stop goes on to its end, and has failed."""
    for name in ("starthasrv", "stophasrv"):
        text = (hooks / name).read_text()
        step = re.search(r"^#(/usr/local/sbin/tell-the-load-balancer .*)$", text, re.MULTILINE)
        assert step, name
        (hooks / name).write_text(
            text.replace(step[0], step[1].replace("/usr/local/sbin/tell", "/no/such/tell"))
        )
    environment = {"HAD_NODE": "alpha", "HAD_REASON": "x"}
    started = call(hooks / "starthasrv", shell=shell, environment=environment)
    assert started.code != 0
    stopped = call(hooks / "stophasrv", shell=shell, environment=environment)
    assert stopped.code == 1
    assert (hooks.parent / "calls").read_text() == "start example sleep 1000000\nstop example sleep 1000000\n"


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("name", HOOKS)
def test_the_examples_in_comments_are_shell(tmp_path, name, shell):
    """Every line that begins with # and no blank can be switched on."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"needs {shell[0]}")
    text = re.sub(r"^#(?![! ]|$)", "", (SCRIPTS / name).read_text(), flags=re.MULTILINE)
    assert text != (SCRIPTS / name).read_text()
    (tmp_path / name).write_text(text)
    done = subprocess.run([*shell, "-n", tmp_path / name], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_examples_of_the_list_can_be_switched_on(tmp_path):
    """The real scripts find no mistake in their arguments."""
    text = re.sub(r"^#(?![ \n]|$)", "", (SCRIPTS / "services.list").read_text(), flags=re.MULTILINE)
    assert text != (SCRIPTS / "services.list").read_text()
    own = tmp_path / "myservice"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    (tmp_path / "services.list").write_text(text.replace("/usr/local/sbin/myservice", str(own)))
    done = call(SCRIPTS / "run-services", "check", str(tmp_path / "services.list"))
    assert (done.code, done.err) == (0, "")


def test_an_alert_is_logged(hooks, tmp_path):
    tool = tmp_path / "logger"
    tool.write_text(f'#!/bin/sh\nprintf "<%s>" "$@" >{tmp_path}/logged\n')
    tool.chmod(0o755)
    done = call(
        hooks / "alerthasrv",
        "2",
        "RUNNING",
        environment={
            "PATH": f"{tmp_path}:{os.defpath}",
            "HAD_NODE": "alpha",
            "HAD_REASON": "beta is silent; `reboot` $(reboot) *",
        },
    )
    assert done == (0, "", "")
    logged = (tmp_path / "logged").read_text()
    assert (
        logged
        == "<-t><alerthasrv><-p><local1.notice><alpha is RUNNING: beta is silent; `reboot` $(reboot) *>"
    )
