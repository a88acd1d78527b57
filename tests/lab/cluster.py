"""A cluster on one machine: a switch with a bridge for each link, and nodes with a network, a host name, an
/etc, a /run and a /var/lib of their own.

Node `i` (from 1) is called `n1`, `n2`, ... unless named otherwise; on link `l` (from 1) it has the interface
`net<l>` and the address `10.77.<l>.<i>/24`.  The switch itself is 10.77.<l>.254: there packets are recorded
and invented.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from .journal import HOOKS, Journal, Violation, audit, install
from .namespaces import Namespace, alive, status
from .switch import Remote, Weather
from .waiting import GENEROUS, eventually
from .wire import PORT, Recorder

ROOT = Path(__file__).resolve().parents[2]
HAD = str(Path(sys.executable).parent / "had")
OLD_PEER = str(Path(__file__).with_name("oldpeer.py"))
LINE = re.compile(r"^(?P<name>\S{0,32}) \[(?P<state>\w+|\[invalid state\])\] (?P<when>\w{3} .{20})$")
HOOKS_DIRECTORY = "/etc/had/hasrv"


class Node:
    """A machine and the daemon on it."""

    def __init__(self, lab: Lab, index: int, name: str) -> None:
        self.lab = lab
        self.index = index
        self.name = name
        self.directory = lab.directory / f"{index}-{name}"
        self.control = self.directory / "control"
        self.run_directory = self.directory / "run"
        self.etc = self.directory / "etc"
        self.process: subprocess.Popen[bytes] | None = None
        self.old = False
        self.environment: dict[str, str] = {}
        """What the daemon gets in its environment besides."""
        self._logs = 0
        self._started = 0.0
        self._make_directories()
        host = self.directory / "host-etc"
        self.namespace = Namespace(
            name,
            f"""
            mount --bind /etc {host}
            mount --bind {self.etc} /etc
            mount --bind {self.run_directory} /run
            mount --bind {self.directory}/var-lib /var/lib
            mount --bind {self.directory}/boot-id /proc/sys/kernel/random/boot_id
            rm -rf /run/mount
            """,
        )

    def _make_directories(self) -> None:
        for path in (self.control, self.run_directory, self.etc, self.directory / "var-lib"):
            path.mkdir(parents=True)
        host = self.directory / "host-etc"  # the real /etc is seen there, inside
        host.mkdir()
        for entry in Path("/etc").iterdir():
            if entry.name != "had":
                (self.etc / entry.name).symlink_to(host / entry.name)
        install(self.etc / "had" / "hasrv", self.name, self.lab.journal.path, self.control)
        self._new_boot()

    def _new_boot(self) -> None:
        (self.directory / "boot-id").write_text(f"{uuid.uuid4()}\n")

    def address(self, link: int = 1) -> str:
        return f"10.77.{link}.{self.index}"

    # --- starting

    def configure(self, **settings: object) -> None:
        """Write /etc/had/had.conf: the lab's defaults and these; a name with `__` stands in a section."""
        (self.etc / "had" / "had.conf").write_text(self.lab.configuration(settings))

    def start(self, *flags: str, **settings: object) -> None:
        """Start `had` in the foreground with these flags: its output is the log.  Without an old link flag
        had.conf is written before, as by `configure`.
        """
        if not {"-a", "-b", "-c", "-F"} & set(flags):
            self.configure(**settings)
        self._start([HAD, "-f", *flags], old=False)

    def link_flags(self) -> list[str]:
        """-a, -b, -c with the own addresses."""
        return [word for link in self.lab.links for word in ("-" + " abc"[link], self.address(link))]

    def start_old(self, *flags: str, pause: int = 1, dead: int = 4) -> None:
        """Start the old daemon, on all links."""
        words = [
            sys.executable,
            "-SEs",
            OLD_PEER,
            *self.link_flags(),
            "-s",
            HOOKS_DIRECTORY,
            "-l",
            "/run/state",
        ]
        self._start([*words, "-M", str(pause), "-T", str(dead), *flags], old=True)

    def _start(self, words: list[str], *, old: bool) -> None:
        assert self.process is None or self.process.poll() is not None, "the last one still runs"
        self._logs += 1
        self._started = time.time()
        self.old = old
        words = ["env", *(f"{name}={value}" for name, value in self.environment.items()), *words]
        with self.log_path.open("wb") as log:
            self.process = self.namespace.popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )

    def command(self, *words: str, timeout: float = GENEROUS) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, `had` without `-f` for one, and return what came of it."""
        self._started = time.time()
        # Output goes to files: a daemon that kept a pipe open would be waited for.
        with (self.directory / "out").open("w+") as out, (self.directory / "err").open("w+") as err:
            process = self.namespace.popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd="/")
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
                process.wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    # --- looking

    @property
    def log_path(self) -> Path:
        return self.directory / f"log.{self._logs}"

    @property
    def log(self) -> str:
        """What the last daemon said."""
        return self.log_path.read_text(errors="replace") if self._logs else ""

    @property
    def state_path(self) -> Path:
        return self.run_directory / ("state" if self.old else "had/state")

    @property
    def state_text(self) -> str:
        """The state file; one that an earlier daemon has left is taken for none."""
        try:
            # The file system's clock lags by a tick of the kernel.
            if self.state_path.stat().st_mtime < self._started - 0.01:
                return ""
            return self.state_path.read_text(errors="surrogateescape")
        except FileNotFoundError:
            return ""

    def states(self) -> dict[str, str]:
        """The state file as a reader should take it: the first line of a name counts, no line is no line."""
        found: dict[str, str] = {}
        for line in self.state_text.splitlines():
            match = LINE.match(line)
            if match:
                found.setdefault(match["name"], match["state"])
        return found

    def state(self, of: Node | None = None) -> str | None:
        return self.states().get((of or self).name)

    def wait(self, *states: str, of: Node | None = None, timeout: float = GENEROUS) -> None:
        """Wait until the state file shows one of these for this node, or for another."""
        subject = (of or self).name
        eventually(
            lambda: self.states().get(subject) in states, f"{self.name} sees {subject} {states}", timeout
        )

    def wait_log(self, pattern: str, timeout: float = GENEROUS) -> None:
        eventually(lambda: re.search(pattern, self.log), f"{self.name} logs {pattern!r}", timeout)

    def calls(self, *hooks: str) -> list[str]:
        return self.lab.journal.names(self.name, *hooks)

    def moves(self) -> list[str]:
        """The calls of starthasrv and stophasrv: alerts come later, and the monitor all the time."""
        return self.calls("starthasrv", "stophasrv")

    def wait_call(self, hook: str, count: int = 1, timeout: float = GENEROUS) -> None:
        """Wait until a hook has been called so many times in all."""
        eventually(
            lambda: len(self.calls(hook)) >= count, f"{self.name} calls {hook} ({count} times)", timeout
        )

    @property
    def serving(self) -> bool:
        return (self.control / "service").exists()

    # --- steering the hooks

    def hook(self, hook: str, mode: str, value: str = "") -> None:
        """Make a hook fail (value: the status), hang, flood, leave, stubborn, slow (value: seconds), lie
        (fail where it would succeed and the other way round), flap (fail every other time), or show its
        environment.
        """
        assert hook in HOOKS
        temporary = self.control / "new"
        temporary.write_text(f"{value}\n")
        temporary.rename(self.control / f"{hook}.{mode}")

    def unhook(self, hook: str, mode: str) -> None:
        (self.control / f"{hook}.{mode}").unlink()

    def honest(self, hook: str) -> None:
        """Let a hook work as it did in the beginning."""
        for path in self.control.glob(f"{hook}.*"):
            path.unlink()

    def kill_service(self) -> None:
        """The service dies by itself."""
        (self.control / "service").unlink()

    # --- the daemon's processes

    @property
    def guard(self) -> int:
        """The pid of the daemon, by the pid file of `had`."""
        if self.old:
            assert self.process is not None
            return self.process.pid
        return eventually(self._living_pid, f"{self.name} has a pid file that names a living process")

    def _living_pid(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.run_directory / "had.pid").read_text())
            return pid if alive(pid) else 0
        return 0

    @property
    def worker(self) -> int:
        """The guard's child that is no hook: hooks have a session of their own."""
        return eventually(self._worker, f"{self.name} has a worker")

    def _worker(self) -> int:
        guard = self.guard
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid = int(path.parent.name)
                state, parent, _group, session = status(pid)[:4]
                if int(parent) == guard and state != "Z" and session == status(guard)[3]:
                    return pid
        return 0

    @property
    def has_daemon(self) -> bool:
        """Whether a daemon is there: one that has just been started, or a worker that has lost its guard."""
        started = self.process is not None and self.process.poll() is None
        return started or (not self.old and bool(self._living_pid()))

    def daemon(self) -> list[int]:
        return [self.guard] if self.old else [self.guard, self.worker]

    def send(self, number: int) -> None:
        """Send a signal to the daemon as an administrator does: to the pid of the pid file."""
        _kill(self.guard, number)

    def kill_worker(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the worker and return the pid that it had."""
        worker = self.worker
        _kill(worker, number)
        return worker

    def kill_daemon(self, number: int = signal.SIGKILL) -> None:
        """Kill guard and worker as if at one instant; service and hooks live on."""
        pids = self.daemon()
        for each in (signal.SIGSTOP, number):
            for pid in pids:
                _kill(pid, each)
        eventually(lambda: not any(map(alive, pids)), f"the daemon of {self.name} is dead")

    def freeze(self) -> list[int]:
        """Stop all of the daemon's processes, as a laden host would, and return their pids."""
        pids = self.daemon()
        for pid in pids:
            _kill(pid, signal.SIGSTOP)
        return pids

    def thaw(self, pids: list[int]) -> None:
        for pid in pids:
            _kill(pid, signal.SIGCONT)

    def wait_exit(self, timeout: float = GENEROUS) -> int:
        """The exit code of the daemon that `start` began, once it has ended (negative: by a signal)."""
        assert self.process is not None
        eventually(
            lambda: self.process is None or self.process.poll() is not None, f"{self.name} ends", timeout
        )
        return int(self.process.returncode)

    def stop(self) -> int:
        """TERM, as an administrator stops it; the exit code."""
        self.send(signal.SIGTERM)
        return self.wait_exit()

    def power_cut(self) -> None:
        """All processes of the machine end at once, its /run is lost, and the next start is a new boot."""
        self.namespace.kill_all()
        if self.process is not None:
            self.process.wait()
        (self.control / "service").unlink(missing_ok=True)
        self.lab.journal.off(self.name)
        self.namespace.run("find", "/run", "-mindepth", "1", "-delete")
        self._new_boot()

    def close(self) -> None:
        self.namespace.close()
        if self.process is not None:
            self.process.wait()


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Lab:
    """Switch and nodes.  `allow` names what the auditor may find, with the reason, before it happens.

    With a `seed` the switch is one that can make bad weather (switch.py).
    """

    def __init__(
        self, directory: Path, nodes: int | list[str] = 2, links: int = 1, seed: int | None = None
    ) -> None:
        names = [f"n{i + 1}" for i in range(nodes)] if isinstance(nodes, int) else nodes
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(directory / "journal")
        self.links = range(1, links + 1)
        self.allowed: set[str] = set()
        self.nodes: list[Node] = []
        self._blocked: set[tuple[str, str]] = set()
        self._weather: dict[tuple[str, str], Weather] = {}
        self._remote: Remote | None = None
        self._closing = contextlib.ExitStack()
        try:
            self.switch = Namespace("switch")
            self._closing.callback(self.switch.close)
            for i, name in enumerate(names):
                node = Node(self, i + 1, name)
                self._closing.callback(node.close)
                self.nodes.append(node)
            self._lay_cables()
            if seed is not None:
                self._remote = self._make_weather(seed)
                self._block()
        except BaseException:
            self._closing.close()
            raise

    def _lay_cables(self) -> None:
        lines = []
        for link in self.links:
            lines += [
                f"link add br{link} type bridge mcast_snooping 0",
                f"addr add 10.77.{link}.254/24 brd + dev br{link}",
                f"link set br{link} up",
            ]
            for node in self.nodes:
                port = self.port(node, link)
                lines.append(f"link add {port} type veth peer name net{link} netns {node.namespace.pid}")
                lines.append(f"link set {port} master br{link} up")
        self.switch.run("ip", "-batch", "-", given="\n".join(lines) + "\n")
        for node in self.nodes:
            lines = [f"addr add {node.address(link)}/24 brd + dev net{link}" for link in self.links]
            lines += [f"link set net{link} up" for link in self.links]
            node.namespace.run("ip", "-batch", "-", given="\n".join(lines) + "\n")

    def _make_weather(self, seed: int) -> Remote:
        ports = [[self.port(node, link) for node in self.nodes] for link in self.links]
        process = self.switch.popen(
            Remote.command(ports, seed), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
        )
        remote = Remote(process)
        self._closing.callback(remote.close)
        return remote

    # --- starting

    def configuration(self, settings: dict[str, object]) -> str:
        """The same had.conf for all nodes: quick timers, every link by its network, unless `link` has the
        lines of the first link, or `more_link` further lines for each link.
        """
        link_lines, more = settings.get("link"), settings.get("more_link", {})
        assert isinstance(more, dict)
        settings = {name: value for name, value in settings.items() if name not in ("link", "more_link")}
        sections: dict[str, list[str]] = {"": [], "hooks": [], "places": []}
        names = ", ".join(node.name for node in self.nodes) + ("," if len(self.nodes) == 1 else "")
        values = {"nodes": names, "heartbeat": "100ms", "dead": "1s", "hooks__monitor_interval": "200ms"}
        for name, value in {**values, **settings}.items():
            section, _, key = name.rpartition("__")
            sections[section].append(f"{key} = {value}")
        lines = sections.pop("")
        for section, keys in sections.items():
            lines += [f"[{section}]", *keys]
        lines.append("[links]")
        for link in self.links:
            network = link_lines or f"network = 10.77.{link}.0/24"
            lines += [f"[[link{link}]]", str(network), more.get(link, "")]
        return "\n".join(lines) + "\n"

    def start(self, **settings: object) -> list[Node]:
        """Start `had` on all nodes, and wait until the first one runs the services and the others know."""
        for node in self.nodes:
            node.start(**settings)
        for node in self.nodes:
            node.wait("Running", of=self.nodes[0])
            if node is not self.nodes[0]:
                node.wait("Standby")
        return self.nodes

    def settle(self, node: Node) -> None:
        """Wait until a node has said it runs for long enough to be a witness of another's start (T2)."""
        recorder = self.record()
        eventually(
            lambda: [state for _, state in recorder.of(node.name)].count("Running") >= 5,
            f"{node.name} goes on saying that it runs",
        )

    # --- cables

    @staticmethod
    def port(node: Node, link: int) -> str:
        return f"l{link}n{node.index}"

    def unplug(self, node: Node, link: int = 1) -> None:
        """Pull a cable: the node has no carrier on this link."""
        self.switch.run("ip", "link", "set", self.port(node, link), "down")

    def plug(self, node: Node, link: int = 1) -> None:
        self.switch.run("ip", "link", "set", self.port(node, link), "up")

    def mute(self, speaker: Node, listener: Node, link: int | None = None) -> None:
        """What `speaker` says does not get to `listener`, on one link or all; the other direction stays."""
        for each in self.links if link is None else [link]:
            self._blocked.add((self.port(speaker, each), self.port(listener, each)))
        self._block()

    def set_ways(self, ways: list[tuple[int, Node, Node]], *, cut: bool) -> None:
        """Cut many ways at once, or let pass again; a way is link, speaker, listener."""
        ports = {(self.port(speaker, link), self.port(listener, link)) for link, speaker, listener in ways}
        self._blocked = self._blocked | ports if cut else self._blocked - ports
        self._block()

    def cut(self, node: Node, link: int | None = None) -> None:
        """A node and the others hear nothing of each other, on one link or all; the carrier stays."""
        self.partition([node], [other for other in self.nodes if other is not node], link=link)

    def partition(self, *groups: list[Node], link: int | None = None) -> None:
        """Nodes of different groups hear nothing of each other."""
        for group in groups:
            for other in groups:
                if other is not group:
                    for each in self.links if link is None else [link]:
                        self._blocked.update(
                            (self.port(a, each), self.port(b, each)) for a in group for b in other
                        )
        self._block()

    def heal(self) -> None:
        """Everybody hears everybody again."""
        self._blocked.clear()
        self._block()

    def weather(self, speaker: Node, listener: Node, link: int | None = None, **kinds: float) -> None:
        """Trouble on the way from one node to another, on one link or all; the other direction stays.
        The kinds are those of `Weather`; none at all is fair weather.
        """
        for each in self.links if link is None else [link]:
            self._weather[self.port(speaker, each), self.port(listener, each)] = Weather(**kinds)
        self._block()

    def clear_up(self) -> None:
        """Fair weather everywhere; what is cut stays so."""
        self._weather.clear()
        self._block()

    def weather_counts(self, speaker: Node, listener: Node, link: int = 1) -> dict[str, int]:
        """What has happened to the frames on this way: passed, lost, duplicated, overtaken."""
        assert self._remote is not None
        return self._remote.counts()[self.port(speaker, link), self.port(listener, link)]

    def _block(self) -> None:
        if self._remote is not None:
            paths = dict(self._weather)
            for path in self._blocked:
                paths[path] = dataclasses.replace(paths.get(path, Weather()), blocked=True)
            self._remote.set(paths)
            self._rule("drop")  # all goes through the process
            return
        assert not self._weather, "this lab was made without a seed"
        pairs = ", ".join(f'"{a}" . "{b}"' for a, b in sorted(self._blocked))
        self._rule(f"iifname . oifname {{ {pairs} }} drop" if pairs else "")

    def _rule(self, rule: str) -> None:
        text = f"table bridge lab {{\n chain x {{\n type filter hook forward priority 0;\n {rule}\n }}\n}}\n"
        self.switch.run("nft", "-f", "-", given="table bridge lab\ndelete table bridge lab\n" + text)

    # --- strangers and recorders

    def record(self, link: int = 1) -> Recorder:
        """Hear everything that is said on a link from now on, also by nodes that are cut off."""
        recorder = Recorder(self.switch, f"10.77.{link}.255")
        self._closing.callback(recorder.close)
        return recorder

    def socket(self, node: Node, address: str) -> socket.socket:
        """A UDP socket on a node, at the heartbeats' port, closed with the lab."""
        return self._closing.enter_context(node.namespace.udp(address, PORT))

    def stranger(self, link: int = 1) -> Callable[[bytes], None]:
        """A sender that is no node: a function that broadcasts a datagram on a link."""
        sender = self.switch.udp(f"10.77.{link}.254", 0)
        self._closing.callback(sender.close)

        def say(data: bytes) -> None:
            sender.sendto(data, (f"10.77.{link}.255", PORT))

        return say

    # --- the end

    def allow(self, *kinds: str, because: str) -> None:
        """Let the auditor pass these kinds of violations in this test."""
        assert because
        self.allowed.update(kinds)

    def violations(self) -> list[Violation]:
        return [found for found in audit(self.journal.entries()) if found.kind not in self.allowed]

    def running(self) -> list[Node]:
        """The nodes whose service is up."""
        return [node for node in self.nodes if node.serving]

    def describe(self) -> str:
        """All that helps to understand a failure."""
        parts = [f"--- journal\n{self._tail(self.journal.path.read_text(), 50)}"]
        for node in self.nodes:
            parts.append(f"--- {node.name}: state file\n{node.state_text}")
            parts.append(f"--- {node.name}: log\n{self._tail(node.log, 60)}")
        return "\n".join(parts)

    @staticmethod
    def _tail(text: str, lines: int) -> str:
        """The last lines, without those of the monitor, which is called all the time."""
        wanted = [line[:300] for line in text.splitlines() if "monitorhasrv" not in line]
        return "\n".join(wanted[-lines:])

    def close(self) -> None:
        self._closing.close()
