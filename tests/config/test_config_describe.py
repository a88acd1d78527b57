"""What --check prints; and properties of all of had.config together."""

from __future__ import annotations

import dataclasses
import os.path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from had.cli.options import Options, parse
from had.config import keys
from had.config.describe import describe
from had.config.load import NO_KEY_WARNING, ConfigErrors, load, load_with_origins
from had.config.units import UnfitError, parse_duration, show_duration, shown

RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_an_old_command_line_is_described():
    options = parse(["-a", "10.1.1.1", "-M1", "-T3", "-m", "-s", "/opt/my #hooks"])
    made, origins = load_with_origins(options, uname="alpha")
    text = describe(made, origins)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == (
        "# Node alpha, one of 2 nodes, from the command line alone. It starts the services at once (-m)."
    )
    assert "node = alpha # uname -n" in lines
    assert "dead = 3s # -T" in lines
    assert "warn = 1.5s # default" in lines
    assert 'directory = "/opt/my #hooks" # -s' in lines
    assert lines[lines.index("[links]") : lines.index("")] == []
    assert lines[lines.index("[links]") + 1 :] == [
        "[[link1]]",
        "kind = broadcast",
        "port = 3891",
        "address = 10.1.1.1",
        "broadcast = 10.1.1.255",
        "crossover = no",
        "",
        "# Note: there is one link only; where it is cut, both sides may run the services",
        "# Note: dead is less than four heartbeats: a few lost packets make a living peer look dead",
        f"# Note: {NO_KEY_WARNING}",
    ]


def test_risks_are_noted(conf):
    text = describe(conf.load(f"nodes = 1\nalone = start\n{conf.lan}[[b]]\ninterface = eth1\n"))
    assert "one of 1 node, from " + str(conf.path) in text
    assert "# Note: alone = start: a node that is cut off" in text
    assert "one link only" not in text


NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
PATHS = st.text(
    st.one_of(st.sampled_from("ab /.,#'\"=[]\\"), st.characters(categories=("L", "N", "P", "Zs"))),
    max_size=20,
).map(lambda text: "/x/" + text + "x")
DURATIONS = st.integers(100, 3_600_000).map(lambda ms: ms * 1_000_000)


@st.composite
def links(draw):
    texts = []
    for number in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(["address = 10.{}.0.1", "interface = eth{}", "network = 10.{}.0.0/24"]))
        kind = draw(
            st.sampled_from(
                [
                    "broadcast",
                    "multicast\ngroup = 239.1.1.1",
                    "unicast\npeers = 10.9.0.1",
                    "unicast\npeers = 10.9.0.1, 10.9.0.2",
                ]
            )
        )
        port, crossover = draw(st.integers(1, 65535)), draw(st.booleans())
        texts.append(
            f"[[l{number}]]\n{place.format(number)}\nkind = {kind}\nport = {port}\n"
            f"crossover = {'yes' if crossover else 'no'}\n"
        )
    return "[links]\n" + "".join(texts)


@st.composite
def files(draw):
    """Texts of sound files."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    heartbeat = draw(st.integers(10, 10_000))
    dead = draw(st.integers(max(2 * heartbeat, 50), 100_000))
    lines = [
        f"node = {names[0]}",
        draw(st.sampled_from([f"nodes = {', '.join(names)},", f"nodes = {len(names)}"])),
        f"heartbeat = {heartbeat}ms",
        f"dead = {dead}ms",
        f"alone = {draw(st.sampled_from(['wait', 'exit', 'start']))}",
        f"isolated = {draw(st.sampled_from(['keep', 'stop']))}",
    ]
    if draw(st.booleans()):
        lines.append(f"warn = {draw(st.integers(heartbeat, dead))}ms")
    if draw(st.booleans()):
        lines.append(f"order = {', '.join(draw(st.permutations(names)))},")
    if draw(st.booleans()):
        lines.append(f"instance = {draw(NAMES)}")
    lines += ["[hooks]", f"start_timeout = {show_duration(draw(DURATIONS))}"]
    return "\n".join(lines) + "\n" + draw(links())


def same(one, other):
    """Settings without what only flags can bring, and where they came from."""
    return [
        dataclasses.replace(
            settings,
            core=dataclasses.replace(settings.core, isolation_by_machine=False, force_main=False),
            config_file="",
            warnings=(),
        )
        for settings in (one, other)
    ]


@RELAXED
@given(text=files())
def test_what_is_described_is_a_file_that_says_the_same(conf, text):
    first = conf.load(text)
    second = conf.load(describe(first))
    one, other = same(first, second)
    assert one == other


@RELAXED
@given(hooks=PATHS, state=PATHS, heartbeat=st.integers(1, 60), nodes=st.integers(1, 1000), node=NAMES)
@example(hooks="/x/x", state="/x//x", heartbeat=1, nodes=1, node="a")
@example(hooks="/'", state='/"', heartbeat=1, nodes=1, node="a")
@example(hooks="/'\"", state="/'\"x", heartbeat=1, nodes=1, node="a")
def test_flags_are_described_as_a_file_that_says_the_same(conf, hooks, state, heartbeat, nodes, node):
    if os.path.normpath(hooks) == os.path.normpath(state):
        return  # refused
    if '"' in hooks + state and "'" in hooks + state and '"""' in hooks + state:
        return
    argv = ["-a10.1.1.1", "-c10.2.1.1", "-s", hooks, "-l", state, "-M", str(heartbeat)]
    first = load(parse([*argv, f"-n{nodes}", f"-N{node}"]), uname="x")
    text = describe(first)
    if "\\" in text or hooks.endswith('"') or state.endswith('"'):
        return  # what can't be quoted is only shown
    one, other = same(first, conf.load(text))
    assert one == other


def test_paths_that_cannot_be_quoted_are_shown(conf):
    for path in ("/a\udcff", "/'''\"\"\"", "/'\""):
        made = load(Options(addresses=("10.1.1.1", None, None), hooks_directory=path), uname="a")
        assert f"directory = {path!a}" in describe(made)
    made = load(Options(addresses=("10.1.1.1", None, None), hooks_directory="/'\"x"), uname="a")
    assert 'directory = """/\'"x"""' in describe(made)
    assert conf.load(describe(made)).hooks_directory == "/'\"x"


WORDS = st.sampled_from(
    [key.name for key in keys.KEYS]
    + [
        *keys.SECTIONS,
        "[",
        "]",
        "[[",
        "]]",
        "=",
        " = ",
        "\n",
        ",",
        '"',
        "'",
        '"""',
        "#",
        "\t",
        "5s",
        "2",
        "yes",
    ]
    + [
        "10.1.0.0/24",
        "10.1.0.1",
        "ff02::1",
        "fe80::1",
        "unicast",
        "multicast",
        "alpha",
        "beta",
        "\r\n",
        "\ufeff",
    ]
)
LINES = st.tuples(
    st.sampled_from([key.name for key in keys.KEYS] + ["[links]", "[[lan]]", "[hooks]", "[places]", "x"]),
    st.sampled_from(["", " = ", "="]),
    st.one_of(WORDS, st.text(max_size=10)),
).map(lambda parts: "".join(parts) + "\n")


@RELAXED
@given(
    text=st.lists(st.one_of(WORDS, LINES, st.text(max_size=5)), max_size=40).map("".join),
    uname=st.text(max_size=40),
)
def test_any_text_gives_settings_or_config_errors(conf, text, uname):
    conf.path.write_bytes(text.encode("utf-8", "surrogatepass"))
    options = Options(config_file=str(conf.path))
    try:
        made = load(options, uname=uname)
    except ConfigErrors as problem:
        told = [str(complaint) for complaint in problem.complaints]
        text_of_errors = str(problem)
    else:
        told, text_of_errors = [made.core.node], made.core.node
        assert describe(made)
    assert told
    assert text_of_errors.splitlines() == told


@RELAXED
@given(content=st.binary(max_size=200))
def test_any_bytes_give_settings_or_config_errors(conf, content):
    conf.path.write_bytes(content)
    try:
        load(Options(config_file=str(conf.path)), uname="alpha")
    except ConfigErrors as problem:
        told = problem.complaints
    else:
        told = ("settings",)
    assert told


@given(st.integers(0, 10**16))
def test_durations_are_shown_so_that_they_are_read_again(duration_ns):
    text = show_duration(duration_ns)
    # Nanoseconds fit into no more than nine digits behind the point of a second.
    assert parse_duration(text) == duration_ns


def test_durations_are_shown_for_people():
    known = {
        1_500_000: "1.5ms",
        250_000_000: "250ms",
        1_000_000_000: "1s",
        1_500_000_000: "1.5s",
        60_000_000_000: "1m",
        121_000_000_000: "121s",
        7_200_000_000_000: "2h",
        0: "0s",
    }
    assert {ns: show_duration(ns) for ns in known} == known


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_unfit(text):
    try:
        duration = parse_duration(text, bare_seconds=True)
    except UnfitError:
        duration = 0
    assert duration >= 0


@given(st.text())
def test_what_is_shown_is_printable_and_short(text):
    assert shown(text).isprintable()
    assert len(shown(text)) <= 60
