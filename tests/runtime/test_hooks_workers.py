"""Rule G1: a hook outlives the worker that started it, and its result is not lost.

The test plays the guard: it is the child subreaper, forks workers, kills them and reaps what they leave.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal

import pytest
from runtime_tools import SECOND, Rig, Worker, alive, be_subreaper, kill, now, reap, reap_all, wait_for

from had.core.actions import Hook
from had.core.events import Outcome
from had.runtime import hookchild, hookfile
from had.runtime.hooks import APPEAR_NS
from had.runtime.processes import look


@pytest.fixture
def rig(tmp_path):
    be_subreaper(True)
    rig = Rig(tmp_path)
    yield rig
    rig.close()
    reap_all()
    be_subreaper(False)


def start_in_worker(rig, run=1, timeout_s=60.0):
    """A worker that starts a hook, passes on what it knows, and waits to be killed."""

    def body(say):
        rig.start(run, timeout_s=timeout_s)
        say(rig.runner.dump())
        signal.pause()

    worker = Worker(body)
    return worker, worker.heard()


def next_worker(rig, data, run=1, before=lambda runner: None, timeout_s=60.0):
    """The worker that comes after: goes on from what is known and says how the hook ended."""

    def body(say):
        rig.runner = rig.new_runner()
        if data is None:
            rig.start(run, timeout_s=timeout_s, look_first=True)
        else:
            rig.runner.resume(data, now())
        before(rig.runner)
        say(rig.runner.busy(Hook.START))
        over = rig.over(run)
        say((over, rig.told))

    worker = Worker(body)
    assert worker.heard() is True
    return worker


def gate(rig, status=0):
    """A hook that runs until the test lets it go."""
    os.mkfifo(rig.top / "gate")
    rig.script(
        Hook.START, f"echo ran >>{rig.top}/ran\nread line <{rig.top}/gate\necho through\nexit {status}\n"
    )


def let_go(rig):
    (rig.top / "gate").write_text("go\n")


def times_run(rig):
    return (rig.top / "ran").read_text().count("ran")


@pytest.mark.parametrize(
    ("status", "outcome", "detail"),
    [(0, Outcome.OK, ""), (3, Outcome.FAILED, "exit status 3")],
)
def test_G1_told_by_the_guard(rig, status, outcome, detail):
    gate(rig, status)
    first, data = start_in_worker(rig)
    wait_for((rig.top / "ran").exists)
    first.kill()
    pid = data.runs[0].pid
    assert alive(pid)
    told_in, told_out = os.pipe()

    def wait_to_be_told(runner):
        # The guard's word arrives later, while the worker waits.
        real = rig.turn

        def turn():
            os.set_blocking(told_in, False)
            with contextlib.suppress(BlockingIOError):
                runner.reaped_elsewhere(pid, int(os.read(told_in, 20)))
            real()

        rig.turn = turn

    second = next_worker(rig, data, before=wait_to_be_told)
    let_go(rig)
    os.write(told_out, str(reap(pid)).encode())
    over, _ = second.heard()
    assert (over.outcome, over.detail) == (outcome, detail)
    assert second.wait() == 0
    assert times_run(rig) == 1
    assert os.listdir(rig.run_directory) == []
    os.close(told_in)
    os.close(told_out)


def test_G1_reaped_while_no_worker_lived(rig):
    gate(rig, 4)
    first, data = start_in_worker(rig)
    wait_for((rig.top / "ran").exists)
    first.kill()
    let_go(rig)
    pid = data.runs[0].pid
    status = reap(pid)
    second = next_worker(rig, data, before=lambda runner: runner.reaped_elsewhere(pid, status))
    over, _ = second.heard()
    assert over.detail == "exit status 4"
    second.wait()


def test_G1_ended_but_not_yet_forgotten(rig):
    """The worker dies between a hook's end and the moment in which the result is safe."""
    rig.script(Hook.START, "exit 6\n")

    def body(say):
        rig.start()
        data = rig.runner.dump()
        wait_for(lambda: rig.turn() or rig.overs)
        say(data)
        signal.pause()

    first = Worker(body)
    data = first.heard()
    first.kill()
    pid = data.runs[0].pid
    status = reap(pid)
    second = next_worker(rig, data, before=lambda runner: runner.reaped_elsewhere(pid, status))
    assert second.heard()[0].detail == "exit status 6"
    second.wait()


def test_G1_worker_dies_right_after_the_fork(rig):
    """It could not pass on the process number: the next one finds the hook by its file."""
    gate(rig)
    first, _ = start_in_worker(rig, run=9)
    first.kill()
    second = next_worker(rig, None, run=9)
    wait_for((rig.top / "ran").exists)
    pid = hookfile.read(str(rig.run_directory / "hook-starthasrv")).pid
    began = now()
    wait_for(lambda: now() - began > 2 * APPEAR_NS)
    let_go(rig)
    reap(pid)
    over, _ = second.heard()
    assert over.detail == "its exit status was lost"  # nobody told it
    assert over.outcome is Outcome.FAILED
    second.wait()
    assert times_run(rig) == 1


def test_G1_found_by_its_file_and_its_result_known_already(rig):
    rig.script(Hook.START, f"echo ran >>{rig.top}/ran; exit 5\n")
    first, data = start_in_worker(rig, run=9)
    pid = data.runs[0].pid
    wait_for(lambda: not alive(pid))
    first.kill()
    status = reap(pid)

    def body(say):
        rig.runner = rig.new_runner()
        rig.runner.reaped_elsewhere(pid, status)  # before anybody knows what it is
        for other in range(10):
            rig.runner.reaped_elsewhere(4_000_000 + other, 0)
        rig.start(9, look_first=True)
        say(rig.over(9))

    second = Worker(body)
    assert second.heard().detail == "exit status 5"
    second.wait()
    assert times_run(rig) == 1


def test_G1_asked_for_but_never_started(rig):
    rig.script(Hook.START, f"echo ran >>{rig.top}/ran\n")
    began = now()
    rig.start(3, look_first=True)
    assert rig.runner.busy(Hook.START)
    assert rig.over(3).outcome is Outcome.OK
    assert now() - began >= APPEAR_NS
    assert times_run(rig) == 1


def test_G1_file_of_an_earlier_run_is_not_this_one(rig):
    rig.script(Hook.START, f"echo ran >>{rig.top}/ran\n")
    (rig.run_directory / "hook-starthasrv").write_text(
        f"had-hook 1\nrun 2\npid {os.getpid()}\nstarted 5\nboot x\n"
    )
    rig.start(3, look_first=True)
    assert rig.over(3).outcome is Outcome.OK
    assert times_run(rig) == 1


def test_G1_asked_for_in_the_dump_and_started_after_it(rig, monkeypatch):
    """The former worker had no process left at first, then it had, and then it died."""
    gate(rig)

    def body(say):
        with monkeypatch.context() as patch:
            patch.setattr(hookchild, "fork", no_process)
            rig.start(9)
        data = rig.runner.dump()
        wait_for(lambda: rig.turn() or rig.runner._runs[9].pid)
        say(data)
        signal.pause()

    def no_process(command):
        raise OSError(errno.EAGAIN, "no")

    first = Worker(body)
    data = first.heard()
    assert data.runs[0].pid == 0
    wait_for((rig.top / "ran").exists)
    first.kill()
    pid = hookfile.read(str(rig.run_directory / "hook-starthasrv")).pid

    def second_body(say):
        rig.runner = rig.new_runner()
        rig.runner.resume(data, now())
        wait_for(lambda: rig.turn() or rig.runner._runs[9].pid)
        say(rig.runner._runs[9].pid)
        rig.over(9)

    second = Worker(second_body)
    assert second.heard() == pid
    let_go(rig)
    reap(pid)
    second.wait()
    assert times_run(rig) == 1


def test_G1_strays_are_bounded(rig):
    for pid in range(1, 1000):
        rig.runner.reaped_elsewhere(pid + 4_000_000, 0)
    assert len(rig.runner.dump().strays) == 256


def test_G1_timeout_after_the_worker_died(rig):
    rig.script(Hook.START, f"trap '' TERM; echo $$ >{rig.top}/pid; while :; do sleep 0.1; done\n")
    first, data = start_in_worker(rig, timeout_s=1)
    pid = rig.pid_from("pid")
    first.kill()
    second = next_worker(rig, data)
    reap(pid)  # as the guard does
    over, told = second.heard()
    assert (over.outcome, over.detail) == (Outcome.TIMED_OUT, "timed out after 1 s")
    assert any("SIGKILL" in text for _, text in told)
    second.wait()


def test_G1_worker_dies_while_it_ends_a_hook(rig):
    rig.script(
        Hook.START,
        f"sh -c \"trap '' TERM; echo \\$\\$ >{rig.top}/child; while :; do sleep 0.1; done\" &\n"
        f"echo $$ >{rig.top}/pid; sleep 1000\n",
    )
    rig.grace_ns = 2 * SECOND

    def body(say):
        rig.runner = rig.new_runner()
        rig.start()
        rig.pid_from("child")
        pid = rig.pid_from("pid")
        rig.runner.end(1, now())
        wait_for(lambda: rig.turn() or not alive(pid))
        say(rig.runner.dump())
        signal.pause()

    first = Worker(body)
    data = first.heard()
    child = rig.pid_from("child")
    assert alive(child)
    first.kill()
    second = next_worker(rig, data)
    over, _ = second.heard()
    assert over.outcome is Outcome.ENDED
    assert not alive(child)
    second.wait()


def test_G1_two_workers_die_in_a_row(rig):
    gate(rig)
    first, data = start_in_worker(rig)
    wait_for((rig.top / "ran").exists)
    first.kill()

    def body(say):
        rig.runner = rig.new_runner()
        rig.runner.resume(data, now())
        say(rig.runner.dump())
        signal.pause()

    second = Worker(body)
    data = second.heard()
    second.kill()
    pid = data.runs[0].pid
    let_go(rig)
    status = reap(pid)
    third = next_worker(rig, data, before=lambda runner: runner.reaped_elsewhere(pid, status))
    assert third.heard()[0].outcome is Outcome.OK
    third.wait()
    assert times_run(rig) == 1


def test_G1_end_wanted_before_the_hook_was_found(rig):
    gate(rig)
    first, data = start_in_worker(rig, run=9)
    pid = data.runs[0].pid
    wait_for((rig.top / "ran").exists)
    first.kill()
    path = rig.run_directory / "hook-starthasrv"
    text = path.read_text()
    path.unlink()  # as if it had not been written yet

    def body(say):
        rig.runner = rig.new_runner()
        rig.start(9, look_first=True)
        rig.runner.end(9, now())
        path.write_text(text)
        say(rig.over(9))

    second = Worker(body)
    assert os.WTERMSIG(reap(pid)) == signal.SIGTERM
    assert second.heard().outcome is Outcome.ENDED
    second.wait()


def test_G1_end_of_one_that_never_existed(rig):
    rig.script(Hook.START, f"echo ran >>{rig.top}/ran\n")
    rig.start(9, look_first=True)
    rig.runner.end(9, now())
    over = rig.over(9)
    assert (over.outcome, over.detail) == (Outcome.ENDED, "was ended before it was started")
    assert not (rig.top / "ran").exists()


def test_G1_zombie_of_a_stopped_guard_is_waited_for(rig):
    """Our guard has not asked for the status yet: that is no lost status, however long it takes."""
    rig.script(Hook.START, "exit 0\n")
    first, data = start_in_worker(rig)
    first.kill()
    pid = data.runs[0].pid
    wait_for(lambda: not alive(pid))

    def body(say):
        rig.runner = rig.new_runner()
        rig.runner.resume(data, now())
        later = now()
        for _ in range(50):
            later += SECOND
            if rig.runner.poll(later):
                say("over")
        rig.runner.reaped_elsewhere(pid, 3 << 8)  # of an earlier process with this number
        assert rig.runner.poll(later) == []
        say("still waiting")
        wait_for(lambda: look(pid) is None)
        rig.runner.reaped_elsewhere(pid, 0)
        say(rig.runner.poll(later)[0].outcome)

    second = Worker(body)
    assert second.heard() == "still waiting"
    reap(pid)
    assert second.heard() is Outcome.OK
    second.wait()


@pytest.mark.parametrize("told_first", [False, True])
def test_G1_status_of_an_earlier_process_with_the_same_number(rig, told_first):
    """The guard remembers what it reaped for long; numbers are given out again."""
    gate(rig)
    first, data = start_in_worker(rig)
    wait_for((rig.top / "ran").exists)
    pid = data.runs[0].pid
    first.kill()

    def body(say):
        rig.runner = rig.new_runner()
        if told_first:
            rig.runner.reaped_elsewhere(pid, 0)
        rig.runner.resume(data, now())
        rig.runner.reaped_elsewhere(pid, 0)
        rig.turn()
        say(rig.overs)
        wait_for(lambda: look(pid) is None)
        rig.runner.reaped_elsewhere(pid, 9)
        say(rig.over())

    second = Worker(body)
    assert second.heard() == []
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    assert second.heard().detail == "killed by SIGKILL"
    second.wait()


def test_G3_guard_goes_on_with_what_it_inherited(rig):
    """The guard itself resumes: an orphaned hook has become its child, so it can wait for it."""
    gate(rig, 7)
    first, data = start_in_worker(rig)
    wait_for((rig.top / "ran").exists)
    first.kill()
    wait_for(lambda: look(data.runs[0].pid).parent == os.getpid())
    rig.runner.resume(data, now())
    let_go(rig)
    assert rig.over().detail == "exit status 7"


def test_G1_output_goes_on_over_a_worker(rig):
    """A service that writes to what its start hook gave it gets no SIGPIPE and loses nothing."""
    rig.script(
        Hook.START,
        f"(n=0; while [ -e {rig.top}/on ]; do n=$((n+1)); echo line $n || exit 9; sleep 0.01; done) &\n"
        f"echo $! >{rig.top}/service\n",
    )
    (rig.top / "on").touch()

    def body(say):
        rig.start()
        rig.over()
        rig.wait_line("line 3")
        say([line for _, line in rig.lines])
        signal.pause()

    first = Worker(body)
    said = first.heard()
    service = rig.pid_from("service")
    try:
        first.kill()
        seen = now()
        wait_for(lambda: now() - seen > SECOND // 5)
        assert alive(service)
        rig.wait_line("line 10")
        (rig.top / "on").unlink()
        wait_for(lambda: rig.turn() or not alive(service))
        rig.reader.finish(Hook.START, now())
        numbers = [int(line.split()[1]) for line in said + rig.output()]
        # What the first worker had read without passing it on is all that may be missing.
        assert numbers == sorted(set(numbers))
        assert len(numbers) >= numbers[-1] - 5
    finally:
        kill(service)


def test_dump_is_plain_data_of_its_own(rig):
    rig.script(Hook.START, "sleep 1000\n")
    rig.start()
    data = rig.runner.dump()
    rig.runner.end(1, now())
    assert data.runs[0].end is None
    assert data.runs[0].stage.name == "RUNNING"
    rig.over()
