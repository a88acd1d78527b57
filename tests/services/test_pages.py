"""Each service script and its page say the same, and the page's examples are right."""

from __future__ import annotations

import os
import re
import shlex

import pytest

from .tools import SERVICES, call

PAGES = SERVICES.parents[1] / "docs" / "services"
SCRIPTS = sorted(path.name for path in SERVICES.iterdir() if os.access(path, os.X_OK) and path.is_file())
every_script = pytest.mark.parametrize("name", SCRIPTS)


def options_of(name):
    """The keys that the script accepts."""
    text = (SERVICES / name).read_text()
    found = re.findall(r'\b(?:leading_)?options "([a-z_ ]+)"', text)
    return {key for keys in found for key in keys.split()}


def test_there_is_a_page_for_each_script():
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == set(SCRIPTS)


@every_script
def test_its_options_are_documented(name):
    page = (PAGES / f"{name}.md").read_text()
    in_page = set(re.findall(r"^\| `([a-z_]+)=", page, re.MULTILINE))
    in_help = set(re.findall(r"^  ([a-z_]+)=", call(name, "help").out, re.MULTILINE))
    assert in_page == in_help == options_of(name)


@every_script
def test_its_examples_are_right(name):
    """Lines of a services.list: two blanks after the name."""
    page = (PAGES / f"{name}.md").read_text()
    examples = re.findall(rf"^({'|'.join(SCRIPTS)})  +(.*)$", page, re.MULTILINE)
    assert any(script == name for script, _ in examples)
    for script, words in examples:
        assert call(script, "check", *shlex.split(words)) == (0, "", ""), words


@every_script
def test_it_answers_without_arguments(name):
    assert call(name) == call(name, "help")
    assert call(name, "help").out.startswith(f"{name} start|stop|monitor ")
    assert call(name, "start").code == 2
    assert call(name, "restart", "x").code == 2
