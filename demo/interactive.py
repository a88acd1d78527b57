"""The demo with a person at the keys."""

from __future__ import annotations

import contextlib
import sys
import termios
import time
import tty
from collections.abc import Iterator

from demo.acts import Play
from demo.cluster import Node

_KEPT_NS = 10_000_000_000
KEYS = (
    "c  crash the node that runs the service    b  bring a crashed node back",
    "h  hand over: SIGHUP to the active node    u  take over: SIGUSR1 to the next one",
    "w  kill the active node's worker           q  quit",
)


@contextlib.contextmanager
def single_keys() -> Iterator[None]:
    """Let keys arrive without Enter and unseen, where standard input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    tty.setcbreak(0)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def play_by_keys(play: Play) -> None:
    """Do what the person wants, until ``q``."""
    stage = play.stage
    for line in KEYS:
        stage.screen.plain(line)
    with single_keys():
        stage.listen_to_keys()
        play.start_all()
        while True:
            stage.pump(0.05)
            if play.current is None:
                stage.answers.forget(time.monotonic_ns() - _KEPT_NS)
            elif play.over():
                play.end()
            key = stage.key()
            if key == "q":
                play.end()
                return
            if key.strip():
                _obey(play, key)


def _obey(play: Play, key: str) -> None:
    """Do what a key means, if it can be done now; what was going on is measured as it is."""
    stage = play.stage
    active = stage.active()
    if key == "b":
        down = [node for node in stage.cluster.nodes if node.guard() is None]
        if down:
            play.end()
            play.bring_back(down[0])
        else:
            stage.screen.say("(no node is down)")
    elif key == "u":
        others = stage.standby()
        if others:
            play.end()
            play.take_over(_next_after(active, others))
        else:
            stage.screen.say("(no node stands by)")
    elif key in "chw":
        if active is None:
            stage.screen.say("(no node runs the service)")
            return
        play.end()
        {"c": play.crash, "h": play.hand_over, "w": play.kill_worker}[key](active)
    else:
        stage.screen.say("(the keys are c b h u w q)")


def _next_after(active: Node | None, others: list[Node]) -> Node:
    """Return the one that comes after the active node, in a circle."""
    later = [node for node in others if active is not None and node.name > active.name]
    return (later or others)[0]
