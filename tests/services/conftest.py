"""A machine for the service scripts: its own network, and places that they write to."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.namespaces import Namespace

from .tools import call, path_without

WANTED = (
    "python3",
    "curl",
    "systemctl",
    "drbdadm",
    "vzctl",
    "lxc-info",
    "lxc-start",
    "sendmail",
    "mailx",
    "mail",
)

SETUP = """
mount -t tmpfs none /run
mkdir /run/init.d
cp -a /etc/init.d/. /run/init.d/
mount --bind /run/init.d /etc/init.d
mkdir -p /var/log/nginx
mount -t tmpfs none /var/log/nginx
"""


@pytest.fixture(scope="session")
def node() -> Iterator[Namespace]:
    """A namespace with an empty /run and initscripts that may be added to."""
    made = Namespace("alpha", SETUP)
    yield made
    made.close()


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine without the programs that service scripts want."""
    return {"PATH": path_without(tmp_path_factory.mktemp("bare") / "bin", *WANTED)}


@pytest.fixture(scope="module")
def pages(node: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real nginx at port 8080 of 127.0.0.1 and ::1, started by the script pidfile; its directory."""
    if not shutil.which("nginx"):
        pytest.skip("needs nginx")
    place = tmp_path_factory.mktemp("nginx")
    (place / "index.html").write_text("one line\nall is well here\n")
    configuration = place / "nginx.conf"
    configuration.write_text(
        textwrap.dedent(f"""\
            pid {place}/pid;
            error_log {place}/error.log;
            user root;
            worker_processes 1;
            events {{}}
            http {{
                access_log off;
                server {{
                    listen 127.0.0.1:8080;
                    listen [::1]:8080;
                    root {place};
                    location /moved {{ return 301 http://127.0.0.1:8080/; }}
                    location /named {{ return 200 "for $host\\n"; }}
                }}
            }}
        """)
    )
    words = [f"{place}/pid", "name=nginx", "nginx", "-c", str(configuration)]
    assert call("pidfile", "start", *words, inside=node).code == 0
    yield place
    assert call("pidfile", "stop", *words, inside=node).code == 0


@pytest.fixture(scope="session")
def no_sendmail() -> None:
    """Skips where a real one would be found."""
    for place in ("/usr/bin", "/usr/sbin", "/usr/lib"):
        if Path(place, "sendmail").exists():
            pytest.skip("sendmail is installed here")
