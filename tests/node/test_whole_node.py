"""A file system on a shared disk, PostgreSQL on it and an address in front of it, as one set under
load: whatever is acknowledged is kept, and the address answers from the node that has the database.
"""

from __future__ import annotations

import glob
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.waiting import eventually

from .client import Writer
from .machine import Disk, Machine, Site

ADDRESS = "192.168.10.100"
SERVICES = f"""\
filesystem  DEVICE /srv/pg ext4
postgresql  /srv/pg/data
address     {ADDRESS}/24 eth0
"""
BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not BINARIES, reason="needs PostgreSQL"),
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4"),
]


def make_database(site: Site, device: str) -> None:
    """The database on the shared disk, empty but for one table."""
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    alpha = site.machines[0]
    alpha.type(
        f"""
        set -e
        mkdir -p /srv/pg
        mount {device} /srv/pg
        mkdir /srv/pg/data
        chown postgres: /srv/pg/data
        chmod 700 /srv/pg/data
        su postgres -c '{BINARIES[0]}/initdb -D /srv/pg/data -A trust --no-sync' >/dev/null
        echo "listen_addresses = '*'" >>/srv/pg/data/postgresql.conf
        echo 'host all all 192.168.10.0/24 trust' >>/srv/pg/data/pg_hba.conf
        su postgres -c '{BINARIES[0]}/pg_ctl -w -s -D /srv/pg/data -l /srv/pg/data/log start'
        su postgres -c '{BINARIES[0]}/psql -q -c "create table written (n integer primary key)"'
        su postgres -c '{BINARIES[0]}/pg_ctl -w -s -D /srv/pg/data stop'
        umount /srv/pg
        """
    )


def prepare(machine: Machine, device: str) -> None:
    """Install, and edit what is to be edited."""
    machine.install()
    machine.edit("/etc/had/had.conf", "dead = 5s", "dead = 3s")
    machine.edit("/etc/had/had.conf", "[hooks]", "[places]\nlog = /var/log/had.log\n[hooks]")
    machine.write("/etc/had/hasrv/services.list", SERVICES.replace("DEVICE", device))
    machine.type("mkdir -p /srv/pg && had --check")


@pytest.fixture
def disk(site: Site, tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk.img", 512 << 20)
    make_database(site, disk.device)
    for machine in site.machines:
        prepare(machine, disk.device)
    yield disk
    for machine in site.machines:
        machine.off()
    disk.close()


def start(site: Site) -> None:
    for machine in site.machines:
        machine.type("/etc/init.d/had start")
    alpha, beta = site.machines
    alpha.wait("Running", timeout=60)
    beta.wait("Standby")


def test_acknowledged_rows_outlive_crash_and_switch_over(site: Site, disk: Disk) -> None:
    alpha, beta = site.machines
    start(site)
    assert site.answering(ADDRESS) == site.mac(alpha)

    with Writer(site.client, ADDRESS, f"{BINARIES[0]}/psql") as writer:
        writer.wait(20)
        crashed = time.monotonic()
        alpha.power_cut(disk)
        beta.wait("Running", timeout=60)
        writer.wait(20)
        report("crash of alpha (dead time 3 s)", writer.outage(crashed))
        assert site.answering(ADDRESS) == site.mac(beta)

        alpha.boot()
        alpha.type("/etc/init.d/had start")
        alpha.wait("Standby", timeout=60)
        alpha.wait("Running", of="beta")
        writer.wait(5)
        assert site.answering(ADDRESS) == site.mac(beta), "nothing moves because a node came back"

        moved = time.monotonic()
        print(beta.type("/etc/init.d/had standby", timeout=120))
        alpha.wait("Running", timeout=60)
        writer.wait(20)
        report("switch-over to alpha (standby)", writer.outage(moved))
        assert site.answering(ADDRESS) == site.mac(alpha)

        back = time.monotonic()
        print(beta.type("/etc/init.d/had takeover", timeout=120))
        beta.wait("Running", timeout=60)
        writer.wait(20)
        report("switch back to beta (takeover)", writer.outage(back))
        assert site.answering(ADDRESS) == site.mac(beta)

    rows = {int(line) for line in writer.ask("select n from written").split()}
    lost = [n for n, _ in writer.acknowledged() if n not in rows]
    print(f"{len(writer.acknowledged())} rows acknowledged, {len(rows)} found, {len(lost)} lost")
    assert lost == []

    print(beta.type("/etc/init.d/had stop", timeout=120))
    alpha.wait("Running", timeout=60)
    print(alpha.type("/etc/init.d/had stop", timeout=120))
    for machine in site.machines:
        assert ADDRESS not in machine.inside.run("ip", "address")
        assert "/srv/pg" not in machine.read("/proc/self/mountinfo")
        eventually(lambda machine=machine: machine.inside.pids() == [], f"nothing is left on {machine.name}")


def report(what: str, outage: float) -> None:
    """Printed for people; `pytest -rP` shows it for a test that passes."""
    print(f"{what}: {outage:.1f} s without an acknowledged row")
