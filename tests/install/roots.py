"""A root directory to install into for real: this machine's own, in namespaces, with all that is written kept
in memory.  Nothing of it can be left behind: it vanishes with the process that holds it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from lab.namespaces import Namespace, marked_environment

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM_PYTHON = "/usr/bin/python3"
LEFT_OUT = (".git", ".venv*", "__pycache__", "*.egg-info", ".hypothesis", ".*_cache", "build", "dist")


def copy_source(to: Path) -> Path:
    """A copy of the tree, as from an archive: so that nothing is built in the tree itself."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    return to


def why_no_system_python() -> str:
    """What the distribution's Python lacks to run had; empty if nothing."""
    program = "import sys; assert sys.version_info >= (3, 9); import configobj, daemon"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-I", "-c", program], capture_output=True, check=False)
    except OSError:
        return f"needs {SYSTEM_PYTHON}"
    return f"needs python3-configobj and python3-daemon for {SYSTEM_PYTHON}" if done.returncode else ""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of a person's shell, without what `make test` has put there."""
    mark = {name: value for name, value in marked_environment().items() if name.startswith("HAD_LAB")}
    return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **mark, **more}


SETUP = """\
mount -t tmpfs none {top}
mkdir {top}/upper {top}/work {top}/root
mount -t overlay none -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {top}/root
cd {top}/root
mount -t proc none proc
mount --rbind /dev dev
mount -t tmpfs none run
mount -t tmpfs none tmp
mkdir tmp/src
mount --bind -o ro {source} tmp/src
"""


class Root:
    """Another machine: the root directory above, /tmp/src with the source, no network but loopback."""

    def __init__(self, top: Path, source: Path = ROOT, hostname: str = "alpha", more: str = "") -> None:
        top.mkdir()
        self.path = top / "root"
        setup = SETUP.format(top=shlex.quote(str(top)), source=shlex.quote(str(source)))
        self.namespace = Namespace(hostname, setup + more)
        self.seen = Path(f"/proc/{self.namespace.pid}/root{self.path}")
        """Where this process sees it."""

    def words(self, *words: str) -> list[str]:
        return self.namespace.command(["chroot", str(self.path), *words])

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        options.setdefault("env", clean_environment())
        options.setdefault("timeout", 60)
        return subprocess.run(
            self.words(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **options,
        )

    def good(self, *words: str, **options: Any) -> str:
        """Run a command that has to succeed, and return what it said."""
        done = self.run(*words, **options)
        assert done.returncode == 0, f"{' '.join(words)}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        options.setdefault("env", clean_environment())
        return subprocess.Popen(self.words(*words), start_new_session=True, **options)

    def file(self, path: str) -> Path:
        """A file inside, as seen from here."""
        return self.seen / path.lstrip("/")

    def read(self, path: str) -> str:
        return self.file(path).read_text()

    def close(self) -> None:
        self.namespace.close()


def make(*words: str, source: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run make in the source, as a person would."""
    options.setdefault("env", clean_environment())
    return subprocess.run(
        ["make", "--no-print-directory", "-C", str(source), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def tree(top: Path) -> dict[str, str]:
    """All that is below a directory: path to mode, and the target of a link."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        name = "/" + str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = f"{'d' if path.is_dir() else '-'}{status.st_mode & 0o7777:o}"
    return found


def why_no_root() -> str:
    """What keeps Root from working here; empty if nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "unshare", "nsenter", "make") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    probe = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/r && "
    probe += "mount -t overlay none -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", probe]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"needs overlayfs: {done.stderr.strip()}"
    return why_no_system_python()


def why_no_wheels() -> str:
    """What the distribution's Python lacks to build a wheel without a network; empty if nothing."""
    program = "import setuptools, wheel, pip; assert int(setuptools.__version__.split('.')[0]) >= 64"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True, check=False)
    except OSError:
        return f"needs {SYSTEM_PYTHON}"
    return (
        f"needs python3-pip, python3-setuptools and python3-wheel for {SYSTEM_PYTHON}"
        if done.returncode
        else ""
    )
