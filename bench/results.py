"""What was measured."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Optional


@dataclasses.dataclass
class Row:
    """The samples of one quantity of one contender in one setting."""

    measure: str
    """Which table it belongs to."""
    quantity: str
    unit: str
    contender: str
    setting: str
    group: str
    """Only rows of the same measure, quantity and group are compared."""
    samples: list[float]
    is_peer: bool
    note: str = ""

    def key(self) -> tuple[str, str, str]:
        return self.measure, self.quantity, self.group


@dataclasses.dataclass
class Results:
    """All rows, and what could not be measured."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def best_peer(self, row: Row) -> Optional[Row]:
        """Return the peer's row with the smallest median among those that this one is compared with."""
        peers = [each for each in self.rows if each.key() == row.key() and each.is_peer and each.samples]
        return min(peers, key=lambda each: statistics.median(each.samples), default=None)
