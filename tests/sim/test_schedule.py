"""The text of a schedule, and shrinking."""

from __future__ import annotations

import pytest

from had.sim import deeds
from had.sim.draw import draw
from had.sim.run import run_schedule
from had.sim.schedule import ScheduleError, Step, read, seconds, span, write
from had.sim.shrink import shrink
from had.sim.truth import BrokenPromiseError

from .simtools import schedule


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_read_the_same(seed):
    drawn = draw(seed)
    assert read(write(drawn)) == drawn


@pytest.mark.parametrize("span_ns", [0, 1, 999_999_999, 1_000_000_000, 12_340_000_000])
def test_spans_are_exact(span_ns):
    assert span(seconds(span_ns)) == span_ns


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: a schedule begins"),
        ("had-sim 1\nlink\nnode a\nat x power-on a", "line 4: not a time"),
        ("had-sim 1\nlink\nnode a colour=3", "no setting colour"),
        ("had-sim 1\nlink red\nnode a", "line 2: a link has no red"),
        ("had-sim 1\nfish", "line 2: not understood: fish"),
        ("had-sim 1\nlink", "a node at least"),
    ],
)
def test_a_bad_text_is_told_in_one_line(text, why):
    with pytest.raises(ScheduleError) as told:
        read(text)
    assert why in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("step", [Step(0, "fly", ("a",)), Step(0, "pause", ("z",)), Step(0, "pause")])
def test_a_step_that_cannot_be_done_is_told(step):
    with pytest.raises(ScheduleError):
        deeds.check(step, ["a", "b"])


def test_every_drawn_step_can_be_done():
    for seed in range(60):
        drawn = draw(seed)
        for step in drawn.steps:
            deeds.check(step, [node.settings.node for node in drawn.nodes])


def test_shrinking_leaves_what_is_needed(monkeypatch):
    """The bug needs a third node, a SIGUSR2 to beta, and nothing else."""
    real = deeds.ON_MACHINES["signal"]

    def bug(machine, *words):
        if machine.name == "beta" and "SIGUSR2" in words and len(machine.world.machines) > 1:
            raise BrokenPromiseError("made up", "beta got it")
        real(machine, *words)

    monkeypatch.setitem(deeds.ON_MACHINES, "signal", bug)
    long = schedule(
        """
        at 3 signal alpha SIGHUP
        at 4.123456 wall beta 60
        at 8 cut * alpha beta
        at 20 heal * alpha beta
        at 30.333 signal beta SIGUSR2
        at 31 signal gamma SIGHUP
        at 40 calm
        """,
        names="alpha beta gamma",
        links=2,
    )
    short = shrink(long, "made up")
    assert run_schedule(short).broken.promise == "made up"
    assert [step.verb for step in short.steps if step.verb != "calm"] in (["signal"], ["signal", "wall"])
    assert len(short.nodes) == 2
