"""The script port, with real connections."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from .tools import call, every_shell

pytestmark = pytest.mark.lab


@every_shell
def test_its_life(node, shell):
    with node.network():
        listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    what = str(listening.getsockname()[1])
    refused = (3, "", f"port {what}: Connection refused\n")
    assert call("port", "monitor", what, shell=shell, inside=node) == refused
    listening.listen()
    for verb in ("start", "monitor", "stop"):
        assert call("port", verb, what, shell=shell, inside=node) == (0, "", "")
    listening.close()
    assert call("port", "stop", what, shell=shell, inside=node) == (0, "", "")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.2:{port}", "127.0.0.2"),
        ("localhost:{port}", "127.0.0.1"),
        ("[::1]:{port}", "::1"),
    ],
)
def test_hosts(node, given, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with node.network():
        listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind((address, 0))
    listening.listen()
    what = given.format(port=listening.getsockname()[1])
    assert call("port", "monitor", what, inside=node) == (0, "", "")
    listening.close()


def test_start_waits(node):
    with node.network():
        listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    what = str(listening.getsockname()[1])
    done = call("port", "start", what, "timeout=1", inside=node)
    assert done == (1, "", f"port {what}: no connection within 1 s: Connection refused\n")
    later = threading.Timer(0.5, listening.listen)
    later.start()
    assert call("port", "start", what, inside=node) == (0, "", "")
    later.join()
    listening.close()


def test_nobody_answers(node):
    """A peer that drops what it gets, as a machine does that is off."""
    node.run("nft", "add table inet silence")
    node.run("nft", "add chain inet silence input { type filter hook input priority 0; }")
    node.run("nft", "add rule inet silence input tcp dport 4999 drop")
    began = time.monotonic()
    done = call("port", "monitor", "4999", "timeout=1", inside=node)
    assert done == (1, "", "port 4999: no answer within 1 s\n")
    assert time.monotonic() - began < 20
    node.run("nft", "delete table inet silence")
    assert call("port", "monitor", "host.invalid:80", inside=node).code == 1


def test_a_connection_to_itself_is_none(node):
    """Where the only port that a client may get is the one that it connects to."""
    range_file = "/proc/sys/net/ipv4/ip_local_port_range"
    before = node.run("cat", range_file)
    node.run("sh", "-c", f"echo 40001 40001 >{range_file}")
    try:
        done = call("port", "monitor", "40001", inside=node)
    finally:
        node.run("sh", "-c", f"echo {before.strip()} >{range_file}")
    assert done == (3, "", "port 40001: Connection refused\n")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("0", "port 0 is not a whole number from 1 to 65535"),
        ("http", "port http is not a whole number from 1 to 65535"),
        ("::1:80", "an IPv6 address stands in brackets, as in [::1]:80"),
        (":80", "'' is no name or address"),
        ("-x:80", "'-x' is no name or address"),
        ("a b:80", "'a b' is no name or address"),
        ("[::1]", "an IPv6 address stands in brackets, as in [::1]:80"),
    ],
)
def test_mistakes(given, complaint):
    assert call("port", "check", given) == (2, "", f"port {given}: {complaint}\n")


def test_a_missing_program(node, bare):
    done = call("port", "monitor", "80", inside=node, environment=bare)
    assert done == (5, "", "port 80: the program python3 is missing here; install the package python3\n")
