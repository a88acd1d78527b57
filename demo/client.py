"""The one who needs the service: asks it again and again, each time over a new connection.

usage: client.py ADDRESS PORT RATE TIMEOUT_MS

Prints a line for each request as it ends: when it was asked and when it ended (nanoseconds of the monotonic
clock), and the node and process that answered, or ``- 0``.  Requests don't wait for each other, so one that
hangs doesn't hide the others.  Ends when nobody reads what it prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time

BEHIND = 0.5
"""Seconds; what could not be asked for longer, because this process was kept from running, is left out."""


async def fetch(address: str, port: int) -> str:
    """Ask once; returns what came: ``NODE PROCESS``.

    :raises OSError, ValueError: no answer, or not a good one.
    """
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, blank, body = answer.decode("latin-1").partition("\r\n\r\n")
    if not blank or head.split(" ", 2)[1:2] != ["200"]:
        raise ValueError("not a good answer")
    node, process = body.split()
    return f"{node} {int(process)}"


async def ask(address: str, port: int, timeout: float) -> None:
    """Ask once and print what came of it."""
    asked_ns = time.monotonic_ns()
    said = "- 0"
    with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError):
        said = await asyncio.wait_for(fetch(address, port), timeout)
    try:
        os.write(1, f"{asked_ns} {time.monotonic_ns()} {said}\n".encode("ascii"))
    except BrokenPipeError:
        os._exit(0)


async def main(address: str, port: int, rate: int, timeout: float) -> None:
    """Ask for ever."""
    loop = asyncio.get_running_loop()
    asking: set[asyncio.Task[None]] = set()
    turn = loop.time()
    while True:
        task = asyncio.ensure_future(ask(address, port, timeout))
        asking.add(task)
        task.add_done_callback(asking.discard)
        turn = max(turn + 1 / rate, loop.time() - BEHIND)
        await asyncio.sleep(turn - loop.time())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) / 1000))
