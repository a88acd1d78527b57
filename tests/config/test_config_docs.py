"""The documentation and the shipped had.conf say what the table of keys says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from had.cli import options
from had.cli.options import Options
from had.config import keys, reference
from had.config.check import default_of
from had.config.load import load
from had.core.settings import Isolated, Settings

ROOT = Path(__file__).resolve().parents[2]
S = 1_000_000_000


def test_the_tables_of_keys_are_up_to_date():
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert reference.with_tables(text) == text, "run python -m had.config.reference docs/configuration.md"
    for key in keys.KEYS:
        assert text.count(f"\n| `{key.name}` |") == 1


def test_the_tables_are_put_between_the_marks(tmp_path):
    path = tmp_path / "x.md"
    path.write_text("a\n<!-- keys: places -->\nold\n<!-- end -->\nb\n")
    reference.main([str(path)])
    text = path.read_text()
    assert text.startswith("a\n<!-- keys: places -->\n| key |")
    assert text.endswith("|\n<!-- end -->\nb\n")
    assert "old" not in text
    assert text.count("\n| `") == len(keys.names_in(keys.PLACES))


def test_every_flag_is_documented_with_its_default_and_range():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = _rows(text)
    flags = {f"-{flag}" for flag in options._SHORT.replace(":", "")}
    flags |= {f"--{flag.rstrip('=')}" for flag in options._LONG}
    assert set(rows) == flags
    for key in keys.KEYS:
        if key.flag and key.default:
            assert f"`{key.default}`" in rows[key.flag]
        if key.flag and key.low:
            assert re.search(rf"`?{key.low}`? to `?{key.high}`?", rows[key.flag])


def _rows(text):
    """The table's rows by flag."""
    found = {}
    for row in text.splitlines():
        if row.startswith("| `-"):
            for flag in re.findall(r"`(--?\w+)`", row.split("|")[1]):
                assert flag not in found
                found[flag] = row
    return found


def test_examples_in_the_documentation_are_right(conf):
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    examples = [block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "[links]" in block]
    assert examples
    for example in examples:
        assert len(conf.load(example).links) == 4


def test_the_defaults_are_those_of_the_core_where_it_has_any():
    settings = Settings("a")
    for key in keys.KEYS:
        value = default_of(key)
        field = {"nodes": "count"}.get(key.name, key.name + ("_ns" if key.kind == "duration" else ""))
        if value is not None and key.section in (keys.TOP, keys.HOOKS) and key.name != "directory":
            known = getattr(settings, field)
            assert value == (known.value if key.kind == "choice" else known)


def test_every_key_is_documented_in_full():
    for key in keys.KEYS:
        assert key.doc.endswith(".")
        assert bool(key.default) != bool(key.computed)
        assert key.allowed


# -- The shipped had.conf -----------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["alpha", "beta"])
def test_the_shipped_file_works_as_it_is_on_both_nodes(node):
    settings = load(Options(config_file=str(ROOT / "had.conf")), uname=f"{node}.example.com")
    core = settings.core
    assert (core.node, core.names, core.count) == (node, ("alpha", "beta"), 2)
    assert (core.heartbeat_ns, core.dead_ns, core.warn_ns) == (S, 5 * S, 5 * S // 2)
    assert core.isolated is Isolated.STOP
    assert [(link.name, link.crossover) for link in core.links] == [("lan", False), ("cable", True)]
    assert all(link.network for link in settings.links)
    assert len(settings.warnings) == 1


def test_the_shipped_file_explains_one_switch():
    text = " ".join((ROOT / "had.conf").read_text(encoding="utf-8").replace("#", "").split())
    assert "if that switch dies, every node is isolated, and all stop" in text


def test_the_shipped_file_is_for_a_terminal():
    text = (ROOT / "had.conf").read_text(encoding="utf-8")
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_the_shipped_files_needs_few_keys():
    text = (ROOT / "had.conf").read_text(encoding="utf-8")
    assert len({line.split("=")[0].strip() for line in text.splitlines() if re.match(r"\w+ =", line)}) < 20
