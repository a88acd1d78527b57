"""The machines themselves: a test that lies about its ground proves nothing."""

from __future__ import annotations

import socket

import pytest

from .machine import Machine, Site

pytestmark = pytest.mark.lab


def reaches(machine: Machine, address: str) -> bool:
    """Whether there is a host: one that has no such port says so."""
    with machine.inside.network():
        asking = socket.socket()
    with asking:
        asking.settimeout(5)
        try:
            asking.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def test_machines_share_a_network_and_nothing_else(site: Site) -> None:
    alpha, beta = site.machines
    alpha.write("/etc/only-here", "alpha")
    assert alpha.read("/etc/only-here") == "alpha"
    assert beta.read("/etc/only-here") == ""
    assert alpha.type("uname -n").strip() == "alpha"
    assert reaches(alpha, "192.168.10.2")
    assert reaches(alpha, "10.255.255.2")
    assert not reaches(alpha, "192.168.10.3")
    assert site.answering("192.168.10.2") == site.mac(beta)


def test_the_disk_outlives_a_power_cut_and_run_does_not(site: Site) -> None:
    alpha, beta = site.machines
    alpha.type("echo kept > /var/lib/kept; echo lost > /run/lost; setsid sleep 1000 >/dev/null 2>&1 &")
    old = alpha.read("/proc/sys/kernel/random/boot_id")
    alpha.power_cut()
    alpha.boot()
    assert alpha.read("/var/lib/kept") == "kept\n"
    assert alpha.read("/run/lost") == ""
    assert alpha.inside.pids() == []
    assert alpha.read("/proc/sys/kernel/random/boot_id") != old
    assert reaches(beta, "192.168.10.1")
    assert reaches(beta, "10.255.255.1")
