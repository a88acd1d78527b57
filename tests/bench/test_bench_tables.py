"""Tables, the drawing, and the file that they end in."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from bench.plot import panels, plot, position, scale
from bench.report import raw, report
from bench.results import Results, Row
from bench.table import comparison, table, tables

SVG = "{http://www.w3.org/2000/svg}"


def row(contender, samples, *, group="1 s", quantity="gap", peer=True, note="", measure="crash"):
    return Row(measure, quantity, "ms", contender, "1000 / 3000", group, samples, peer, note)


def some():
    results = Results()
    for each in (
        row("slow", [30.0, 50.0, 40.0]),
        row("quick", [8.0, 12.0]),
        row("had", [3.0, 5.0, 40.0], peer=False),
        row("quick", [1.0], group="20 ms"),
        row("had", [2.0], group="20 ms", peer=False),
        row("gone", [], group="20 ms", note="it broke | here"),
    ):
        results.add(each)
    return results


def test_each_row_of_ours_is_compared_with_the_best_peer_of_its_class():
    results = some()
    assert comparison(results.rows[2], results) == "0.5 x quick"
    assert comparison(results.rows[4], results) == "2 x quick"
    assert comparison(results.rows[0], results) == ""


def test_where_a_ratio_says_nothing_there_is_a_difference():
    results = Results()
    results.add(row("early", [-10.0]))
    results.add(row("had", [3.0], peer=False))
    assert comparison(results.rows[1], results) == "+13 ms to early"
    results.rows[1].samples = [-12.0]
    assert comparison(results.rows[1], results) == "-2 ms to early"


def test_a_row_without_a_peer_or_without_samples_is_compared_with_nothing():
    results = Results()
    results.add(row("had", [3.0], peer=False))
    results.add(row("gone", []))
    assert comparison(results.rows[0], results) == ""


def test_what_is_compared_stands_together_ours_first():
    text = tables(some())["crash"]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()]
    assert [line[1] for line in lines[2:]] == ["had", "slow", "quick", "had", "quick", "gone"]
    assert lines[2][4:8] == ["5", "3", "40", "3"]
    assert "not measured" not in text
    assert "it broke \\| here" in text
    assert len({len(line) for line in table([["a", "b"], ["long", "|"]]).splitlines()}) == 1


def test_the_drawing_is_svg_with_a_bar_for_each_row_that_has_samples():
    drawing = ElementTree.fromstring(plot(some()))
    texts = [element.text for element in drawing.iter(f"{SVG}text")]
    assert "crash: gap, ms" in texts
    assert "had 1000 / 3000" in texts
    assert "5 (40)" in texts
    assert "gone 1000 / 3000" not in texts
    height = float(drawing.attrib["viewBox"].split()[3])
    for element in drawing.iter(f"{SVG}rect"):
        assert 0 <= float(element.get("y", "0")) <= height
        assert float(element.attrib["width"]) > 0
    assert [len(rows) for _, rows in panels(some())] == [5]
    only_in_the_table = Results()
    only_in_the_table.add(row("had", [1.0], quantity="memory, floor"))
    assert plot(only_in_the_table) == plot(Results()) == ""


def test_the_axis_takes_what_is_nothing_or_less_to_its_begin():
    rows = [row("had", [-10.0, 0.0, 5.0, 120.0])]
    low, high = scale(rows)
    assert (low, high) == (0, 3)
    assert position(-10, low, high) == position(0, low, high) == position(1, low, high)
    assert position(1, low, high) < position(5, low, high) < position(1000, low, high)
    assert scale([row("had", [-1.0])]) == (0, 1)


def test_the_report_has_all_and_the_raw_samples_can_be_read_back():
    results = some()
    results.notes.append("ucarp is skipped: not installed")
    text = report(results, {"Machine": "a | b"}, "RESULTS.svg")
    for piece in ("# Results", "a \\| b", "(RESULTS.svg)", "## Crash", "0.5 x quick", "ucarp is skipped"):
        assert piece in text
    assert json.loads(raw(results, {}))["rows"][1]["samples"] == [8.0, 12.0]
