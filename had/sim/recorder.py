"""The real :class:`had.runtime.record.Recorder` with a writer of this world.

The writer takes its time for each call that the real one makes (:func:`had.sim.disk.trace`), outlives its
worker, waits for the lock on the directory, and gives up there if its worker has died.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Optional

from had.core.actions import Level
from had.runtime import record
from had.sim import durable
from had.sim.clockwork import MS
from had.sim.disk import DIRECTORY, Call, trace

if TYPE_CHECKING:
    from had.sim.worker import Worker

_SYNCS = ("sync", "sync-directory")


class Recorder(record.Recorder):
    """Writes to the simulated disk."""

    def __init__(self, worker: Worker, known: record.Record) -> None:
        self._worker = worker
        self._status: Optional[int] = None
        self._calls: list[Call] = []
        super().__init__(DIRECTORY, self._tell, known)

    def _tell(self, level: Level, text: str) -> None:
        self._worker.log(level, text)

    def _start_writer(self, wish: record.Wish) -> None:
        machine = self._worker.machine
        self._status = None
        machine.world.queue.later(MS, self._take_lock, wish, machine.boots)

    def _writer_status(self) -> Optional[int]:
        return self._status

    def _take_lock(self, wish: record.Wish, boot: int) -> None:
        """Wait for the lock; then write, unless our worker has died meanwhile."""
        machine = self._worker.machine
        if machine.boots != boot or not machine.powered:
            return
        if machine.record_locked:
            machine.world.queue.later(5 * MS, self._take_lock, wish, boot)
            return
        if not self._worker.alive:
            return
        machine.record_locked = True
        mood = machine.disk.mood
        fails, number = "", 0
        if mood == "full":
            fails, number = "write", errno.ENOSPC
        elif mood == "read-only":
            fails, number = ("unlink" if wish.epoch is None else "create"), errno.EROFS
        calls, code = trace(wish, machine.boot, fails, number)
        self._step(calls, 0, code, boot)

    def _step(self, calls: list[Call], place: int, code: int, boot: int) -> None:
        """Do one call, and later the next; a sync on a bad disk takes long."""
        machine = self._worker.machine
        queue = machine.world.queue
        if machine.boots != boot or not machine.powered:
            return
        if machine.held:
            queue.later(100 * MS, self._step, calls, place, code, boot)
            return
        if place == len(calls):
            machine.record_locked = False
            self._status = code << 8
            self._worker.child_ended()
            return
        call = calls[place]
        if call.name in _SYNCS and machine.disk.mood == "stuck":
            queue.later(500 * MS, self._step, calls, place, code, boot)
            return
        machine.disk.do(call)
        durable.changed(machine.world.judge, machine, call)
        if machine.fuse is not None and machine.fuse_kind == "power-off":
            machine.fuse -= 1  # between two calls, too, the power may go
            if machine.fuse <= 0:
                machine.blow()
                return
        span_ns = MS // 5
        if call.name in _SYNCS:
            span_ns = (
                machine.dice.low(1, 2500) * MS
                if machine.disk.mood == "slow"
                else machine.dice.whole(1, 8) * MS
            )
        queue.later(span_ns, self._step, calls, place + 1, code, boot)
