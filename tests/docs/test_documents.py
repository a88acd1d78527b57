"""What the documents name exists, and what exists is named."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from document_tools import DOCUMENTS, ROOT, anchors, blocks, code, commands, name_of, prose, read, rows

from had.cli import options
from had.cli.options import Options
from had.config import keys
from had.config.load import load
from had.core.states import State
from had.runtime.signals import WORDS
from had.runtime.statefile import SPELLINGS, WAITING

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
LATER = {"docs/RULES.md": {"no_quorum"}}
"""Keys that rules for later parts name already."""
OF_OTHERS = {
    "docs/services/mysql.md": {"sync_binlog"},
    "docs/services/postgresql.md": {"fsync", "logging_collector", "synchronous_commit"},
}
"""Settings of other programs, which look like keys of had.conf."""


def test_the_documents_are_there():
    names = {name_of(path) for path in DOCUMENTS}
    for name in ("README", "ARCHITECTURE", "CHANGELOG", "CONTRIBUTING"):
        assert f"{name}.md" in names
    for name in ("README", "signals", "exit-codes", "operations", "migration"):
        assert f"docs/{name}.md" in names


@every_document
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(path))):
        if re.match(r"\w+:", target):
            continue
        file, _, fragment = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if fragment:
            assert fragment in anchors(read(there)), target


def test_every_document_can_be_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        reached.add(path)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", read(path)):
            there = (path.parent / target).resolve()
            if there.exists() and there not in reached:
                ahead.append(there)
    assert set(DOCUMENTS) <= reached


@every_document
def test_lines_are_not_glued_and_not_forgotten(path):
    text = read(path)
    assert text.endswith("\n")
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) % 2 == 0
    for paragraph in re.split(r"\n\s*\n", prose(text)):
        assert paragraph.count("`") % 2 == 0, paragraph
    assert "\t" not in text


# -- Commands -----------------------------------------------------------------------------------------


def makefile_targets():
    return set(re.findall(r"^([\w-]+):", read(ROOT / "Makefile"), re.MULTILINE))


def test_the_readme_begins_with_its_two_commands():
    first = blocks(read(ROOT / "README.md"))[0]
    assert [line.split()[:2] for line in first.text.splitlines()] == [["make", "test"], ["make", "demo"]]


@every_document
def test_what_make_is_asked_for_is_in_the_makefile(path):
    makefile = read(ROOT / "Makefile")
    for command in commands(read(path)):
        words = command.split()
        if not words or words[0] != "make":
            continue
        assert words[1] in makefile_targets(), command
        for word in words[2:]:
            name, is_variable, _ = word.partition("=")
            if is_variable and re.fullmatch(r"[A-Z_]+", name):
                assert f"{name} ?=" in makefile or f"$({name})" in makefile, command


@every_document
def test_flags_of_had_exist(path):
    known = {f"-{flag}" for flag in options._SHORT.replace(":", "")}
    known |= {f"--{flag.rstrip('=')}" for flag in options._LONG}
    for command in commands(read(path)):
        if re.match(r"(\S*/)?had( |$)", command) and "[" not in command:
            given = set(re.findall(r"(?<=\s)(--?[a-zA-Z][\w-]*)", command))
            assert given <= known, command
    for flag in code(read(path)):
        if re.fullmatch(r"-[a-zA-Z]", flag) and path.name in ("migration.md", "signals.md", "exit-codes.md"):
            assert flag in known, flag


def test_every_flag_of_the_usage_text_is_documented():
    text = read(ROOT / "docs" / "command-line.md")
    for flag in re.findall(r"(?<=[ ,])(--?[a-zA-Z][\w-]*)", options.usage()):
        assert f"`{flag}`" in text, flag


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-h"], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["-n", "x"], 1),
        (["-q"], 1),
        (["-F", "/nowhere"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_are_as_documented(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "had", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_documented_exit_codes_are_all_there_are():
    tables = [row for row in rows(read(ROOT / "docs" / "exit-codes.md")) if row[0].isdigit()]
    assert {row[0] for row in tables} == {"0", "1", str(128 + signal.SIGINT)}


# -- had.conf -----------------------------------------------------------------------------------------


@every_document
def test_examples_of_had_conf_can_be_loaded(path, tmp_path):
    for block in blocks(read(path)):
        if block.kind != "ini" and "[links]" not in block.text:
            continue
        text = block.text
        if "[links]" not in text:  # only some lines are shown
            line = text.strip()
            text = read(ROOT / "had.conf")
            name = line.split("=")[0].strip()
            text, count = re.subn(rf"^{name} = .*$", line, text, count=1, flags=re.MULTILINE)
            assert count == 1, f"had.conf has no line for {line}"
        file = tmp_path / "had.conf"
        file.write_text(text, encoding="utf-8")
        names = re.search(r"^nodes = (\w+)", text, re.MULTILINE)
        settings = load(Options(config_file=str(file)), uname=names[1] if names else "alpha")
        assert settings.links


@every_document
def test_keys_of_had_conf_exist(path):
    known = {key.name: key for key in keys.KEYS}
    for text in code(read(path)):
        found = re.fullmatch(r"([a-z_]+) =(?: (\S+))?", text)
        if found is None:
            continue
        name, value = found.groups()
        if name == "key":  # "key = value" is only an example
            continue
        if name in LATER.get(name_of(path), ()) or name in OF_OTHERS.get(name_of(path), ()):
            continue
        assert name in known, f"{text}: no key of had.conf, and not in OF_OTHERS of this test"
        if value and known[name].choices:
            assert value in known[name].choices, text


def test_every_key_is_documented():
    text = read(ROOT / "docs" / "configuration.md")
    for key in keys.KEYS:
        assert f"| `{key.name}` |" in text, key.name


# -- What hooks get, settings of the initscript, states, signals --------------------------------------


def variables_that_are_set():
    source = read(ROOT / "had" / "runtime" / "hooks.py")
    return set(re.findall(r'"(HAD_[A-Z_]+)"', source))


def settings_of_the_initscript():
    return re.findall(r"^#?([A-Z_]+)=", read(ROOT / "init.d" / "had.sysconfig"), re.MULTILINE)


@every_document
def test_variables_exist(path):
    known = variables_that_are_set() | set(settings_of_the_initscript())
    for name in re.findall(r"HAD_[A-Z][A-Z_]*", read(path)):
        assert name in known, name


def test_every_setting_of_the_initscript_is_documented():
    table = [row[0] for row in rows(read(ROOT / "docs" / "initscript.md"))]
    names = settings_of_the_initscript()
    assert {"HAD_OPTIONS", "HAD_INSTANCE", "STOP_TIMEOUT"} <= set(names)
    assert [name for name in names if f"`{name}`" not in table] == []


def test_every_variable_is_documented():
    text = read(ROOT / "docs" / "hooks-environment.md")
    assert {name for name in variables_that_are_set() if f"| `{name}` |" not in text} == set()


def test_every_signal_is_documented():
    text = read(ROOT / "docs" / "signals.md")
    for number in WORDS:
        assert re.search(rf"^## .*\b{number.name}\b", text, re.MULTILINE), number.name


def test_every_word_of_the_state_file_is_explained():
    cells = {row[0] for row in rows(read(ROOT / "docs" / "operations.md"))}
    assert f"`{WAITING.strip()}`" in cells
    for spelling in SPELLINGS.values():
        assert f"`{spelling}`" in cells, spelling


def test_every_state_is_in_the_generated_page():
    text = read(ROOT / "docs" / "states.md")
    for state in set(State) - {State.UNKNOWN, State.TIMEDOUT}:
        assert state.name in text


# -- Places in the source -----------------------------------------------------------------------------


@every_document
def test_files_and_tests_that_are_named_exist(path):
    tests = "\n".join(read(file) for file in (ROOT / "tests").rglob("test_*.py"))
    for text in code(read(path)):
        if re.fullmatch(r"(had|tests|tools|docs|demo|scripts)/[\w./-]+", text):
            assert os.path.exists(ROOT / text), text
        elif re.fullmatch(r"test_\w+\w", text) and path.name in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
            assert f"def {text}(" in tests, text


def test_functions_that_the_architecture_names_exist():
    source = "\n".join(read(file) for file in (ROOT / "had").rglob("*.py"))
    for text in code(read(ROOT / "ARCHITECTURE.md")):
        found = re.fullmatch(r"(?:(\w+)\.)?(_?[A-Za-z]\w*)(?:\(.*\))?", text)
        if found is None or text.startswith("test_") or text == "system()":
            continue
        for name in filter(None, found.groups()):
            assert re.search(rf"\b{name}\b", source), text
