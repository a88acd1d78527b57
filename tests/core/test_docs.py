"""docs/states.md is what the table says; docs/RULES.md and docs/compat.md name tests that exist."""

from __future__ import annotations

import pathlib
import re
import runpy

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ROOT / "tests"
RULES = (ROOT / "docs" / "RULES.md").read_text(encoding="utf-8")
COMPAT = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(?:tests/)?([a-z_/]+\.py)?(?:::)?(test_\w+\*?)`")
FILE = re.compile(r"`tests/([a-z_]+/[a-z_]+\.py)`")
PARTS = {
    "H": (1, 2, 3, 4, 5, 6),
    "S": (1, 2, 3, 4, 5),
    "E": (1, 2, 3, 4, 5, 6, 7),
    "M": (1, 2, 3, 5, 6, 7, 8),
    "T": (2, 3, 4, 5, 6),
    "P": (1,),
    "L": (1, 2, 3, 4),
    "V": (1,),
    "I": (1,),
    "Q": (1, 2),
}
"""The rules of the core that are built; G and A are the runtime's."""
CORE_RULES = [f"{part}{number}" for part, numbers in PARTS.items() for number in numbers]


def all_tests() -> set[str]:
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        found.update(re.findall(r"^\s*def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def missing(text: str) -> set[str]:
    """Names of tests in a text that no test has; a star stands for any ending."""
    tests = all_tests()
    named = {name for _, name in NAMED.findall(text)}
    return {name for name in named if not any(re.fullmatch(name.replace("*", r"\w*"), one) for one in tests)}


def test_the_states_page_is_what_the_table_says():
    page = runpy.run_path(str(ROOT / "tools" / "state_diagram.py"))["page"]()
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == page, "run make states"


@pytest.mark.parametrize("rule", CORE_RULES)
def test_each_rule_of_the_core_is_written_down_and_held_by_tests(rule):
    _, found, after = RULES.partition(f"\n- {rule}. ")
    assert found, f"{rule} is missing"
    text = re.split(r"\n(?:- [A-Z]\d\.|## )", after)[0]
    assert NAMED.search(text), f"{rule} names no test"
    assert f"test_{rule}_" in text
    assert any(name.startswith(f"test_{rule}_") for name in all_tests())


@pytest.mark.parametrize("number", range(1, 32))
def test_each_defect_of_the_old_daemon_is_answered_for(number):
    rows = [line for line in COMPAT.splitlines() if line.startswith(f"| D{number} |")]
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert cells[2].split()[0].rstrip(",;:") in ("fixed", "kept")
    assert cells[-1], "no test is named"


@pytest.mark.parametrize("text", [RULES, COMPAT], ids=["RULES", "compat"])
def test_tests_that_are_named_exist(text):
    assert missing(text) == set()


@pytest.mark.parametrize("text", [RULES, COMPAT], ids=["RULES", "compat"])
def test_files_that_are_named_exist(text):
    for name in FILE.findall(text):
        assert (TESTS / name).is_file(), name
