"""Whole machines: each has the host's files under a layer of its own, so that `make install` and an
administrator's edits go where they would go, and a host name, a network and a /run that nobody shares.

The machines stand in one network, 192.168.10.0/24 on `eth0`, with a client in it; two of them have a cable
besides, 10.255.255.0/24 on `eth1`.  These are the addresses of the had.conf that is shipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

from lab.namespaces import Namespace
from lab.waiting import GENEROUS, LateError, eventually

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "192.168.10.200"

BOOT = """
mount -t overlay overlay -o lowerdir=/,upperdir={disk}/upper,workdir={disk}/work {disk}/root
cd {disk}/root
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock run/postgresql old
chown postgres: run/postgresql
mount --bind {disk}/boot-id proc/sys/kernel/random/boot_id
pivot_root . old
umount -l /old
cd /
"""


class Machine:
    """One machine.  What it writes to its disk outlives `power_cut`, as on a real one."""

    def __init__(self, site: Site, index: int, name: str) -> None:
        self.site = site
        self.index = index
        self.name = name
        self.address = f"192.168.10.{index}"
        self.disk = site.directory / name
        for part in ("upper", "work", "root"):
            (self.disk / part).mkdir(parents=True)
        self.namespace: Namespace | None = None

    def boot(self) -> None:
        """Switch it on: a new boot of the same disk; nothing is started."""
        (self.disk / "boot-id").write_text(f"{uuid.uuid4()}\n")
        self.namespace = Namespace(self.name, BOOT.format(disk=self.disk), own_pids=True)
        self.site.plug(self)

    @property
    def inside(self) -> Namespace:
        assert self.namespace is not None, f"{self.name} is off"
        return self.namespace

    def path(self, path: str) -> Path:
        """Where the machine's file is seen from outside, while it is on."""
        return Path(f"/proc/{self.inside.pid}/root{path}")

    def read(self, path: str) -> str:
        """A file's text, empty if it is not there."""
        try:
            return self.path(path).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def edit(self, path: str, old: str, new: str) -> None:
        """What an administrator does in an editor: `old` must be there, once."""
        text = self.path(path).read_text()
        assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
        self.path(path).write_text(text.replace(old, new))

    def command(self, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Type this on the machine, in a shell without a terminal; output is what a person would see."""
        with (self.disk / f"typed.{uuid.uuid4().hex[:6]}").open("w+") as output:
            # To a file: a daemon that kept a pipe open would be waited for.
            process = self.inside.popen(
                ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/"
            )
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            return subprocess.CompletedProcess(script, code, output.read(), "")

    def type(self, script: str, timeout: float = 60) -> str:
        """As `command`, and it must succeed."""
        done = self.command(script, timeout)
        assert done.returncode == 0, f"{self.name}: {script}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def install(self) -> None:
        """As the README says, but for had.conf's own words."""
        self.type(f"cd {ROOT} && make install", timeout=120)

    def state(self, of: str | None = None) -> str:
        """The state of a node as this one's state file shows it; empty if it doesn't."""
        for line in self.read("/run/had/state").splitlines():
            name, _, rest = line.partition(" [")
            if name == (of or self.name):
                return rest.partition("]")[0]
        return ""

    def wait(self, state: str, of: str | None = None, timeout: float = GENEROUS) -> None:
        eventually(
            lambda: self.state(of) == state, f"{self.name} sees {of or self.name} {state}", timeout=timeout
        )

    def power_cut(self, disk: Disk | None = None) -> None:
        """The power goes: all that ran is gone at one instant, and /run with it.

        `disk`, a shared one, is left with what was on it at that instant: what had only been in the machine's
        memory is lost, though the kernel, which is not cut off, will still write it.
        """
        pids = self.inside.pids()
        _send(pids, signal.SIGSTOP)
        pids = self.inside.pids()  # some may have been born meanwhile
        _send(pids, signal.SIGSTOP)
        if disk is not None:
            disk.remember()
        self.off()
        if disk is not None:
            disk.restore()

    def off(self) -> None:
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None

    def describe(self) -> str:
        """What is to be shown beside a failure."""
        if self.namespace is None:
            return f"{self.name} is off"
        log = self.read("/var/log/had.log")[-12000:]
        return f"--- {self.name}\n{self.read('/run/had/state')}{self.read('/run/had/status')}\n{log}"


class Disk:
    """A disk that all machines reach: an image behind one loop device."""

    def __init__(self, image: Path, size: int) -> None:
        self._image = image
        with image.open("wb") as file:
            file.truncate(size)
        done = subprocess.run(
            ["losetup", "--find", "--show", image], stdout=subprocess.PIPE, text=True, check=True
        )
        self.device = done.stdout.strip()

    def remember(self) -> None:
        """Keep what is on it now; nothing may be writing."""
        subprocess.run(["cp", "--sparse=always", self._image, self._image.with_suffix(".copy")], check=True)

    def restore(self) -> None:
        """Have on it what was remembered, whatever was written since."""
        self.close()
        self._image.with_suffix(".copy").rename(self._image)
        words = ["losetup", self.device, self._image]
        # Another test that wants any free device may have got it in between, for a moment.
        eventually(lambda: subprocess.run(words, check=False).returncode == 0, f"{self.device} is free again")

    def close(self) -> None:
        subprocess.run(["losetup", "--detach", self.device], check=True)
        eventually(lambda: not self._is_attached(), f"{self.device} is detached")

    def _is_attached(self) -> bool:
        """A device that is still mounted is only detached when it isn't any more."""
        return Path(f"/sys/block/{Path(self.device).name}/loop/backing_file").exists()


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Site:
    """The network, the client and the machines."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("alpha", "beta")) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True)
        self.machines: list[Machine] = []
        self._closing = contextlib.ExitStack()
        try:
            self.switch = Namespace("switch")
            self._closing.callback(self.switch.close)
            self.switch.run("ip", "link", "add", "lan", "type", "bridge", "mcast_snooping", "0")
            self.switch.run("ip", "link", "set", "lan", "up")
            self.client = Namespace("client")
            self._closing.callback(self.client.close)
            self._cable(self.client, "client", CLIENT)
            for index, name in enumerate(names):
                machine = Machine(self, index + 1, name)
                self.machines.append(machine)
                self._closing.callback(machine.off)
                machine.boot()
        except BaseException:
            self._closing.close()
            raise

    def _cable(self, host: Namespace, port: str, address: str) -> None:
        self.switch.run(
            "ip", "link", "add", f"p-{port}", "type", "veth", "peer", "name", "eth0", "netns", str(host.pid)
        )
        self.switch.run("ip", "link", "set", f"p-{port}", "master", "lan", "up")
        host.run("ip", "address", "add", f"{address}/24", "brd", "+", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")

    def plug(self, machine: Machine) -> None:
        """Lay a machine's cables; the one between the first two when both are on."""
        # The port of a machine that has lost its power goes a moment after it.
        eventually(
            lambda: f"p-{machine.name}@" not in self.switch.run("ip", "-o", "link"), "the old port is gone"
        )
        self._cable(machine.inside, machine.name, machine.address)
        pair = [each for each in self.machines[:2] if each.namespace is not None]
        if machine in pair and len(pair) == 2:
            first, second = pair
            eventually(
                lambda: all("eth1@" not in each.inside.run("ip", "-o", "link") for each in pair),
                "the old cable is gone",
            )
            end = ["name", "eth1", "netns", str(first.inside.pid)]
            other_end = ["name", "eth1", "netns", str(second.inside.pid)]
            # By the switch, since process numbers inside are others.
            self.switch.run("ip", "link", "add", *end, "type", "veth", "peer", *other_end)
            for each in pair:
                address = f"10.255.255.{each.index}/24"
                each.inside.run("ip", "address", "add", address, "brd", "+", "dev", "eth1")
                each.inside.run("ip", "link", "set", "eth1", "up")

    def mac(self, machine: Machine) -> str:
        return machine.inside.run("cat", "/sys/class/net/eth0/address").strip()

    def answering(self, address: str) -> str:
        """The hardware address that answers for an address, as the client's own ARP finds it."""
        self.client.run("ip", "neigh", "flush", "to", address)
        with contextlib.closing(self.client.udp(CLIENT, 0)) as asking:
            asking.sendto(b"who has it?", (address, 9))
            with contextlib.suppress(LateError):
                return eventually(lambda: self._known(address), f"{address} answers", 5)
        return ""

    def _known(self, address: str) -> str:
        """The entry of the client's neighbour table, as it stands."""
        words = self.client.run("ip", "neigh", "show", "to", address).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def close(self) -> None:
        self._closing.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def describe(self) -> str:
        return "\n".join(machine.describe() for machine in self.machines)


def wall() -> str:
    """The time for a line that is printed."""
    return time.strftime("%H:%M:%S")
