"""When the worker collects its garbage: never in the middle of a step, and not for nothing.

Reference counts free nearly all that a turn makes.  A collection of the rest takes a millisecond, more with
hundreds of peers, and left to the interpreter it comes at any allocation.
"""

from __future__ import annotations

import gc
from typing import Callable

GARBAGE, GARBAGE_MAX = 2_000, 50_000
"""So many objects more than at the last collection are worth one in a quiet moment, or in any."""
QUIET_S = 0.004
"""Nothing is due for longer than a collection takes: half of the shortest heartbeat."""


def collect_between_turns() -> None:
    """Keep the interpreter from collecting by itself."""
    gc.disable()


def collect(quiet_s: Callable[[], float]) -> None:
    """Collect if it is time; ``quiet_s`` is asked how long nothing is due."""
    made = gc.get_count()[0]
    if made > GARBAGE and (made > GARBAGE_MAX or quiet_s() > QUIET_S):
        gc.collect()
