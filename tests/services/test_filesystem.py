"""The file system (scripts/services/filesystem), for real: images on loop devices, in own mounts.

Loop devices belong to the whole machine: a test that leaves one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab.namespaces import alive
from lab.waiting import eventually

from .disk import Machine, command, loops
from .tools import SERVICES, call, every_shell, path_without

NEEDED = [name for name in ("losetup", "mkfs.ext4", "e2fsck", "debugfs") if shutil.which(name) is None]
pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(NEEDED), reason=f"needs {', '.join(NEEDED)}")]

STUBBORN = "trap : TERM; echo ready; while :; do sleep 0.1; done"
FUSE_THAT_NEVER_ANSWERS = """
import ctypes, os, sys, time
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(sys.argv[1].encode(), sys.argv[2].encode(), b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.close()


@every_shell
def test_a_life(machine, shell):
    said = f"filesystem {machine.image}: "
    assert machine.call("monitor", shell=shell) == (3, "", f"{said}is not mounted\n")
    for change in (f"{said}is mounted on {machine.place}\n", ""):
        assert machine.call("start", shell=shell) == (0, change, "")
        assert len(machine.mounted()) == 1
        assert len(loops(machine.image)) == 1
        assert machine.call("monitor", shell=shell) == (0, "", "")
    for change in (f"{said}is unmounted from {machine.place}\n", ""):
        assert machine.call("stop", shell=shell) == (0, change, "")
        assert machine.mounted() == []
        assert loops(machine.image) == []


@every_shell
def test_a_tmpfs(machine, shell):
    said = f"filesystem tmpfs {machine.place}: "
    assert machine.call("start", "tmpfs", None, "options=size=1m,mode=700", shell=shell) == (
        0,
        f"{said}is mounted on {machine.place}\n",
        "",
    )
    assert "size=1024k,mode=700" in machine.mounted()[0]
    assert machine.call("start", "tmpfs", shell=shell) == (0, "", "")
    assert machine.call("monitor", "tmpfs", shell=shell) == (0, "", "")
    assert machine.call("stop", "tmpfs", shell=shell).code == 0
    assert machine.call("monitor", "tmpfs", shell=shell) == (3, "", f"{said}is not mounted\n")


@pytest.mark.parametrize("how", ["block device", "symbolic link", "LABEL", "UUID"])
def test_names_of_a_device(machine, how):
    machine.loop()
    label = f"l{os.getpid()}"
    device = machine.devices[0]
    command("tune2fs", "-L", label, device)
    name = {
        "block device": device,
        "symbolic link": str(machine.directory / "a link"),
        "LABEL": f"LABEL={label}",
        "UUID": "UUID=" + command("blkid", "-p", "-o", "value", "-s", "UUID", device).strip(),
    }[how]
    if how == "symbolic link":
        os.symlink(device, name)
    assert machine.call("start", name).code == 0
    for other in (name, device):
        assert machine.call("start", other) == (0, "", "")
        assert machine.call("monitor", other) == (0, "", "")
    assert machine.call("stop", name).code == 0
    assert machine.mounted() == []
    assert loops(machine.image) == [device], "not ours to detach"


def test_a_directory_by_a_symbolic_link(machine):
    link = machine.directory / "a link"
    link.symlink_to(machine.place)
    assert machine.call("start", None, f"{link}/").code == 0
    assert len(machine.mounted()) == 1
    assert machine.call("monitor", None, link).code == 0
    assert machine.call("start", None, link) == (0, "", "")
    assert machine.call("stop", None, link).code == 0
    assert machine.mounted() == []


@every_shell
def test_who_keeps_it_busy_is_ended(machine, shell):
    machine.call("start")
    user = machine.keep_busy()
    done = machine.call("stop", shell=shell)
    assert done == (
        0,
        f"filesystem {machine.image}: is unmounted from {machine.place}\n",
        f"filesystem {machine.image}: is busy, used by {user.pid} (sleep): SIGTERM\n",
    )
    assert user.wait(20) == -15


def test_who_takes_no_notice_is_killed(machine):
    machine.call("start")
    user = machine.keep_busy(STUBBORN)
    done = machine.call("stop")
    assert done.code == 0
    assert [line.rpartition(": ")[2] for line in done.err.splitlines()] == ["SIGTERM", "SIGKILL"]
    assert user.wait(20) == -9
    assert loops(machine.image) == []


@pytest.mark.parametrize("how", ["file", "mapping", "program"])
def test_ways_to_keep_it_busy(machine, how):
    machine.call("start")
    script = {
        "file": "f = open(sys.argv[1] + '/file', 'w')",
        "mapping": "f = open(sys.argv[1] + '/file', 'w+b'); f.truncate(4096)\n"
        "ctypes.CDLL(None).mmap(None, 4096, 1, 2, f.fileno(), 0); f.close()",  # Python's own keeps it open
        "program": "import shutil; shutil.copy('/bin/sleep', sys.argv[1])\n"
        "p = subprocess.Popen([sys.argv[1] + '/sleep', '1000'])",
    }[how]
    script = f"import ctypes, subprocess, sys, time\n{script}\nprint('ready', flush=True)\ntime.sleep(1000)"
    machine.use(sys.executable, "-c", script, str(machine.place))
    assert machine.call("stop").code == 0
    assert machine.mounted() == []


def test_nobody_is_ended_who_may_not_be(machine):
    machine.call("start")
    user = machine.keep_busy()
    done = machine.call("stop", None, None, "kill=no", "timeout=1")
    assert done == (1, "", f"filesystem {machine.image}: is busy, used by {user.pid} (sleep)\n")
    assert alive(user.pid)
    user.kill()
    user.wait(20)
    assert machine.call("stop", None, None, "kill=no").code == 0


def test_a_stop_that_is_called_from_within(machine):
    """An administrator's shell that stands in the directory is ended; what it has called goes on."""
    machine.call("start")
    script = (
        f'cd "$0"; echo ready; {SERVICES}/filesystem stop "$1" "$0" >/dev/null 2>&1; echo over >/dev/null'
    )
    machine.use("sh", "-c", script, str(machine.place), str(machine.image))
    eventually(lambda: not machine.mounted(), "it is unmounted")


def test_what_is_mounted_beneath_goes_first(machine):
    machine.call("start")
    for place in ("inner one", "inner one/deeper"):
        machine.namespace.run("mkdir", machine.place / place)
        machine.namespace.run("mount", "-t", "tmpfs", "tmpfs", machine.place / place)
    done = machine.call("stop")
    assert done.code == 0
    assert [line.split(": ", 1)[1] for line in done.out.splitlines()] == [
        f"{machine.place}/inner one/deeper, mounted beneath it, is unmounted",
        f"{machine.place}/inner one, mounted beneath it, is unmounted",
        f"is unmounted from {machine.place}",
    ]


def test_something_else_is_mounted_there(machine):
    machine.namespace.run("mount", "-t", "tmpfs", "tmpfs", machine.place)
    said = f"filesystem {machine.image}: "
    message = f"{said}something else is mounted on {machine.place}: tmpfs\n"
    assert machine.call("start") == (1, "", message)
    message = f"{said}is not mounted; something else is on {machine.place}: tmpfs\n"
    assert machine.call("monitor") == (3, "", message)
    assert machine.call("stop") == (0, "", "")
    assert len(machine.mounted()) == 1, "not ours"


def test_the_device_is_mounted_elsewhere(machine):
    """As it may be after a mistake in the list: neither mounted twice, nor anybody ended there."""
    device = machine.loop()
    elsewhere = machine.directory / "else where"
    elsewhere.mkdir()
    machine.namespace.run("mount", device, elsewhere)
    alias = machine.directory / "alias"
    os.mknod(alias, 0o600 | 0o060000, os.stat(device).st_rdev)
    for name in (device, alias):
        done = machine.call("start", name)
        assert done == (1, "", f"filesystem {name}: is mounted on {elsewhere} already\n")
        done = machine.call("stop", name)
        assert done == (
            1,
            "",
            f"filesystem {name}: is still mounted, on {elsewhere}, which is not ours to unmount\n",
        )
    assert len(machine.mounted(elsewhere)) == 1


def test_the_device_is_mounted_in_a_container(machine):
    device = machine.loop()
    assert machine.call("start", device).code == 0
    held = machine.use(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 1000"
    )
    done = machine.call("stop", device, None, "timeout=1")
    assert machine.mounted() == []
    assert done.code == 1
    message = f"process {held.pid} (sleep) and those in its mount namespace have it"
    assert done.err == f"filesystem {device}: is unmounted here, but still mounted: {message}\n"
    done = machine.call("start", device, None, "timeout=1")
    assert done == (1, "", f"filesystem {device}: is mounted already: {message}\n")

    stop = machine.namespace.popen([str(SERVICES / "filesystem"), "stop", device, str(machine.place)])
    held.kill()
    held.wait(20)
    assert stop.wait(60) == 0, "the stop waits until it is free"


def test_an_image_that_a_loop_device_has_already(machine):
    device = machine.loop()
    message = f"filesystem {machine.image}: is open already as a loop device: losetup -j {machine.image}\n"
    assert machine.call("start") == (1, "", message)
    assert loops(machine.image) == [device]


def test_another_node_has_it_mounted(machine):
    """The same disk under names that can't be compared, as if by two machines' cables: ext4 itself tells."""
    command("mkfs.ext4", "-F", "-q", "-O", "mmp", "-E", "mmp_update_interval=1", machine.image)
    machine.namespace.run("mount", machine.loop(), machine.place)
    other = machine.directory / "other"
    other.mkdir()
    device = machine.loop()
    done = machine.call("start", device, other)
    assert (done.code, done.out) == (1, "")
    message = "could not be checked, for another node has it mounted (exit status 8): "
    assert done.err.startswith(f"filesystem {device}: {message}")


def corrupt(image, *requests):
    command("debugfs", "-w", "-f", "-", image, given="\n".join(requests))


def test_a_file_system_that_was_not_unmounted(machine):
    """A copy of an image while it is written to: what a crash leaves."""
    machine.call("start")
    machine.namespace.run("sh", "-c", 'echo "a line" >"$0/file"; sync', str(machine.place))
    crashed = machine.directory / "crashed.img"
    shutil.copyfile(machine.image, crashed)
    assert machine.call("stop").code == 0
    assert "needs_recovery" in command("dumpe2fs", "-h", crashed)
    assert machine.call("start", crashed).code == 0
    assert machine.namespace.run("cat", machine.place / "file") == "a line\n"
    assert machine.call("stop", crashed).code == 0


def test_errors_that_can_be_repaired(machine):
    corrupt(machine.image, "sif <11> links_count 7", "ssv state 0")
    done = machine.call("start")
    assert (done.code, done.err) == (0, "")
    repaired, mounted = done.out.splitlines()
    assert repaired.startswith(f"filesystem {machine.image}: had errors, which are repaired: ")
    assert mounted.endswith(f"is mounted on {machine.place}")


def test_errors_that_need_a_person(machine):
    corrupt(machine.image, "clri <2>", "ssv state 0")
    done = machine.call("start")
    assert (done.code, done.out) == (1, "")
    assert f"has errors that a person must look at: e2fsck {machine.image} (" in done.err
    assert len(done.err.splitlines()) == 1
    assert machine.mounted() == []
    assert loops(machine.image) == []


def test_when_it_is_checked(machine):
    def inodes(*words):
        """Errors that a superficial look does not see: is the count right after the start?"""
        corrupt(machine.image, "sif <11> links_count 7")
        done = machine.call("start", None, None, *words)
        assert machine.call("stop").code == 0
        return "repaired" in done.out

    assert not inodes(), "clean, it seems"
    assert not inodes("fsck=no")
    assert inodes("fsck=force")
    assert inodes("ext4", "fsck=force")


def test_a_missing_check(machine, tmp_path):
    environment = {"PATH": path_without(tmp_path / "bin", "e2fsck")}
    done = machine.call("start", environment=environment)
    message = "the program e2fsck is missing here; install the package e2fsprogs"
    assert done == (5, "", f"filesystem {machine.image}: {message}\n")
    assert machine.call("start", None, None, "fsck=no", environment=environment).code == 0


def test_the_device_is_not_there(machine):
    missing = machine.directory / "missing"
    for name in (missing, "LABEL=no-such-label", "UUID=11111111-2222-3333-4444-555555555555"):
        done = machine.call("start", name, None, "timeout=1")
        assert done == (1, "", f"filesystem {name}: there is no such device\n")
        assert machine.call("monitor", name).code == 3
        assert machine.call("stop", name) == (0, "", "")


def test_a_start_waits_for_the_device(machine):
    """It may be that of an earlier line, which comes into being a moment later."""
    late = machine.directory / "late.img"
    start = machine.namespace.popen([str(SERVICES / "filesystem"), "start", str(late), str(machine.place)])
    eventually(lambda: b"sleep" in children_of(start.pid), "it waits")
    machine.image.rename(late)
    assert start.wait(60) == 0
    machine.image = late


def children_of(pid):
    done = subprocess.run(["ps", "-o", "comm=", "--ppid", str(pid)], capture_output=True, check=False)
    return done.stdout


def test_a_device_that_has_gone(machine):
    """The node in /dev is gone (a cable was pulled) while it is mounted: a stop must still unmount it."""
    alias = machine.directory / "alias"
    os.mknod(alias, 0o600 | 0o060000, os.stat(machine.loop()).st_rdev)
    assert machine.call("start", alias).code == 0
    alias.unlink()
    done = machine.call("monitor", alias)
    assert done == (1, "", f"filesystem {alias}: is mounted, but the device is gone\n")
    assert machine.call("stop", alias).code == 0
    assert machine.mounted() == []


def test_an_image_that_has_gone(machine):
    assert machine.call("start").code == 0
    machine.image.unlink()
    assert machine.call("monitor").code == 1
    assert machine.call("stop").code == 0
    assert machine.mounted() == []
    machine.image.touch()  # for the look at its loop devices at the end


def test_a_device_that_has_gone_and_something_is_mounted_there(machine):
    """It may be what can't be found, or not: nothing is unmounted, nobody ended, nothing called down."""
    device = machine.loop()
    machine.namespace.run("mount", device, machine.place)
    user = machine.keep_busy()
    for name in ("LABEL=no-such-label", machine.directory / "missing"):
        done = machine.call("stop", name, None, "timeout=1")
        message = f"can't be found, but {device} is mounted on {machine.place}: is that it? Then unmount it"
        assert done == (1, "", f"filesystem {name}: {message}\n")
        assert machine.call("monitor", name, None, "timeout=1").code == 3
        assert machine.call("start", name, None, "timeout=1").code == 1
    assert alive(user.pid)
    assert len(machine.mounted()) == 1


def test_no_directory(machine):
    missing = machine.directory / "missing"
    done = machine.call("start", None, missing)
    message = f"there is no directory {missing}; make it, on each node"
    assert done == (1, "", f"filesystem {machine.image}: {message}\n")
    assert machine.call("monitor", None, missing).code == 3
    assert machine.call("stop", None, missing) == (0, "", "")


def test_no_file_system(machine):
    with open(machine.image, "r+b") as file:
        file.write(bytes(1 << 20))
    done = machine.call("start")
    assert done.code == 1
    assert done.err.startswith(f"filesystem {machine.image}: could not be mounted: mount: ")
    assert len(done.err.splitlines()) == 1
    assert loops(machine.image) == []


def test_a_device_that_cannot_be_read(machine):
    """The number is DRBD's, which can't be opened where it is Secondary; here there is no driver at all."""
    device = machine.directory / "drbd"
    os.mknod(device, 0o600 | 0o060000, os.makedev(147, 200))
    done = machine.call("start", device)
    assert done.code == 1
    assert "can't be read: a DRBD device must be Primary first (" in done.err


def test_read_only_by_an_error(machine):
    machine.call("start")
    machine.namespace.run("mount", "-o", "remount,ro", machine.place)
    message = f"filesystem {machine.image}: can only be read (ro): the kernel's log tells why\n"
    assert machine.call("monitor") == (1, "", message)
    assert machine.call("start") == (1, "", message)
    assert machine.call("stop").code == 0


def test_read_only_as_ordered(machine):
    assert machine.call("start", None, None, "options=noatime,ro").code == 0
    (line,) = machine.mounted()
    assert "ro,noatime" in line
    assert machine.call("monitor", None, None, "options=noatime,ro") == (0, "", "")
    assert machine.call("monitor").code == 1


def test_a_device_that_can_only_be_read(machine):
    """Not mounted at all, rather than read-only, as mount would do by itself."""
    device = command("losetup", "--read-only", "--find", "--show", machine.image).strip()
    machine.devices.append(device)
    for words in ((), ("fsck=no",)):
        done = machine.call("start", device, None, *words)
        assert done.code == 1
        assert machine.mounted() == []
    assert machine.call("start", device, None, "options=ro").code == 0


def test_an_error_of_ext4(machine):
    """With errors=remount-ro it is read-only from now on, which newer kernels don't tell as `ro`."""
    machine.call("start", None, None, "options=errors=remount-ro")
    (device,) = loops(machine.image)
    trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
    if not trigger.exists():
        pytest.skip(f"needs {trigger}")
    trigger.write_text("a test\n")
    done = machine.call("monitor")
    assert done.code == 1
    assert "can only be read (" in done.err


def test_a_device_that_returns_errors(machine):
    """Its image has been cut off: what is in memory is still there, what is on the disk is not."""
    machine.call("start")
    os.truncate(machine.image, 0)
    done = machine.call("monitor")
    assert done == (
        1,
        "",
        f"filesystem {machine.image}: does not answer, or with an error: try ls {machine.place}\n",
    )


def test_a_server_that_does_not_answer(machine):
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    server = "server:/export"
    held = machine.use(sys.executable, "-c", FUSE_THAT_NEVER_ANSWERS, server, str(machine.place))
    done = machine.call("monitor", server, None, "fuse", "timeout=1")
    assert done.code == 1
    assert done.err.startswith(f"filesystem {server}: does not answer")
    assert machine.call("stop", server, None, "fuse").code == 0
    assert machine.mounted() == []
    assert alive(held.pid)


MISTAKES = {
    (
        "disk",
        "/srv",
    ): "is no device: /dev/..., LABEL=..., UUID=..., an image file, HOST:/PATH, //HOST/SHARE or tmpfs",
    ("/dev/x",): "the directory is missing",
    ("/dev/x", "srv"): "directory srv does not begin with a slash",
    ("/dev/x", "/"): "directory /: write its path without // . and .., and not /",
    ("/dev/x", "/srv/../etc"): "directory /srv/../etc: write its path without // . and .., and not /",
    ("/dev/x", "/srv//a"): "directory /srv//a: write its path without // . and .., and not /",
    ("/dev/x", "/srv", "-t"): "'-t' is no type of a file system",
    (
        "/dev/x",
        "/srv",
        "ext4",
        "more",
    ): "'more' is not expected here; options are KEY=VALUE with one of the keys: options fsck kill timeout",
    ("/dev/x", "/srv", "fsck=maybe"): "fsck= maybe is none of: auto force no",
    ("/dev/x", "/srv", "xfs", "fsck=force"): "fsck=force is for ext2, ext3 and ext4",
    ("/dev/x", "/srv", "kill=1"): "kill= 1 is none of: yes no",
    ("/dev/x", "/srv", "timeout=0"): "timeout= 0 is not a whole number from 1 to 86400",
    (
        "LABEL=",
        "/srv",
    ): "is no device: /dev/..., LABEL=..., UUID=..., an image file, HOST:/PATH, //HOST/SHARE or tmpfs",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_mistakes_in_the_arguments(words):
    for verb in ("check", "start", "stop", "monitor"):
        assert call("filesystem", verb, *words) == (2, "", f"filesystem {words[0]}: {MISTAKES[words]}\n")


def test_good_arguments():
    for words in (
        ["/dev/drbd0", "/srv/pg", "ext4", "options=noatime,data=ordered", "fsck=force"],
        ["UUID=1-2", "/srv/pg/", "kill=no"],
        ["server:/export", "/srv", "nfs4"],
        ["[2001:db8::1]:/export", "/srv"],
        ["//server/share", "/srv"],
        ["tmpfs", "/srv", "options=size=10m"],
    ):
        assert call("filesystem", "check", *words) == (0, "", "")


def test_something_is_mounted_on_top_of_it(machine):
    """It is still mounted, and a peer that mounts it too would destroy it."""
    device = machine.loop()
    assert machine.call("start", device).code == 0
    machine.namespace.run("mount", "-t", "tmpfs", "over", str(machine.place))
    said = f"filesystem {device}: "
    done = machine.call("stop", device)
    complaint = f"is still mounted on {machine.place}, with something else on top of it"
    assert done == (1, "", f"{said}{complaint}, which is not ours to unmount: over\n")
    complaint = f"is mounted, but something else is on top of it on {machine.place}: over"
    assert machine.call("monitor", device) == (1, "", f"{said}{complaint}\n")
    machine.namespace.run("umount", str(machine.place))
    assert machine.call("stop", device).code == 0
    assert machine.mounted() == []


def test_had_and_its_hook_are_not_ended(machine):
    """Were the runner, the hook or the daemon ended, nobody would stop the rest."""
    assert machine.call("start").code == 0
    script = 'export HAD_HOOK=stophasrv; cd "$2"; "$0" stop "$1" "$2" timeout=8 2>&1; echo "code $? $$"'
    words = ["sh", "-c", script, str(SERVICES / "filesystem"), str(machine.image), str(machine.place)]
    out = machine.namespace.run(*words)
    pid = out.split()[-1]
    busy = f"filesystem {machine.image}: is busy, used by {pid} (sh), which waits for this"
    assert out.splitlines() == [f"{busy}; waiting for it to go away", busy, f"code 1 {pid}"]
    assert machine.call("stop").code == 0
