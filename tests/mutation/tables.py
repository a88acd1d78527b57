"""Break every entry of every table, one at a time, and see that a test fails.

mutmut changes what stands in functions.  Here is what stands outside of them in had/core and had/wire:
tables, sets, constants, numbers and texts of enumerations, the wire's layout, the defaults of settings; and
the table of had.conf's keys.  Left out are the defaults of had/core/data.py, with which a node's memory
begins, and the numbers of phases, which mean nothing.  Entries are found by looking at the modules, so a new
one can't be forgotten.

For each entry a child is forked, changes it, and plays tests until one fails.  Played are the situations of
``tests/core/told.txt`` and all tests of ``tests/core``, ``tests/wire`` and ``tests/config`` that need nothing
from pytest; first those that noticed the last changes of the same table, so that most entries cost one test.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import enum
import gc
import importlib
import importlib.machinery
import importlib.util
import itertools
import os
import pathlib
import re
import signal
import struct
import sys
import tempfile
import types
from collections.abc import Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TESTS = (
    "test_freeha",
    "test_config_docs",
    "core.test_told",
    "core.test_docs",
    "core.test_transitions",
    "core.test_rules_edges",
    "core.test_rules_electing",
    "core.test_rules_hearing",
    "core.test_rules_moving",
    "core.test_rules_starting",
    "core.test_rules_two",
    "core.test_schedules",
    "core.test_compat_defects",
    "core.test_answers",
    "core.test_repetition",
    "test_config_links",
    "test_config_load",
)
HARMLESS = {
    "NOT_IDLE: with TIMEDOUT": "the decoder never gives it",
    "RUNNING_STATES: with TIMEDOUT": "the decoder never gives it",
    "BUSY_STATES: with TIMEDOUT": "the decoder never gives it",
    "ALERTED: with UNKNOWN": "no phase that is alerted shows it",
    "ALERTED: with TIMEDOUT": "no phase shows it",
    "CLAIMS: with GONE": "a node that is GONE takes no step",
    "STOPS: with GONE": "a node that is GONE takes no step",
    "STATE_OF: RUNNING for GONE": "what is shown of a node that is GONE is its state before",
    "_BESIDE: ERRORED+STANDBY for STANDBY": "what is no repetition is decided anew, and comes to the same",
    "_BESIDE: ERRORED+RUNNING+STANDBY for RUNNING": "who runs beside us has a conflict_ns: no repetition",
    "Settings: default of links": "had.config and all tests give the links",
    "DaemonSettings: default of warnings": "had.config gives them",
}
"""Changes that nobody can notice, and why; they are not tried."""
OF_CONFIG = frozenset(("Settings", "DaemonSettings", "LinkConfig", "Alone", "Isolated", "StopFailure"))
"""Tables of which the tests of had.conf know most."""
LIMIT_S = 10
"""No test takes a second of processor time; one that takes so much never ends."""

Change = Callable[[], None]
PARAMETERS = type(pytest.param())

LAYOUTS = (("!", "<"), ("32s", "31s"), ("32s", "33s"), ("!I", "!i"), ("!I", "!Q"), ("sI", "sQ"), ("sI", "sH"))
"""What is changed in the format of the wire's struct."""
PATTERNS = (
    ("A-Z", ""),
    ("a-z", ""),
    ("0-9", ""),
    ("_", ""),
    ("-]", "]"),
    ("_-", "_.-"),
    ("{1,32}", "{1,33}"),
    ("{1,32}", "{1,31}"),
    ("{1,32}", "{0,32}"),
    ("]+", "]*"),
)
"""What is changed in a regular expression."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing to be broken."""

    table: str
    what: str
    put_in: Change
    again: bool = False
    """It changes the source, so the package is imported again."""

    @property
    def name(self) -> str:
        return f"{self.table}: {self.what}"


# Who notices


def oracles() -> dict[str, Callable[[], None]]:
    """Return everything that can notice a change, the quick ones first; each raises if it does."""
    found: dict[str, Callable[[], None]] = {}
    told = importlib.import_module("core.test_told")
    for name in told.situations():
        found[f"told.txt: {name}"] = lambda name=name: told.test_this_is_told(name)  # type: ignore[misc]
    for module_name in TESTS:
        module = importlib.import_module(
            module_name.rpartition(".")[2] if "core" not in module_name else module_name
        )
        for name, function in list(vars(module).items()):
            if name.startswith("test_") and isinstance(function, types.FunctionType):
                if module_name == "core.test_told" and function.__code__.co_argcount:
                    continue  # its situations are there already
                for number, arguments in enumerate(_calls(function)):
                    found[f"{module_name}.{name} {number}"] = lambda f=function, a=arguments: f(**a)  # type: ignore[misc]
    return found


def _calls(function: types.FunctionType) -> Iterator[dict[str, object]]:
    """Yield the arguments of each call that pytest would make of a test; nothing if it needs a fixture."""
    if hasattr(function, "hypothesis"):
        return
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    sets: list[list[dict[str, object]]] = []
    for mark in marks:
        names = mark.args[0]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        values = [value.values if isinstance(value, PARAMETERS) else value for value in mark.args[1]]
        sets.append([dict(zip(names, value if len(names) > 1 else [value])) for value in values])
    wanted = set(function.__code__.co_varnames[: function.__code__.co_argcount])
    for parts in itertools.product(*sets):
        arguments = {name: value for part in parts for name, value in part.items()}
        if "conf" in wanted:
            arguments["conf"] = _conf()
        if set(arguments) == wanted:
            yield arguments


def _conf() -> object:
    """Return the fixture of tests/config that loads texts as had.conf."""
    # Made anew where the package was imported again.
    spec = importlib.util.spec_from_file_location("conftest_of_config", ROOT / "tests/config/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Conf(pathlib.Path(tempfile.gettempdir()) / "had.conf")


# What is broken


def _modules() -> list[types.ModuleType]:
    paths = [path for ring in ("core", "wire") for path in sorted((ROOT / "had" / ring).glob("*.py"))]
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem != "__init__"
    ]
    return [importlib.import_module(name) for name in names]


def entries() -> Iterator[Entry]:
    """Yield everything, module by module."""
    for module in _modules():
        for name in _assigned(module):
            yield from _of_a_constant(module, name, vars(module)[name])
        for one in vars(module).values():
            if isinstance(one, enum.EnumMeta) and one.__module__ == module.__name__:
                yield from _of_an_enumeration(module, one)
    for name in ("had.core.settings", "had.config.settings"):
        for one in list(vars(importlib.import_module(name)).values()):
            if dataclasses.is_dataclass(one) and one.__module__ == name:
                yield from _of_defaults(one)
    yield from _of_keys()


def _assigned(module: types.ModuleType) -> list[str]:
    """Return the names that a module gives to values of its own."""
    tree = ast.parse(pathlib.Path(str(module.__file__)).read_text(encoding="utf-8"))
    names = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def _of_a_constant(module: types.ModuleType, name: str, value: object) -> Iterator[Entry]:
    if isinstance(value, dict):
        yield from _of_a_dict(module, name, value)
        return
    for what, new in _instead(value):
        if module.__name__ == "had.core.settings":
            # All others are made of these, at the time of the import.
            yield Entry(name, what, _source(module, f"{name} = ", f"{name} = {new} or "), again=True)
        else:
            yield Entry(name, what, lambda old=value, new=new: _rebind(name, old, new))  # type: ignore[misc]


def _instead(value: object) -> Iterator[tuple[str, object]]:
    """Yield what could stand in the place of a constant, and what that is."""
    if isinstance(value, int):
        small = value < 1_000_000
        for new in (value - 1, value + 1) if small else (value * 9 // 10, value * 11 // 10):
            yield f"{new} for {value}", new
    elif isinstance(value, frozenset):
        for member in sorted(value):
            yield f"without {_named(member)}", value - {member}
        first = next(iter(value))
        for other in sorted(set(type(first)) - value) if isinstance(first, enum.Enum) else ():
            yield f"with {_named(other)}", value | {other}
    elif isinstance(value, tuple):
        for number, member in enumerate(value):
            yield f"without {member}", value[:number] + value[number + 1 :]
    elif isinstance(value, struct.Struct):
        yield from ((what, struct.Struct(text)) for what, text in _replaced(value.format, LAYOUTS))
    elif isinstance(value, re.Pattern) and isinstance(value.pattern, bytes):
        yield from ((w, re.compile(text.encode())) for w, text in _replaced(value.pattern.decode(), PATTERNS))
    elif isinstance(value, re.Pattern):
        yield from ((what, re.compile(text)) for what, text in _replaced(value.pattern, PATTERNS))
    else:
        raise TypeError(f"nobody knows how to break {value!r}")


def _replaced(text: str, changes: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    for old, new in changes:
        if old in text:
            yield f"{new!r} for {old!r}", text.replace(old, new, 1)


def _of_a_dict(module: types.ModuleType, name: str, table: dict[object, object]) -> Iterator[Entry]:
    """Each key is taken out, and each value replaced by another one of the table."""
    values = sorted(set(table.values()), key=str)
    for key, value in table.items():
        yield Entry(name, f"without {_named(key)}", lambda key=key: _pop(table, key))  # type: ignore[misc]
        for other in _others(values, value):
            what = f"{_named(other)} for {_named(key)}"
            yield Entry(name, what, lambda key=key, other=other: table.__setitem__(key, other))  # type: ignore[misc]


def _others(values: list[object], value: object) -> list[object]:
    """Return one other value; two where they are states or phases, since one may happen to do no harm."""
    place = values.index(value)
    return [values[(place + step) % len(values)] for step in (1, 2) if len(values) > step]


def _of_an_enumeration(module: types.ModuleType, kind: type[enum.Enum]) -> Iterator[Entry]:
    for member in kind:
        if isinstance(member.value, str):
            yield Entry(kind.__name__, f"text of {member.name}", lambda m=member: _set_text(m))  # type: ignore[misc]
        elif kind.__name__ != "Phase":  # these numbers are nowhere used or shown
            number = member.value
            change = _source(
                module, f"    {member.name} = {number}\n", f"    {member.name} = {number + 10}\n"
            )
            yield Entry(kind.__name__, f"number of {member.name}", change, again=True)


def _set_text(member: enum.Enum) -> None:
    members = type(member)._value2member_map_
    members["broken"] = members.pop(member.value)
    member._value_ = "broken"


def _of_defaults(kind: type) -> Iterator[Entry]:
    """Each default of a dataclass becomes something else of its type."""
    made = kind.__init__
    names = made.__code__.co_varnames[1 : made.__code__.co_argcount]
    defaults = made.__defaults__ or ()
    for place, (name, default) in enumerate(zip(names[len(names) - len(defaults) :], defaults)):
        new = _other_default(name, default)
        if new is not None:
            broken = (*defaults[:place], new, *defaults[place + 1 :])
            what = f"default of {name}"
            yield Entry(kind.__name__, what, lambda broken=broken: setattr(made, "__defaults__", broken))  # type: ignore[misc]


def _other_default(name: str, default: object) -> object:
    """Return another value of the same kind; None where there is none."""
    if isinstance(default, enum.Enum):
        return next(other for other in type(default) if other is not default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default * 11 // 10 if default >= 10 else default + 1
    if isinstance(default, str):
        return f"{default}x"
    if isinstance(default, tuple):
        return ("x",)
    return 1 if default is None and name.endswith("_ns") else None


def _of_keys() -> Iterator[Entry]:
    """Each field of each key of had.conf."""
    keys = importlib.import_module("had.config.keys")
    for key in keys.KEYS:
        for field in ("default", "low", "high", "flag", "kind"):
            value = getattr(key, field)
            if value:
                what = f"{field} of {key.section}/{key.name}"
                new = keys.KEYS[0].kind if field == "kind" and value != keys.KEYS[0].kind else f"{value}0"
                yield Entry("KEYS", what, lambda k=key, f=field, n=new: object.__setattr__(k, f, n))  # type: ignore[misc]
        for choice in key.choices:
            left = tuple(one for one in key.choices if one != choice)
            what = f"choice {choice} of {key.section}/{key.name}"
            yield Entry("KEYS", what, lambda k=key, n=left: object.__setattr__(k, "choices", n))  # type: ignore[misc]


def _named(one: object) -> str:
    if isinstance(one, enum.Enum):
        return one.name
    if isinstance(one, tuple):
        return " ".join(_named(part) for part in one)
    if isinstance(one, frozenset):
        return "+".join(sorted(_named(member) for member in one))
    return getattr(one, "__name__", str(one))


def _rebind(name: str, old: object, new: object) -> None:
    """Give a name another value, in each module that has it."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("had.") and vars(module).get(name) is old:
            setattr(module, name, new)


def _pop(table: dict[object, object], key: object) -> None:
    del table[key]


def _source(module: types.ModuleType, old: str, new: str) -> Change:
    """Import everything anew, with something else in a module's source."""
    path = pathlib.Path(str(module.__file__))
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{old!r} is {text.count(old)} times in {path}")

    def import_again() -> None:
        read = importlib.machinery.SourceFileLoader.get_code

        def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> types.CodeType | None:
            if loader.path == str(path):
                return loader.source_to_code(text.replace(old, new).encode(), loader.path)
            return read(loader, name)

        importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
        for name in list(sys.modules):
            if name.partition(".")[0] in ("had", "core") or name.startswith("test_"):
                del sys.modules[name]

    return import_again


# Breaking


class Breaker:
    """Tries entries, and learns which test notices which table."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        """What the last child took of the processor."""
        self._oracles = oracles()
        self._last: dict[str, list[str]] = {}
        """By table: who noticed the last changes, the latest first."""

    def noticed_by(self, entry: Entry) -> str:
        """Return the first test that fails; empty if none does."""
        last = self._last.setdefault(entry.table, [])
        names = [*last, *(name for name in self._oracles if name not in last)]
        if entry.table in OF_CONFIG:
            names.sort(key=lambda name: not name.startswith("test_config_"))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._be_broken(entry, names, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            tried = pipe.read().decode().split()
        _, status, usage = os.wait4(child, 0)
        self.spent_s = usage.ru_utime + usage.ru_stime
        if status == 0:
            return ""
        if not tried:
            return "nothing works any more"
        name = names[int(tried[-1])]
        if name in last:
            last.remove(name)
        last.insert(0, name)
        return name

    def _be_broken(self, entry: Entry, names: list[str], writing: int) -> None:
        """Be the child; never returns."""
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            entry.put_in()
            tests = oracles() if entry.again else self._oracles
            for number, name in enumerate(names):
                os.write(writing, b"%d " % number)
                signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
                with contextlib.suppress(pytest.skip.Exception):
                    tests[name]()
            os._exit(0)
        finally:
            os._exit(1)


def main() -> int:
    """Print the entries that nobody holds, one a line; with -v who holds the others."""
    with tempfile.TemporaryDirectory() as directory:
        tempfile.tempdir = directory
        return try_all()


def try_all() -> int:
    breaker = Breaker()
    gc.collect()
    gc.freeze()  # children share what is there already
    whole = breaker.noticed_by(Entry("nothing", "changed", lambda: None))
    if whole:
        print(f"fails though nothing is broken: {whole}")
        return 1
    if "-v" in sys.argv:
        print(f"    {breaker.spent_s:.2f} nothing broken")
    for entry in entries():
        if entry.name in HARMLESS or (len(sys.argv) > 2 and sys.argv[2] not in entry.name):
            continue
        name = breaker.noticed_by(entry)
        if not name:
            print(entry.name, flush=True)
        elif "-v" in sys.argv:
            print(f"    {breaker.spent_s:.2f} {entry.name}: {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
