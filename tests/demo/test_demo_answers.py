"""How the demo judges: outages from the client's lines, overlaps from the services' stamps."""

from __future__ import annotations

import pytest

from demo.answers import Answers, Stamp, two_at_once

MS = 1_000_000


def answers(*lines: tuple[int, str]) -> Answers:
    """Answers that ended at these milliseconds; each was asked 1 ms earlier."""
    found = Answers()
    text = "".join(f"{(end - 1) * MS} {end * MS} {node} {0 if node == '-' else 7}\n" for end, node in lines)
    for i in range(0, len(text), 5):  # in pieces, as pipes give them
        found.feed(text[i : i + 5].encode())
    return found


def test_an_outage_is_from_the_last_good_answer_to_the_next() -> None:
    seen = answers((10, "n1"), (20, "n1"), (30, "-"), (1000, "-"), (1320, "n2"), (1330, "n2"))
    assert seen.outage_ns(15 * MS, 1331 * MS) == 1300 * MS


def test_an_outage_begins_with_the_last_answer_before_the_act() -> None:
    seen = answers((10, "n1"), (500, "n2"))
    assert seen.outage_ns(15 * MS, 501 * MS) == 490 * MS


def test_an_outage_that_goes_on_counts_until_now() -> None:
    seen = answers((10, "n1"), (20, "n1"), (30, "-"))
    assert seen.outage_ns(15 * MS, 2000 * MS) == 1980 * MS


def test_answers_that_end_out_of_order_are_sorted() -> None:
    seen = answers((20, "n1"), (10, "n1"), (30, "n1"))
    assert [answer.ended_ns // MS for answer in seen.between(0, 100 * MS)] == [10, 20, 30]


def test_who_serves_is_who_answered_last() -> None:
    seen = answers((10, "n1"), (20, "n2"), (30, "-"))
    assert seen.serving(40 * MS) == "n2"
    assert seen.serving(1500 * MS) == ""
    assert seen.rate(40 * MS) == (2, 1)


UP1, UP2 = Stamp("up", "n1", 11, 100), Stamp("up", "n2", 22, 300)


@pytest.mark.parametrize("word", ["down", "killed"])
def test_one_after_the_other_is_fine(word: str) -> None:
    assert two_at_once([UP1, Stamp(word, "n1", 11, 250), UP2]) == []


@pytest.mark.parametrize(
    "stamps",
    [
        [UP1, UP2],
        [UP1, UP2, Stamp("down", "n1", 11, 350)],
        [UP2, UP1, Stamp("killed", "n1", 11, 301)],
        [Stamp("down", "n1", 11, 50), UP1, UP2],
    ],
    ids=["without-end", "ended-later", "stamped-out-of-order", "end-of-an-earlier-process"],
)
def test_two_at_once_are_found(stamps: list[Stamp]) -> None:
    assert two_at_once(stamps) == ["the services on n1 and n2 were up at once"]


def test_a_start_beside_another_one_is_found_though_it_failed() -> None:
    assert two_at_once([UP1, Stamp("refused", "n2", 22, 150)]) == ["n2 started a service beside another one"]
