"""The wheel and the archive of the source: what is in them, and that had runs from them alone."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from roots import (
    ROOT,
    SYSTEM_PYTHON,
    clean_environment,
    copy_source,
    tree,
    why_no_system_python,
    why_no_wheels,
)

WHY_NOT = why_no_wheels() or why_no_system_python()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def run(*words: str, **options: object) -> str:
    """Run a command that has to succeed; returns all that it said."""
    options.setdefault("env", clean_environment())
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        **options,
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with both, built without a network."""
    top = tmp_path_factory.mktemp("wheel")
    source = copy_source(top / "source")
    program = "from setuptools import build_meta as b; b.build_sdist('..')"
    run(SYSTEM_PYTHON, "-c", program, cwd=source)
    (archive,) = top.glob("*.tar.gz")
    # The wheel comes from the archive, as with `python -m build`: so nothing is missing there.
    words = ["--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", str(top)]
    run(SYSTEM_PYTHON, "-m", "pip", "wheel", "-q", *words, str(archive))
    return top


@pytest.fixture(scope="module")
def venv(built: Path) -> Path:
    """Where the wheel was installed alone; its modules are the distribution's, so nothing is downloaded."""
    venv = built / "venv"
    run(SYSTEM_PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", str(venv))
    (wheel,) = built.glob("*.whl")
    run(str(venv / "bin/python"), "-m", "pip", "install", "-q", "--no-index", str(wheel))
    return venv


def test_had_runs_from_the_wheel_alone(venv):
    assert run(str(venv / "bin/had"), "--version", cwd="/").startswith("had ")
    said = run(
        str(venv / "bin/python"),
        "-c",
        "import had, daemon, configobj; print(had.__file__, daemon.__file__)",
        cwd="/",
    )
    ours, theirs = said.split()
    assert ours.startswith(str(venv))
    assert theirs.startswith("/usr/"), "the distribution's is enough"


def test_the_wheel_has_what_a_node_needs(venv):
    share = venv / "share/had"
    for path in (
        "had.conf",
        "scripts/run-services",
        "scripts/services.list",
        "init.d/had",
        "systemd/had.service",
    ):
        assert (share / path).read_bytes() == (ROOT / path).read_bytes()
    services = {path.name for path in (ROOT / "scripts/services").glob("[!_]*")}
    assert {path.name for path in (share / "scripts/services").glob("[!_]*")} == services


def test_a_node_is_laid_out_from_the_wheel(venv, tmp_path):
    dest, reference = tmp_path / "dest", tmp_path / "reference"
    environment = clean_environment(DESTDIR=str(dest))
    assert "had is installed" in run("sh", str(venv / "share/had/install"), env=environment)
    run(str(ROOT / "tools/install"), env=clean_environment(DESTDIR=str(reference)))
    found, wanted = tree(dest), tree(reference)
    assert found.pop("/usr/sbin/had") == f"-> {venv}/bin/had"
    assert wanted.pop("/usr/sbin/had") == "-755"
    assert found == {
        path: mode for path, mode in wanted.items() if not path.startswith("/usr/lib/had/python")
    }
    assert run(str(dest / "usr/sbin/had"), "--version", cwd="/").startswith("had ")
    run("sh", str(venv / "share/had/install"), "uninstall", env=environment)
    assert tree(dest) == {}


def test_the_archive_is_the_whole_tree(built):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a clone and git")
    listed = run("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files")
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {name for name in listed.splitlines() if (ROOT / name).exists()} <= names


def test_nothing_is_in_the_wheel_by_mistake(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"had"}
    assert not [name for name in names if name.endswith((".pyc", ".orig", "~")) or "tests/" in name]
