"""The times that decide who is alive, and whether they go together."""

from __future__ import annotations

import dataclasses
from typing import Callable

from had.config.units import show_duration
from had.config.values import Setting
from had.core.settings import SECOND

Contradiction = Callable[[str, Setting, Setting], None]
"""Called with what is wrong and the two settings that contradict each other."""


@dataclasses.dataclass(frozen=True)
class Timers:
    """The times as given; what is not given has its default, or none where that depends on others."""

    heartbeat: Setting
    warn: Setting
    dead: Setting
    startup: Setting
    startup_quorum: Setting
    monitor_interval: Setting
    is_file_read: bool

    def check(self, contradiction: Contradiction) -> None:
        """Tell every contradiction in which something was given; defaults are never complained about."""
        heartbeat, dead = self.heartbeat, self.dead
        if _less(dead, heartbeat, 2):
            least = show_duration(2 * heartbeat.value)
            contradiction(f"{dead} is less than two heartbeats, {least}", dead, heartbeat)
        if _less(self.warn, heartbeat):
            contradiction(f"{self.warn} is shorter than {heartbeat}", self.warn, heartbeat)
        if _less(dead, self.warn):
            contradiction(f"{self.warn} is longer than {dead}: it would never be seen", self.warn, dead)
        if self.startup.is_given and _less(self.startup, dead):
            text = (
                f"{self.startup} is shorter than {dead}: a node could start beside one that it did not hear"
            )
            contradiction(text, self.startup, dead)
        quorum = self.startup_quorum
        if _less(self.startup, quorum):
            contradiction(
                f"{quorum} is longer than {self.startup}: it would never be used", quorum, self.startup
            )
        if _less(quorum, heartbeat, 2):
            least = show_duration(2 * heartbeat.value)
            contradiction(f"{quorum} is less than two heartbeats, {least}", quorum, heartbeat)

    def in_ns(self) -> dict[str, int]:
        """Return the fields of had.core.settings.Settings, with the defaults that depend on others."""
        heartbeat_ns, dead_ns = self.heartbeat.value, self.dead.value
        startup_ns = self.startup.value
        # With old flags alone a start takes as long as it always did (rule S1).
        quorum_ns = min(2 * dead_ns, startup_ns) if self.is_file_read else startup_ns
        return {
            "heartbeat_ns": heartbeat_ns,
            "dead_ns": dead_ns,
            "warn_ns": self.warn.value or max(dead_ns // 2, heartbeat_ns),
            "startup_ns": startup_ns,
            "startup_quorum_ns": self.startup_quorum.value or quorum_ns,
            "monitor_interval_ns": self.monitor_interval.value or max(heartbeat_ns, SECOND),
        }


def _less(one: Setting, other: Setting, times: int = 1) -> bool:
    return bool(one.value is not None and other.value is not None and one.value < times * other.value)
