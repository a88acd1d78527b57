"""The clock that decides (rule H1)."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Return nanoseconds of CLOCK_BOOTTIME or CLOCK_MONOTONIC, whichever has gone further.

    Boot time goes on while the machine is suspended, so a node that slept knows it.  Neither is ever set
    by a person, and both are the same in all processes of the machine, so a replaced worker can go on.
    """
    return max(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns())
