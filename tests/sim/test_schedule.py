"""The text of a schedule, and shrinking."""

from __future__ import annotations

import pytest

from had.sim import deeds, scenario
from had.sim.draw import draw
from had.sim.run import run_schedule
from had.sim.schedule import ScheduleError, read, seconds, span, write
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
        ("", "line 1: a schedule begins with 'had-sim 1'"),
        ("# a comment\nhad-sim 2", "line 2: a schedule begins"),
        ("had-sim 1\nlink\nnode a\nat x power-on a", "line 4: not a time"),
        ("had-sim 1\nlink\nnode a\nat 3", "line 4: it is written: at SECONDS VERB"),
        ("had-sim 1\nlink\nnode a colour=3", "line 3: node a: there is no setting colour"),
        ("had-sim 1\nset heartbeat=x\nnodes a", "not a time in seconds: x"),
        ("had-sim 1\nset alone=perhaps\nnodes a", "alone is wait or exit or start"),
        ("had-sim 1\nset count=0\nnodes a", "count is a number, at least 1"),
        ("had-sim 1\nnodes a\nset dead=1", "line 3: set comes before"),
        ("had-sim 1\nnodes a dead=1", "line 2: it is written: nodes NAME"),
        ("had-sim 1\nnodes a b\nnode a", "line 3: there are two nodes a"),
        ("had-sim 1\nnodes a b/c", "line 2: this can't be the name of a node: b/c"),
        ("had-sim 1\nnode a drift=fast", "line 2: drift is a whole number of millionths: drift=fast"),
        ("had-sim 1\nlink red\nnode a", "line 2: a link has no red"),
        ("had-sim 1\nseed x", "line 2: it is written: seed NUMBER"),
        ("had-sim 1\nallow nonsense: because", "line 2: it is written: allow overlap: REASON"),
        ("had-sim 1\nonly simulator:", "line 2: it is written: only simulator: REASON"),
        ("had-sim 1\nlab order", "line 2: it is written: lab order free: REASON"),
        ("had-sim 1\nlink", "a node at least"),
        ("had-sim 1\nnodes a\nfish", "line 3: there is no verb fish: there are calm,"),
        ("had-sim 1\nnodes a\nstart b", "line 3: start: there is no node b: there are a"),
        ("had-sim 1\nnodes a\npause", "line 3: pause: which node?"),
        ("had-sim 1\nnodes a\npause a a soon", "line 3: pause: not understood: soon; it is written: NODE..."),
        ("had-sim 1\nnodes a\nsignal a HUP", "it is written: NODE... SIGUSR1|"),
        ("had-sim 1\nnodes a\nwait", "line 3: wait: not understood: nothing; it is written: SECONDS"),
        ("had-sim 1\nnodes a b\ncut a c", "line 3: cut: there is no node c"),
        ("had-sim 1\nnodes a b\ncut a b a", "line 3: cut: from whom to whom?"),
        ("had-sim 1\nnodes a b\ncut a b link 2", "there is no link 2: they are numbered from 1 to 1"),
        ("had-sim 1\nnodes a b\nunplug a 2", "there is no link 2"),
        ("had-sim 1\nnodes a b\nweather a b rain=1", "line 3: weather: not understood: rain=1"),
        ("had-sim 1\nnodes a\ncalm b", "line 3: calm: there is no node b"),
        ("had-sim 1\nnodes a\nhook a starthasrv sometimes", "line 3: hook: not understood"),
        ("had-sim 1\nnodes a\nexpect a Running", "line 3: expect: not understood: a Running; it is written"),
        ("had-sim 1\nnodes a\nexpect a RUNNING within x", "not a time in seconds: x"),
        ("had-sim 1\nnodes a\nexpect services", "services on NODE... | services nowhere"),
        ("had-sim 1\nnodes a\nexpect services on b", "there is no node b"),
        ("had-sim 1\nnodes a\nstart a\nat 5 pause a\nat 4 resume a", "line 5: this comes before"),
    ],
)
def test_a_bad_text_is_told_in_one_line(text, why):
    with pytest.raises(ScheduleError) as told:
        scenario.parse(text)
    assert why in str(told.value)
    assert "\n" not in str(told.value)


def test_every_drawn_step_can_be_done():
    for seed in range(60):
        deeds.check_all(draw(seed))


def test_every_verb_says_how_it_is_written():
    assert set(deeds.FORMS) == set(deeds.ON_MACHINES) | set(deeds.ON_WORLD)


def test_nodes_know_each_other_and_what_had_conf_works_out_is_worked_out():
    one, two = read("had-sim 1\nset heartbeat=0.5 dead=3 startup=5\nnodes a\nnode b dead=4 old").nodes
    assert one.settings.names == two.settings.names == ("a", "b")
    assert one.settings.count == 2
    assert (one.settings.warn_ns, two.settings.warn_ns) == (1_500_000_000, 2_000_000_000)
    assert (one.settings.startup_quorum_ns, two.settings.startup_quorum_ns) == (5_000_000_000, 5_000_000_000)
    assert (one.old, two.old) == (False, True)


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        ("a", "ab ba ac ca"),
        ("a b", "ab ba"),
        ("a to b", "ab"),
        ("a to *", "ab ac"),
        ("* to a", "ba ca"),
        ("a / b c", "ab ba ac ca"),
        ("*", "ab ba ac ca bc cb"),
        ("* b a", "ba"),
    ],
)
def test_ways(words, pairs):
    for links in (1, 2):
        found = deeds.ways(words.split(), "abc", links)
        assert {(link, one + other) for link, one, other in found} == {
            (link, pair) for link in range(links) for pair in pairs.split()
        }
    if words != "* b a":
        assert {link for link, _, _ in deeds.ways([*words.split(), "link", "2"], "abc", 3)} == {1}


def test_weather_in_words_is_the_weather_in_numbers():
    words = deeds.split_weather(["a", "to", "b", "loss=0.3", "double=0.05", "delay=0.05-0.2"])
    assert words == (
        ["a", "to", "b"],
        deeds.split_weather(["*", "a", "b", "300000", "50000", "0.05", "0.2"])[1],
    )
    assert deeds.split_weather(["a", "fair"]) == (["a"], None)


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
    assert [step.verb for step in short.steps if step.verb != "calm"] in (["signal"], ["signal", "wait"])
    assert len(short.nodes) == 2
