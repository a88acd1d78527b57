"""What was given on the command line, for :mod:`had.config.load`; :mod:`had.cli.options` reads it."""

from __future__ import annotations

import dataclasses
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Options:
    """What was given on the command line; None (for a tuple's member too) is what was not."""

    addresses: tuple[Optional[str], ...] = (None, None, None)
    """Own addresses on the links 1 to 3 (``-a -b -c``), as dotted quads."""
    broadcasts: tuple[Optional[str], ...] = (None, None, None)
    """Broadcast addresses of the links 1 to 3 (``-A -B -C``), as dotted quads."""
    port: Optional[int] = None
    nodes: Optional[int] = None
    """``-n``: how many nodes the cluster has."""
    heartbeat_ns: Optional[int] = None
    dead_ns: Optional[int] = None
    force_main: bool = False
    state_file: Optional[str] = None
    hooks_directory: Optional[str] = None
    config_file: Optional[str] = None
    node: Optional[str] = None
    instance: Optional[str] = None
    foreground: bool = False
    check: bool = False
    version: bool = False
    help: bool = False
    warnings: tuple[str, ...] = ()
    """What was ignored or read in an unusual way; one line each."""

    @property
    def has_links(self) -> bool:
        """Whether any link flag was given: then all links are the command line's."""
        return any(given is not None for given in self.addresses + self.broadcasts)
