"""The list of planted bugs fits the program, and a handful is really found."""

from __future__ import annotations

import pytest

from .planted import ROOT, bugs, main, read, times

BUGS = bugs()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_lines_of_a_bug_stand_in_the_program_once(bug):
    assert (ROOT / "had" / bug.file).is_file()
    assert times(bug) == 1
    assert bug.old != bug.new


def test_no_bug_is_listed_twice():
    assert len({bug.name for bug in BUGS}) == len(BUGS) > 150


def test_the_list_is_read_as_it_is_written():
    (bug,) = read("# a comment\n\na name\ncore/x.py\n-    one\n-\n+    two\n\n")
    assert (bug.name, bug.file, bug.old, bug.new) == ("a name", "core/x.py", "    one\n\n", "    two\n")


@pytest.mark.parametrize(
    "name", ["timeout compared the wrong way", "hold forgotten", "record not synced", "T3 forgotten"]
)
def test_a_bug_is_found(name, tmp_path, capsys):
    assert main([name, "--seeds", "40", "--directory", str(tmp_path / "planted")]) == 0
    assert f"| {name} | " in capsys.readouterr().out


def test_what_is_no_bug_is_not_found(tmp_path, capsys):
    assert main(["claim not announced", "--seeds", "3", "--directory", str(tmp_path / "planted")]) == 1
    assert "1 bugs, 1 not found" in capsys.readouterr().out
