"""had.conf and the command line, any of them: what was meant is read, and the rest is refused cleanly.

A configuration is drawn as values first, from which follows what must be read, and then written in one of
the many ways in which a person may write it.  What is broken goes through the oracle of the fuzz target:
settings, or complaints with file and line, and a description that is read again as the same.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest
from fuzz_targets import flags, had_conf
from hypothesis import given
from hypothesis import strategies as st
from property_settings import examples

from had.cli.options import parse
from had.config.keys import KEYS, LINKS, SECTIONS, TOP
from had.config.load import load
from had.config.settings import LinkConfig
from had.core.settings import Alone, Isolated, StopFailure

MS = 1_000_000
SECOND = 1000 * MS
NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
Draw = Callable[[st.SearchStrategy[Any]], Any]

names = st.text(NAME_CHARACTERS, min_size=1, max_size=32)
names = st.one_of(names, names.map(lambda name: (name * 32)[:32]))
# Whatever a path may hold that had.conf can hold; the quote of the other kind is the writer's problem.
path_parts = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="/\"'"), min_size=1, max_size=8
)
paths = st.lists(
    st.one_of(path_parts, st.sampled_from(["a b", "x,y", "#1", "it's", 'say "x"', "[a]", "a=b"])),
    min_size=1,
    max_size=4,
)
paths = paths.filter(lambda parts: parts[-1] not in (".", "..")).map(lambda parts: "/" + "/".join(parts))
paths = paths.filter(lambda path: not ("'" in path and '"' in path))


# Writing


@dataclasses.dataclass(frozen=True)
class Written:
    """A value as it stands in a file."""

    text: str


def write_duration(draw: Draw, value_ns: int) -> str:
    """One of the ways to write a duration that has a whole number of milliseconds."""
    ways = [f"{value_ns // MS}ms"]
    for unit, unit_ns in (("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND)):
        if value_ns % unit_ns == 0:
            ways.append(f"{value_ns // unit_ns}{unit}")
    whole, rest = divmod(value_ns // MS, 1000)
    ways.append(f"{whole}.{rest:03d} s")
    return str(draw(st.sampled_from(ways)))


def write_item(draw: Draw, text: str) -> str:
    """A text, with quotes where it needs or may have them."""
    ways = [f"{quote}{text}{quote}" for quote in "\"'" if quote not in text]
    if text == text.strip() and not set(text) & set(",#'\""):
        ways.append(text)
    return str(draw(st.sampled_from(ways)))


def write_list(draw: Draw, items: tuple[str, ...]) -> str:
    text = draw(st.sampled_from([", ", ",", " , "])).join(write_item(draw, item) for item in items)
    return text + draw(st.sampled_from([",", " ,"])) if len(items) == 1 else text


def write_line(draw: Draw, key: str, value: str) -> str:
    key = draw(st.sampled_from([key, key, f'"{key}"', f"'{key}'"]))
    line = (
        draw(st.sampled_from(["", " ", "\t"]))
        + key
        + draw(st.sampled_from(["=", " = ", "= ", "\t=\t"]))
        + value
    )
    return str(line + draw(st.sampled_from(["", "", " ", "  # why, 'so'", '\t# "'])))


def write_file(draw: Draw, sections: dict[str, dict[str, str]], links: dict[str, dict[str, str]]) -> bytes:
    lines: list[str] = []

    def assignments(values: dict[str, str]) -> None:
        for key in draw(st.permutations(sorted(values))):
            lines.append(write_line(draw, key, values[key]))
            lines.extend(draw(st.sampled_from([[], [], [""], ["# key = value"], ["   # [section]"]])))

    assignments(sections.pop(TOP))
    for section in draw(st.permutations([*sorted(sections), LINKS])):
        lines.append(draw(st.sampled_from([f"[{section}]", f"[ {section} ]  # that", f" [{section}]"])))
        if section != LINKS:
            assignments(sections[section])
            continue
        for name, values in links.items():
            lines.append(
                draw(st.sampled_from([f"[[{name}]]", f"  [[ {name} ]]", f"[ [{name}] ]", f'[["{name}"]]']))
            )
            assignments(values)
    text = draw(st.sampled_from(["\n", "\n", "\r\n"])).join(lines)
    text += draw(st.sampled_from(["", "\n", "\n\n"]))
    return bytes(draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + text.encode())


# What is meant


def spans(draw: Draw, low_ns: int, high_ns: int) -> int:
    units = [unit for unit in (MS, SECOND, 60 * SECOND, 3600 * SECOND) if high_ns // unit * unit >= low_ns]
    unit = draw(st.sampled_from(units))
    return unit * int(draw(st.integers(-(-low_ns // unit), high_ns // unit)))


def draw_timers(draw: Draw, top: dict[str, str], meant: dict[str, Any]) -> None:
    day = 24 * 3600 * SECOND
    heartbeat = spans(draw, 10 * MS, draw(st.sampled_from([SECOND, 3600 * SECOND])))
    dead = spans(
        draw, max(50 * MS, 2 * heartbeat), draw(st.sampled_from([max(121 * SECOND, 2 * heartbeat), day]))
    )
    startup, quorum, warn = 200 * SECOND, None, None
    top["heartbeat"], top["dead"] = write_duration(draw, heartbeat), write_duration(draw, dead)
    if draw(st.booleans()):
        startup = spans(draw, dead, day)
        top["startup"] = write_duration(draw, startup)
    if draw(st.booleans()) and max(50 * MS, 2 * heartbeat) <= startup:
        quorum = spans(draw, max(50 * MS, 2 * heartbeat), startup)
        top["startup_quorum"] = write_duration(draw, quorum)
    if draw(st.booleans()):
        warn = spans(draw, heartbeat, dead)
        top["warn"] = write_duration(draw, warn)
    meant.update(
        heartbeat_ns=heartbeat,
        dead_ns=dead,
        startup_ns=startup,
        startup_quorum_ns=quorum or min(2 * dead, startup),
        warn_ns=warn or max(dead // 2, heartbeat),
        monitor_interval_ns=max(heartbeat, SECOND),
    )


def draw_nodes(draw: Draw, top: dict[str, str], meant: dict[str, Any]) -> None:
    nodes = tuple(draw(st.lists(names, min_size=1, max_size=5, unique_by=str.lower)))
    node = draw(st.sampled_from(nodes))
    meant.update(node="alpha", count=2, names=(), order=())
    listed = draw(st.booleans()) and not (len(nodes) == 1 and nodes[0].isdigit())
    if listed or draw(st.booleans()):
        top["node"], meant["node"] = write_item(draw, node), node
    if listed:
        top["nodes"] = write_list(draw, nodes)
        meant.update(count=len(nodes), names=nodes)
    elif draw(st.booleans()):
        top["nodes"], meant["count"] = str(len(nodes)), len(nodes)
    if meant["count"] == len(nodes) and "nodes" in top and draw(st.booleans()):
        meant["order"] = tuple(draw(st.permutations(nodes)))
        top["order"] = write_list(draw, meant["order"])


def draw_links(draw: Draw) -> tuple[dict[str, dict[str, str]], tuple[LinkConfig, ...]]:
    written, meant = {}, []
    link_names = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    for number, name in enumerate(link_names):
        kind = draw(st.sampled_from(["broadcast", "multicast", "unicast"]))
        port = 1000 + number
        values, link = {"port": str(port), "kind": kind}, {"port": port, "kind": kind}
        if kind == "broadcast" and draw(st.booleans()):
            del values["kind"]  # the default
        host = draw(st.integers(1, 254))
        if kind == "unicast":
            link["peers"] = tuple(f"10.1.{number}.{host + more}" for more in range(draw(st.integers(2, 3))))
            link["peers"] = tuple(peer for peer in link["peers"] if int(peer.split(".")[3]) < 255)
            if len(link["peers"]) < 2:
                link["peers"] = ("fd00::1", "fd00::2")
            values["peers"] = write_list(draw, link["peers"])
        if kind == "multicast":
            link["group"] = draw(st.sampled_from(["239.1.2.3", "ff05::1234"]))
            values["group"] = write_item(draw, link["group"])
        where = draw(st.sampled_from(["address", "interface", "network"]))
        if ":" in str(link.get("group", link.get("peers", ""))):
            where = "interface"
        if kind != "unicast" or draw(st.booleans()):
            link[where] = {
                "address": f"10.1.{number}.{host}",
                "interface": "eth0",
                "network": f"10.1.{number}.0/24",
            }[where]
            values[where] = write_item(draw, link[where])
        if draw(st.booleans()):
            link["crossover"] = draw(st.booleans())
            words = (
                ["yes", "true", "on", "1", "YES"] if link["crossover"] else ["no", "false", "off", "0", "No"]
            )
            values["crossover"] = draw(st.sampled_from(words))
        written[name] = values
        meant.append(LinkConfig(name, **link))
    return written, tuple(meant)


@st.composite
def configurations(draw: Draw) -> tuple[bytes, dict[str, Any], dict[str, Any], tuple[LinkConfig, ...]]:
    """A file, and what it means: the core's fields, the daemon's, the links."""
    top: dict[str, str] = {}
    core: dict[str, Any] = {}
    draw_nodes(draw, top, core)
    draw_timers(draw, top, core)
    for key, kind in (("alone", Alone), ("isolated", Isolated), ("stop_failure", StopFailure)):
        core[key] = draw(st.sampled_from(kind))
        if core[key] is not next(iter(kind)) or draw(st.booleans()):
            top[key] = write_item(draw, core[key].value)
    hooks, places, daemon = {}, {}, {}
    for key in ("start_timeout", "stop_timeout", "monitor_timeout", "alert_timeout", "monitor_interval"):
        if draw(st.booleans()):
            core[f"{key}_ns"] = spans(draw, 100 * MS, 3600 * SECOND)
            hooks[key] = write_duration(draw, core[f"{key}_ns"])
    core["monitor_failures"] = draw(st.integers(1, 100))
    hooks["monitor_failures"] = str(core["monitor_failures"])
    for key in ("cluster", "instance"):
        if draw(st.booleans()):
            daemon[key] = draw(names)
            top[key] = write_item(draw, daemon[key])
    for section, key, field in (
        (hooks, "directory", "hooks_directory"),
        (places, "run", "run_directory"),
        (places, "record", "record_directory"),
        (places, "state", "state_file"),
        (places, "pid", "pid_file"),
        (places, "log", "log"),
    ):
        if draw(st.booleans()):
            daemon[field] = f"/{key}" + draw(paths)  # no two are the same
            section[key] = write_item(draw, daemon[field])
    links, meant = draw_links(draw)
    return write_file(draw, {TOP: top, "hooks": hooks, "places": places}, links), core, daemon, meant


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("conf") / "had.conf")


@examples(60)
@given(configuration=configurations())
def test_what_was_meant_is_what_is_read(place, configuration):
    data, core, daemon, links = configuration
    with open(place, "wb") as file:
        file.write(data)
    settings = load(parse(["-F", place]), uname="alpha.example.com")
    assert {name: getattr(settings.core, name) for name in core} == core
    assert {name: getattr(settings, name) for name in daemon} == daemon
    assert settings.links == links
    assert [(link.name, link.crossover) for link in settings.core.links] == [
        (link.name, link.crossover) for link in links
    ]
    had_conf(data)


# What is broken

WORDS = [key.name for key in KEYS] + list(SECTIONS) + ["hearbeat", "node2", "group", "yes", "alpha", "x" * 40]
VALUES = [
    *(
        "1s",
        "0",
        "-1",
        "99999999999999999999999999",
        "1e9",
        "5",
        "2 weeks",
        "1.5.5s",
        "0.0000000001s",
        "٣s",
        "1_0",
    ),
    *("10.1.1.1", "::1", "fe80::1%eth0", "10.1.0.0/24", "10.1.0.1/24", "0.0.0.0/0", "ff02::1", "999.1.1.1"),
    *("/", "//", "~", "/tmp/..", "a/b/", "syslog", "stderr", "None", "%(x)s", "$HOME", "${x}", "\\", "\\n"),
    *(
        '""',
        "''",
        '"',
        "'",
        '"""',
        "'''",
        '"a" b',
        "a, b",
        "a,, b",
        ",",
        ", a",
        "a,",
        "#",
        '"""a\nb"""',
        "'''\n'''",
    ),
]
BRACKETS = [
    "[links]",
    "[[x]]",
    "[[[y]]]",
    "[ [z]]",
    "[hooks",
    "]",
    "[]",
    "[[]]",
    "[link]",
    "[heartbeat]",
    "[[[[[[q]",
]
pieces = st.one_of(
    st.sampled_from(
        [*WORDS, *VALUES, *BRACKETS, " = ", "=", "\n", "\n", "\r\n", "\r", "  ", "\t", "#", "\0", "\x1b[2J"]
    ),
    st.sampled_from(["\u2028", "\x85", "\x0c", "\ufeff", "\u202e", "\ud7ff", "é", "\U0001f600", "x" * 300]),
    st.text(max_size=4),
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


lines = st.one_of(
    st.tuples(st.sampled_from(WORDS), st.sampled_from([" = ", "="]), st.sampled_from(VALUES)).map("".join),
    st.sampled_from(BRACKETS),
    st.lists(pieces, max_size=6).map("".join),
)
broken = st.lists(lines, max_size=30).map("\n".join).map(encoded)


@examples(120)
@given(st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]), broken, st.booleans())
def test_any_text_is_read_or_refused_with_file_and_line(mark, text, ends):
    had_conf(mark + text + (b"\n[links]\n[[lan]]\nnetwork = 10.1.0.0/24\n" if ends else b""))


changes = st.lists(
    st.tuples(
        st.integers(0, 3000),
        st.integers(0, 12),
        st.one_of(st.just(b""), pieces.map(encoded), st.binary(max_size=3)),
    ),
    min_size=1,
    max_size=4,
)


@examples(80)
@given(configurations(), changes)
def test_a_good_file_with_slips_in_it_is_read_or_refused(configuration, slips):
    data = configuration[0]
    for at, length, put in slips:
        place = at % (len(data) + 1)
        data = data[:place] + put + data[place + length :]
    had_conf(data)


# The command line

FLAG_VALUES = [
    *VALUES,
    *WORDS[:5],
    "10.1.1.255",
    "255.255.255.255",
    "0x0a010101",
    "10.7",
    "1",
    "121",
    "0.25",
    "250ms",
]
flag_words = st.one_of(
    st.sampled_from(
        ["-" + letter for letter in "abcABClmnpsMThfFNI"]
        + ["--", "-", "--check", "--conf", "--config=x", "-mf"]
    ),
    st.tuples(
        st.sampled_from(["-" + letter for letter in "abcABClnpsMTNI"]), st.sampled_from(FLAG_VALUES)
    ).map("".join),
    st.sampled_from(FLAG_VALUES),
    st.text(max_size=6),
)


@examples(120)
@given(st.booleans(), st.lists(flag_words, max_size=12))
def test_any_command_line_gives_settings_or_complaints(has_link, words):
    words = (["-a10.1.1.1"] if has_link else []) + [word.replace("\n", " ") for word in words]
    flags("\n".join(words).encode("utf-8", "surrogatepass"))


@st.composite
def command_lines(draw: Draw) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Flags that go together, in any order, and what they mean."""
    heartbeat = spans(draw, 10 * MS, 60 * SECOND)
    dead = spans(draw, max(50 * MS, 2 * heartbeat), 24 * 3600 * SECOND)
    count, port = draw(st.integers(1, 1000)), draw(st.integers(1, 65535))
    node, instance, state = draw(names), draw(names), draw(paths)
    seconds = [f"{dead // MS // 1000}.{dead // MS % 1000:03d}", write_duration(draw, dead)]
    given_ = {
        "M": write_duration(draw, heartbeat),
        "T": draw(st.sampled_from(seconds)),
        "n": str(count),
        "p": str(port),
        "N": node,
        "I": instance,
        "l": state,
    }
    links = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
    given_.update({flag: f"10.1.{'abc'.index(flag)}.1" for flag in links})
    argv = []
    for flag in draw(st.permutations(sorted(given_))):
        argv += [f"-{flag}{given_[flag]}"] if draw(st.booleans()) else [f"-{flag}", given_[flag]]
    core = {
        "heartbeat_ns": heartbeat,
        "dead_ns": dead,
        "count": count,
        "node": node,
        "startup_ns": 200 * SECOND,
    }
    daemon = {"instance": instance, "state_file": state, "pid_file": f"/run/had-{instance}.pid"}
    daemon["links"] = tuple(
        LinkConfig(
            f"link{place + 1}", "broadcast", port, address=f"10.1.{place}.1", broadcast=f"10.1.{place}.255"
        )
        for place in sorted("abc".index(flag) for flag in links)
    )
    return argv, core, daemon


@examples(60)
@given(command_lines())
def test_what_the_flags_mean_is_what_is_read(line):
    argv, core, daemon = line
    settings = load(parse(argv), uname="elsewhere")
    assert {name: getattr(settings.core, name) for name in core} == core
    assert {name: getattr(settings, name) for name in daemon} == daemon
    flags(os.fsencode("\n".join(argv)))
