"""Hooks that are refused at the start."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from had.core.actions import Hook
from had.runtime.hookcheck import check_hooks, has_alert_hook

REQUIRED = [Hook.START, Hook.STOP, Hook.MONITOR]


@pytest.fixture
def hooks(tmp_path):
    directory = tmp_path / "hasrv"
    directory.mkdir(mode=0o755)
    for hook in REQUIRED:
        add(directory, hook)
    return directory


def add(directory: Path, hook: Hook, mode: int = 0o755) -> Path:
    path = directory / hook.value
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_good(hooks):
    assert check_hooks(str(hooks)) == []
    assert not has_alert_hook(str(hooks))
    add(hooks, Hook.ALERT)
    assert check_hooks(str(hooks)) == []
    assert has_alert_hook(str(hooks))


def test_relative_directory(hooks, monkeypatch):
    monkeypatch.chdir(hooks.parent)
    assert check_hooks("hasrv") == []


def test_no_directory(tmp_path):
    path = f"{tmp_path}/none/hasrv"
    assert check_hooks(path) == [
        f"{tmp_path}/none: No such file or directory; the hooks' directory must exist"
    ]


def test_directory_is_a_file(hooks):
    path = f"{hooks}/starthasrv"
    assert check_hooks(path) == [f"{path}: the hooks' directory is not a directory"]


def test_missing_in_this_order(hooks):
    for hook in REQUIRED:
        (hooks / hook.value).unlink()
    assert check_hooks(str(hooks)) == [
        f"{hooks}/starthasrv: no such file; starthasrv must exist",
        f"{hooks}/stophasrv: no such file; stophasrv must exist",
        f"{hooks}/monitorhasrv: no such file; monitorhasrv must exist",
    ]


@pytest.mark.parametrize("hook", list(Hook))
def test_not_executable(hooks, hook):
    path = add(hooks, hook, 0o644)
    assert check_hooks(str(hooks)) == [f"{path}: not executable; chmod 755 {path}"]


@pytest.mark.parametrize("hook", list(Hook))
@pytest.mark.parametrize(
    ("mode", "who"), [(0o775, f"group {os.getegid()}"), (0o757, "everybody"), (0o777, "everybody")]
)
def test_writable_by_others(hooks, hook, mode, who):
    path = add(hooks, hook, mode)
    assert check_hooks(str(hooks)) == [f"{path}: may be written by {who}; chmod go-w {path}"]


def test_not_a_regular_file(hooks):
    path = hooks / "stophasrv"
    path.unlink()
    path.mkdir()
    assert check_hooks(str(hooks)) == [f"{path}: not a regular file"]
    path.rmdir()
    os.mkfifo(path, 0o755)
    path.chmod(0o755)
    assert check_hooks(str(hooks)) == [f"{path}: not a regular file"]


def test_directory_writable_is_told_once(hooks):
    hooks.chmod(0o775)
    assert check_hooks(str(hooks)) == [
        f"{hooks}: may be written by group {hooks.stat().st_gid}; chmod go-w {hooks}"
    ]


def test_directory_above_writable(hooks):
    hooks.parent.chmod(0o777)
    try:
        assert check_hooks(str(hooks)) == [
            f"{hooks.parent}: may be written by everybody; chmod go-w {hooks.parent}"
        ]
    finally:
        hooks.parent.chmod(0o755)


def test_sticky_directory_above_is_fine(hooks):
    hooks.parent.chmod(0o1777)
    assert check_hooks(str(hooks)) == []
    hooks.parent.chmod(0o755)


def test_symbolic_link_to_another_place(hooks, tmp_path):
    other = tmp_path / "share" / "scripts"
    other.mkdir(parents=True)
    real = add(other, Hook.START)
    (hooks / "starthasrv").unlink()
    (hooks / "starthasrv").symlink_to("../share/./scripts/../scripts/starthasrv")
    assert check_hooks(str(hooks)) == []
    other.parent.chmod(0o777)
    assert check_hooks(str(hooks)) == [
        f"{other.parent}: may be written by everybody; chmod go-w {other.parent}"
    ]
    other.parent.chmod(0o755)
    real.chmod(0o775)
    problem = check_hooks(str(hooks))
    assert problem == [f"{real}: may be written by group {real.stat().st_gid}; chmod go-w {real}"]
    real.unlink()
    assert check_hooks(str(hooks)) == [f"{hooks}/starthasrv ({real}): no such file; starthasrv must exist"]


def test_directory_that_is_a_link(hooks, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(hooks)
    assert check_hooks(str(link)) == []
    link.unlink()
    link.symlink_to(tmp_path / "link")
    assert check_hooks(str(link)) == [f"{link}: too many symbolic links; the hooks' directory must exist"]


def test_dangling_alert_hook_is_told(hooks):
    (hooks / "alerthasrv").symlink_to("nowhere")
    assert check_hooks(str(hooks)) == [
        f"{hooks}/alerthasrv ({hooks}/nowhere): no such file; alerthasrv must exist"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files away")
def test_belongs_to_somebody_else(hooks):
    path = hooks / "monitorhasrv"
    os.chown(path, 65534, 65534)
    assert check_hooks(str(hooks)) == [f"{path}: belongs to user 65534, neither to root nor to us"]
    os.chown(path, 0, 0)
    os.chown(hooks, 65534, 65534)
    assert check_hooks(str(hooks)) == [f"{hooks}: belongs to user 65534, neither to root nor to us"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files away")
def test_sticky_directory_does_not_help_what_belongs_to_others(hooks):
    hooks.chmod(0o1777)
    path = hooks / "monitorhasrv"
    os.chown(path, 65534, 65534)
    assert f"{hooks}: may be written by everybody; chmod go-w {hooks}" in check_hooks(str(hooks))
    assert stat.S_IMODE(hooks.stat().st_mode) == 0o1777


def test_lines_that_end_in_cr_lf(hooks):
    path = add(hooks, Hook.STOP)
    path.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    assert check_hooks(str(hooks)) == [
        f"{path}: its lines end in CR LF, so it can't be run; sed -i 's/\\r$//' {path}"
    ]


@pytest.mark.parametrize("line", ["#!/bin/no-such-shell -e\n", "#!\n"])
def test_interpreter_that_is_not_there(hooks, line):
    path = add(hooks, Hook.MONITOR)
    path.write_text(line)
    (problem,) = check_hooks(str(hooks))
    assert problem.startswith(f"{path}: line 1 names '")
    assert problem.endswith("which can't be run")


def test_a_script_without_an_interpreter_line_is_the_shells(hooks):
    add(hooks, Hook.START).write_text("exit 0\n")
    assert check_hooks(str(hooks)) == []
