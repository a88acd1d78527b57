"""All links of the daemon: they open, send, are heard, fail and come back.

A link is *up* while its interface is up and has carrier, its own address is there, and its sockets are open
(rule H4).  Whether sending works is another matter: a full buffer or a firewall makes no link down, is told
by :meth:`Links.take_notices`, and is tried again.

Nothing here blocks or waits.  What happens on a descriptor is noted or handed on by the callable that is
registered with the selector; all else happens in :meth:`Links.tick`, which is due at :attr:`Links.next_ns`.
"""

from __future__ import annotations

import collections
import functools
import selectors
from collections.abc import Callable, Sequence
from typing import Optional

from had.config.settings import LinkConfig
from had.runtime.linksockets import LinkSockets
from had.runtime.netlink import Interface, Notifications, read_interfaces
from had.runtime.placement import Absent, LinkFatal, Placement, fault_of, place

__all__ = ["LinkFatal", "Links", "Notice"]

MS = 1_000_000
SECOND = 1_000_000_000

READ_LIMIT = 64
"""Datagrams taken from a link in one turn of the loop."""
FIRST_RETRY_NS = 250 * MS
LAST_RETRY_NS = 4 * SECOND
_TABLE_GAP_NS = 50 * MS
"""The table of interfaces is read at most this often: a container host can ring for hours."""
_TABLE_RETRY_NS = 1 * SECOND
_NOTICES_KEPT = 256

Notice = tuple[int, bool, str]
"""(link, whether it is good news, sentence); link -1 stands for all of them."""


class _Link:
    """One configured link and what has become of it."""

    def __init__(self, index: int, config: LinkConfig) -> None:
        self.index = index
        self.config = config
        self.placement: Optional[Placement] = None
        self.sockets: Optional[LinkSockets] = None
        self.up = True
        """As it was told last; to the core all links begin up."""
        self.why = "not opened"
        """Why it is down, if it is."""
        self.retry_ns: Optional[int] = None
        self.backoff_ns = FIRST_RETRY_NS


class Links:
    """The links of one daemon.

    ``arrived(link, datagram, source)`` is called for each datagram, with the source address without scope;
    it is called from within the selector's callables and must only take note.  ``changed(link, up, why)``
    and ``machine_carrier(up)`` are called from :meth:`open` and :meth:`tick`, once per change: ``up`` is
    rule H4's, ``why`` a sentence.  ``machine_carrier`` tells whether any interface but loopback has carrier.
    ``retry_cap_ns`` is the longest time for which a destination that can't be sent to is left alone: about
    a quarter of the dead time.
    """

    def __init__(
        self,
        configs: Sequence[LinkConfig],
        selector: selectors.BaseSelector,
        arrived: Callable[[int, bytes, str], None],
        changed: Callable[[int, bool, str], None],
        machine_carrier: Callable[[bool], None],
        *,
        retry_cap_ns: int = 1 * SECOND,
    ) -> None:
        self._links = [_Link(index, config) for index, config in enumerate(configs)]
        self._selector = selector
        self._arrived = arrived
        self._changed = changed
        self._machine_carrier = machine_carrier
        self._retry_cap_ns = retry_cap_ns
        self._notices: collections.deque[Notice] = collections.deque(maxlen=_NOTICES_KEPT)
        self._notifications: Optional[Notifications] = None
        self._interfaces: tuple[Interface, ...] = ()
        self._carrier: Optional[bool] = None
        self._stale = False
        """The table of interfaces may no longer be true."""
        self._table_from_ns = 0
        """Not to be read again before this."""
        self._table_failed = False

    def plan(self) -> None:
        """Find out where each link would be, without opening anything, for :meth:`describe`.

        Raises LinkFatal like :meth:`open`, but for what only opening shows (an address and port in use).
        """
        self._interfaces = _interfaces_or_fatal()
        for link in self._links:
            try:
                link.placement, interface = place(link.config, self._interfaces, None)
                self._refuse_shared(link, link.placement)
                link.why = fault_of(interface)
                link.up = not link.why
            except Absent as absent:
                link.up, link.why = False, str(absent)
            except LinkFatal as fatal:
                raise _named(link, fatal) from fatal

    def open(self, now_ns: int, *, resumed: bool = False) -> None:
        """Open what can be opened; links that can't work at the moment are told as down and retried.

        Raises LinkFatal, with nothing left open, for what a person must mend: an address and port that
        are in use or forbidden, a wrong broadcast address, two links on the same address and port.  Not if
        ``resumed``: a daemon that has been running must not end by this, so then it is a link that is down.
        Where the interfaces can't be looked at at all (netlink forbidden), it is raised in any case.
        """
        try:
            self._subscribe()
            self._interfaces = _interfaces_or_fatal()
            self._table_from_ns = now_ns + _TABLE_GAP_NS
            for link in self._links:
                link.placement, link.up, link.backoff_ns = None, True, FIRST_RETRY_NS
            self._carrier = None
            for link in self._links:
                self._evaluate(link, now_ns, fatal=not resumed)
        except LinkFatal:
            self.close()
            raise
        self._tell_machine_carrier()

    def close(self) -> None:
        """Close everything, before the selector is closed; :meth:`open` may be called again."""
        for link in self._links:
            self._close(link)
            link.retry_ns = None
        self._stale = False
        if self._notifications is not None:
            self._selector.unregister(self._notifications)
            self._notifications.close()
            self._notifications = None

    def filenos(self) -> list[int]:
        """Return the descriptors, for a child that is forked and doesn't exec: it must close them, else
        they keep the addresses taken.  (:meth:`close` is not for children: they share the selector.)
        """
        found = [fd for link in self._links if link.sockets is not None for fd in link.sockets.filenos()]
        if self._notifications is not None:
            found.append(self._notifications.fileno())
        return found

    def send(self, datagram: bytes, now_ns: int) -> None:
        """Send on every link that is up.  Never blocks, never raises; see :meth:`take_notices`."""
        for link in self._links:
            if link.up and link.sockets is not None:
                link.sockets.send(
                    datagram, now_ns, self._retry_cap_ns, functools.partial(self._note, link.index)
                )

    def take_notices(self) -> list[Notice]:
        """Return and forget what happened that is neither up nor down: sending that began to fail or
        works again, once per destination and change; a link that has moved to another address.
        """
        taken = list(self._notices)
        self._notices.clear()
        return taken

    @property
    def next_ns(self) -> Optional[int]:
        """When :meth:`tick` is due, which may be in the past; None if nothing is to be done."""
        due = [link.retry_ns for link in self._links if link.retry_ns is not None]
        if self._stale:
            due.append(self._table_from_ns)
        return min(due, default=None)

    def tick(self, now_ns: int) -> None:
        """Look again at what rang or is due.  Costs nothing if nothing is.  Never raises."""
        due = self.next_ns
        if due is None or now_ns < due:
            return
        if not self._read_table(now_ns):
            return
        for link in self._links:
            if link.retry_ns is not None and link.retry_ns <= now_ns:
                self._evaluate(link, now_ns, fatal=False)
        self._tell_machine_carrier()

    def discard(self) -> None:
        """Throw away all that waits in the sockets (rule P1).  Takes a bounded time."""
        for link in self._links:
            if link.sockets is not None:
                link.sockets.discard()

    def own_addresses(self) -> frozenset[str]:
        """Return the addresses that our heartbeats come from at the moment, as ``arrived`` shows them."""
        return frozenset(link.placement.own for link in self._links if link.placement is not None)

    @property
    def any_up(self) -> bool:
        """Whether at least one link works now."""
        return any(link.up for link in self._links)

    def describe(self) -> list[str]:
        """Say in one line per link where it is and whether it is up."""
        lines = []
        for link in self._links:
            what = str(link.placement) if link.placement is not None else link.config.kind
            crossover = " (crossover)" if link.config.crossover else ""
            state = "up" if link.up else f"down, {link.why}"
            lines.append(f"link {link.config.name}{crossover}: {what}: {state}")
        return lines

    def _subscribe(self) -> None:
        try:
            self._notifications = Notifications()
        except OSError as error:
            raise LinkFatal(f"cannot watch the network interfaces: {error.strerror}") from error
        self._selector.register(self._notifications, selectors.EVENT_READ, self._rang)

    def _rang(self) -> None:
        if self._notifications is not None and self._notifications.drain():
            self._stale = True

    def _read_table(self, now_ns: int) -> bool:
        """Read the table of interfaces; say whether it could be.  If it is another one, every link is due."""
        try:
            interfaces = read_interfaces()
        except OSError as error:
            self._stale = True
            self._table_from_ns = now_ns + _TABLE_RETRY_NS
            for link in self._links:
                if link.retry_ns is not None:
                    link.retry_ns = max(link.retry_ns, self._table_from_ns)
            if not self._table_failed:
                self._table_failed = True
                self._note(-1, False, f"cannot look at the network interfaces: {error.strerror}")
            return False
        if self._table_failed:
            self._table_failed = False
            self._note(-1, True, "can look at the network interfaces again")
        self._stale = False
        self._table_from_ns = now_ns + _TABLE_GAP_NS
        if interfaces != self._interfaces:
            self._interfaces = interfaces
            for link in self._links:
                link.retry_ns = now_ns
                link.backoff_ns = FIRST_RETRY_NS
                if link.sockets is not None:
                    link.sockets.retry_soon()
        return True

    def _evaluate(self, link: _Link, now_ns: int, *, fatal: bool) -> None:
        """Bring a link to where it belongs now, and tell if that changed anything."""
        link.retry_ns = None
        try:
            self._settle(link)
        except (Absent, LinkFatal) as trouble:
            if fatal and isinstance(trouble, LinkFatal):
                raise _named(link, trouble) from trouble
            link.why = str(trouble)
            link.retry_ns = now_ns + link.backoff_ns
            link.backoff_ns = min(2 * link.backoff_ns, LAST_RETRY_NS)
            if link.up:
                link.up = False
                self._changed(link.index, False, link.why)
            return
        link.backoff_ns = FIRST_RETRY_NS
        if not link.up:
            link.up = True
            self._changed(link.index, True, str(link.placement))

    def _settle(self, link: _Link) -> None:
        """Find the link's place and have its sockets open there.  Raises Absent or LinkFatal for down."""
        former = link.placement
        try:
            placement, interface = place(link.config, self._interfaces, former)
            self._refuse_shared(link, placement)
        except (Absent, LinkFatal):
            self._close(link)
            link.placement = None
            raise
        if link.sockets is not None and link.sockets.placement != placement:
            self._close(link)
            if link.up:
                self._note(link.index, True, f"has moved: {placement}")
        link.placement = placement
        if not interface.up:
            raise Absent(fault_of(interface))
        if link.sockets is None:
            link.sockets = LinkSockets(placement)
            read = functools.partial(
                link.sockets.read, READ_LIMIT, functools.partial(self._arrived, link.index)
            )
            self._selector.register(link.sockets.receiver, selectors.EVENT_READ, read)
        if not interface.carrier:
            # The sockets stay: they are good again as soon as the carrier is.
            raise Absent(fault_of(interface))

    def _refuse_shared(self, link: _Link, placement: Placement) -> None:
        for other in self._links:
            if other is link or other.placement is None:
                continue
            for address, port, _ in sorted(placement.endpoints() & other.placement.endpoints()):
                raise LinkFatal(
                    f"{address} port {port} is already link {other.config.name}'s;"
                    " give each link its own address or port"
                )

    def _close(self, link: _Link) -> None:
        if link.sockets is not None:
            self._selector.unregister(link.sockets.receiver)
            link.sockets.close()
            link.sockets = None

    def _tell_machine_carrier(self) -> None:
        # A link that is on loopback on purpose can't be cut off.
        loopback = {each.index for each in self._interfaces if each.loopback}
        local = any(link.up and link.placement and link.placement.index in loopback for link in self._links)
        carrier = local or any(each.carrier and not each.loopback for each in self._interfaces)
        if carrier != self._carrier:
            self._carrier = carrier
            self._machine_carrier(carrier)

    def _note(self, link: int, good: bool, text: str) -> None:
        self._notices.append((link, good, text))


def _named(link: _Link, fatal: LinkFatal) -> LinkFatal:
    return LinkFatal(f"link {link.config.name}: {fatal}")


def _interfaces_or_fatal() -> tuple[Interface, ...]:
    try:
        return read_interfaces()
    except OSError as error:
        raise LinkFatal(f"cannot look at the network interfaces: {error.strerror}") from error
