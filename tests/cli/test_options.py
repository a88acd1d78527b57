"""The command line by itself: every flag, every refusal (COMPAT §1, D27)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from had.cli.options import Options, UsageError, parse, usage

SECONDS = "allowed is a number of seconds, or a duration such as 250ms, from"
OWN = "allowed is an IPv4 address of this machine, such as 10.1.0.1"
BROADCAST = "allowed is an IPv4 broadcast address, such as 10.1.0.255"
NAME = "allowed are 1 to 32 of A-Z a-z 0-9 - _"


def complaints(*argv):
    with pytest.raises(UsageError) as caught:
        parse(argv)
    assert str(caught.value).splitlines() == list(caught.value.complaints)
    return list(caught.value.complaints)


def test_nothing_given_is_nothing():
    assert parse([]) == Options()
    assert not parse([]).has_links


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["-a", "10.1.1.1"], "addresses", ("10.1.1.1", None, None)),
        (["-b10.1.1.1"], "addresses", (None, "10.1.1.1", None)),
        (["-c", "10.1.1.1"], "addresses", (None, None, "10.1.1.1")),
        (["-a1.1.1.1", "-A", "1.1.255.255"], "broadcasts", ("1.1.255.255", None, None)),
        (["-b1.1.1.1", "-B", "255.255.255.255"], "broadcasts", (None, "255.255.255.255", None)),
        (["-c1.1.1.1", "-C", "1.1.255.255"], "broadcasts", (None, None, "1.1.255.255")),
        (["-l", "x/state"], "state_file", "x/state"),
        (["-m"], "force_main", True),
        (["-n3"], "nodes", 3),
        (["-n", "3"], "nodes", 3),
        (["-n", "003"], "nodes", 3),
        (["-n", "1000"], "nodes", 1000),
        (["-p", "1"], "port", 1),
        (["-p65535"], "port", 65535),
        (["-s", "bin"], "hooks_directory", "bin"),
        (["-M", "1"], "heartbeat_ns", 1_000_000_000),
        (["-M", "3600"], "heartbeat_ns", 3_600_000_000_000),
        (["-M", "10ms"], "heartbeat_ns", 10_000_000),
        (["-M", "0.5"], "heartbeat_ns", 500_000_000),
        (["-T", "121"], "dead_ns", 121_000_000_000),
        (["-T", "250ms"], "dead_ns", 250_000_000),
        (["-T", "1.5s"], "dead_ns", 1_500_000_000),
        (["-T", "3m"], "dead_ns", 180_000_000_000),
        (["-T", "1h"], "dead_ns", 3_600_000_000_000),
        (["-F", "had.conf"], "config_file", "had.conf"),
        (["--config", "had.conf"], "config_file", "had.conf"),
        (["--config=had.conf"], "config_file", "had.conf"),
        (["-f"], "foreground", True),
        (["-N", "web-1_x"], "node", "web-1_x"),
        (["-I", "db"], "instance", "db"),
        (["--check"], "check", True),
        (["--version"], "version", True),
        (["-h"], "help", True),
        (["--help"], "help", True),
    ],
)
def test_each_flag_is_read(argv, field, value):
    options = parse(argv)
    assert getattr(options, field) == value
    assert options.warnings == ()


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        # The old daemon read all of these as 0 or as nothing (D27).
        (["-n", "abc"], "-n abc is not a whole number; allowed is 1 to 1000"),
        (["-n", "1x"], "-n 1x is not a whole number; allowed is 1 to 1000"),
        (["-n", "-1"], "-n -1 is not a whole number; allowed is 1 to 1000"),
        (["-n", "0"], "-n 0 is too small; allowed is 1 to 1000"),
        (["-n", "1001"], "-n 1001 is too large; allowed is 1 to 1000"),
        (["-n", "9" * 40], f"-n {'9' * 40} is too large; allowed is 1 to 1000"),
        (["-n", "٣"], "-n ٣ is not a whole number; allowed is 1 to 1000"),
        (["-p", "0"], "-p 0 is too small; allowed is a whole number from 1 to 65535"),
        (["-p", "69427"], "-p 69427 is too large; allowed is a whole number from 1 to 65535"),
        (["-p", "0xf33"], "-p 0xf33 is not a whole number; allowed is a whole number from 1 to 65535"),
        (["-M", "0"], f"-M 0 is too short; {SECONDS} 10ms to 1h"),
        (["-M", "3601"], f"-M 3601 is too long; {SECONDS} 10ms to 1h"),
        (["-M", "fast"], f"-M fast is not a duration; {SECONDS} 10ms to 1h"),
        (["-T", "0"], f"-T 0 is too short; {SECONDS} 50ms to 24h"),
        (["-T", "49ms"], f"-T 49ms is too short; {SECONDS} 50ms to 24h"),
        (["-T", "25h"], f"-T 25h is too long; {SECONDS} 50ms to 24h"),
        (["-T", ""], f"-T '' is not a duration; {SECONDS} 50ms to 24h"),
        (
            ["-T", "5min"],
            f"-T 5min has the unit 'min', which is none of ms, s, m and h; {SECONDS} 50ms to 24h",
        ),
        (["-a", "10.1.1"], None),
        (["-a", "10.1.1.256"], f"-a 10.1.1.256 is not an address; {OWN}"),
        (["-b", "web1"], f"-b web1 is not an address; {OWN}"),
        (["-c", ""], f"-c '' is not an address; {OWN}"),
        (["-a", "10.1.1.1 x"], f"-a 10.1.1.1 x is not an address; {OWN}"),
        (["-a", "::1"], f"-a ::1 is not an address; {OWN}"),
        (["-a", "0.0.0.0"], f"-a 0.0.0.0 is no address that a machine can have; {OWN}"),
        (["-a", "255.255.255.255"], f"-a 255.255.255.255 is no address that a machine can have; {OWN}"),
        (["-a", "239.1.1.1"], f"-a 239.1.1.1 is no address that a machine can have; {OWN}"),
        (["-A", "0"], f"-A 0 is no broadcast address; {BROADCAST}"),
        (["-B", "224.0.0.1"], f"-B 224.0.0.1 is no broadcast address; {BROADCAST}"),
        (["-C", "x"], f"-C x is not an address; {BROADCAST}"),
        (["-l", ""], "-l '' is empty; allowed is a path"),
        (["-s", ""], "-s '' is empty; allowed is a path"),
        (["-F", ""], "-F '' is empty; allowed is a path"),
        (["-N", ""], f"-N '' is empty; {NAME}"),
        (["-N", "a.b"], f"-N a.b has the character '.'; {NAME}"),
        (["-N", "ü"], f"-N ü has the character '\\xfc'; {NAME}"),
        (["-N", "x" * 33], f"-N {'x' * 33} has 33 characters; {NAME}"),
        (["-I", "a/b"], f"-I a/b has the character '/'; {NAME}"),
        (["-I", "\x1b[2J"], f"-I \\x1b[2J has the character '\\x1b'; {NAME}"),
        (["-I", "a\udcff"], f"-I a\\udcff has the character '\\udcff'; {NAME}"),
        (["-q"], "option -q not recognized; had -h shows all flags"),
        (["-H", "x"], "option -H not recognized; had -h shows all flags"),
        (["--nodes=3"], "option --nodes not recognized; had -h shows all flags"),
        (["--c"], "option --c not a unique prefix; had -h shows all flags"),
        (["--check=1"], "option --check must not have an argument; had -h shows all flags"),
        (["-n"], "option -n requires argument; had -h shows all flags"),
        (["--config"], "option --config requires argument; had -h shows all flags"),
    ],
)
def test_D27_nonsense_is_refused_by_name(argv, line):
    if line is None:
        assert parse(argv).addresses[0] == "10.1.0.1"
    else:
        assert complaints(*argv) == [line]


def test_all_bad_flags_are_told_at_once():
    found = complaints("-q", "-p", "0", "--bogus", "-n", "x", "-a", "y", "-M", "-1", "-T")
    assert [line.split(";")[0] for line in found] == [
        "option -q not recognized",
        "option --bogus not recognized",
        "option -T requires argument",
        "-a y is not an address",
        "-n x is not a whole number",
        "-p 0 is too small",
        "-M -1 is not a duration",
    ]


def test_later_flags_win():
    assert parse(["-n", "bad", "-n2", "-n", "3"]).nodes == 3
    assert parse(["-F", "a", "--config", "b"]).config_file == "b"
    assert parse(["--config", "b", "-F", "a"]).config_file == "a"


def test_flags_may_be_run_together():
    options = parse(["-mfn3", "-p", "4000"])
    assert (options.force_main, options.foreground, options.nodes, options.port) == (True, True, 3, 4000)


def test_an_argument_may_look_like_a_flag():
    assert parse(["-l", "-m"]).state_file == "-m"
    assert parse(["-l", "--"]).state_file == "--"


def test_words_that_are_no_flags_are_ignored_with_a_warning():
    options = parse(["begin", "-n3", "-", "--", "-m"])
    assert options.nodes == 3
    assert not options.force_main
    assert options.warnings == tuple(
        f"{word!r} is not a flag; it is ignored" for word in ("begin", "-", "-m")
    )


@pytest.mark.parametrize("word", ["start", "stop", "restart", "reload", "status"])
def test_the_initscripts_words_do_not_start_a_daemon(word):
    with pytest.raises(UsageError, match=f"'{word}' is for the initscript"):
        parse([word])


@pytest.mark.parametrize(
    ("text", "quad"),
    [("10.7", "10.0.0.7"), ("0x0a070001", "10.7.0.1"), ("010.1.1.1", "8.1.1.1"), ("10.1.258", "10.1.1.2")],
)
def test_addresses_are_read_as_inet_aton_does_with_a_warning(text, quad):
    options = parse(["-a", text, "-A", text])
    assert (options.addresses[0], options.broadcasts[0]) == (quad, quad)
    assert options.warnings == (f"-a {text} is read as {quad}", f"-A {text} is read as {quad}")


@pytest.mark.parametrize(("own", "broadcast"), [("-a", "-A"), ("-b", "-B"), ("-c", "-C")])
def test_a_broadcast_flag_without_own_address_is_ignored_with_a_warning(own, broadcast):
    options = parse([broadcast, "10.1.1.255"])
    assert options.has_links
    assert options.warnings == (f"{broadcast} is ignored: its link has no own address ({own})",)


def test_help_and_version_look_at_no_values():
    assert parse(["-n", "bad", "-h"]) == Options(help=True)
    assert parse(["--version", "-n", "bad"]) == Options(version=True)


def test_D27_usage_names_the_right_defaults_and_all_flags():
    text = usage()
    assert "(default: 3891)" in text
    assert "(default: 121s)" in text
    for flag in [
        "-a, -b, -c",
        "-A, -B, -C",
        "-p",
        "-n",
        "-N",
        "-M",
        "-T",
        "-m",
        "-F, --config",
        "-s",
        "-l",
        "-I",
    ]:
        assert f"\n  {flag} " in text
    for flag in ["-f", "--check", "--version", "-h, --help"]:
        assert f"\n  {flag} " in text
    assert all(len(line) <= 80 for line in text.splitlines())


@given(
    st.lists(
        st.one_of(st.text(max_size=8), st.sampled_from(["-n", "-a", "--config", "-M", "-mf", "1", "2s"]))
    )
)
def test_any_words_give_options_or_a_usage_error(argv):
    try:
        lines = parse(argv).warnings
    except UsageError as problem:
        lines = problem.complaints or ["\0"]
    assert all(line.isprintable() for line in lines)
