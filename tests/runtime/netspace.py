"""Network namespaces for tests of one process: real interfaces, real sockets, nothing left behind.

A :class:`Space` is a namespace without a name, held by a descriptor of the test process alone; when that is
closed, however the tests end, the kernel removes it with all its interfaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import subprocess
import time
import traceback

from had.config.settings import LinkConfig
from had.runtime.links import SECOND, Links

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
NOBODY = 65534
PORT = 3891
PATIENCE_S = float(__import__("os").environ.get("P", "20"))
"""How long to wait for what must come; the machine may be busy."""


def _must(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Space:
    """A network namespace; ``with space:`` puts this process into it."""

    def __init__(self) -> None:
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _must(_libc.unshare(_CLONE_NEWNET))
            self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _must(_libc.setns(home, _CLONE_NEWNET))
            os.close(home)
        self._homes: list[int] = []

    def __enter__(self) -> Space:
        self._homes.append(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _must(_libc.setns(self.fd, _CLONE_NEWNET))
        return self

    def __exit__(self, *_: object) -> None:
        home = self._homes.pop()
        _must(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def run(self, *commands: str, stdin: str = "") -> None:
        """Run commands inside, each split at blanks."""
        with self:
            for command in commands:
                done = subprocess.run(
                    command.split(), input=stdin, capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    raise RuntimeError(f"{command}: {done.stderr}")

    def firewall(self, rule: str) -> None:
        """Have nft drop what the rule matches on its way out."""
        self.run(
            "nft -f -",
            stdin="table inet t {\n chain c {\n type filter hook output priority 0;\n"
            + rule
            + " drop\n }\n}\n",
        )

    def close(self) -> None:
        os.close(self.fd)


def cable(left: Space, left_name: str, right: Space, right_name: str) -> None:
    """Connect two namespaces by an Ethernet cable, both ends up."""
    left.run(f"ip link add {left_name} type veth peer name {right_name} netns {right.path}")
    left.run(f"ip link set {left_name} up")
    right.run(f"ip link set {right_name} up")


class Node:
    """A Links object in a namespace, driven by a loop like the daemon's."""

    def __init__(self, space: Space, *configs, retry_cap_ns: int = SECOND // 4) -> None:
        self.space = space
        self.selector = selectors.DefaultSelector()
        self.heard: list[tuple[int, bytes, str]] = []
        self.changes: list[tuple[int, bool, str]] = []
        self.carrier: list[bool] = []
        self.notices: list[tuple[int, bool, str]] = []
        self.links = Links(
            configs,
            self.selector,
            lambda *what: self.heard.append(what),
            lambda *what: self.changes.append(what),
            self.carrier.append,
            retry_cap_ns=retry_cap_ns,
        )

    def open(self, **how) -> Node:
        with self.space:
            self.links.open(time.monotonic_ns(), **how)
        return self

    def turn(self, timeout_s: float = 0.0) -> None:
        with self.space:
            for key, _ in self.selector.select(timeout_s):
                key.data()
            now_ns = time.monotonic_ns()
            if self.links.next_ns is not None and self.links.next_ns <= now_ns:
                self.links.tick(now_ns)
            self.notices += self.links.take_notices()

    def send(self, datagram: bytes = b"heartbeat") -> None:
        self.links.send(datagram, time.monotonic_ns())
        self.notices += self.links.take_notices()

    def close(self) -> None:
        self.links.close()
        self.selector.close()


def until(condition, *nodes: Node, seconds: float = PATIENCE_S) -> float:
    """Turn the nodes' loops until the condition holds; return how long it took, or fail."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise AssertionError(
                "waited in vain; " + "; ".join(f"{n.links.describe()} {n.changes} {n.notices}" for n in nodes)
            )
        for node in nodes:
            node.turn(0.01 / len(nodes))
    return time.monotonic() - begin


def settle(*nodes: Node, seconds: float = 0.3) -> None:
    """Turn the loops for a while in which nothing wrong must happen: an observation, not a wait."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for node in nodes:
            node.turn(0.01)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def as_nobody(work) -> None:
    """Run a function in a child without any privileges; an exception there fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        complaint = b""
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        except BaseException:  # whatever it is, the parent tells it
            complaint = traceback.format_exc().encode()
        with contextlib.suppress(OSError):
            os.write(writing, complaint)
        os._exit(bool(complaint))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        complaint = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, complaint


def link(kind="broadcast", name="one", port=PORT, **more) -> LinkConfig:
    return LinkConfig(name, kind, port, **more)


@contextlib.contextmanager
def closing_all():
    """Give a list for what a test makes; it is closed in reverse order."""
    made = []
    try:
        yield made
    finally:
        for each in reversed(made):
            each.close()


def connected_pair(world) -> tuple[Space, Space]:
    """Two namespaces with a cable between them: eth1 with 10.77.1.1 and 10.77.1.2, and IPv6 alike."""
    spaces = Space(), Space()
    world.extend(spaces)
    cable(spaces[0], "eth1", spaces[1], "eth1")
    for number, space in enumerate(spaces, 1):
        space.run(
            "ip link set lo up",
            f"ip addr add 10.77.1.{number}/24 brd + dev eth1",
            f"ip addr add fd77::{number}/64 dev eth1 nodad",
            f"ip addr add fe80::{number}/64 dev eth1 nodad",
        )
    return spaces


def nodes(world, pair, *configs_of, **more):
    made = [Node(space, *configs, **more) for space, configs in zip(pair, configs_of)]
    world.extend(made)
    for node in made:
        node.open()
    until(lambda: all(all(up_now(node)) for node in made), *made)
    return made


def up_now(node):
    """Whether each link is up, by what the node was told."""
    state = [True] * len(node.links.describe())
    for index, up, _ in node.changes:
        state[index] = up
    return state


def hear_each_other(*made):
    for node in made:
        node.heard.clear()
    until(lambda: all_heard(made), *made)


def all_heard(made):
    for node in made:
        node.send(f"from {id(node)}".encode())
    return all(
        {h[1] for h in node.heard} >= {f"from {id(o)}".encode() for o in made} - {f"from {id(node)}".encode()}
        for node in made
    )


class Here:
    """The namespace in which the process is anyway; to enter another one takes root."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def keep_sending(node):
    node.send()
    return True
