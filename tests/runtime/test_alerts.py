"""Rule A1: alerts are queued in order, at most 64, and delay nothing."""

from __future__ import annotations

import os
import signal

import pytest
from runtime_tools import SECOND, Rig, Worker, be_subreaper, now, reap, reap_all, wait_for

from had.core.actions import Alert, Hook, Level, Reason
from had.core.states import State
from had.runtime.alerts import MAX_WAITING, AlertQueue


class AlertRig(Rig):
    def __init__(self, top):
        super().__init__(top)
        self.state_now = State.STANDBY
        self.others = []
        self.queue = self.new_queue()

    def new_queue(self, present=True):
        return AlertQueue(self.runner, lambda: self.state_now, self.say, present=present)

    def alert(self, state, previous=State.STANDBY, timeout_s=60):
        reason = Reason("because", f"now {state.name}")
        self.queue.add(Alert(state, previous, reason, int(timeout_s * SECOND)), now())

    def turn(self):
        self.others += self.queue.sift(self.runner.poll(now()), now())
        for hook in Hook:
            self.reader._readable(self.reader._streams[hook])

    def drained(self):
        wait_for(lambda: self.turn() or not self.queue.busy, "all alerts are over")
        for hook in Hook:
            self.reader.finish(hook, now())


@pytest.fixture
def rig(tmp_path):
    rig = AlertRig(tmp_path)
    yield rig
    rig.close()


def open_gate(rig):
    """A FIFO that hooks wait at; open at both ends, so that nobody waits for the other end."""
    os.mkfifo(rig.top / "gate")
    return os.open(rig.top / "gate", os.O_RDWR)


def test_A1_in_order_one_at_a_time(rig):
    rig.script(
        Hook.ALERT, f'mkdir {rig.top}/lock || echo overlap; sleep 0.05; echo "$@"; rmdir {rig.top}/lock\n'
    )
    for state in (State.ERRORED, State.STOPPING, State.ERRORED, State.STARTING, State.RUNNING, State.STANDBY):
        rig.alert(state)
    rig.drained()
    assert rig.output(Hook.ALERT) == [
        "6 ERRORED",
        "3 STOPPING",
        "6 ERRORED",
        "4 STARTING",
        "2 RUNNING",
        "5 STANDBY",
    ]
    assert rig.others == []
    assert os.listdir(rig.run_directory) == []


def test_A1_state_now_is_that_of_the_call(rig):
    gate = open_gate(rig)
    rig.script(
        Hook.ALERT,
        f'read x <{rig.top}/gate; echo "$HAD_PREVIOUS_STATE $HAD_STATE $HAD_STATE_NOW $HAD_RUN_ID"\n',
    )
    rig.state_now = State.STARTING
    rig.alert(State.STARTING)
    rig.alert(State.RUNNING, State.STARTING)
    rig.state_now = State.ERRORED
    os.write(gate, b"go\ngo\n")
    rig.drained()
    assert rig.output(Hook.ALERT) == ["STANDBY STARTING STARTING alert-1", "STARTING RUNNING ERRORED alert-2"]
    os.close(gate)


def test_A1_beside_other_hooks(rig):
    rig.script(Hook.ALERT, "sleep 1000\n")
    rig.script(Hook.START, "exit 0\n")
    rig.alert(State.STARTING, timeout_s=1)
    rig.start(5)
    wait_for(lambda: rig.turn() or rig.others)
    assert rig.others[0].run == 5
    assert rig.queue.busy
    rig.drained()
    assert any("timed out after 1 s" in text for _, text in rig.told)


def test_A1_at_most_64_wait_and_the_oldest_is_dropped(rig):
    os.mkfifo(rig.top / "gate")
    rig.script(Hook.ALERT, f'[ $1 = 4 ] && read x <{rig.top}/gate; echo "$HAD_REASON_CODE"\n')
    rig.alert(State.STARTING)  # this one is being made
    for number in range(MAX_WAITING + 10):
        rig.queue.add(Alert(State.STANDBY, State.STARTING, Reason(f"n{number}", ""), SECOND * 60), now())
    assert [level for level, text in rig.told if "too slow" in text] == [Level.ERROR] * 4  # 1, 2, 4, 8
    (rig.top / "gate").write_text("go\n")
    rig.drained()
    said = rig.output(Hook.ALERT)
    assert said == ["because"] + [f"n{number}" for number in range(10, MAX_WAITING + 10)]
    assert "10 of its calls were dropped" in rig.told[-1][1]


def test_A1_failures_are_told_and_change_nothing(rig):
    rig.script(Hook.ALERT, "exit 2\n")
    rig.alert(State.RUNNING)
    rig.alert(State.STOPPING)
    rig.drained()
    assert [text for _, text in rig.told] == [
        "alerthasrv for RUNNING: exit status 2",
        "alerthasrv for STOPPING: exit status 2",
    ]


def test_A1_without_a_script_nothing_happens(rig):
    queue = rig.new_queue(present=False)
    queue.add(Alert(State.RUNNING, State.STARTING, Reason("a", "b"), SECOND), now())
    assert not queue.busy
    assert rig.told == []


def test_A1_at_exit_only_the_running_one_is_waited_for(rig):
    rig.script(Hook.ALERT, "sleep 0.2; echo $2\n")
    rig.alert(State.STOPPING)
    rig.alert(State.STANDBY)
    rig.queue.clear()
    assert rig.queue.busy
    rig.drained()
    assert rig.output(Hook.ALERT) == ["STOPPING"]


@pytest.mark.parametrize("started_after_dump", [False, True])
def test_A1_the_queue_survives_a_worker(rig, started_after_dump):
    """Also one that had begun the next call without having passed that on: it is not made twice."""
    os.mkfifo(rig.top / "gate")
    rig.script(Hook.ALERT, f'echo $$ >{rig.top}/pid; read x <{rig.top}/gate; echo "$@" >>{rig.top}/calls\n')
    be_subreaper(True)
    try:

        def first(say):
            before = (rig.runner.dump(), rig.queue.dump())
            rig.alert(State.STOPPING)
            rig.alert(State.STANDBY)
            after = (rig.runner.dump(), rig.queue.dump())
            if started_after_dump:
                # As the dump is before the call is made: asked for, not begun.
                waiting = (after[1].current, *after[1].waiting)
                after = (before[0], type(after[1])(waiting, None, 0, 0))
            say(after)
            signal.pause()

        worker = Worker(first)
        data = worker.heard()
        pid = rig.pid_from("pid")
        worker.kill()

        def second(say):
            rig.runner = rig.new_runner()
            rig.runner.resume(data[0], now())
            rig.queue = rig.new_queue()
            rig.queue.resume(data[1], now())
            say("resumed")
            rig.runner.reaped_elsewhere(pid, 0 if wait_for((rig.top / "reaped").exists) else 1)
            rig.drained()
            say(rig.told)

        worker = Worker(second)
        worker.heard()
        (rig.top / "gate").write_text("go\n")
        reap(pid)
        (rig.top / "reaped").touch()
        wait_for(lambda: (rig.top / "calls").read_text().count("\n") == 1)
        (rig.top / "gate").write_text("go\n")
        assert worker.heard() == []
        worker.wait()
        assert (rig.top / "calls").read_text() == "3 STOPPING\n5 STANDBY\n"
    finally:
        reap_all()
        be_subreaper(False)
