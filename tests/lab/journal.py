"""The hooks of the lab's nodes, the journal that they write, and the auditor that reads it.

All nodes append to one file, a line for each begin and end of a hook, so the order of the lines is the order
of what happened; the auditor needs nothing else and knows nothing of the daemon.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

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
note begin $$ "$@"
if [ -e "$control/$hook.stubborn" ]; then
    trap '' TERM
else
    trap 'note end 143; exit 143' TERM
fi
[ ! -e "$control/$hook.environment" ] || env >"$control/$hook.seen"
trap '' PIPE # the shell itself speaks when a TERM ends its sleep; the daemon may be dead by then
while [ -e "$control/$hook.hang" ]; do sleep 0.05; done
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
note end "$status"
exit "$status"
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
    """A line of the journal.  `word` is begin, end, or what happened to the machine (`off`)."""

    time: float
    node: str
    hook: str
    word: str
    rest: tuple[str, ...]


class Journal:
    """The one journal of a lab."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def entries(self) -> list[Entry]:
        made = []
        for line in self.path.read_text().splitlines():
            time, node, hook, word, *rest = line.split()
            made.append(Entry(float(time), node, hook, word, tuple(rest)))
        return made

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
        return sorted(_Lives(self.entries()).open)


@dataclasses.dataclass(frozen=True)
class Violation:
    kind: str
    """overlap, restart or two-hooks"""
    text: str


class _Lives:
    """Whose service lives, followed line by line, with what was wrong on the way."""

    def __init__(self, entries: list[Entry]) -> None:
        self.open: dict[str, Entry] = {}
        self.busy: dict[str, Entry] = {}
        self.violations: list[Violation] = []
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        node = entry.node
        if entry.word == "off":
            self.open.pop(node, None)
            self.busy.pop(node, None)
        elif entry.hook == "alerthasrv":
            pass  # runs beside the others
        elif entry.word == "begin":
            if node in self.busy:
                self._wrong("two-hooks", entry, f"while its {self.busy[node].hook} runs")
            self.busy[node] = entry
            if entry.hook == "starthasrv":
                self._start(entry)
        else:
            self.busy.pop(node, None)
            if entry.hook == "stophasrv" and entry.rest == ("0",):
                self.open.pop(node, None)

    def _start(self, entry: Entry) -> None:
        for other, began in self.open.items():
            if other != entry.node:
                self._wrong("overlap", entry, f"beside {other}, which has run since {began.time:.2f}")
        if entry.node in self.open:
            self._wrong("restart", entry, f"though it has run since {self.open[entry.node].time:.2f}")
        self.open.setdefault(entry.node, entry)

    def _wrong(self, kind: str, entry: Entry, text: str) -> None:
        self.violations.append(Violation(kind, f"{entry.time:.2f}: {entry.node} began {entry.hook} {text}"))


def audit(entries: list[Entry]) -> list[Violation]:
    """What must not have happened: two nodes with a service at one time (overlap), a second start without a
    stop between (restart), two hooks other than alerts at one time on one node (two-hooks).
    """
    return _Lives(entries).violations
