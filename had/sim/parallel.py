"""Work for several processes.

Each process takes the next task as soon as it is done with the last, from a pipe in which the numbers of
all tasks lie.  So nothing is waited for but the last ones, and no thread is needed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Callable, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")
_NUMBER = 4
"""Bytes of a task's number."""


def spread(tasks: Sequence[Task], work: Callable[[Task], Answer], jobs: int) -> Iterator[Answer]:
    """Do all tasks in so many processes, and yield what comes of each, in the order in which they are done.

    With one job it is done here.

    :raises RuntimeError: a process has died, or could not do its task.
    """
    if jobs <= 1:
        yield from map(work, tasks)
        return
    queue, filling = os.pipe()
    selector = selectors.DefaultSelector()
    children = []
    for _ in range(min(jobs, len(tasks))):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.close(filling)
            _work_off(tasks, work, queue, writing)
        os.close(writing)
        children.append(child)
        selector.register(os.fdopen(reading, "rb"), selectors.EVENT_READ)
    os.close(queue)
    try:
        with os.fdopen(filling, "wb") as numbers:
            for number in range(len(tasks)):
                numbers.write(number.to_bytes(_NUMBER, "big"))
        for _ in range(len(tasks)):
            yield _read_one(selector)
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        selector.close()


def _work_off(tasks: Sequence[Task], work: Callable[[Task], Answer], queue: int, writing: int) -> None:
    """Do one task after the other; never returns."""
    code = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            while number := os.read(queue, _NUMBER):
                pickle.dump(work(tasks[int.from_bytes(number, "big")]), pipe)
                pipe.flush()
        code = 0
    finally:
        os._exit(code)


def _read_one(selector: selectors.BaseSelector) -> Answer:  # type: ignore[type-var]
    """Read the next answer of any process."""
    while selector.get_map():
        for key, _ in selector.select():
            pipe: BinaryIO = key.fileobj  # type: ignore[assignment]
            try:
                return pickle.load(pipe)  # type: ignore[no-any-return]  # noqa: S301  # from a process of our own
            except EOFError:
                selector.unregister(pipe)
                pipe.close()
    raise RuntimeError("a process that had work to do has died")
