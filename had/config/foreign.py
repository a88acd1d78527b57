"""Files that were written for something else: said in one line rather than as forty mistakes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from had.config.keys import KEYS, SECTIONS

_OURS = re.compile(
    rf"(?:{'|'.join(sorted({key.name for key in KEYS}))})\s*=(?!=).*|\[+\s*(?:{'|'.join(SECTIONS)})\s*\]+.*"
)
"""A line that can only be had.conf's; one is enough to take the whole file for had.conf."""

_SHELL = re.compile(r"(?:export\s+\w+|[A-Z_][A-Z0-9_]*)=.*|(?:\.|source|set|if|export)\s+\S.*|then|else|fi")
_SHELL_OR_OURS = re.compile(r"\w+=\S.*")
_HEARTBEAT_WORDS = (
    "keepalive deadtime warntime initdead udpport bcast mcast ucast baud serial auto_failback node logfile "
    "debugfile logfacility use_logd respawn crm watchdog ping ping_group stonith hopfudge"
)
_SYNTAXES = (
    ("JSON", re.compile(r'"[^"]*"\s*:.*|[][{}]+,?'), "{"),
    ("corosync's or YAML (name: value)", re.compile(r"[A-Za-z_][\w.-]*:(?:\s.*)?|[a-z_]+\s*\{|\}|-.*"), ":"),
    (
        "keepalived's (braces)",
        re.compile(r'[a-z_]+(?:\s+[\w.-]+)*\s*\{|\}|[a-z_]+(?:\s+[\w./:"-]+)*|[0-9a-fA-F.:]+/[0-9]+.*'),
        "{",
    ),
    (
        "heartbeat's (ha.cf or haresources)",
        re.compile(rf"(?:{_HEARTBEAT_WORDS.replace(' ', '|')})\s+\S.*|\S+\s+(?:[\w.]+::|[0-9]+\.[0-9]).*"),
        "",
    ),
)
"""A name, what the lines look like, and what has to be somewhere in the file."""


def foreign_syntax(lines: Sequence[str]) -> Optional[tuple[int, str]]:
    """Tell the line that shows that a file is in another syntax, and a sentence about it; None if not."""
    if lines and lines[0].startswith("#!"):
        return 1, _sentence("a script's")
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    telling = [(number, text) for number, text in stripped if text and text[0] not in "#!"]
    shell = [number for number, text in telling if _SHELL.fullmatch(text)]
    mixed = sum(1 for _, text in telling if _SHELL.fullmatch(text) or _SHELL_OR_OURS.fullmatch(text))
    if shell and 2 * len(shell) >= len(telling) and 3 * mixed >= 2 * len(telling):
        return shell[0], _sentence("a shell's (NAME=value); an old command line can stay as it is, though")
    if any(_OURS.fullmatch(text) for _, text in telling):
        return None
    for name, syntax, needed in _SYNTAXES:
        fitting = [number for number, text in telling if syntax.fullmatch(text)]
        if fitting and 3 * len(fitting) >= 2 * len(telling) and any(needed in text for _, text in telling):
            return fitting[0], _sentence(name)
    return None


def _sentence(name: str) -> str:
    return f"this is not had.conf's syntax (key = value, [section]), but {name}"
