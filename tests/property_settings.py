"""How many examples the property tests play: few by default, as many times more as EXAMPLES says.

``EXAMPLES=20 .venv/bin/python -m pytest tests/core/test_properties.py`` plays twenty times as many, and other
ones each time; without it they are always the same, so that no change fails for what was there before.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("EXAMPLES", "1"))


def examples(number: int, **other: object) -> settings:
    """Settings of a property test."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        **other,
    )
