"""The hooks of the lab's nodes, the journal that they write, and the auditor that reads it.

All nodes append to one file, a line for each begin and end of a hook, so the order of the lines is that of
what happened, however close together; the times, of the clock that all nodes share, are for people.  A hook
writes its begin before it does anything and its end after it has done all, so what is between is never less
than the truth.  The auditor needs nothing else and knows nothing of the daemon.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

HOOKS = ("starthasrv", "stophasrv", "monitorhasrv", "alerthasrv")

SCRIPT = r"""#!/bin/sh
# One text for all four hooks: write down the call, do what the control files say, start or stop the
# "service", which is a file.
node=@NODE@ journal=@JOURNAL@ control=@CONTROL@
hook=${0##*/}
note() {
    read -r up _ </proc/uptime
    echo "$up $node $hook $*" >>"$journal"
}
finish() {
    note end "$1" $$
    [ "$hook" = alerthasrv ] || : >"$control/running"
    exit "$1"
}
if [ "$hook" != alerthasrv ]; then
    # A hook that was killed can't write its end: the next one says of the last that it is gone.
    if [ -s "$control/running" ]; then
        read -r was pid <"$control/running"
        state=
        { read -r _ comm state _ <"/proc/$pid/stat"; } 2>/dev/null
        [ "$comm" = "($was)" ] || state=
        case $state in
        '' | Z | X) hook=$was; note gone "$pid"; hook=${0##*/} ;;
        esac
    fi
    echo "$hook $$" >"$control/running"
fi
note begin $$ "$@"
if [ -e "$control/$hook.stubborn" ]; then
    trap '' TERM
else
    trap 'finish 143' TERM
fi
[ ! -e "$control/$hook.environment" ] || env >"$control/$hook.seen"
trap '' PIPE # the shell itself speaks when a TERM ends its sleep; the daemon may be dead by then
while [ -e "$control/$hook.hang" ]; do sleep 0.05; done
if [ -e "$control/$hook.slow" ]; then read -r span <"$control/$hook.slow"; sleep "$span"; fi
trap - PIPE
if [ -e "$control/$hook.flood" ]; then yes "the flood of $hook" | head -n 50000; fi
if [ -e "$control/$hook.leave" ]; then
    # A service that goes on writing to what its hook gave it.
    sh -c 'n=0; while echo "tick $n of the service"; do n=$((n + 1)); sleep 0.1; done' &
    echo $! >"$control/$hook.left"
fi
status=0
if [ -e "$control/$hook.fail" ]; then read -r status <"$control/$hook.fail"; fi
case $hook in
starthasrv) [ "$status" != 0 ] || : >"$control/service" ;;
stophasrv) [ "$status" != 0 ] || rm -f "$control/service" ;;
monitorhasrv) [ "$status" != 0 ] || [ -e "$control/service" ] || status=3 ;;
esac
if [ -e "$control/$hook.lie" ]; then status=$((status == 0)); fi
if [ -e "$control/$hook.flap" ]; then
    # It fails every other time.
    flapped=$control/$hook.flapped
    if [ -e "$flapped" ]; then rm "$flapped"; else : >"$flapped"; status=1; fi
fi
finish "$status"
"""


def install(directory: Path, node: str, journal: Path, control: Path) -> None:
    """Write the four hooks into `directory`."""
    text = (
        SCRIPT.replace("@NODE@", node).replace("@JOURNAL@", str(journal)).replace("@CONTROL@", str(control))
    )
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for hook in HOOKS:
        path = directory / hook
        path.write_text(text)
        path.chmod(0o755)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the journal.  `word` is begin (rest: pid, arguments), end (status, pid), gone (pid: it was
    killed), or what happened to the machine (`off`).
    """

    time: float
    node: str
    hook: str
    word: str
    rest: tuple[str, ...] = ()


def parse(lines: Iterable[str]) -> list[Entry]:
    made = []
    for line in lines:
        time, node, hook, word, *rest = line.split()
        made.append(Entry(float(time), node, hook, word, tuple(rest)))
    return made


class Journal:
    """The one journal of a lab."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def entries(self) -> list[Entry]:
        return parse(self.path.read_text().splitlines())

    def off(self, node: str) -> None:
        """The machine lost its power: its service and its hooks are gone."""
        uptime = Path("/proc/uptime").read_text().split()[0]
        with self.path.open("a") as file:
            file.write(f"{uptime} {node} machine off\n")

    def calls(self, node: str, *hooks: str, word: str = "begin") -> list[Entry]:
        """What `node` called of these hooks (of all but the monitor, if none is named), in order."""
        wanted = hooks or ("starthasrv", "stophasrv", "alerthasrv")
        return [
            entry
            for entry in self.entries()
            if entry.node == node and entry.hook in wanted and entry.word == word
        ]

    def names(self, node: str, *hooks: str) -> list[str]:
        """The same as words: the hook's name, an alert's number behind it."""
        return [" ".join((entry.hook, *entry.rest[1:2])) for entry in self.calls(node, *hooks)]

    def serving(self) -> list[str]:
        """The nodes between the begin of `starthasrv` and a successful end of `stophasrv`."""
        return sorted(Auditor().read(self.entries()).up)


@dataclasses.dataclass(frozen=True)
class Violation:
    kind: str
    """overlap, restart or two-hooks"""
    text: str


@dataclasses.dataclass
class Overlap:
    """Two nodes whose services may have been up at one time."""

    nodes: tuple[str, str]
    """Who was up, and who started beside it."""
    began: float
    ended: Optional[float] = None


@dataclasses.dataclass
class _Hook:
    begin: Entry
    takes_down: bool = False
    """A `stophasrv` beside which no `starthasrv` has run: its success means that the service is down."""


class Auditor:
    """Whose service may be up, followed line by line, with what was wrong on the way.

    A service may be up from the begin of `starthasrv`, whatever comes of that, to the successful end of a
    `stophasrv` that ran with no `starthasrv` beside it, or to the end of the machine.
    """

    def __init__(self) -> None:
        self.up: dict[str, Entry] = {}
        self.overlaps: list[Overlap] = []
        self.violations: list[Violation] = []
        self._hooks: dict[str, dict[str, _Hook]] = {}
        """By node and pid: those between begin and end, alerts aside."""

    def read(self, entries: Iterable[Entry]) -> Auditor:
        for entry in entries:
            self._take(entry)
        return self

    def _take(self, entry: Entry) -> None:
        if entry.word == "off":
            self._hooks.pop(entry.node, None)
            self._down(entry)
        elif entry.hook == "alerthasrv":
            pass  # runs beside the others
        elif entry.word == "begin":
            self._begin(entry)
        else:
            pid = entry.rest[-1]
            hook = self._hooks.get(entry.node, {}).pop(pid, None)
            if hook is not None and hook.takes_down and entry.word == "end" and entry.rest[0] == "0":
                self._down(entry)

    def _begin(self, entry: Entry) -> None:
        beside = self._hooks.setdefault(entry.node, {})
        for other in beside.values():
            self._wrong("two-hooks", entry, f"while its {other.begin.hook} runs")
        starts = any(other.begin.hook == "starthasrv" for other in beside.values())
        beside[entry.rest[0]] = _Hook(entry, entry.hook == "stophasrv" and not starts)
        if entry.hook == "starthasrv":
            for other in beside.values():
                other.takes_down = False  # what is started now may come after what that has stopped
            self._start(entry)

    def _start(self, entry: Entry) -> None:
        for other, began in self.up.items():
            if other != entry.node:
                self.overlaps.append(Overlap((other, entry.node), entry.time))
                self._wrong("overlap", entry, f"beside {other}, which has run since {began.time:.2f}")
        if entry.node in self.up:
            self._wrong("restart", entry, f"though it has run since {self.up[entry.node].time:.2f}")
        self.up.setdefault(entry.node, entry)

    def _down(self, entry: Entry) -> None:
        if self.up.pop(entry.node, None) is not None:
            for overlap in self.overlaps:
                if overlap.ended is None and entry.node in overlap.nodes:
                    overlap.ended = entry.time

    def _wrong(self, kind: str, entry: Entry, text: str) -> None:
        self.violations.append(Violation(kind, f"{entry.time:.2f}: {entry.node} began {entry.hook} {text}"))


def audit(entries: Iterable[Entry]) -> list[Violation]:
    """What must not have happened: two nodes with a service at one time (overlap), a second start without a
    stop between (restart), two hooks other than alerts at one time on one node (two-hooks).
    """
    return Auditor().read(entries).violations
