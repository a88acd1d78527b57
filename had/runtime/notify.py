"""Telling systemd, or whoever speaks its protocol, how the daemon is: sd_notify(3) in a few lines.

A service of ``Type=notify`` is up when it says READY=1 to the datagram socket that NOTIFY_SOCKET names.
Nothing here waits, and nothing fails the daemon: what the socket does not take now is offered again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Optional

from had.core.actions import Level
from had.runtime.files import why
from had.runtime.log import Say, printable

ADDRESS = "NOTIFY_SOCKET"
_OTHERS = ("WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
MAX_VALUE = 500
"""Characters; systemd reads 4096 bytes at most."""


def take_address(environment: MutableMapping[str, str]) -> str:
    """Return the socket's address, or an empty string, and remove all that is meant for us alone.

    Hooks and the services that they start inherit the environment: none of them shall say READY=1 or
    STOPPING=1 for had, or take had's watchdog for its own.
    """
    for name in _OTHERS:
        environment.pop(name, None)
    return environment.pop(ADDRESS, "")


class Notify:
    """The other end of the protocol; without an address it does nothing.

    Worker and guard have each a copy, so it keeps no socket open: every message is small and rare.
    """

    def __init__(self, address: str, say: Say) -> None:
        """``address``: a path, or with ``@`` in front a name in the abstract namespace."""
        self._say = say
        self._address: Optional[bytes] = None
        self._told: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._failure = ""
        if address.startswith("@"):
            self._address = b"\0" + os.fsencode(address[1:])
        elif address.startswith("/"):
            self._address = os.fsencode(address)
        elif address:
            say(Level.WARNING, f"{ADDRESS} {printable(address)} is neither a path nor begins with @: ignored")

    @property
    def is_wanted(self) -> bool:
        """Whether there is somebody to tell."""
        return self._address is not None

    @property
    def is_waiting(self) -> bool:
        """Whether something could not be told yet."""
        return self._address is not None and bool(self._waiting)

    def tell(self, **values: str) -> None:
        """Tell what has changed: ``tell(READY="1", STATUS="alpha STANDBY: ...")``."""
        if self._address is None:
            return
        for name, value in values.items():
            text = printable(value)[:MAX_VALUE]
            if self._told.get(name) != text:
                self._told[name] = self._waiting[name] = text
        self.retry()

    def retry(self) -> None:
        """Offer again what could not be told; costs nothing if there is nothing."""
        if self._address is None or not self._waiting:
            return
        text = "\n".join(f"{name}={value}" for name, value in self._waiting.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as end:
                end.sendto(text.encode("utf-8", "backslashreplace"), self._address)
        except BlockingIOError:
            return  # its queue is full
        except OSError as error:
            if self._failure != why(error):
                self._failure = why(error)
                self._say(Level.WARNING, f"{ADDRESS}: systemd cannot be told how had is: {self._failure}")
            return
        self._waiting.clear()
