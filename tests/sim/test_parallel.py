"""Work for several processes: all of it is done once, and a process that dies is noticed."""

from __future__ import annotations

import os

import pytest

from had.sim.explore import main as explore
from had.sim.parallel import spread


def square(number):
    return number, number * number, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2, 5, 100])
def test_every_task_is_done_once(jobs):
    answers = list(spread(range(37), square, jobs))
    assert sorted(answer[:2] for answer in answers) == [(number, number * number) for number in range(37)]
    assert (os.getpid() in {answer[2] for answer in answers}) is (jobs == 1)


def test_nothing_to_do():
    assert list(spread([], square, 2)) == []


def test_a_process_that_dies_is_told():
    def work(number):
        if number == 7:
            os._exit(3)
        return number

    with pytest.raises(RuntimeError, match="has died"):
        list(spread(range(20), work, 2))


def test_who_stops_listening_leaves_no_process_behind():
    answers = spread(range(1000), square, 3)
    pids = {next(answers)[2] for _ in range(10)}
    answers.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_two_processes_find_what_one_finds(capsys):
    def told(jobs):
        arguments = ["--world", "boot", "--world", "cut", "--depth", "5", "--jobs", str(jobs)]
        assert explore(arguments) == 0
        lines = capsys.readouterr().out.splitlines()[:2]
        return sorted(line.partition("calm runs")[0] for line in lines)

    assert told(1) == told(2)
