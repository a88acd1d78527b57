"""A machine with a disk: an image with an ext4 in it, and mounts that nobody else sees."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.namespaces import Namespace
from lab.waiting import eventually

from .tools import call


def command(*words: str | Path, given: str | None = None) -> str:
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def loops(image):
    """The loop devices that have an image open, on the whole machine."""
    return command("losetup", "-n", "-O", "NAME", "-j", image).split()


class Machine:
    """Mounts of its own, an image with an ext4 in it, and a directory for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespace = Namespace("alpha", "mount -t tmpfs none /run")
        self.image = directory / "a disk.img"  # with a blank, as all paths here
        with open(self.image, "wb") as file:
            file.truncate(4 << 20)
        command("mkfs.ext4", "-q", "-b", "1024", self.image)
        self.place = directory / "srv data"
        self.place.mkdir()
        self.devices: list[str] = []
        self.users: list[subprocess.Popen[bytes]] = []

    def call(self, verb, device=None, place=None, *words, **others):
        place = str(place or self.place)
        return call(
            "filesystem", verb, str(device or self.image), place, *words, inside=self.namespace, **others
        )

    def loop(self, image=None):
        """A loop device, as another program may have made it: a block device."""
        device = command("losetup", "--find", "--show", image or self.image).strip()
        self.devices.append(device)
        return device

    def mounted(self, place=None):
        """What the kernel says of a place, the uppermost last."""
        lines = self.namespace.run("cat", "/proc/self/mountinfo").splitlines()
        where = str(place or self.place).replace(" ", "\\040")
        return [line for line in lines if line.split()[4] == where]

    def use(self, *words, inside=None):
        """A process that says when it is ready."""
        user = (inside or self.namespace).popen(words, stdout=subprocess.PIPE)
        self.users.append(user)
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        return user

    def keep_busy(self, script="echo ready; exec sleep 1000"):
        return self.use("sh", "-c", f'cd "$0"; {script}', str(self.place))

    def close(self):
        for user in self.users:
            user.kill()
            user.communicate()
        self.namespace.close()
        for device in self.devices:
            command("losetup", "--detach", device)
        eventually(lambda: not loops(self.image), "the loop devices are gone")
