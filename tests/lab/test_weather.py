"""Loss, delay, reordering and duplicates between real daemons, by link and direction, and what makes them."""

from __future__ import annotations

import signal
import struct
import time
from collections.abc import Callable

import pytest

from .cluster import Lab, Node
from .waiting import eventually, throughout
from .wire import PORT

pytestmark = pytest.mark.lab
MakeLab = Callable[..., Lab]


class Probe:
    """Numbered datagrams from one node to another on link 1."""

    def __init__(self, lab: Lab) -> None:
        self.first, self.second = lab.nodes
        self.mouths = {node: lab.socket(node, node.address()) for node in lab.nodes}
        self.ears = {node: lab.socket(node, "10.77.1.255") for node in lab.nodes}

    def send(self, count: int, back: bool = False, every: float = 0.002) -> list[tuple[int, float]]:
        """The numbers that got there, in their order, each with the time that it took."""
        speaker, listener = (self.second, self.first) if back else (self.first, self.second)
        ear = self.ears[listener]
        got: list[tuple[int, float]] = []

        def listen() -> None:
            try:
                while True:
                    number, sent = struct.unpack("!Id", ear.recv(100))
                    got.append((number, time.monotonic() - sent))
            except BlockingIOError:
                pass

        listen()
        got.clear()  # what the listener said itself, as the speaker before: a broadcast comes back
        for number in range(count):
            data = struct.pack("!Id", number, time.monotonic())
            self.mouths[speaker].sendto(data, ("10.77.1.255", PORT))
            time.sleep(every)
            listen()
        until = time.monotonic() + 1.5  # more than any frame is kept in these tests
        while time.monotonic() < until and len({number for number, _ in got}) < count:
            time.sleep(0.02)
            listen()
        return got


class Lasting:
    """Asks who alone has run the services for a while, with all nodes knowing it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.since = time.monotonic()
        self.last: Node | None = None

    def runner(self, seconds: float) -> Node | None:
        running = self.lab.running()
        now = running[0] if len(running) == 1 else None
        if now is None or now is not self.last or any(n.state(now) != "Running" for n in self.lab.nodes):
            self.since = time.monotonic()
        self.last = now
        return now if time.monotonic() - self.since > seconds else None


def test_the_switch_makes_the_weather_that_it_is_told(make_lab: MakeLab) -> None:
    lab = make_lab(2, seed=1)
    first, second = lab.nodes
    probe = Probe(lab)
    eventually(lambda: len(probe.send(1)) == 1, "the link is up")

    assert [number for number, _ in probe.send(50)] == list(range(50))
    lab.weather(first, second, loss=0.3)
    got = probe.send(300)
    assert 150 < len(got) < 270
    assert lab.weather_counts(first, second)["lost"] >= 300 - len(got)
    assert len(probe.send(50, back=True)) == 50  # the other direction is another path

    lab.weather(first, second, delay=0.2, jitter=0.05)
    got = probe.send(50)
    assert sorted(number for number, _ in got) == list(range(50))
    assert min(took for _, took in got) >= 0.15
    assert [number for number, _ in got] != list(range(50))  # more jitter than time between two

    lab.weather(first, second, reorder=0.2)
    got = probe.send(100)
    numbers = [number for number, _ in got]
    assert sorted(numbers) == list(range(100))
    assert sum(later < earlier for earlier, later in zip(numbers, numbers[1:])) > 5

    lab.weather(first, second, duplicate=0.3)
    numbers = [number for number, _ in probe.send(100)]
    assert sorted(set(numbers)) == list(range(100))
    assert 110 < len(numbers) < 150
    lab.cut(first)
    assert probe.send(1) == []
    lab.heal()
    lab.clear_up()
    assert [number for number, _ in probe.send(50)] == list(range(50))


def test_a_loss_of_30_percent_one_way_moves_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2, seed=2)
    first, second = lab.start()
    lab.weather(first, second, loss=0.3)
    # nothing happens, for three dead times; ten in a row are lost once in 20,000 hours of this
    throughout(lambda: lab.running() == [first] and second.state(first) == "Running", "nothing moves", 3)
    counts = lab.weather_counts(first, second)
    assert counts["lost"] > 5
    assert counts["passed"] > counts["lost"]
    first.send(signal.SIGHUP)
    second.wait("Running")
    first.wait("Standby")


def test_duplicates_and_reordering_on_two_links_change_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2, seed=3)
    first, second = lab.start()
    for speaker, listener in ((first, second), (second, first)):
        lab.weather(speaker, listener, 1, reorder=0.3, duplicate=0.5)
        lab.weather(speaker, listener, 2, reorder=0.3, duplicate=0.5, delay=0.05, jitter=0.05)
    moves = [node.moves() for node in lab.nodes]
    # nothing happens, for two dead times
    throughout(lambda: [node.moves() for node in lab.nodes] == moves, "nothing moves", 2)
    assert first.states() == second.states() == {"n1": "Running", "n2": "Standby"}
    # and a move is one move
    first.send(signal.SIGHUP)
    second.wait("Running")
    first.wait("Standby")
    throughout(lambda: lab.running() == [second], "it stays there", 1)
    assert [node.moves() for node in lab.nodes] == [[*moves[0], "stophasrv"], [*moves[1], "starthasrv"]]
    for link in lab.links:
        counts = lab.weather_counts(first, second, link)
        assert counts["overtaken"] > 5
        assert counts["duplicated"] > 5


def test_a_late_running_on_the_slow_link_stops_nobody(make_lab: MakeLab) -> None:
    lab = make_lab(2, links=2, seed=4)
    first, second = lab.start()
    for speaker, listener in ((first, second), (second, first)):
        lab.weather(speaker, listener, 2, delay=0.7)  # less than the dead time
    # the link is silent until the first late one comes; from then on it keeps pace again (H5)
    throughout(lambda: lab.running() == [first], "nothing moves", 1.5)
    moves = [node.moves() for node in lab.nodes]
    # Both ways, so that the later in order has been the new one once, and the earlier once (T2, T3).
    for old, new in ((first, second), (second, first)):
        old.send(signal.SIGHUP)
        new.wait("Running")
        old.wait("Standby")
        # what the old one said on the slow link while it ran is waited for, and changes nothing
        throughout(lambda new=new: lab.running() == [new], "the services stay", 1.5)
    assert [node.moves() for node in lab.nodes] == [
        [*moves[0], "stophasrv", "starthasrv"],
        [*moves[1], "starthasrv", "stophasrv"],
    ]


def test_a_delay_above_the_dead_time_is_a_silence_once(make_lab: MakeLab) -> None:
    lab = make_lab(2, seed=5)
    lab.allow("overlap", because="for longer than the dead time no heartbeat gets through (promise 1)")
    first, second = lab.start(dead="800ms")
    for speaker, listener in ((first, second), (second, first)):
        lab.weather(speaker, listener, delay=1.2)
    # Until the first late one comes there is silence, so the standby takes over (H1).  Then the one hears
    # a start (T2) and the other that it is not alone (T3): both may stop, and one starts again.
    second.wait("Running")
    lasts = Lasting(lab)
    running = eventually(lambda: lasts.runner(2.5), "one runs, longer than the delay", 40)
    # They hear each other again, only late: nothing more happens, also not when it clears up.
    moves = [node.moves() for node in lab.nodes]
    lab.clear_up()
    throughout(lambda: lab.running() == [running], "the services stay", 2)
    assert [node.moves() for node in lab.nodes] == moves
    other = second if running is first else first
    assert first.states() == second.states() == {running.name: "Running", other.name: "Standby"}
