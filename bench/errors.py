"""What can go wrong in a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """One measurement can't be made, or one of its runs failed; a line for a person.  Others go on."""
