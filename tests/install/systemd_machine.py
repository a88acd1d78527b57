"""A machine under systemd: the real one is process 1 of a namespace, with our units and the usual targets."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from lab.waiting import eventually
from roots import Root, clean_environment

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = "/units"
# What the machine's own distribution has; none of them brings a service, so nothing is touched outside.
TARGETS = (
    *(
        "basic",
        "sysinit",
        "shutdown",
        "umount",
        "final",
        "multi-user",
        "poweroff",
        "local-fs",
        "local-fs-pre",
    ),
    *(
        "network",
        "network-online",
        "remote-fs",
        "remote-fs-pre",
        "slices",
        "sockets",
        "timers",
        "paths",
        "swap",
    ),
)
BEGIN = """\
echo $$ >{group}/cgroup.procs
exec unshare --pid --fork --kill-child --cgroup --ipc sh -c '
    mount -t proc none {root}/proc
    mount -t sysfs none {root}/sys
    mount -t cgroup2 none {root}/sys/fs/cgroup
    exec env -i {environment} chroot {root} {systemd} --system --unit=multi-user.target \\
        --log-target=console --log-level=info --show-status=0'
"""


def cgroup_hierarchy() -> Path:
    """Where cgroup2 is mounted, alone or beside the old one."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise OSError("cgroup2 is not mounted")


def why_no_systemd() -> str:
    """What keeps systemd from being run here; empty if nothing does."""
    if not SYSTEMD.exists():
        return "needs systemd"
    try:
        group = cgroup_hierarchy() / f"had-test-{os.getpid()}"
        group.mkdir()
        group.rmdir()
    except OSError as error:
        return f"needs a control group of its own: {error}"
    return ""


class Machine:
    """A root directory with systemd; of our units it knows those that are named."""

    def __init__(self, root: Root, *ours: str) -> None:
        self.root = root
        self.group = cgroup_hierarchy() / f"had-test-{root.namespace.pid}"
        self.group.mkdir()
        units = root.file(UNITS)
        units.mkdir()
        for target in TARGETS:
            shutil.copy(f"/lib/systemd/system/{target}.target", units)
        shutil.copy("/lib/systemd/system/systemd-poweroff.service", units)
        for unit in ours:
            shutil.copy(root.file(f"/usr/lib/systemd/system/{unit}"), units)
        self.log = root.file("/systemd.log")
        self.process = self._boot()
        eventually(self._is_up, f"systemd is up: {self.log.read_text()}")

    def _boot(self) -> subprocess.Popen[bytes]:
        environment = clean_environment(
            container="had-test",
            SYSTEMD_UNIT_PATH=f"/etc/systemd/system:{UNITS}",
            SYSTEMD_GENERATOR_PATH="/nowhere",
            SYSTEMD_ENVIRONMENT_GENERATOR_PATH="/nowhere",
        )
        script = BEGIN.format(
            group=self.group,
            root=self.root.path,
            systemd=SYSTEMD,
            environment=" ".join(f"{name}={value}" for name, value in environment.items()),
        )
        with self.log.open("wb") as log:
            return self.root.namespace.popen(
                ["sh", "-ec", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise OSError(f"systemd ended: {self.log.read_text()}")
        private = self.root.file("/run/systemd/private")
        return private.exists() and self.systemctl("is-active", "multi-user.target")[0] == 0

    def systemctl(self, *words: str) -> tuple[int, str]:
        """Run systemctl inside; returns its exit code and what it said."""
        done = self.run("systemctl", "--no-pager", *words)
        return done.returncode, done.stdout

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine's namespace of processes too."""
        return subprocess.run(
            ["nsenter", "-t", str(self._init()), "-a", "-r", "-w", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=False,
        )

    def _init(self) -> int:
        """systemd's process number outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)[1].strip()

    def pids(self, name: str) -> list[int]:
        """Processes of this name, numbered as inside."""
        return sorted(map(int, self.run("pgrep", "-x", name).stdout.split()))

    def kill(self, *pids: int) -> None:
        """End processes as the out-of-memory killer would, all in one moment."""
        self.run("kill", "-KILL", *map(str, pids))

    def unit_of(self, pid: int) -> str:
        """The last part of a process's control group."""
        return self.run("sed", "-n", "s/^0:.*\\///p", f"/proc/{pid}/cgroup").stdout.strip()

    def close(self) -> None:
        self.process.kill()  # its only child, process 1, goes with it, and with that all others
        self.process.wait()
        deadline = time.monotonic() + 10
        while self.group.exists() and time.monotonic() < deadline:
            for directory in sorted(self.group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            with contextlib.suppress(OSError):
                self.group.rmdir()
            time.sleep(0.02)
