"""Statistics of a few samples."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is shown of some samples."""

    count: int
    median: float
    best: float
    worst: float


def summarise(samples: Sequence[float]) -> Optional[Summary]:
    """Small is good in all that is measured here.  None for no samples."""
    if not samples:
        return None
    return Summary(len(samples), statistics.median(samples), min(samples), max(samples))


def ratio(ours: Optional[float], peer: Optional[float]) -> Optional[float]:
    """How many times the peer's figure ours is; None where that says nothing (a figure of 0, or below)."""
    if ours is None or peer is None or ours <= 0 or peer <= 0:
        return None
    return ours / peer


def shown(value: float) -> str:
    """Three significant digits, no exponent: 0.0123, 4.56, 78.9, 1234."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{round(value, digits):.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
