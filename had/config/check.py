"""What a value of had.conf may be: one function for each kind of key, and ConfigObj's check with them.

The functions take the text (or, for a list, the texts) that ConfigObj read and return the value, or
raise UnfitError with a reason that fits behind "NAME = VALUE".
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Union

from had.config import units
from had.config.keys import Key
from had.config.units import UnfitError

if TYPE_CHECKING:
    import ipaddress

Text = Union[str, Sequence[str]]


def _one(value: Text) -> str:
    if not isinstance(value, str):
        raise UnfitError("is a list, where one value is wanted")
    if not value:
        raise UnfitError("is empty")
    return value


def _list(value: Text) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    if not all(texts):
        raise UnfitError("has an empty item")
    return texts


def duration(value: Text, low: str, high: str) -> int:
    """Return nanoseconds.  In the file a unit is required: there nobody can guess that 5 is seconds."""
    return units.parse_duration_within(_one(value), low, high)


def whole(value: Text, low: str, high: str) -> int:
    """Return a number."""
    return units.parse_whole(_one(value), int(low), int(high))


def choice(value: Text, *choices: str) -> str:
    """Return one of some words."""
    if _one(value) not in choices:
        raise UnfitError("is unknown")
    return str(value)


def yesno(value: Text, *_: str) -> bool:
    """Return a truth value; the words that ConfigObj takes for one are taken as well."""
    word = _one(value).lower()
    if word not in ("yes", "true", "on", "1", "no", "false", "off", "0"):
        raise UnfitError("is neither")
    return word in ("yes", "true", "on", "1")


def name(value: Text) -> str:
    """Return a name of a node, cluster or instance."""
    return units.parse_name(_one(value))


def names(value: Text) -> tuple[str, ...]:
    """Return names of nodes, which must differ by more than case (rule E2 could not order them)."""
    known: dict[str, str] = {}
    for text in _list(value):
        try:
            units.parse_name(text)
        except UnfitError as problem:
            raise UnfitError(f"has the name {units.shown(text)!r}, which {problem}") from None
        other = known.setdefault(text.lower(), text)
        if other != text:
            raise UnfitError(f"has {other} and {text}, which differ only in case")
    if len(known) < len(_list(value)):
        raise UnfitError("has a name twice")
    return tuple(known.values())


def nodes(value: Text, low: str, high: str) -> Union[int, tuple[str, ...]]:
    """Return the number of nodes, or all their names."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        return units.parse_whole(value, int(low), int(high))
    found = names(value)
    if len(found) > int(high):
        raise UnfitError(f"has {len(found)} names")
    return found


def directory(value: Text) -> str:
    """Return a path as it was written; relative ones are resolved later."""
    path = _one(value)
    if path.startswith("~"):
        raise UnfitError("begins with ~, which only a shell understands")
    if "\n" in path:
        raise UnfitError("goes over several lines")
    return path


def file(value: Text) -> str:
    """Return a path as it was written; relative ones are resolved later."""
    path = directory(value)
    if path.endswith("/") or os.path.basename(path) in (".", ".."):
        raise UnfitError("is a directory's path")
    return path


def log(value: Text) -> str:
    """Return ``syslog``, ``stderr`` or an absolute path."""
    if _one(value) in ("syslog", "stderr"):
        return str(value)
    path = file(value)
    if not path.startswith("/"):
        raise UnfitError("is none of these")
    return path


def address(value: Text) -> str:
    """Return an address that a machine can have, in its usual form."""
    return str(_host_address(_one(value)))


def ipv4(value: Text) -> str:
    """Return an IPv4 address to broadcast to."""
    found = _host_address(_one(value), broadcast=True)
    if found.version != 4:
        raise UnfitError("is an IPv6 address, and IPv6 has no broadcast")
    return str(found)


def group(value: Text) -> str:
    """Return a multicast address."""
    found = _address(_one(value))
    if not found.is_multicast:
        raise UnfitError("is not a multicast address")
    return str(found)


def peers(value: Text) -> tuple[str, ...]:
    """Return addresses of one family, each once."""
    found = []
    for text in _list(value):
        try:
            found.append(_host_address(text))
        except UnfitError as problem:
            raise UnfitError(f"has {units.shown(text)}, which {problem}") from None
        if found.count(found[-1]) > 1:
            raise UnfitError(f"has {found[-1]} twice")
    if len({one.version for one in found}) > 1:
        raise UnfitError("has both IPv4 and IPv6 addresses; make two links of it")
    return tuple(map(str, found))


def network(value: Text) -> str:
    """Return a network in its usual form."""
    # Imported here and below because the daemon keeps what it imports and seldom needs this.
    import ipaddress  # noqa: PLC0415

    text = _one(value)
    if "/" not in text or "%" in text:
        raise UnfitError("is not an address, a slash and a length")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise UnfitError("is not a network") from None
    found = interface.network
    if str(interface.ip) != str(found.network_address):
        raise UnfitError(f"is an address in the network {found}")
    if found.is_multicast or found.prefixlen == 0 or (found.version == 6 and found.is_link_local):
        raise UnfitError("is not a network that one interface has alone; give interface = instead")
    return str(found)


def interface(value: Text) -> str:
    """Return the name of an interface."""
    text = _one(value)
    if len(text.encode()) > 15 or text in (".", "..") or re.search(r"[\s/:]", text):
        raise UnfitError("can't be an interface's name")
    return text


def _address(text: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
    import ipaddress  # noqa: PLC0415

    if "%" in text:
        raise UnfitError("has a scope; leave it out and give interface =")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UnfitError("is not an address") from None


def _host_address(
    text: str, *, broadcast: bool = False
) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
    found = _address(text)
    if found.is_multicast:
        raise UnfitError("is a multicast address")
    if found.is_unspecified or (not broadcast and str(found) == "255.255.255.255"):
        raise UnfitError("is no address that a machine can have")
    if found.version == 6 and found.ipv4_mapped:
        raise UnfitError("is an IPv4 address in IPv6's clothes; write the IPv4 address")
    return found


_CHECKS: dict[str, Callable[..., object]] = {
    check.__name__: check
    for check in (
        *(duration, whole, choice, yesno, name, names, nodes, directory, file, log),
        *(address, ipv4, group, peers, network, interface),
    )
}


def default_of(key: Key) -> Any:
    """Return what a key has that is not given; None where that depends on other settings."""
    arguments = [argument for argument in (key.low, key.high, *key.choices) if argument]
    return _CHECKS[key.kind](key.default, *arguments) if key.default else None


def validate(lines: Sequence[str], spec: Sequence[str]) -> tuple[Any, dict[tuple[str, ...], str]]:
    """Read sound lines with ConfigObj and check them against a configspec.

    Returns the ConfigObj with values in place of texts and defaults filled in, and for each value that is
    unfit, by its sections and key, the reason.
    """
    import configobj  # noqa: PLC0415

    try:
        from configobj import validate as validating  # noqa: PLC0415
    except ImportError:  # pragma: no cover  # before 5.0.9
        import validate as validating  # noqa: PLC0415

    def checked(check: Callable[..., object]) -> Callable[..., object]:
        def run(value: Text, *arguments: str) -> object:
            try:
                return check(value, *arguments)
            except UnfitError as problem:
                raise validating.ValidateError(str(problem)) from problem

        return run

    configspec = configobj.ConfigObj(list(spec), interpolation=False, list_values=False, _inspec=True)
    read = configobj.ConfigObj(list(lines), interpolation=False, list_values=True, configspec=configspec)
    validator = validating.Validator({kind: checked(check) for kind, check in _CHECKS.items()})
    results = read.validate(validator, preserve_errors=True)
    problems: dict[tuple[str, ...], str] = {}
    if isinstance(results, dict):
        _collect(results, (), problems)
    return read, problems


def _collect(results: dict[str, Any], path: tuple[str, ...], problems: dict[tuple[str, ...], str]) -> None:
    for key, result in results.items():
        where = (*path, key)
        if isinstance(result, dict):
            _collect(result, where, problems)
        elif result is not True:
            problems[where] = str(result)
