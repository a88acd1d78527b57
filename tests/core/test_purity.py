"""What the rings may know (ARCHITECTURE.md): the core almost nothing, nobody threads; and sizes."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HAD = ROOT / "had"
FILES = sorted(HAD.rglob("*.py"))
CORE = sorted((HAD / "core").glob("*.py"))
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
NO_THREADS = {"threading", "_thread", "concurrent", "multiprocessing", "asyncio", "queue", "sched"}
NO_WORLD = NO_THREADS | {
    "socket", "socketserver", "ssl", "select", "selectors", "time", "datetime", "random", "secrets", "signal",
    "subprocess",
}  # fmt: skip
PURE_BUILTINS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint", "globals"}


def imports(path: pathlib.Path) -> set[str]:
    """The full names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
    return found


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at():
    assert len(CORE) > 10
    assert len(FILES) > len(CORE)


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_imports_dataclasses_enums_and_itself(path):
    for name in imports(path):
        assert name in ("__future__", "dataclasses", "enum") or name.startswith("had.core"), name


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_calls_nothing_of_the_world(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in PURE_BUILTINS
        assert not isinstance(node, (ast.Global, ast.Nonlocal)), "no hidden state"


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_has_no_assert_and_no_blanket_except(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, (ast.Assert, ast.Try))


@pytest.mark.parametrize("ring", ["wire", "config"])
def test_wire_and_config_know_no_socket_and_no_clock(ring):
    files = sorted((HAD / ring).rglob("*.py"))
    assert files
    for path in files:
        assert not top(imports(path)) & NO_WORLD, name_of(path)


@pytest.mark.parametrize(
    ("ring", "outer"),
    [
        ("core", ("had.wire", "had.config", "had.runtime", "had.cli")),
        ("wire", ("had.config", "had.runtime", "had.cli")),
        ("config", ("had.runtime", "had.cli")),
        ("runtime", ("had.cli",)),
    ],
)
def test_a_ring_knows_only_the_rings_inside(ring, outer):
    for path in sorted((HAD / ring).rglob("*.py")):
        for name in imports(path):
            assert not name.startswith(outer), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_threads_anywhere(path):
    assert not top(imports(path)) & NO_THREADS


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_can_be_read(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines < FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


def test_no_moment_of_the_cores_data_hides_behind_another_name():
    """``fingerprint`` goes by the ``_ns`` in a field's name; what is not a moment must not have it."""
    text = (HAD / "core" / "data.py").read_text(encoding="utf-8")
    fields = [node.target.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.AnnAssign)]
    assert len([field for field in fields if field.endswith("_ns")]) > 15
    assert not [field for field in fields if field.endswith(("_at", "_time", "_until"))]
