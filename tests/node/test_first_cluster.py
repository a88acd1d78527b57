"""The README's first cluster, typed as it stands there: installed, edited, crashed, moved, stopped slowly."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.waiting import eventually

from .machine import ROOT, Machine, Site

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "192.168.10.100"
SLOW = """\
#!/bin/sh
# A service that needs its time to stop.
case $1 in
start) touch /run/slow ;;
stop) [ ! -e /run/slow ] || sleep 8; rm -f /run/slow ;;
monitor) test -e /run/slow ;;
esac
"""

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin") is None, reason="needs nginx"),
]


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Names that are not those of the example."""
    made = Site(tmp_path / "site", ("web1", "web2"))
    request.node.site = made
    yield made
    made.close()


def type_as_written(machine: Machine, command: str, timeout: float = 60) -> str:
    """Type a command that must stand in the README."""
    lines = [line.split("  #")[0].strip() for line in README.splitlines()]
    assert command in lines or f"`{command}`" in README, command
    return machine.type(f"cd {ROOT} && {command}" if command.startswith("make") else command, timeout)


def test_the_readme_holds(site: Site) -> None:
    web1, web2 = site.machines
    for machine in site.machines:
        type_as_written(machine, "make install", timeout=120)
        machine.edit("/etc/had/had.conf", "nodes = alpha, beta", "nodes = web1, web2")
        machine.edit("/etc/had/had.conf", "network = 192.168.10.0/24", "network = 192.168.10.0/24 # ours")
        type_as_written(machine, "had --check")
        print(type_as_written(machine, "/etc/init.d/had start"))
    web1.wait("Running")
    web2.wait("Standby")
    status = type_as_written(web1, "/etc/init.d/had status")
    print(status)
    assert "had runs (process " in status
    assert "web2 [Standby]" in status
    assert example_runs(web1)
    assert not example_runs(web2)

    lose_and_get_back(web1, web2)
    move_by_hand(web1, web2)
    own_services(site)


def example_runs(machine: Machine) -> bool:
    return machine.command("/usr/lib/had/services/process monitor example sleep 1000000").returncode == 0


def lose_and_get_back(web1: Machine, web2: Machine) -> None:
    crashed = time.monotonic()
    web1.power_cut()
    web2.wait("Running", timeout=30)
    print(f"web2 has the services {time.monotonic() - crashed:.1f} s after web1's power went (dead time 5 s)")
    assert example_runs(web2)
    web1.boot()
    type_as_written(web1, "/etc/init.d/had start")
    web1.wait("Standby")
    web1.wait("Running", of="web2")
    assert not example_runs(web1)


def move_by_hand(web1: Machine, web2: Machine) -> None:
    print(type_as_written(web2, "/etc/init.d/had standby"))
    web1.wait("Running")
    assert not example_runs(web2)
    print(type_as_written(web2, "/etc/init.d/had takeover"))
    web2.wait("Running")
    assert not example_runs(web1)


def own_services(site: Site) -> None:
    """The example is replaced by an address, a web server, and something slow."""
    web1, web2 = site.machines
    for machine in (web1, web2):  # first the one that doesn't run the services
        print(type_as_written(machine, "/etc/init.d/had stop"))
    for machine in site.machines:
        machine.write("/usr/local/sbin/slow", SLOW, 0o755)
        machine.write(
            "/etc/had/hasrv/services.list",
            f"address  {ADDRESS}/24 eth0\nsysv     nginx\n/usr/local/sbin/slow x\n",
        )
        print(type_as_written(machine, "/usr/lib/had/run-services check /etc/had/hasrv/services.list"))
    for machine in site.machines:
        type_as_written(machine, "/etc/init.d/had start")
    web1.wait("Running")
    web2.wait("Standby")
    assert site.answering(ADDRESS) == site.mac(web1)
    page = site.client.run("curl", "-sS", "--max-time", "5", f"http://{ADDRESS}/")
    assert "nginx" in page

    began = time.monotonic()
    said = type_as_written(web1, "/etc/init.d/had stop")
    print(said)
    assert time.monotonic() - began > 7.5, "it waits until the services are stopped"
    assert web1.read("/run/had.pid") == ""
    web2.wait("Running")
    assert site.answering(ADDRESS) == site.mac(web2)
    type_as_written(web2, "/etc/init.d/had stop")

    for machine in site.machines:
        eventually(lambda machine=machine: machine.inside.pids() == [], f"nothing is left on {machine.name}")
        machine.type(f"cd {ROOT} && make uninstall")
        assert machine.command("had --version").returncode == 127
