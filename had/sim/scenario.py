"""Scenario files: a story with its transcript inline.

Below each command stand, behind ``|``, the lines of the transcript (:mod:`had.sim.scenario_told`) of what
happened until the next one.  They are written by ``--rewrite`` and reviewed like code; without it a file that
has any is compared.  A schedule without them is judged only.

In a scenario nothing happens unnoticed: two that run at once, though the judge excuses it, fail it unless the
file says ``allow overlap: REASON``; and so does such a line where nothing of that kind happened.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from had.sim.deeds import check_all
from had.sim.run import Result, run_schedule
from had.sim.scenario_told import Scribe
from had.sim.schedule import TOLD, Schedule, ScheduleError, Step, read, write
from had.sim.world import Broken

ALLOWED = "two run only where the file says so"
_CALM = "excuse: an old daemon takes part in the calm"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A file that can be played."""

    name: str
    text: str
    schedule: Schedule

    @property
    def is_told(self) -> bool:
        """Whether it has a transcript."""
        return any(line.lstrip().startswith(TOLD) for line in self.text.splitlines())


@dataclasses.dataclass(frozen=True)
class Played:
    """What came of it."""

    scenario: Scenario
    result: Result
    text: str
    """The file with the transcript of this time; up to what broke."""
    broken: Optional[Broken]

    def complaint(self) -> str:
        """Return what is wrong, for people; nothing where all is well."""
        name = self.scenario.name
        if self.broken is not None:
            where = f"{name}:{self.broken.line}" if self.broken.line else name
            return f"{self.text}{where}: {self.broken.promise}: {self.broken.text}"
        if not self.scenario.is_told or self.text == self.scenario.text:
            return ""
        diff = difflib.unified_diff(
            self.scenario.text.splitlines(), self.text.splitlines(), name, f"{name} as it went", lineterm=""
        )
        return "\n".join(diff)


def load(path: Path) -> Scenario:
    """Read a file and check all of it.

    :raises ScheduleError: with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScheduleError(f"{path}: {getattr(error, 'strerror', None) or 'not a text in UTF-8'}") from error
    try:
        return parse(text, str(path))
    except ScheduleError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ScheduleError(f"{where}: {error.text}") from error


def parse(text: str, name: str = "scenario") -> Scenario:
    """Check a text.

    :raises ScheduleError: with the line's number.
    """
    schedule = read(text)
    check_all(schedule)
    return Scenario(name, text, schedule)


def play(scenario: Scenario, *, story: bool = False) -> Played:
    """Play it in the simulator."""
    scribe = Scribe()
    result = run_schedule(scenario.schedule, story=story, scribe=scribe)
    broken = result.broken or _overlaps(scenario.schedule, result)
    until = result.broken.line if result.broken is not None else 0
    return Played(scenario, result, retell(scenario.text, scribe.lines, until), broken)


def excuses(result: Result) -> list[str]:
    """Return why two were allowed to run at once, as the judge calls it."""
    prefix = "excuse: "
    return sorted(key[len(prefix) :] for key in result.counts if key.startswith(prefix) and key != _CALM)


def _overlaps(schedule: Schedule, result: Result) -> Optional[Broken]:
    happened, allowed = excuses(result), [why for kind, why in schedule.allow if kind == "overlap"]
    if happened and not allowed:
        why = ", ".join(happened)
        text = f"two ran at once ({why}); if that is the story, add a line: allow overlap: REASON"
    elif allowed and not happened:
        text = "there is a line `allow overlap`, and no two ran at once: take it out"
    else:
        return None
    return Broken(ALLOWED, text, result.virtual_ns)


def retell(text: str, told: dict[int, list[str]], until: int = 0) -> str:
    """Return a text with another transcript; all other lines stay as they are.

    With ``until`` it ends with that line and what followed it.
    """
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(TOLD):
            lines.append(line)
        lines += told.get(number, [])
        if number == until:
            break
    return "\n".join(lines) + "\n"


# From a run to a file


def absolute(schedule: Schedule, result: Result) -> Schedule:
    """Return a schedule that does the same at the same moments, whatever comes of it: to be made shorter."""
    steps = [step for step in result.done if step.verb not in ("wait", "expect")]
    if not any(step.verb == "calm" for step in steps):
        steps.append(Step(result.virtual_ns, "wait", ("0",)))
    return dataclasses.replace(schedule, steps=tuple(steps))


def as_file(schedule: Schedule, result: Result, head: Sequence[str] = ()) -> str:
    """Return a schedule that was drawn and has been played as a scenario file with comments at its head."""
    allow = schedule.allow or tuple(("overlap", why) for why in excuses(result))
    reason = schedule.only_simulator or "found in virtual time"
    schedule = dataclasses.replace(schedule, allow=allow, only_simulator=reason)
    return "".join(f"# {line}\n" for line in head) + write(schedule)
