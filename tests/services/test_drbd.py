"""The script drbd, with stand-ins for drbdadm that answer like DRBD 8.4 and like DRBD 9."""

from __future__ import annotations

import os
import shutil

import pytest

from .standins import StandIns
from .tools import call, every_shell

# The files role, disk, peer and peerdisk are the state. Version 8.4 has both nodes in the role.
DRBDADM = """
cd "$PLACE"
role=$(cat role) peer=$(cat peer) disk=$(cat disk)
case $1 in
role)
    [ -z "$HANGS" ] || exec sleep 1000
    [ -z "$WARNS" ] || echo "drbd.conf:3: Parse warning" >&2
    case $role in Unconfigured) echo "r0: No such resource" >&2; exit 10 ;; esac
    case $VERSION in 8.4) echo "$role/$peer" ;; 9) echo "$role" ;; esac
    ;;
status)
    case $VERSION in
    8.4)
        printf '<resources config_file="/etc/drbd.conf">\n<resource minor="0" name="r0" cs="Connected" '
        printf 'ro1="%s" ro2="%s" ds1="%s" ds2="UpToDate" />\n</resources>\n' "$role" "$peer" "$disk"
        exit 0
        ;;
    esac
    echo "r0 role:$role"
    echo "  disk:$disk"
    case $peer in
    Unknown) echo "  beta connection:Connecting" ;;
    *) printf '  beta role:%s\\n    peer-disk:UpToDate\\n' "$peer" ;;
    esac
    ;;
dstate) for one in $disk; do echo "$one/UpToDate"; done ;;
primary | secondary)
    if [ -e busy ]; then
        rm busy
        echo "r0: State change failed: (-12) Device is held open by someone" >&2
        exit 11
    fi
    [ -z "$FAILS" ] || { echo "r0: State change failed: (-2) Need access to UpToDate data"; exit 17; }
    case $1 in primary) echo Primary >role ;; secondary) echo Secondary >role ;; esac
    ;;
esac
"""


class Resource(StandIns):
    def __init__(self, directory, version):
        super().__init__(directory, {"drbdadm": DRBDADM})
        self.place = directory
        self.environment["VERSION"] = version
        self.has(role="Secondary", peer="Secondary", disk="UpToDate")

    def has(self, **state):
        for name, value in state.items():
            (self.place / name).write_text(f"{value}\n")

    def __call__(self, verb, *words, shell=(), **variables):
        environment = {**self.environment, **variables}
        return call("drbd", verb, "r0", *words, shell=shell, environment=environment)

    def changes(self):
        """What was called that changes anything."""
        return [words for words in self.calls() if words.split()[1] not in ("role", "status", "dstate")]


@pytest.fixture(params=["8.4", "9"])
def resource(request, tmp_path):
    return Resource(tmp_path, request.param)


@pytest.fixture
def newer(tmp_path):
    """For what doesn't depend on the version."""
    return Resource(tmp_path, "9")


@every_shell
def test_its_life(newer, shell):
    _life(newer, shell)


def test_its_life_with_an_older_version(tmp_path):
    _life(Resource(tmp_path, "8.4"))


def _life(resource, shell=()):
    assert resource("monitor", shell=shell) == (3, "", "drbd r0: is Secondary\n")
    assert resource("stop", shell=shell) == (0, "", "")
    assert resource.changes() == []
    assert resource("start", shell=shell) == (0, "drbd r0: is Primary\n", "")
    assert resource.changes() == ["drbdadm primary r0"]
    assert resource("start", shell=shell) == (0, "", "")
    assert resource("monitor", shell=shell) == (0, "", "")
    assert resource.changes() == []
    assert resource("stop", shell=shell) == (0, "drbd r0: is Secondary\n", "")
    assert resource.changes() == ["drbdadm secondary r0"]


@pytest.mark.parametrize(
    ("version", "state", "complaint"),
    [
        ("8.4", {"peer": "Primary"}, "another node is Primary"),
        ("9", {"peer": "Primary"}, "another node is Primary"),
        ("8.4", {"disk": "Inconsistent"}, "the data here are not UpToDate: Inconsistent"),
        ("9", {"disk": "UpToDate Outdated"}, "the data here are not UpToDate: UpToDate Outdated"),
        ("9", {"role": "Primary", "peer": "Primary"}, "another node is Primary"),
    ],
)
def test_it_is_never_forced(tmp_path, version, state, complaint):
    resource = Resource(tmp_path, version)
    resource.has(**state)
    done = resource("start", "timeout=1")
    assert done == (1, "", f"drbd r0: is not Primary after 1 s: {complaint}\n")
    assert resource.changes() == []


def test_a_node_that_has_died_is_waited_for(resource):
    resource.has(peer="Primary")
    # The next time it is asked DRBD has noticed.
    path = resource.directory / "drbdadm"
    path.write_text(path.read_text().replace("status)", "status)\n    echo Unknown >peer", 1))
    assert resource("start") == (0, "drbd r0: is Primary\n", "")


def test_a_device_that_is_in_use_for_a_moment(newer):
    newer.has(role="Primary", busy="yes")
    assert newer("stop") == (0, "drbd r0: is Secondary\n", "")
    assert newer.changes() == ["drbdadm secondary r0"] * 2


def test_what_fails(newer):
    done = newer("start", "timeout=1", FAILS="yes")
    said = "drbdadm primary failed: r0: State change failed: (-2) Need access to UpToDate data"
    assert done == (1, "", f"drbd r0: is not Primary after 1 s: {said}\n")
    newer.has(role="Primary")
    done = newer("stop", "timeout=1", FAILS="yes")
    said = "drbdadm secondary failed: r0: State change failed: (-2) Need access to UpToDate data"
    assert done == (1, "", f"drbd r0: is not Secondary after 1 s: {said}\n")


def test_what_is_not_well(newer):
    newer.has(role="Primary", disk="Failed")
    done = newer("monitor")
    assert done == (1, "", "drbd r0: is Primary, but the data here are not UpToDate: Failed\n")


def test_not_up(newer):
    newer.has(role="Unconfigured")
    assert newer("start") == (1, "", "drbd r0: is not up here; type: drbdadm up r0\n")
    assert newer("stop") == (0, "", "")
    assert newer("monitor") == (3, "", "drbd r0: is Unconfigured\n")


def test_drbdadm_hangs_or_warns(newer):
    assert newer("start", WARNS="yes").code == 0
    done = newer("monitor", "timeout=1", HANGS="yes")
    if os.path.exists("/proc/drbd"):
        assert done == (1, "", "drbd r0: drbdadm can't tell its role: drbdadm took longer than 1 s\n")
    else:  # a kernel without DRBD has no role
        assert done.code == 3


def test_mistakes():
    assert call("drbd", "check", "all").code == 2
    assert call("drbd", "check", "r0 r1").code == 2
    assert call("drbd", "check", "r0", "r1").code == 2
    assert call("drbd", "check", "r0", "timeout=-1").code == 2


@pytest.mark.skipif(bool(shutil.which("drbdadm")), reason="drbdadm is installed here")
def test_a_missing_program(bare):
    for verb in ("start", "monitor"):
        done = call("drbd", verb, "r0", environment=bare)
        missing = "the program drbdadm is missing here; install the package drbd-utils"
        assert done == (5, "", f"drbd r0: {missing}\n")
    assert call("drbd", "stop", "r0", environment=bare).code == (5 if os.path.exists("/proc/drbd") else 0)
