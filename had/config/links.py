"""Links, from the command line or from the file's ``[links]``."""

from __future__ import annotations

from typing import Any, Callable, Optional

from had.config.document import LinkSection
from had.config.keys import BY_PLACE, LINKS
from had.config.options import Options
from had.config.settings import LinkConfig
from had.config.values import Setting, of_link

Complain = Callable[[int, str], None]

_LOCATORS = ("address", "interface", "network")
_ONLY_FOR = {"broadcast": "broadcast", "group": "multicast", "peers": "unicast"}


def from_flags(options: Options) -> tuple[LinkConfig, ...]:
    """Make the links that the old flags describe: broadcast links, by address.

    Without a broadcast address it is the own one with 255 as its last number, whatever the netmask: that
    is what the old daemon took (COMPAT §3).  A broadcast address without an own one is ignored.
    """
    port = options.port or int(BY_PLACE[LINKS, "port"].default)
    links = []
    for number, (address, broadcast) in enumerate(zip(options.addresses, options.broadcasts), 1):
        if address is not None:
            if broadcast is None:
                broadcast = address.rpartition(".")[0] + ".255"  # noqa: PLW2901
            links.append(LinkConfig(f"link{number}", "broadcast", port, address=address, broadcast=broadcast))
    return tuple(links)


def from_section(
    section: LinkSection, settings: dict[str, Setting], port: Optional[int], complain: Complain
) -> Optional[LinkConfig]:
    """Make a link of the file; None if it can't be made.  ``port`` is the command line's, which wins."""
    wanted = {name: of_link(settings, name) for section_, name in BY_PLACE if section_ == LINKS}
    if any(setting.is_unfit for setting in wanted.values()):
        return None
    checker = _Checker(section, wanted, complain)
    checker.check()
    if checker.failed:
        return None
    given: dict[str, Any] = {name: setting.value for name, setting in wanted.items() if setting.value}
    given["port"] = port or given["port"]
    return LinkConfig(section.name, **given)


class _Checker:
    """Checks that the keys of one link go together."""

    def __init__(self, section: LinkSection, wanted: dict[str, Setting], complain: Complain) -> None:
        self._section = section
        self._wanted = wanted
        self._tell = complain
        self.failed = False

    def _complain(self, text: str, setting: Optional[Setting] = None) -> None:
        self.failed = True
        line = setting.line if setting and setting.line else self._section.line
        self._tell(line, f"link {self._section.name}: {text}")

    def check(self) -> None:
        kind = self._wanted["kind"].value
        for name, only in _ONLY_FOR.items():
            if self._wanted[name].is_given and only != kind:
                self._complain(f"{name} is only for kind = {only}, and this is {kind}", self._wanted[name])
        located = [self._wanted[name] for name in _LOCATORS if self._wanted[name].is_given]
        if len(located) > 1:
            both = " and ".join(f"{setting.name} (line {setting.line})" for setting in located)
            self._complain(f"give one of address, interface and network, not {both}", located[1])
        elif not located and kind != "unicast":
            self._complain("needs one of address, interface and network, to find where it is on this machine")
        if self._is_link_local("address"):
            address = self._wanted["address"]
            self._complain(f"{address} is link-local; give interface = instead", address)
        {"broadcast": self._broadcast, "multicast": self._multicast, "unicast": self._unicast}[kind]()

    def _version(self, name: str) -> int:
        """4 or 6; 0 where nothing tells."""
        value = self._wanted[name].value
        if not value or name == "interface":
            return 0
        return 6 if ":" in (value if isinstance(value, str) else value[0]) else 4

    def _is_link_local(self, name: str) -> bool:
        import ipaddress  # noqa: PLC0415  # the daemon would keep it for nothing

        value = self._wanted[name].value or ()
        texts = [value] if isinstance(value, str) else value
        addresses = [ipaddress.ip_address(text) for text in texts]
        return any(address.version == 6 and address.is_link_local for address in addresses)

    def _broadcast(self) -> None:
        for name in ("address", "network"):
            if self._version(name) == 6:
                text = "IPv6 has no broadcast; use kind = multicast or unicast"
                self._complain(text, self._wanted[name])
        if not self.failed and self._wanted["network"].value:
            self._broadcast_in_network()

    def _broadcast_in_network(self) -> None:
        import ipaddress  # noqa: PLC0415

        network = ipaddress.IPv4Network(self._wanted["network"].value)
        broadcast = self._wanted["broadcast"]
        if broadcast.value and broadcast.value not in (str(network.broadcast_address), "255.255.255.255"):
            right = f"{network.broadcast_address}, or leave it out"
            self._complain(f"{broadcast} is not that of {self._wanted['network']}: it is {right}", broadcast)
        elif not broadcast.value and network.prefixlen > 30:
            text = f"{self._wanted['network']} is too small to have a broadcast address"
            self._complain(text, self._wanted["network"])

    def _multicast(self) -> None:
        group = self._wanted["group"]
        if not group.value:
            self._complain("kind = multicast needs group =, the address of the group", self._wanted["kind"])
        for name in ("address", "network"):
            if group.value and self._version(name) not in (0, self._version("group")):
                self._complain(f"{group} and {self._wanted[name]} must both be IPv4 or both IPv6", group)

    def _unicast(self) -> None:
        peers = self._wanted["peers"]
        if not peers.value:
            self._complain("kind = unicast needs peers =, the addresses of the nodes", self._wanted["kind"])
            return
        for name in ("address", "network"):
            if self._version(name) not in (0, self._version("peers")):
                self._complain(f"{peers} and {self._wanted[name]} must both be IPv4 or both IPv6", peers)
        if self._is_link_local("peers") and not self._wanted["interface"].value:
            self._complain("link-local peers need interface =", peers)
        if not any(self._wanted[name].value for name in _LOCATORS) and len(peers.value) < 2:
            self._complain(
                "the one address is taken for this machine's own; add the peers', or give address, interface "
                "or network",
                peers,
            )


def check_together(links: tuple[LinkConfig, ...], lines: dict[str, int], complain: Complain) -> None:
    """Complain about two links that are the same, and would only fight for one socket."""
    seen: dict[tuple[object, ...], LinkConfig] = {}
    for link in links:
        # A multicast link listens on the group's address, the others on or beside the own one.
        on = link.group if link.kind == "multicast" else ""
        same: tuple[object, ...] = (link.address, link.interface, link.network, on, link.port)
        if not any((link.address, link.interface, link.network)):
            same = (link.peers, link.port)
        keys = [same]
        if link.broadcast and link.address:
            keys.append(("broadcast", link.broadcast, link.port))
        for key in keys:
            other = seen.setdefault(key, link)
            if other is not link:
                text = f"link {link.name} is the same as link {other.name}: another port or place is needed"
                complain(lines.get(link.name, 0), text)
                break
