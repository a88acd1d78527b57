"""The virtual address (scripts/services/address), for real: two machines and a client on one Ethernet."""

from __future__ import annotations

import re
import subprocess
import time

import pytest
from lab.waiting import eventually, throughout

from .ethernet import MACS, NETWORKS, Listener, Network, carrier, places, reach
from .tools import SERVICES, call, every_shell, path_without

pytestmark = pytest.mark.lab

QUICK = ("dad=no", "announce=0")
both_families = pytest.mark.parametrize("network", NETWORKS, ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module")
def machines():
    made = Network()
    yield made
    made.close()


@pytest.fixture
def net(machines):
    yield machines
    machines.tidy()


@pytest.fixture
def listener(net):
    made = Listener(net.client, "br0")
    yield made
    made.socket.close()


@pytest.fixture
def other(net):
    """A further interface of alpha's, in no network yet."""
    net.alpha.run("sh", "-ec", "ip link add other type bridge; ip link set other up")
    yield "other"
    net.alpha.run("ip", "link", "delete", "other")


@every_shell
@both_families
def test_a_life(net, network, shell):
    address = network.format(100)
    said = f"address {address}: "
    assert call("address", "monitor", address, "e0", shell=shell, inside=net.alpha) == (
        3,
        "",
        f"{said}is not here\n",
    )
    for change in (f"{said}is on e0 now\n", ""):
        assert call("address", "start", address, "e0", *QUICK, shell=shell, inside=net.alpha) == (
            0,
            change,
            "",
        )
        assert places(net.alpha, address) == [("e0", "/" + address.partition("/")[2])]
        assert call("address", "monitor", address, "e0", shell=shell, inside=net.alpha) == (0, "", "")
    for change in (f"{said}removed from e0\n", ""):
        assert call("address", "stop", address, "e0", shell=shell, inside=net.alpha) == (0, change, "")
        assert places(net.alpha, address) == []


@both_families
def test_it_is_refused_while_another_machine_has_it(net, network):
    address = network.format(102)
    assert call("address", "start", address, "e0", *QUICK, inside=net.beta).code == 0
    began = time.monotonic()
    done = call("address", "start", address, "e0", inside=net.alpha)
    message = (
        f"address {address}: refused: another machine on e0 has it, with the MAC address {MACS['beta']}\n"
    )
    assert done == (1, "", message)
    assert time.monotonic() - began < 10
    assert places(net.alpha, address) == []
    # The other one is gone, as after a crash: now it is free.
    net.client.run("ip", "link", "set", "beta-e0", "down")
    assert call("address", "start", address, "e0", inside=net.alpha).code == 0
    reach(net.client, address)


@both_families
def test_a_second_owner_is_noticed_at_the_next_start(net, network):
    """Both have it already: start does not just find that it is here."""
    address = network.format(103)
    for node in (net.alpha, net.beta):
        assert call("address", "start", address, "e0", *QUICK, inside=node).code == 0
    assert MACS["beta"] in call("address", "start", address, "e0", inside=net.alpha).err


@both_families
def test_of_two_that_want_it_at_one_moment_one_gets_it(net, network):
    address = network.format(104)
    command = [SERVICES / "address", "start", address, "e0", "listen=2"]
    starting = [
        node.popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for node in (net.alpha, net.beta)
    ]
    said = [start.communicate(timeout=60)[0].decode() for start in starting]
    # The one with the smaller MAC address goes on; here it also begins first, if a little.
    assert [start.returncode for start in starting] == [0, 1], said
    assert f"has it, with the MAC address {MACS['alpha']}" in said[1]
    assert (len(places(net.alpha, address)), len(places(net.beta, address))) == (1, 0)


def test_who_asks_listens_to_the_group(net):
    """A switch that looks into multicast passes on another machine's probes only to who has joined."""
    start = net.alpha.popen([str(SERVICES / "address"), "start", "2001:db8::121/64", "e0", "listen=2"])
    eventually(
        lambda: "ff02::1:ff00:121" in net.alpha.run("ip", "maddress", "show", "dev", "e0"), "it has joined"
    )
    assert places(net.alpha, "2001:db8::121") == [], "before it has the address, with which the kernel joins"
    assert start.wait(60) == 0


def test_a_second_interface_in_the_same_network_is_no_other_machine(net):
    """Linux answers for all its addresses on every interface."""
    address = "10.9.0.105/24"
    net.plug("alpha", "e1", "02:00:00:00:01:0a")
    try:
        net.alpha.run("ip", "address", "add", "10.9.0.11/24", "dev", "e1")
        for _ in range(2):
            assert call("address", "start", address, "e0", inside=net.alpha).code == 0
    finally:
        net.client.run("ip", "link", "delete", "alpha-e1")


@both_families
def test_the_neighbours_are_told_at_once_and_again(net, listener, network):
    address = network.format(106)
    began = time.monotonic()
    done = call("address", "start", address, "e0", "dad=no", "announce=2", inside=net.alpha)
    assert done.code == 0
    kinds = {"request", "reply"} if "." in address else {"advertisement"}
    assert {kind for _, kind, _ in listener.announcements(address)} == kinds, "told before the start is over"
    assert time.monotonic() - began < 10

    told = eventually(
        lambda: (
            [] if len(listener.announcements(address)) < 2 * len(kinds) else listener.announcements(address)
        ),
        "all announcements",
    )
    assert {mac for _, _, mac in told} == {MACS["alpha"]}
    moments = [moment for moment, kind, _ in told if kind in ("reply", "advertisement")]
    assert all(0.9 < later - sooner < 5 for sooner, later in zip(moments, moments[1:]))
    # One after the last would come within a second.
    throughout(lambda: len(listener.announcements(address)) == 2 * len(kinds), "no more of them", 1.5)


@both_families
def test_the_client_follows(net, network):
    """It has learned the old place, and is told of the new one without having asked."""
    address = network.format(107)
    plain = address.partition("/")[0]
    assert call("address", "start", address, "e0", *QUICK, inside=net.beta).code == 0
    reach(net.client, address)
    assert MACS["beta"] in net.client.run("ip", "neighbour", "show", plain)
    net.client.run("ip", "link", "set", "beta-e0", "down")
    assert call("address", "start", address, "e0", inside=net.alpha).code == 0
    eventually(lambda: MACS["alpha"] in net.client.run("ip", "neighbour", "show", plain), "the new place")
    reach(net.client, address)


@both_families
def test_announcing_holds_nobody_and_ends_with_the_address(net, listener, network):
    address = network.format(108)
    plain = address.partition("/")[0]
    start = net.alpha.popen(
        [str(SERVICES / "address"), "start", address, "e0", "dad=no", "announce=60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (
        start.communicate(timeout=30)[0].decode() == f"address {address}: is on e0 now\n"
    )  # nothing holds it open

    def announcers():
        # Processes end at any moment: pgrep reads them all at once, well enough.
        found = subprocess.run(
            ["pgrep", "-f", f"neighbours.py announce e0 {plain} 60"],
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.split()

    (pid,) = announcers()
    assert int(pid) in net.alpha.pids()
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        group = file.read().rpartition(")")[2].split()[2]
    assert group == pid, "a session of its own, not the hook's process group"
    eventually(lambda: len(listener.announcements(address)) >= 4, "some announcements")
    assert call("address", "stop", address, "e0", inside=net.alpha).code == 0
    stopped = time.monotonic()
    eventually(lambda: not announcers(), "the end of the announcements")
    # One that had found the address there just before may have been on its way.
    assert [moment for moment, _, _ in listener.announcements(address) if moment > stopped + 0.5] == []


@both_families
def test_without_a_carrier(net, network):
    address = network.format(109)
    assert call("address", "start", address, "e0", *QUICK, inside=net.alpha).code == 0
    net.client.run("ip", "link", "set", "alpha-e0", "down")
    eventually(lambda: not carrier(net.alpha, "e0"), "no carrier")
    message = f"address {address}: interface e0 has no carrier: cable, switch?\n"
    assert call("address", "monitor", address, "e0", inside=net.alpha) == (1, "", message)
    assert call("address", "start", address, "e0", "timeout=1", inside=net.alpha) == (1, "", message)
    assert call("address", "stop", address, "e0", inside=net.alpha).code == 0, (
        "it can be removed all the same"
    )


def test_a_start_waits_for_the_carrier(net):
    net.client.run("ip", "link", "set", "alpha-e0", "down")
    eventually(lambda: not carrier(net.alpha, "e0"), "no carrier")
    start = net.alpha.popen([str(SERVICES / "address"), "start", "10.9.0.110/24", "e0", "timeout=60"])
    throughout(lambda: start.poll() is None, "it waits", 1)
    net.client.run("ip", "link", "set", "alpha-e0", "up")
    assert start.wait(60) == 0


def test_an_interface_that_is_down_or_missing(net):
    net.alpha.run("ip", "address", "add", "10.9.0.111/24", "dev", "e0")
    net.alpha.run("ip", "link", "set", "e0", "down")
    said = "address 10.9.0.111/24: "
    assert call("address", "monitor", "10.9.0.111/24", "e0", inside=net.alpha) == (
        1,
        "",
        f"{said}interface e0 is down\n",
    )
    done = call("address", "start", "10.9.0.111/24", "e7", "timeout=0", inside=net.alpha)
    assert done == (1, "", f"{said}there is no interface e7\n")
    assert call("address", "stop", "10.9.0.111/24", "e7", inside=net.alpha).code == 0
    assert places(net.alpha, "10.9.0.111") == [], "a leftover, wherever it was"


@both_families
def test_leftovers(net, network, other):
    """On another interface, and with another prefix."""
    address = network.format(112)
    plain, _, prefix = address.partition("/")

    def leave():
        for interface, left in ((other, address), ("e0", f"{plain}/{int(prefix) + 4}")):
            net.alpha.run("ip", "address", "add", left, "dev", interface)

    leave()
    assert "is on" in call("address", "monitor", address, "e7", inside=net.alpha).err
    assert call("address", "start", address, "e0", *QUICK, inside=net.alpha).code == 0
    assert places(net.alpha, address) == [("e0", f"/{prefix}")]
    if ":" in plain:  # IPv6 addresses differ by more than their prefix
        net.alpha.run("ip", "address", "del", address, "dev", "e0")
    leave()
    assert len(places(net.alpha, address)) >= 2
    assert call("address", "stop", address, "e0", inside=net.alpha).code == 0
    assert places(net.alpha, address) == []
    assert places(net.alpha, network.format(1)) == [("e0", f"/{prefix}")], "nothing else is touched"


@pytest.mark.parametrize("promote", ["0", "1"])
def test_other_addresses_of_the_network_stay(net, promote):
    """The machine's own address came later than the virtual one, and so is secondary to it."""
    switch = "/proc/sys/net/ipv4/conf/e0/promote_secondaries"
    net.alpha.run("sh", "-c", f"echo {promote} >{switch}")
    net.alpha.run("ip", "-4", "address", "flush", "dev", "e0")
    for address in ("10.9.0.113/24", "10.9.0.1/24", "10.9.0.50/24"):
        net.alpha.run("ip", "address", "add", address, "dev", "e0")
    assert "secondary" in net.alpha.run("ip", "address", "show", "to", "10.9.0.1")
    assert call("address", "stop", "10.9.0.113/24", "e0", inside=net.alpha).code == 0
    assert [places(net.alpha, f"10.9.0.{number}") for number in (113, 1, 50)] == [
        [],
        [("e0", "/24")],
        [("e0", "/24")],
    ]
    assert net.alpha.run("cat", switch) == f"{promote}\n", "as it was"


def test_a_duplicate_that_the_kernel_has_seen(net):
    """Somebody added it without us, and the kernel's own detection found the other one."""
    address = "2001:db8::114/64"
    net.beta.run("ip", "address", "add", address, "dev", "e0", "nodad")
    net.alpha.run("ip", "address", "add", address, "dev", "e0")
    flags = lambda: net.alpha.run("ip", "address", "show", "to", "2001:db8::114")  # noqa: E731
    assert call("address", "monitor", address, "e0", inside=net.alpha).code == 1
    eventually(lambda: "dadfailed" in flags(), "the kernel's verdict")
    done = call("address", "monitor", address, "e0", inside=net.alpha)
    assert done == (1, "", f"address {address}: another machine on e0 has it too (dadfailed)\n")
    assert MACS["beta"] in call("address", "start", address, "e0", inside=net.alpha).err
    net.beta.run("ip", "address", "del", address, "dev", "e0")
    assert call("address", "start", address, "e0", inside=net.alpha).code == 0
    assert "tentative" not in flags()
    assert call("address", "monitor", address, "e0", inside=net.alpha).code == 0


@both_families
def test_the_interface_may_be_left_out(net, network):
    address = network.format(115)
    assert call("address", "start", address, *QUICK, inside=net.alpha).code == 0
    assert [interface for interface, _ in places(net.alpha, address)] == ["e0"]
    assert call("address", "monitor", address, inside=net.alpha) == (0, "", "")
    assert call("address", "start", address, *QUICK, inside=net.alpha) == (0, "", "")
    assert call("address", "stop", address, inside=net.alpha).code == 0

    done = call("address", "start", "192.0.2.7/24", *QUICK, "timeout=0", inside=net.alpha)
    assert done.code == 1
    assert "no interface has a network that contains it" in done.err


@both_families
def test_the_interface_must_be_named_where_there_are_several(net, network, other):
    net.alpha.run("ip", "address", "add", network.format(77), "dev", other)
    done = call("address", "start", network.format(115), *QUICK, inside=net.alpha)
    assert done.code == 1
    assert re.search(
        r"more than one interface has a network that contains it: (e0 other|other e0); name one", done.err
    )


def test_a_label(net):
    assert call("address", "start", "10.9.0.116/24", "e0", "label=e0:ha", *QUICK, inside=net.alpha).code == 0
    assert "e0:ha" in net.alpha.run("ip", "address", "show", "to", "10.9.0.116")
    assert call("address", "monitor", "10.9.0.116/24", "e0", "label=e0:ha", inside=net.alpha).code == 0
    assert call("address", "stop", "10.9.0.116/24", inside=net.alpha).code == 0


def test_a_single_address_has_a_broadcast_address_only_where_there_is_one(net):
    for address, broadcast in {"10.9.0.117/24": True, "10.9.0.118/32": False, "10.9.0.118/31": False}.items():
        assert call("address", "start", address, "e0", *QUICK, inside=net.alpha).code == 0
        shown = net.alpha.run("ip", "address", "show", "to", address.partition("/")[0])
        assert (" brd " in shown) == broadcast
        assert call("address", "stop", address, "e0", inside=net.alpha).code == 0


@pytest.mark.parametrize("interface", ["lo", "e0"])
def test_where_there_are_no_neighbours_nobody_is_asked(net, listener, interface):
    if interface == "e0":
        net.alpha.run("ip", "link", "set", "e0", "arp", "off")
    try:
        for address in ("10.8.0.1/24", "2001:db8:8::1/64"):
            began = time.monotonic()
            done = call("address", "start", address, interface, "listen=10", inside=net.alpha)
            assert (done.code, done.err) == (0, "")
            assert time.monotonic() - began < 9
            assert call("address", "stop", address, interface, inside=net.alpha).code == 0
            assert listener.announcements(address) == []
    finally:
        net.alpha.run("ip", "link", "set", "e0", "arp", "on")


def test_what_ip_says_is_told(net):
    net.alpha.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/e0/disable_ipv6")
    try:
        done = call("address", "start", "2001:db8::119/64", "e0", *QUICK, inside=net.alpha)
    finally:
        net.alpha.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/e0/disable_ipv6")
    assert done.code == 1
    assert re.fullmatch(r"address \S+: could not be put on e0: .*(disabled|denied).*\n", done.err)


@pytest.mark.parametrize(("program", "package"), [("ip", "iproute2"), ("python3", "python3")])
def test_a_missing_program(net, tmp_path, program, package):
    environment = {"PATH": path_without(tmp_path / "bin", program)}
    call("address", "start", "10.9.0.120/24", "e0", *QUICK, inside=net.alpha)
    for verb in ("start", "stop", "monitor"):
        done = call("address", verb, "10.9.0.120/24", "e0", inside=net.alpha, environment=environment)
        if program == "ip" or verb == "start":
            message = f"the program {program} is missing here; install the package {package}"
            assert done == (5, "", f"address 10.9.0.120/24: {message}\n")
        else:
            assert done.code == (0 if verb == "stop" else 3)


MISTAKES = {
    ("10.9.0.1",): "has no prefix; write it as in 192.168.10.100/24 or 2001:db8::100/64",
    ("10.9.0.1/",): "has no prefix; write it as in 192.168.10.100/24 or 2001:db8::100/64",
    ("10.9.0.1/x",): "is no IP address",
    ("10.9.0.1/33",): "prefix 33 is not a whole number from 1 to 32",
    ("2001:db8::1/129",): "prefix 129 is not a whole number from 1 to 128",
    ("10.9.0.1/024",): "has no prefix; write it as in 192.168.10.100/24 or 2001:db8::100/64",
    ("10.9.0.1/255.255.255.0",): "prefix 255.255.255.0 is not a whole number from 1 to 32",
    ("10.9.0.256/24",): "is no IP address with a prefix",
    ("10.9.1/24",): "is no IP address",
    ("010.9.0.1/24",): "is no IP address",
    ("10.9.0.0/24",): "is the network 10.9.0.0/24 itself, no address in it",
    ("10.9.0.255/24",): "is the broadcast address of the network 10.9.0.0/24",
    ("224.0.0.1/24",): "is no address that a machine can have",
    ("2001:db8::/64",): "is the network 2001:db8::/64 itself, no address in it",
    ("2001:db8:::1/64",): "is no IP address with a prefix",
    ("fe80::1%e0/64",): "is no IP address",
    ("alpha/24",): "is no IP address",
    ("10.9.0.1/24", "e 0"): "'e 0' is no name of an interface",
    ("10.9.0.1/24", "-e0"): "'-e0' is no name of an interface",
    ("10.9.0.1/24", "e0", "e1"): "'e1' is not expected here; options are KEY=VALUE with one of the keys: "
    "dad listen announce label timeout",
    ("10.9.0.1/24", "dad=maybe"): "dad= maybe is none of: yes no",
    ("10.9.0.1/24", "announce=61"): "announce= 61 is not a whole number from 0 to 60",
    ("10.9.0.1/24", "listen=0"): "listen= 0 is not a whole number from 1 to 10",
    ("10.9.0.1/24", "timeout=-1"): "timeout= -1 is not a whole number from 0 to 600",
    ("2001:db8::1/64", "label=e0:ha"): "label= is for IPv4 only",
    ("10.9.0.1/24", "label=a b"): "label= 'a b' is no label: at most 15 letters, digits, : _ . -",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_mistakes_in_the_arguments(machines, words):
    message = (2, "", f"address {words[0]}: {MISTAKES[words]}\n")
    assert call("address", "check", *words) == message
    assert call("address", "start", *words, inside=machines.alpha) == message


def test_a_stop_with_a_mistake_touches_nothing(machines):
    for words, message in MISTAKES.items():
        # Whether it is the network's own address only Python can tell, and a stop does without.
        code = call("address", "stop", *words, inside=machines.alpha).code
        assert code in ((0,) if re.search("itself|broadcast|machine", message) else (1, 2)), words
    assert places(machines.alpha, "10.9.0.1") == [("e0", "/24")]


def test_good_arguments():
    for words in (
        ["10.9.0.1/31"],
        ["2001:DB8::1/128", "eth0.100"],
        ["10.9.0.1/24", "br-lan", "label=br-lan:0"],
    ):
        assert call("address", "check", *words) == (0, "", "")
