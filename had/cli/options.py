"""The command line: every flag of the old daemon with its old meaning, and the new ones (COMPAT §1).

What is given here is only read and checked by itself; how it goes together with had.conf is decided in
:mod:`had.config.load`.  Unlike the old daemon, which read nonsense as 0, a number or address that makes
no sense is refused.
"""

from __future__ import annotations

import getopt
import os.path
import socket
from collections.abc import Sequence
from typing import Callable

from had.config.keys import BY_PLACE, CONFIG_FILE, HOOKS, LINKS, TOP
from had.config.options import Options
from had.config.units import UnfitError, parse_duration_within, parse_name, parse_whole, shown

_SHORT = "a:b:c:A:B:C:l:mn:p:s:M:T:hF:fN:I:"
_LONG = ["config=", "check", "version", "help"]
_VERBS = frozenset(("start", "stop", "restart", "reload", "status"))
"""Words that must not start a daemon, though other words that are no flags are ignored."""
_OWN_ADDRESS_FLAGS = ("-a", "-b", "-c")
_BROADCAST_FLAGS = ("-A", "-B", "-C")

__all__ = ["Options", "UsageError", "parse", "usage"]


class UsageError(Exception):
    """The command line makes no sense.  ``str()`` has one line for each bad flag; exit code 1."""

    def __init__(self, complaints: Sequence[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(complaints))


def parse(argv: Sequence[str]) -> Options:
    """Read the words after the program's name.

    Later flags win; words that are no flags are ignored with a warning.  With ``-h`` or ``--version``
    nothing else is looked at.  Raises UsageError, which names every bad flag.
    """
    pairs, words, complaints = _split(argv)
    given = {_SAME.get(flag, flag): argument for flag, argument in pairs}
    if not complaints and ("-h" in given or "--version" in given):
        return Options(help="-h" in given, version="--version" in given)
    complaints += [
        f"{word!r} is for the initscript; this is the daemon itself, which signals control (see -h)"
        for word in words
        if word in _VERBS
    ]
    warnings = [f"{shown(word)!r} is not a flag; it is ignored" for word in words]
    values: dict[str, object] = {}
    for flag, read in _ARGUMENTS.items():
        if flag in given:
            try:
                values[flag] = read(given[flag])
            except UnfitError as problem:
                complaints.append(f"{flag} {shown(given[flag]) or repr('')} {problem}; {_ALLOWED[flag]}")
            else:
                warnings += _oddities(flag, given[flag], values[flag])
    for own, broadcast in zip(_OWN_ADDRESS_FLAGS, _BROADCAST_FLAGS):
        if broadcast in given and own not in given:
            warnings.append(f"{broadcast} is ignored: its link has no own address ({own})")
    if complaints:
        raise UsageError(complaints)
    fields = {name: values.get(flag) for flag, name in _FIELDS.items()}
    return Options(
        addresses=tuple(values.get(flag) for flag in _OWN_ADDRESS_FLAGS),  # type: ignore[misc]
        broadcasts=tuple(values.get(flag) for flag in _BROADCAST_FLAGS),  # type: ignore[misc]
        force_main="-m" in given,
        foreground="-f" in given,
        check="--check" in given,
        warnings=tuple(warnings),
        **fields,  # type: ignore[arg-type]
    )


def _split(argv: Sequence[str]) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Split into flags with their arguments, words that are no flags, and complaints about bad flags.

    getopt raises at the first flag that it doesn't know.  To tell all of them at once it is given one
    word at a time, and the one after it only where the first alone makes no sense.
    """
    pairs: list[tuple[str, str]] = []
    ignored: list[str] = []
    complaints: list[str] = []
    words = list(argv)
    while words:
        taken = 1
        if words[0] == "--":
            return pairs, ignored + words[1:], complaints
        if words[0] == "-" or not words[0].startswith("-"):
            ignored.append(words[0])
        else:
            try:
                found, taken = _take(words)
                pairs += found
            except getopt.GetoptError as problem:
                complaints.append(f"{shown(problem.msg)}; had -h shows all flags")
        words = words[taken:]
    return pairs, ignored, complaints


def _take(words: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """Read the flags of the first word; return them and how many words that took, 1 or 2."""
    try:
        return getopt.getopt(words[:1], _SHORT, _LONG)[0], 1
    except getopt.GetoptError:
        return getopt.getopt(words[:2], _SHORT, _LONG)[0], 2


def _own_address(text: str) -> str:
    quad = _ipv4(text)
    if quad in {"0.0.0.0", "255.255.255.255"} or 224 <= int(quad.split(".")[0]) < 240:
        raise UnfitError("is no address that a machine can have")
    return quad


def _broadcast_address(text: str) -> str:
    quad = _ipv4(text)
    if quad == "0.0.0.0" or 224 <= int(quad.split(".")[0]) < 240:
        raise UnfitError("is no broadcast address")
    return quad


def _ipv4(text: str) -> str:
    """Read any form that inet_aton takes, as the old daemon did: ``10.7``, ``0x0a070001``."""
    # The C library reads "10.1.1.1 and more" as an address; that was never meant.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UnfitError("is not an address")
    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        raise UnfitError("is not an address") from None


def _path(text: str) -> str:
    if not text:
        raise UnfitError("is empty")
    return text


def _file(text: str) -> str:
    if text.endswith("/") or os.path.basename(text) in (".", ".."):
        raise UnfitError("is a directory's path")
    return _path(text)


def _whole(section: str, name: str) -> Callable[[str], int]:
    key = BY_PLACE[section, name]
    return lambda text: parse_whole(text, int(key.low), int(key.high))


def _duration(section: str, name: str) -> Callable[[str], int]:
    key = BY_PLACE[section, name]
    return lambda text: parse_duration_within(text, key.low, key.high, bare_seconds=True)


def _time_allowed(name: str) -> str:
    key = BY_PLACE[TOP, name]
    return f"allowed is a number of seconds, or a duration such as 250ms, from {key.low} to {key.high}"


def _oddities(flag: str, text: str, value: object) -> list[str]:
    """Warnings about a value that is allowed, but may not be what was meant."""
    if flag in _OWN_ADDRESS_FLAGS + _BROADCAST_FLAGS and value != text:
        return [f"{flag} {shown(text)} is read as {value}"]
    return []


_SAME = {"--config": "-F", "--help": "-h"}
_ARGUMENTS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(_OWN_ADDRESS_FLAGS, _own_address),
    **dict.fromkeys(_BROADCAST_FLAGS, _broadcast_address),
    "-l": _file,
    "-n": _whole(TOP, "nodes"),
    "-p": _whole(LINKS, "port"),
    "-s": _path,
    "-M": _duration(TOP, "heartbeat"),
    "-T": _duration(TOP, "dead"),
    "-F": _path,
    "-N": parse_name,
    "-I": parse_name,
}
_ALLOWED = {
    **dict.fromkeys(_OWN_ADDRESS_FLAGS, "allowed is an IPv4 address of this machine, such as 10.1.0.1"),
    **dict.fromkeys(_BROADCAST_FLAGS, "allowed is an IPv4 broadcast address, such as 10.1.0.255"),
    **dict.fromkeys(("-l", "-s", "-F"), "allowed is a path"),
    **dict.fromkeys(("-N", "-I"), f"allowed are {BY_PLACE[TOP, 'node'].allowed}"),
    "-n": f"allowed is {BY_PLACE[TOP, 'nodes'].low} to {BY_PLACE[TOP, 'nodes'].high}",
    "-p": f"allowed is {BY_PLACE[LINKS, 'port'].allowed}",
    "-M": _time_allowed("heartbeat"),
    "-T": _time_allowed("dead"),
}
_FIELDS = {
    "-p": "port",
    "-n": "nodes",
    "-M": "heartbeat_ns",
    "-T": "dead_ns",
    "-l": "state_file",
    "-s": "hooks_directory",
    "-F": "config_file",
    "-N": "node",
    "-I": "instance",
}

_USAGE = """\
usage: had [flags]

Links.  Any of these replaces all links of the configuration file, which is then
read only if -F names it.
  -a, -b, -c ADDRESS  own IPv4 address on link 1, 2, 3
  -A, -B, -C ADDRESS  broadcast address of link 1, 2, 3
                      (default: the own address with 255 as its last number)
  -p PORT             UDP port of all links (default: {port})

The cluster.  A TIME is in seconds, or has a unit: 250ms, 2s, 3m, 1h.
  -n NUMBER           number of nodes (default: {nodes})
  -N NAME             this node's name (default: from uname -n)
  -M TIME             time between heartbeats (default: {heartbeat})
  -T TIME             silence after which a peer is dead (default: {dead})
  -m                  force main: start the services here at once, unasked

Files.
  -F, --config FILE   configuration (default: {config}, if any)
  -s DIRECTORY        where the hooks are (default: {hooks})
  -l FILE             state file (default: /run/had/state)
  -I NAME             instance: a further daemon with its own /run/had-NAME.pid,
                      /run/had-NAME and /var/lib/had-NAME

Running.
  -f                  stay in the foreground and log to standard error
  --check             read everything, say what would run, and exit
  --version           show the version and exit
  -h, --help          show this and exit
"""


def usage() -> str:
    """Return what ``-h`` shows."""
    return _USAGE.format(
        port=BY_PLACE[LINKS, "port"].default,
        nodes=BY_PLACE[TOP, "nodes"].default,
        heartbeat=BY_PLACE[TOP, "heartbeat"].default,
        dead=BY_PLACE[TOP, "dead"].default,
        config=CONFIG_FILE,
        hooks=BY_PLACE[HOOKS, "directory"].default,
    )
