"""The mutants of a module, made by mutmut and compiled, each to take the place of a real function."""

from __future__ import annotations
import __future__ as future

import ast
import collections
import dataclasses
import difflib
import importlib
import pathlib
import re
import types
from collections.abc import Iterator

from mutmut.mutation.file_mutation import mutate_file_contents

NAME = re.compile(r"x(?:_|ǁ(?P<owner>\w+?)ǁ)(?P<name>\w+?)__mutmut_(?P<number>\d+|orig)")
"""What mutmut calls a mutant of a function, or of a method."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    function: str
    """With its module: ``had.core.node.Node.step``."""
    diff: str
    """The lines that differ, ``- old`` and ``+ new``, without their indentation."""
    place: int
    """Of several with the same difference, in the order of the lines: 1, 2, ..."""
    wording: bool
    """Nothing differs but the letters of one text."""
    target: types.FunctionType
    replacement: types.FunctionType

    @property
    def key(self) -> str:
        """What it is called in lists: all of the above."""
        return "\n".join((self.function, self.diff, *([f"# {self.place}"] if self.place > 1 else [])))

    def put_in(self) -> None:
        """Be what everybody calls from now on, whoever has imported it."""
        self.target.__code__ = self.replacement.__code__
        self.target.__defaults__ = self.replacement.__defaults__
        self.target.__kwdefaults__ = self.replacement.__kwdefaults__


def mutants_of(name: str) -> list[Mutant]:
    """Return the mutants of a module, in the order of its functions."""
    module = importlib.import_module(name)
    path = pathlib.Path(str(module.__file__))
    source = path.read_text(encoding="utf-8")
    if not any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(source))):
        return []
    # The name is what mutmut looks up in its settings, so it has to be that from the root.
    # It leaves decorated functions alone; of a property nothing but the decoration is special.
    plain = source.replace("    @property\n", "")
    changed = mutate_file_contents("/".join(name.split(".")) + ".py", plain).code
    return list(_compiled(module, changed))


def _compiled(module: types.ModuleType, changed: str) -> Iterator[Mutant]:
    originals: dict[tuple[str, str], ast.FunctionDef] = {}
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    for node in _functions(ast.parse(changed)):
        found = NAME.fullmatch(node.name)
        if found is None:
            continue
        place = (found["owner"] or "", found["name"])
        node.name = found["name"]
        if found["number"] == "orig":
            originals[place] = node
            continue
        owner = getattr(module, place[0]) if place[0] else module
        target = vars(owner)[place[1]]
        target = target.fget if isinstance(target, property) else target
        function = ".".join(part for part in (module.__name__, *place) if part)
        if target.__code__.co_freevars and target.__code__.co_freevars != ("__class__",):
            raise ValueError(f"{function} is a closure")
        diff = _diff(originals[place], node)
        replacement = _compile(node, place[0], target)
        seen[function, diff] += 1
        wording = _only_wording(originals[place], node)
        yield Mutant(function, diff, seen[function, diff], wording, target, replacement)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef))


def _compile(node: ast.FunctionDef, owner: str, target: types.FunctionType) -> types.FunctionType:
    """Define the changed function as its module would, in a class where it is a method."""
    body: list[ast.stmt] = [node]
    if owner:
        body = [ast.ClassDef(name=owner, bases=[], keywords=[], body=body, decorator_list=[], type_params=[])]
    tree = ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))
    code = compile(
        tree, target.__code__.co_filename, "exec", future.annotations.compiler_flag, dont_inherit=True
    )
    names: dict[str, object] = {}
    exec(code, target.__globals__, names)
    made = names[owner or node.name]
    made = vars(made)[node.name] if owner else made
    assert isinstance(made, types.FunctionType)
    return made


def _diff(old: ast.FunctionDef, new: ast.FunctionDef) -> str:
    """Return what differs, line by line of the unparsed code, so that no change of layout matters."""
    lines = difflib.ndiff(ast.unparse(old).splitlines(), ast.unparse(new).splitlines())
    return "\n".join(f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "+-")


def _only_wording(old: ast.FunctionDef, new: ast.FunctionDef) -> bool:
    """Whether both are the same but for letters within texts."""
    return _worded(old) == _worded(new)


def _worded(node: ast.FunctionDef) -> str:
    """Return the code with every text (none is empty) replaced by one and the same."""
    copy = ast.parse(ast.unparse(node))
    for one in ast.walk(copy):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value:
            one.value = "text"
    return ast.dump(copy)
