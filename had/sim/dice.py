"""Chance, all of it from one seed, and the same on every machine and Python.

Only ``random.Random.random`` is used, whose numbers are promised never to change for a seed; no logarithm
and no other function of the C library, whose last digit may differ.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """A stream of chance.  Two with different labels know nothing of each other, so what one part of the
    simulator draws more or less changes nothing for the others.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int, label: str) -> None:
        digest = hashlib.blake2b(f"{seed} {label}".encode("ascii"), digest_size=8).digest()
        self._random = random.Random(int.from_bytes(digest, "big")).random

    def chance(self, share: float) -> bool:
        return self._random() < share

    def whole(self, least: int, most: int) -> int:
        """Return a number from ``least`` to ``most``, both included."""
        return least + int(self._random() * (most - least + 1))

    def low(self, least: int, most: int) -> int:
        """As :meth:`whole`, but small numbers are more likely."""
        return least + int(self._random() * self._random() * (most - least + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def weighted(self, weights: dict[Item, int]) -> Item:
        """Pick a key by its weight."""
        left = int(self._random() * sum(weights.values()))
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        raise ValueError("no weights")
