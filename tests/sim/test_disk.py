"""The simulated disk: what a power cut leaves, and that the real writer's calls are what is done."""

from __future__ import annotations

import errno

import pytest

from had.runtime import record
from had.sim.dice import Dice
from had.sim.disk import DIRECTORY, Disk, trace

EPOCH = record.Wish(record.EPOCH, 1000)
NEXT = record.Wish(record.EPOCH, 2000)
MARK = record.Wish(record.MARK, 7)
NO_MARK = record.Wish(record.MARK, None)


def written(*wishes: record.Wish) -> Disk:
    disk = Disk()
    for wish in wishes:
        calls, code = trace(wish, "boot")
        assert code == 0
        for call in calls:
            disk.do(call)
    return disk


def test_the_calls_of_the_real_writer():
    names = [call.name for call in trace(EPOCH, "boot")[0]]
    assert names == ["unlink", "create", "write", "sync", "rename", "sync-directory"]
    assert [call.name for call in trace(NO_MARK, "boot")[0]] == ["unlink", "sync-directory"]


@pytest.mark.parametrize(("call", "number"), [("write", errno.ENOSPC), ("create", errno.EROFS)])
def test_a_call_that_fails_is_the_end_of_a_write(call, number):
    calls, code = trace(EPOCH, "boot", call, number)
    assert code == number
    assert "rename" not in [each.name for each in calls]


def test_what_is_synced_survives_any_power_cut():
    for keep in ("all", "none", "some"):
        disk = written(EPOCH, MARK)
        disk.lose_power(Dice(1, keep), keep)
        known = disk.load("boot")
        assert (known.epoch, known.mark_epoch, known.mark_same_boot) == (1000, 7, True)


@pytest.mark.parametrize("done", range(7))
@pytest.mark.parametrize("keep", ["all", "none", "some"])
def test_a_power_cut_at_any_call_leaves_the_old_record_or_the_new(done, keep):
    disk = written(EPOCH)
    for call in trace(NEXT, "boot")[0][:done]:
        disk.do(call)
    disk.lose_power(Dice(done, keep), keep)
    known = disk.load("boot")
    assert known.epoch in (1000, 2000)
    assert known.complaints == ()
    assert done < 6 or known.epoch == 2000


@pytest.mark.parametrize("seed", range(20))
def test_without_the_sync_it_would_be_torn(seed):
    """The disk is as bad as a disk may be: this is what the fsync is for."""
    disk = written(EPOCH)
    for call in trace(NEXT, "boot")[0]:
        if call.name != "sync":
            disk.do(call)
    assert disk.certain() is None
    disk.lose_power(Dice(seed, "torn"), "some")
    assert disk.load("boot").epoch in (0, 2000)


def test_an_erased_mark_may_come_back_until_the_directory_is_synced():
    disk = written(EPOCH, MARK)
    disk.do(trace(NO_MARK, "boot")[0][0])
    assert disk.load("boot").mark_epoch is None
    assert disk.certain() is None
    disk.lose_power(Dice(0, ""), "none")
    assert disk.load("boot").mark_epoch == 7


@pytest.mark.parametrize("how", ["lost", "old", "torn"])
def test_a_spoilt_record_is_no_privilege(how):
    for seed in range(20):
        disk = written(EPOCH, NEXT, MARK, NO_MARK)
        disk.spoil(Dice(seed, how), how)
        known = disk.load("boot")
        assert known.epoch in (0, 1000, 2000)
        assert how == "old" or known.mark_epoch is None


def test_a_mark_of_an_earlier_boot_is_known_as_such():
    assert written(EPOCH, MARK).load("another").mark_same_boot is False
    assert b"epoch 1000" in written(EPOCH).image()[f"{DIRECTORY}/epoch"]
