"""README.ru.md says in Russian what README.md says: whoever changes one is told of the other.

The two are compared part by part: headings, fenced blocks, list items and paragraphs, one after the other.
What can't be translated (commands, links, names, numbers) must be the same in both; whether the sentences
say the same is for people to see.
"""

from __future__ import annotations

import re

import pytest
from document_tools import ROOT, Part, code, parts, read, without_comment

ENGLISH, RUSSIAN = ROOT / "README.md", ROOT / "README.ru.md"

HEADINGS = [
    ("# ", "had", "had"),
    ("## ", "What it is", "Что это такое"),
    ("## ", "A first cluster in five minutes", "Первый кластер за пять минут"),
    ("## ", "Moving from FreeHA or old HAD", "Переход с FreeHA или старого HAD"),
    ("## ", "Documents", "Документы"),
    ("## ", "Licence", "Лицензия"),
]
"""Level, heading of README.md, heading of README.ru.md."""


def is_heading(part):
    return part.kind.startswith("#")


def is_block(part):
    return part.kind.startswith("```")


def headings(text):
    return [part for part in parts(text) if is_heading(part)]


def commands(block):
    """A block's lines without their comments, which are translated."""
    return [without_comment(line) for line in block.text.splitlines()]


def without_code(text):
    return re.sub(r"`[^`]+`", "", text)


def links(text):
    """Targets in alphabetical order: words change places in a translation.

    Each README points to the other.
    """
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return sorted(
        "the other README" if target in (ENGLISH.name, RUSSIAN.name) else target for target in targets
    )


def numbers(text):
    """Ports, addresses, versions, numbers of steps."""
    visible = re.sub(r"\]\([^)]*\)", "]", without_code(text))
    return set(re.findall(r"\d(?:[\d./:]*\d)?", visible))


def emphasised(text):
    return len(re.findall(r"\*\*[^*]+\*\*", text))


def in_step(ours, theirs):
    """Check that parts of the same kinds follow each other, and return them in pairs."""
    for number, (one, other) in enumerate(zip([*ours, None], [*theirs, None])):
        if (one and one.kind) != (other and other.kind):
            before = ours[number - 1].text if number else "its beginning"
            raise AssertionError(f"after {before!r} README.md has {one}, README.ru.md has {other}")
    return list(zip(ours, theirs))


def compare(ours, theirs):
    """Check that nothing is different but words."""
    for one, other in in_step(ours, theirs):
        if is_block(one):
            assert commands(one) == commands(other), f"in the block {one.text!r}"
        elif not is_heading(one):
            # A set: a sentence may need a name twice in one language and once in the other.
            assert set(code(one.text)) == set(code(other.text)), f"between backticks in {other.text!r}"
            assert links(one.text) == links(other.text), f"links in {other.text!r}"
            assert numbers(one.text) == numbers(other.text), f"numbers in {other.text!r}"
            assert emphasised(one.text) == emphasised(other.text), f"what stands out in {other.text!r}"


def is_russian(text):
    """Whether there are more Cyrillic than Latin letters, commands and targets of links left out."""
    visible = re.sub(r"\]\([^)]*\)", "]", without_code(text))
    return len(re.findall(r"[А-Яа-яЁё]", visible)) > len(re.findall(r"[A-Za-z]", visible))


def sections(text):
    """Heading to prose."""
    found = {}
    title = ""
    for part in parts(text):
        if is_heading(part):
            title = part.text
        elif not is_block(part):
            found[title] = found.get(title, "") + part.text + "\n"
    return found


# -- The two files --------------------------------------------------------------------------------------


def test_headings_are_those_of_the_table():
    assert headings(read(ENGLISH)) == [Part(level, english) for level, english, _ in HEADINGS]
    assert headings(read(RUSSIAN)) == [Part(level, russian) for level, _, russian in HEADINGS]


def test_nothing_is_different_but_words():
    compare(parts(read(ENGLISH)), parts(read(RUSSIAN)))


def test_every_section_is_russian():
    found = sections(read(RUSSIAN))
    assert list(found) == [russian for *_, russian in HEADINGS]
    for heading, text in found.items():
        assert is_russian(text), heading


def test_every_paragraph_has_russian_words():
    for part in parts(read(RUSSIAN)):
        if not is_block(part) and not is_heading(part):
            assert re.search(r"[а-яё]{2}", part.text), part.text


def test_each_begins_with_a_pointer_to_the_other():
    for path, other in ((ENGLISH, RUSSIAN), (RUSSIAN, ENGLISH)):
        assert f"]({other.name})" in parts(read(path))[1].text


def test_the_english_one_stays_english():
    for section, text in sections(read(ENGLISH)).items():
        assert not re.search("[А-Яа-яЁё]", text.replace("По-русски", "")), section


# -- What the comparison would notice ---------------------------------------------------------------------

CHANGES = {
    "another command": ("had --check", "had --version"),
    "a command in a line with a comment": ("init.d/had standby ", "init.d/had clear "),
    "another value in had.conf": ("network = 192.168.10.0/24", "network = 192.168.1.0/24"),
    "another log line": ("error: alpha timed out", "error: beta timed out"),
    "another kind of block": ("```ini\nnodes", "```\nnodes"),
    "a name between backticks": ("`stop`", "stop"),
    "a command between backticks that goes on in the next line": (
        "python3-module-daemon`",
        "python3-daemon`",
    ),
    "another link": ("](docs/pair.md)", "](docs/hooks.md)"),
    "a link to a heading": ("](docs/pair.md)", "](docs/pair.md#the-disk-on-both)"),
    "a number in a sentence": ("3891", "3892"),
    "an address in a sentence": ("192.168.10.0/24 ", "192.168.11.0/24 "),
    "what stood out": ("**службы работают на обоих**", "службы работают на обоих"),
    "a new heading": ("\n**3. ", "\n## Ещё\n\n**3. "),
    "a heading of another level": ("## Документы", "### Документы"),
    "a new paragraph": ("\n**3. ", "\nЕщё слово.\n\n**3. "),
    "two paragraphs in one": ("\n\n**6. ", "\n**6. "),
    "a new block": ("\n**3. ", "\n```\nhad\n```\n\n**3. "),
    "a block without its end": ("nodes = alpha, beta\n```", "nodes = alpha, beta\n"),
    "a new item": ("\n- [ARCH", "\n- Ещё один документ.\n- [ARCH"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_one_of_them_is_noticed(change):
    old, new = CHANGES[change]
    text = read(RUSSIAN)
    changed = text.replace(old, new, 1)
    assert changed != text, "the text that this test changes is not there any more"
    with pytest.raises(AssertionError):
        compare(parts(read(ENGLISH)), parts(changed))


def test_every_part_that_is_left_out_is_noticed():
    ours, theirs = parts(read(ENGLISH)), parts(read(RUSSIAN))
    for number in range(len(theirs)):
        with pytest.raises(AssertionError):
            compare(ours, theirs[:number] + theirs[number + 1 :])


def test_every_name_between_backticks_that_is_left_out_is_noticed():
    ours, theirs = parts(read(ENGLISH)), parts(read(RUSSIAN))
    for number, part in enumerate(theirs):
        names = set() if is_block(part) else set(re.findall(r"`[^`]+`", part.text))
        for name in names:
            without = part._replace(text=part.text.replace(name, ""))
            with pytest.raises(AssertionError):
                compare(ours, [*theirs[:number], without, *theirs[number + 1 :]])


def test_comments_may_differ():
    text = read(RUSSIAN)
    assert "  # на узле" in text
    compare(parts(read(ENGLISH)), parts(text.replace("  # на узле", "  # там")))


def test_english_is_not_taken_for_russian():
    for section, text in sections(read(ENGLISH)).items():
        assert not is_russian(text), section
