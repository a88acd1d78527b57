"""Waiting for what must come, and watching that nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
GENEROUS = 20.0
"""Seconds that a test waits for what must come; two slow cores may be busy with other things."""


class LateError(AssertionError):
    """What was waited for did not come."""


def eventually(condition: Callable[[], T], what: str, timeout: float = GENEROUS) -> T:
    """Poll until `condition` gives something true, and return that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LateError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def throughout(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Watch that `condition` holds for a window of time: the only way to see that nothing happens."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            raise AssertionError(f"no longer: {what}")
        time.sleep(0.02)
