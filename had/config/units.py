"""Durations, names and numbers as people write them, and how they are shown again.

Nothing here knows of files or flags; both had.conf and the command line are read with it.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
"""Names of nodes, clusters and instances; 32 is what the old wire format holds (COMPAT §2)."""

_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?\s*([a-zA-Z]*)")
_SHOWN_LENGTH = 60


class UnfitError(ValueError):
    """A value that makes no sense; the text says why, without naming where the value stood."""


def parse_duration(text: str, *, bare_seconds: bool = False) -> int:
    """Read ``250ms``, ``2s``, ``1.5s``, ``3m`` or ``1h`` as nanoseconds.

    A bare number is seconds where ``bare_seconds`` says so, which only the command line does.  Raises
    UnfitError.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise UnfitError("is not a duration")
    whole, fraction, unit = found.group(1), found.group(2) or "", found.group(3)
    if not unit:
        if not bare_seconds:
            raise UnfitError("needs a unit: ms, s, m or h")
        unit = "s"
    if unit not in _UNITS_NS:
        raise UnfitError(f"has the unit {unit!r}, which is none of ms, s, m and h")
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * _UNITS_NS[unit] // scale


def show_duration(duration_ns: int) -> str:
    """Write a duration so that it is read at a glance, and so that :func:`parse_duration` reads it."""
    for unit in ("h", "m", "s", "ms"):
        if duration_ns and duration_ns % _UNITS_NS[unit] == 0:
            # 119 m or 59 s are read at a glance, 1500 ms less so than 1.5 s.
            if unit == "ms" and duration_ns > _UNITS_NS["s"]:
                break
            return f"{duration_ns // _UNITS_NS[unit]}{unit}"
    unit = "s" if duration_ns >= _UNITS_NS["s"] or not duration_ns else "ms"
    whole, rest = divmod(duration_ns, _UNITS_NS[unit])
    digits = len(str(_UNITS_NS[unit])) - 1
    fraction = f"{rest:0{digits}}".rstrip("0")
    return f"{whole}.{fraction}{unit}" if fraction else f"{whole}{unit}"


def parse_whole(text: str, low: int, high: int) -> int:
    """Read a whole decimal number within these bounds.  Raises UnfitError."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UnfitError("is not a whole number" if not re.fullmatch(r"[0-9]+", text) else "is too large")
    number = int(text)
    if not low <= number <= high:
        raise UnfitError("is too small" if number < low else "is too large")
    return number


def parse_duration_within(text: str, low: str, high: str, *, bare_seconds: bool = False) -> int:
    """As :func:`parse_duration`, and within these bounds.  Raises UnfitError."""
    duration_ns = parse_duration(text, bare_seconds=bare_seconds)
    if duration_ns < parse_duration(low):
        raise UnfitError("is too short")
    if duration_ns > parse_duration(high):
        raise UnfitError("is too long")
    return duration_ns


def parse_name(text: str) -> str:
    """Check a name of a node, cluster or instance.  Raises UnfitError."""
    if not text:
        raise UnfitError("is empty")
    if len(text) > 32:
        raise UnfitError(f"has {len(text)} characters")
    strange = re.search(r"[^A-Za-z0-9_-]", text)
    if strange:
        raise UnfitError(f"has the character {strange.group()!a}")
    return text


def shown(text: str) -> str:
    """Make a user's text fit for a message: bounded, and nothing in it that steers a terminal."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= _SHOWN_LENGTH else safe[: _SHOWN_LENGTH - 3] + "..."
