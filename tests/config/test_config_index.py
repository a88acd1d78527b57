"""The index of lines: what it finds, what it complains about, and that ConfigObj agrees."""

from __future__ import annotations

import configobj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from had.config.index import Entry, index


def entries(text):
    found = index(text.split("\n"))
    assert found.mistakes == ()
    assert not found.has_lost_sections
    return [(".".join(entry.section), entry.key, entry.value, entry.line) for entry in found.entries]


def mistakes(text):
    return [f"{line}: {text}" for line, text in index(text.split("\n")).mistakes]


def test_sections_keys_comments_and_lines():
    text = """# a comment
a = 1  # another

[one] # and one
b = "x # y"
  [[two]]
  c = p, "q, r" ,'s'  # t, "u", "v"
[ three ]
'd e' = f
"""
    assert entries(text) == [
        ("", "a", "1", 2),
        ("one", "", "", 4),
        ("one", "b", '"x # y"', 5),
        ("one.two", "", "", 6),
        ("one.two", "c", "p, \"q, r\" ,'s'", 7),
        ("three", "", "", 8),
        ("three", "d e", "f", 9),
    ]


def test_triple_quotes_over_several_lines():
    text = "a = \"\"\"x\n[no] = section\n# no comment\"\"\" # a comment\nb = '''y'''\nc = 1"
    assert entries(text) == [
        ("", "a", '"""x\n[no] = section\n# no comment"""', 1),
        ("", "b", "'''y'''", 4),
        ("", "c", "1", 5),
    ]


def test_a_comma_at_the_end_makes_a_list():
    assert entries("a = b , # c\nd = e,") == [("", "a", "b,", 1), ("", "d", "e,", 2)]


def test_duplicates_are_told_and_the_first_counts():
    text = "a = 1\n[s]\nb = 1\na = 2\n[t]\nb = 1\n[s]\nb = 2\nc = 3"
    found = index(text.split("\n"))
    assert found.mistakes == (
        (7, "[s] stands here a second time; the first is in line 2"),
        (8, "b stands here a second time; the first is in line 3"),
    )
    assert Entry(("s",), "b", "1", 3) in found.entries
    assert Entry(("s",), "c", "3", 9) in found.entries


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dead 5s", '1: \'dead 5s\' is neither "key = value" nor "[section]"'),
        ("= 5s", "1: '= 5s' has nothing before the ="),
        ('"a b = 5', '1: \'"a b = 5\' is neither "key = value" nor "[section]"'),
        ("a =", "1: a: there is no value; leave the line out to get the default"),
        ("a = # 5", "1: a: there is no value; leave the line out to get the default"),
        ('a = "b', '1: a: the " is never closed'),
        ("a = b, 'c", "1: a: the ' is never closed"),
        ('a = "b" c', "1: a: 'c' follows the closing quote"),
        ("a = b,,c", "1: a: an item of the list is empty"),
        ("a = ,", "1: a: an item of the list is empty"),
        ('a = """b', '1: a: the """ is never closed'),
        ("a = '''b\nc''' d", "1: a: something follows the closing ''' in line 2"),
        ("a = '''b''' c", "1: a: something follows the closing '''"),
        ("[a", "1: '[a' is not a section: it is written [name], one below it [[name]]"),
        ("[[a]", "1: '[[a]' is not a section: it is written [name], one below it [[name]]"),
        ("[]", "1: '[]' is not a section: it is written [name], one below it [[name]]"),
        ("[a] b", "1: '[a] b' is not a section: it is written [name], one below it [[name]]"),
        ("[[a]]", "1: '[[a]]' has no section with one bracket less above it"),
        ("[a]\n[[[b]]]", "2: '[[[b]]]' has no section with one bracket less above it"),
    ],
)
def test_what_is_not_written_right(text, line):
    # Whatever it is, the next line is read again; only a value's second line is nobody's.
    found = index([*text.split("\n"), "z 1"])
    assert f"{found.mistakes[0][0]}: {found.mistakes[0][1]}" == line
    assert found.mistakes[-1][1] == '\'z 1\' is neither "key = value" nor "[section]"'


def test_below_an_unreadable_header_all_is_read_and_belongs_nowhere():
    text = "a = 1\n[b\nc = 1\nc = 2\nd 3\n[[e]]\n[[f]\n[g]\nh = 1\n[[[i]]]\n[[j]]\nk = 1"
    found = index(text.split("\n"))
    assert [line for line, _ in found.mistakes] == [2, 5, 10]
    assert [(e.section, e.key) for e in found.entries if e.key] == [
        ((), "a"),
        (("g",), "h"),
        (("g", "j"), "k"),
    ]
    assert found.has_lost_sections


def test_a_header_of_the_depth_of_an_unreadable_one_is_lost_with_its_parent():
    found = index(["[a", "[[b]]", "[c]", "[[d", "[[e]]", "k = 1"])
    assert [line for line, _ in found.mistakes] == [1, 4]
    assert found.entries[-1] == Entry(("c", "e"), "k", "1", 6)


PIECES = st.one_of(
    st.sampled_from(['"', "'", ",", "#", "=", "[", "]", " ", "\n", '"""', "'''", "a", "b", "\t", "\\"]),
    st.text(st.characters(exclude_categories=("Cc", "Zl", "Zp", "Cs")), max_size=3),
)
TEXTS = st.lists(PIECES, max_size=24).map("".join)


@given(TEXTS)
def test_a_value_that_is_let_through_is_one_for_configobj(value):
    found = index([f"k = {line}" if not number else line for number, line in enumerate(value.split("\n"))])
    first = next((entry for entry in found.entries if entry.key == "k" and entry.line == 1), None)
    if first is None or not first.value:
        return
    read = configobj.ConfigObj(f"k = {first.value}".split("\n"), interpolation=False)
    assert list(read) == ["k"]
    commented = configobj.ConfigObj(f"k = {first.value}  # and so on".split("\n"), interpolation=False)
    assert commented["k"] == read["k"]


@given(TEXTS.map(lambda text: text.replace("#", "")))
def test_configobj_finds_the_same_sections_and_keys(text):
    lines = text.split("\n")
    found = index(lines)
    if found.mistakes:
        return
    read = configobj.ConfigObj(list(lines), interpolation=False)
    assert {entry.section for entry in found.entries if not entry.key} == set(_sections(read))
    assert {(entry.section, entry.key) for entry in found.entries if entry.key} == set(_keys(read))
    for entry in found.entries:
        if entry.key:
            alone = configobj.ConfigObj(f"k = {entry.value}".split("\n"), interpolation=False)
            assert alone["k"] == _at(read, entry.section)[entry.key]


def _sections(section, path=()):
    for name in section.sections:
        yield (*path, name)
        yield from _sections(section[name], (*path, name))


def _keys(section, path=()):
    for name in section.scalars:
        yield path, name
    for name in section.sections:
        yield from _keys(section[name], (*path, name))


def _at(section, path):
    for name in path:
        section = section[name]
    return section


@given(TEXTS)
def test_any_text_is_indexed(text):
    lines = text.split("\n")
    found = index(lines)
    assert all(1 <= line <= len(lines) for line, _ in found.mistakes)
    assert all(text.isprintable() for _, text in found.mistakes)
