"""`make install` on a machine, and had as it was laid out: with the distribution's Python, and the hooks and
the list of services as they are shipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.waiting import eventually
from roots import SYSTEM_PYTHON, Root, why_no_root

WHY_NOT = why_no_root()
pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

# What has to be edited in had.conf as it is shipped, to be a node without peers on loopback.
EDITS = {
    r"^nodes = alpha, beta$": "nodes = 1",
    r"^network = 192\.168\.10\.0/24$": "address = 127.0.0.1\nbroadcast = 127.255.255.255",
    r"^\[\[cable\]\]\n(.*\n)*?(?=\[|\Z)": "",
}
MAKE = ("make", "--no-print-directory", "-C", "/tmp/src")


@pytest.fixture
def root(source, tmp_path_factory) -> Iterator[Root]:
    root = Root(tmp_path_factory.mktemp("machine") / "root", source)
    yield root
    root.close()


def written(root: Root) -> set[str]:
    """Files that are not as on the machine itself."""
    upper = root.seen.parent / "upper"
    found = [path for path in upper.rglob("*") if path.is_symlink() or not path.is_dir()]
    return {str(path.relative_to(upper)) for path in found}


def edit(root: Root) -> None:
    place = root.file("/etc/had/had.conf")
    text = place.read_text(encoding="utf-8")
    for pattern, new in EDITS.items():
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count == 1, pattern
    place.write_text(text, encoding="utf-8")


def service(root: Root) -> list[int]:
    """The service of the list as it is shipped."""
    return [pid for pid in root.namespace.pids() if command(pid) == "sleep 1000000"]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def test_a_node_from_make_install_to_make_uninstall(root):
    assert written(root) == set()
    said = root.good(*MAKE, "install")
    assert said == "had is installed: /usr/sbin/had; hooks and configuration in /etc/had\n"
    assert "usr/lib/had/python/had/cli/__pycache__" in {str(Path(path).parent) for path in written(root)}
    edit(root)
    assert "Nothing stands against starting it." in root.good("had", "--check")

    root.good("/etc/init.d/had", "start")
    status = root.file("/run/had/status")
    eventually(lambda: "state=RUNNING\n" in status.read_text(), "the services run")
    (running,) = service(root)
    assert command(int(root.read("/run/had.pid"))) == f"{SYSTEM_PYTHON} -I /usr/sbin/had"

    done = root.run(*MAKE, "uninstall")
    assert done.returncode != 0
    assert re.search(r"had runs here as process \d+: stop it first, it needs its hooks for that", done.stdout)
    said = root.good(*MAKE, "install")
    assert "kept /etc/had/had.conf, which differs from the new one; that is /etc/had/had.conf.new\n" in said
    assert re.search(
        r"^had runs here as process \d+, and is the old one until it is restarted", said, re.MULTILINE
    )
    assert service(root) == [running]

    left = root.file("/run/had-web.pid")
    left.write_text("1\n")  # of a daemon that was killed, and its services may run
    root.good("/etc/init.d/had", "stop")
    assert service(root) == []
    done = root.run(*MAKE, "uninstall")
    assert done.returncode != 0
    assert "/run/had-web.pid is left by a daemon that died" in done.stdout
    left.unlink()
    assert "code=0\n" in status.read_text()
    said = root.good(*MAKE, "uninstall")
    assert said == (
        "kept /etc/had/had.conf, which was edited\n"
        "had is uninstalled\n"
        "kept /var/lib/had, where the daemon recorded what it has to know after a crash\n"
    )
    left = {path for path in written(root) if not path.startswith(("var/lib/had/", "var/lock/", "run/"))}
    assert left == {"etc/had/had.conf"}


def test_without_the_modules_nothing_is_installed(root):
    root.good(SYSTEM_PYTHON, "-m", "venv", "--without-pip", "/opt/bare")
    before = written(root)
    done = root.run(*MAKE, "install", "PYTHON=/opt/bare/bin/python3")
    assert done.returncode != 0
    assert done.stdout.splitlines()[:2] == [
        "had: /opt/bare/bin/python3 has no module configobj; "
        "Debian: apt install python3-configobj; ALT: apt-get install python3-module-configobj",
        "install: nothing was installed",
    ]
    assert written(root) == before


@pytest.mark.parametrize("python", ["/bin/true", "/bin/false", "/nowhere/python3"])
def test_what_is_no_python_is_told(root, python):
    done = root.run(*MAKE, "install", f"PYTHON={python}")
    assert done.returncode != 0
    assert done.stdout.splitlines()[:2] == [
        f"install: PYTHON={python} can't be used: it has to be Python 3.9 or newer",
        "install: nothing was installed",
    ]
    assert written(root) == set()


def test_an_interrupted_install_can_be_done_again(root):
    """Ctrl-C, somewhere in the middle; no file is left half written."""
    process = root.popen(*MAKE, "install", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: root.file("/usr/lib/had/python/had/cli").is_dir(), "it has begun")
    for pid in root.namespace.pids():
        if "tools/install" in command(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    process.wait(20)
    assert not [path for path in written(root) if ".had-install" in path]
    root.good(*MAKE, "install")
    root.good(*MAKE, "uninstall")
    assert written(root) == set()
