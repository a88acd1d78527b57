"""had.conf and the command line together: every key, every mistake, what wins over what."""
# ruff: noqa: E501  # the messages stand whole in the tables, to be found when one is looked for

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from had.cli.options import Options, parse
from had.config import keys
from had.config import load as loading
from had.config.load import NO_KEY_WARNING, ConfigErrors, load, load_with_origins
from had.config.settings import DaemonSettings, LinkConfig
from had.core.settings import Alone, Isolated, Settings, StopFailure

S = 1_000_000_000
MS = 1_000_000


def old(*argv, uname="alpha.example.com"):
    """Load an old command line, with no file."""
    return load(parse(argv), uname=uname)


def refused(*argv, uname="alpha"):
    with pytest.raises(ConfigErrors) as caught:
        old(*argv, uname=uname)
    return str(caught.value).splitlines()


# -- Every key and its values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("nodes = 3", "count", 3),
        ("nodes = 1000", "count", 1000),
        ("nodes = alpha, beta, c", "names", ("alpha", "beta", "c")),
        ("nodes = alpha, beta, c", "count", 3),
        ("nodes = 'alpha', \"beta\"", "names", ("alpha", "beta")),
        ("nodes = alpha", "names", ("alpha",)),
        ("nodes = alpha,", "count", 1),
        ("node = alpha\nnodes = alpha, 2", "names", ("alpha", "2")),
        ("node = web-1_X", "node", "web-1_X"),
        ("nodes = alpha, b\norder = b, alpha", "order", ("b", "alpha")),
        ("nodes = 2\norder = b, alpha", "order", ("b", "alpha")),
        ("heartbeat = 10ms", "heartbeat_ns", 10 * MS),
        ("heartbeat = 1h\ndead = 2h\nstartup = 2h", "heartbeat_ns", 3600 * S),
        ("heartbeat = 1.5s", "heartbeat_ns", 1500 * MS),
        ("heartbeat = 0.5 s", "heartbeat_ns", 500 * MS),
        ("dead = 3m", "dead_ns", 180 * S),
        ("dead = 3m", "warn_ns", 90 * S),
        ("heartbeat = 10ms\ndead = 50ms", "dead_ns", 50 * MS),
        ("warn = 2s\ndead = 5s", "warn_ns", 2 * S),
        ("warn = 1s\ndead = 5s", "warn_ns", 1 * S),
        ("warn = 5s\ndead = 5s", "warn_ns", 5 * S),
        ("startup = 121s", "startup_ns", 121 * S),
        ("dead = 5s\nstartup = 5s", "startup_quorum_ns", 5 * S),
        ("dead = 5s", "startup_quorum_ns", 10 * S),
        ("dead = 121s", "startup_quorum_ns", 200 * S),
        ("dead = 300s", "startup_ns", 200 * S),
        ("startup_quorum = 200s", "startup_quorum_ns", 200 * S),
        ("startup_quorum = 2s", "startup_quorum_ns", 2 * S),
        ("alone = wait", "alone", Alone.WAIT),
        ("alone = exit", "alone", Alone.EXIT),
        ("alone = start", "alone", Alone.START),
        ("isolated = keep", "isolated", Isolated.KEEP),
        ("isolated = stop", "isolated", Isolated.STOP),
        ("stop_failure = errored", "stop_failure", StopFailure.ERRORED),
        ("stop_failure = block", "stop_failure", StopFailure.BLOCK),
        ("[hooks]\nstart_timeout = 100ms", "start_timeout_ns", 100 * MS),
        ("[hooks]\nstop_timeout = 24h", "stop_timeout_ns", 86_400 * S),
        ("[hooks]\nmonitor_timeout = 1h", "monitor_timeout_ns", 3600 * S),
        ("[hooks]\nalert_timeout = 2s", "alert_timeout_ns", 2 * S),
        ("[hooks]\nmonitor_interval = 100ms", "monitor_interval_ns", 100 * MS),
        ("heartbeat = 3s", "monitor_interval_ns", 3 * S),
        ("heartbeat = 10ms", "monitor_interval_ns", 1 * S),
        ("[hooks]\nmonitor_failures = 100", "monitor_failures", 100),
    ],
)
def test_each_key_of_the_core(conf, text, field, value):
    assert getattr(conf.load(f"{text}\n{conf.lan}").core, field) == value


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("cluster = web_1-A", "cluster", "web_1-A"),
        ("instance = db", "instance", "db"),
        ("[hooks]\ndirectory = /opt/hasrv", "hooks_directory", "/opt/hasrv"),
        ("[hooks]\ndirectory = '/opt/my hooks, #1'", "hooks_directory", "/opt/my hooks, #1"),
        ("[places]\nrun = /tmp/r", "run_directory", "/tmp/r"),
        ("[places]\nrun = /tmp/r", "state_file", "/tmp/r/state"),
        ("[places]\nrun = /tmp/r", "pid_file", "/run/had.pid"),
        ("[places]\nrun = /tmp/r\nstate = /tmp/s", "state_file", "/tmp/s"),
        ("[places]\nrecord = /tmp/r", "record_directory", "/tmp/r"),
        ("[places]\npid = /tmp/pid", "pid_file", "/tmp/pid"),
        ("[places]\nlog = syslog", "log", "syslog"),
        ("[places]\nlog = stderr", "log", "stderr"),
        ("[places]\nlog = /var/log/had.log", "log", "/var/log/had.log"),
        ("instance = db", "run_directory", "/run/had-db"),
        ("instance = db", "record_directory", "/var/lib/had-db"),
        ("instance = db", "state_file", "/run/had-db/state"),
        ("instance = db", "pid_file", "/run/had-db.pid"),
        ("instance = db\n[places]\nrun = /tmp/x", "state_file", "/tmp/x/state"),
        ("instance = db", "hooks_directory", "/etc/had/hasrv"),
    ],
)
def test_each_key_of_the_daemon(conf, text, field, value):
    assert getattr(conf.load(f"{text}\n{conf.lan}"), field) == value


NAME = "allowed: 1 to 32 of A-Z a-z 0-9 - _"
NODES = (
    "allowed: the names of all nodes (1 to 32 of A-Z a-z 0-9 - _ each), separated by commas, or their number, "
    "1 to 1000"
)
TIME = "such as 250ms, 2s, 3m or 1h"
DIRECTORY = "allowed: the path of a directory"
FILE = "allowed: the path of a file"
LOG = "allowed: syslog, stderr, or the absolute path of a file"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cluster = a b", f"1: cluster = a b has the character ' '; {NAME}"),
        ('cluster = ""', f'1: cluster = "" is empty; {NAME}'),
        ("cluster = a, b", f"1: cluster = a, b is a list, where one value is wanted; {NAME}"),
        ('cluster = """a\nb"""', f"1: cluster = \"\"\"a\\nb\"\"\" has the character '\\n'; {NAME}"),
        ("instance = a/b", f"1: instance = a/b has the character '/'; {NAME}"),
        (f"instance = {'x' * 33}", f"1: instance = {'x' * 33} has 33 characters; {NAME}"),
        ("node = a.b", f"1: node = a.b has the character '.'; {NAME}"),
        ("nodes = 0", f"1: nodes = 0 is too small; {NODES}"),
        ("nodes = 1001", f"1: nodes = 1001 is too large; {NODES}"),
        ("nodes = two nodes", f"1: nodes = two nodes has the name 'two nodes', which has the character ' '; {NODES}"),
        ("nodes = alpha, a.b", f"1: nodes = alpha, a.b has the name 'a.b', which has the character '.'; {NODES}"),
        ("nodes = alpha, beta, alpha", f"1: nodes = alpha, beta, alpha has a name twice; {NODES}"),
        ("nodes = alpha, Alpha", f"1: nodes = alpha, Alpha has alpha and Alpha, which differ only in case; {NODES}"),
        ("nodes = alpha, ''", f"1: nodes = alpha, '' has an empty item; {NODES}"),
        ("order = a, a", "1: order = a, a has a name twice; allowed: names of nodes, separated by commas"),
        ("heartbeat = 1", f"1: heartbeat = 1 needs a unit: ms, s, m or h; allowed: a duration from 10ms to 1h, {TIME}"),
        ("heartbeat = 9ms", f"1: heartbeat = 9ms is too short; allowed: a duration from 10ms to 1h, {TIME}"),
        ("heartbeat = 61m", f"1: heartbeat = 61m is too long; allowed: a duration from 10ms to 1h, {TIME}"),
        ("warn = soon", f"1: warn = soon is not a duration; allowed: a duration from 10ms to 24h, {TIME}"),
        ("dead = -5s", f"1: dead = -5s is not a duration; allowed: a duration from 50ms to 24h, {TIME}"),
        ("dead = 0s", f"1: dead = 0s is too short; allowed: a duration from 50ms to 24h, {TIME}"),
        ("dead = 1,5s", f"1: dead = 1,5s is a list, where one value is wanted; allowed: a duration from 50ms to 24h, {TIME}"),
        ("dead = 5S", f"1: dead = 5S has the unit 'S', which is none of ms, s, m and h; allowed: a duration from 50ms to 24h, {TIME}"),
        ("startup = 2d", f"1: startup = 2d has the unit 'd', which is none of ms, s, m and h; allowed: a duration from 50ms to 24h, {TIME}"),
        ("startup_quorum = x", f"1: startup_quorum = x is not a duration; allowed: a duration from 50ms to 24h, {TIME}"),
        ("alone = maybe", "1: alone = maybe is unknown; allowed: wait, exit or start"),
        ("alone = WAIT", "1: alone = WAIT is unknown; allowed: wait, exit or start"),
        ("isolated = yes", "1: isolated = yes is unknown; allowed: keep or stop"),
        ("stop_failure = a, b", "1: stop_failure = a, b is a list, where one value is wanted; allowed: errored or block"),
        ("[hooks]\ndirectory = ~/hooks", f"2: directory = ~/hooks begins with ~, which only a shell understands; {DIRECTORY}"),
        ("[hooks]\ndirectory = '''/a\n/b'''", f"2: directory = '''/a\\n/b''' goes over several lines; {DIRECTORY}"),
        ("[hooks]\nstart_timeout = 0s", f"2: start_timeout = 0s is too short; allowed: a duration from 100ms to 24h, {TIME}"),
        ("[hooks]\nstop_timeout = 25h", f"2: stop_timeout = 25h is too long; allowed: a duration from 100ms to 24h, {TIME}"),
        ("[hooks]\nmonitor_timeout = 2h", f"2: monitor_timeout = 2h is too long; allowed: a duration from 100ms to 1h, {TIME}"),
        ("[hooks]\nalert_timeout = 9", f"2: alert_timeout = 9 needs a unit: ms, s, m or h; allowed: a duration from 100ms to 1h, {TIME}"),
        ("[hooks]\nmonitor_interval = 99ms", f"2: monitor_interval = 99ms is too short; allowed: a duration from 100ms to 1h, {TIME}"),
        ("[hooks]\nmonitor_failures = 0", "2: monitor_failures = 0 is too small; allowed: a whole number from 1 to 100"),
        ("[hooks]\nmonitor_failures = few", "2: monitor_failures = few is not a whole number; allowed: a whole number from 1 to 100"),
        ('[places]\nrun = ""', f'2: run = "" is empty; {DIRECTORY}'),
        ("[places]\nrecord = a, b", f"2: record = a, b is a list, where one value is wanted; {DIRECTORY}"),
        ("[places]\nstate = /tmp/", f"2: state = /tmp/ is a directory's path; {FILE}"),
        ("[places]\npid = ..", f"2: pid = .. is a directory's path; {FILE}"),
        ("[places]\nlog = had.log", f"2: log = had.log is none of these; {LOG}"),
    ],
)  # fmt: skip
def test_each_unfit_value_is_told_with_its_line(conf, text, line):
    assert conf.mistakes(f"{text}\n{conf.lan}") == [line]


def test_what_is_not_given_has_the_documented_default(conf):
    settings = conf.load(conf.lan)
    core = settings.core
    expected = DaemonSettings(
        core=Settings("alpha", links=core.links, warn_ns=121 * S // 2),
        links=(LinkConfig("lan", "broadcast", 3891, network="10.1.0.0/24"),),
        config_file=str(conf.path),
        warnings=(NO_KEY_WARNING,),
    )
    assert settings == expected
    assert [(link.name, link.crossover) for link in core.links] == [("lan", False)]


# -- Names that nobody knows --------------------------------------------------------------------------

AT_TOP = ", ".join(keys.names_in(keys.TOP))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("daed = 5s", ["1: unknown key 'daed'; did you mean 'dead'?"]),
        ("Dead = 5s", ["1: unknown key 'Dead'; did you mean 'dead'?"]),
        # The slip is read as what was meant, so its value is looked at too, once.
        (
            "daed = 5",
            [
                "1: dead = 5 needs a unit: ms, s, m or h; allowed: a duration from 50ms to 24h, "
                "such as 250ms, 2s, 3m or 1h",
                "1: unknown key 'daed'; did you mean 'dead'?",
            ],
        ),
        ("dead = 5s\ndaed = 6", ["2: unknown key 'daed'; did you mean 'dead'?"]),
        ("monitor_failure = 2", ["1: unknown key 'monitor_failure'; did you mean 'monitor_failures', which belongs in [hooks]?"]),
        ("xyzzy = 2", [f"1: unknown key 'xyzzy'; above the first [section] can stand {AT_TOP}"]),
        ("[places]\nxyzzy = 2", ["2: unknown key 'xyzzy'; in [places] can stand run, record, state, pid, log"]),
        ("monitor_failures = 2", ["1: monitor_failures belongs in [hooks], not above the first [section]"]),
        ("[places]\ndead = 5s", ["2: dead belongs above the first [section], not in [places]"]),
        ("[hooks]\nport = 4000", ["2: port belongs in a link, a [[NAME]] below [links], not in [hooks]"]),
        ("hooks = /opt/hooks", ["1: hooks is a section and not a key: write [hooks], and below it what is in it"]),
        ("[dead]\nx = 1", ["1: dead is a key and not a section: write dead = above the first [section]"]),
        ("[hoks]\nmonitor_failures = 2", ["1: unknown section [hoks]; did you mean [hooks]?"]),
        ("[hoks]\nmonitor_failures = 0", [
            "1: unknown section [hoks]; did you mean [hooks]?",
            "2: monitor_failures = 0 is too small; allowed: a whole number from 1 to 100",
        ]),
        ("[hoks]\nx = 0\n[hooks]\ndirectory = /a", ["1: unknown section [hoks]; did you mean [hooks]?"]),
        ("[zzz]\nx = 0\n[[y]]\nx = 0", ["1: unknown section [zzz]; there are [hooks], [places], [process], [links]"]),
        ("[eth0]\nkind = unicast", ["1: unknown section [eth0]; there are [hooks], [places], [process], [links]; a link is written [[eth0]] below [links]"]),
        ("[hooks]\n[[a]]\nb = 1", ["2: [[a]]: only [links] has sections below it, and they have none"]),
        ("\x20[ 'h\u00f6\u00f6ks' ]", ["1: unknown section [h\u00f6\u00f6ks]; did you mean [hooks]?"]),
    ],
)  # fmt: skip
def test_unknown_names(conf, text, lines):
    assert conf.mistakes(f"{text}\n{conf.lan}") == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("interfce = eth0", ["3: unknown key 'interfce'; did you mean 'interface'?"]),
        ("network = 10.1.0.0/24\ndead = 5s", ["4: dead belongs above the first [section], not in a link"]),
        ("network = 10.1.0.0/24\nxyzzy = 5s", [
            "4: unknown key 'xyzzy'; in a link can stand kind, port, address, interface, network, broadcast, group, "
            "peers, crossover",
        ]),
        ("network = 10.1.0.0/24\n[[[x]]]\ny = 1", ["4: [[[x]]]: only [links] has sections below it, and they have none"]),
        ("network = 10.1.0.0/24\n[[a b]]\nnetwork = 10.2.0.0/24", ["4: 'a b' can't be a link's name; allowed: 1 to 32 of A-Z a-z 0-9 - _"]),
        ("network = 10.1.0.0/24\nport = 99999\n[links]\nxyzzy = 1", [
            "4: port = 99999 is too large; allowed: a whole number from 1 to 65535",
            "5: [links] stands here a second time; the first is in line 1",
            "6: unknown key 'xyzzy'; [links] has a [[NAME]] for each link, and no keys of its own",
        ]),
    ],
)  # fmt: skip
def test_unknown_names_in_links(conf, text, lines):
    assert conf.mistakes(f"[links]\n[[lan]]\n{text}\n") == lines


def test_more_names_than_anybody_has(conf):
    names = ", ".join(f"n{number}" for number in range(1001))
    (line,) = conf.mistakes(f"nodes = {names}\n{conf.lan}", uname="n1")
    assert line.endswith(f"... has 1001 names; {NODES}")
    names = names.rpartition(",")[0]
    assert conf.load(f"nodes = {names}\n{conf.lan}", uname="n1").core.count == 1000


def test_a_file_full_of_nonsense_is_told_of_in_bounded_time_and_length(conf):
    lines = conf.mistakes("".join(f"key{number}x = 1\n" for number in range(5000)))
    assert len(lines) == 201
    # One for each key, and that there is no link.
    assert lines[-1] == "0: 4801 more mistakes"


def test_every_mistake_is_told_at_once(conf):
    text = (
        "nodes = alpha, ALPHA\n"  # 1
        "heartbeat 1s\n"  # 2
        "dead = 5\n"  # 3
        "dead = 6s\n"  # 4
        "[hoooks]\n"  # 5
        "start_timeout = 1s\n"  # 6
        "start_timeout = 1s, 2s\n"  # 7
        "[links\n"  # 8
        "[[one]]\n"  # 9
        "[links]\n"  # 10
        "[[two]]\n"  # 11
        "kind = multicats\n"  # 12
        "[[two]]\n"  # 13
        'network = "10.1.0.0/24\n'  # 14
    )
    assert [line.partition(":")[0] for line in conf.mistakes(text, uname="!")] == [
        *("0", "1", "2", "3", "4", "5", "7", "8", "12", "13", "14")
    ]


# -- Timers that contradict each other ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "argv", "lines"),
    [
        ("dead = 1s\nheartbeat = 1s", [], ["2: dead = 1s (line 1) is less than two heartbeats, 2s"]),
        ("heartbeat = 100s", [], ["1: dead (default 121s) is less than two heartbeats, 200s"]),
        ("dead = 1999ms", [], ["1: dead = 1999ms (line 1) is less than two heartbeats, 2s"]),
        ("dead = 1s", ["-M", "1"], ["1: dead = 1s (line 1) is less than two heartbeats, 2s"]),
        ("nodes = 2", ["-M", "3", "-T", "4"], ["-: -T 4s is less than two heartbeats, 6s"]),
        ("warn = 500ms", [], ["1: warn = 500ms (line 1) is shorter than heartbeat (default 1s)"]),
        ("heartbeat = 2s\nwarn = 1s", [], ["2: warn = 1s (line 2) is shorter than heartbeat = 2s (line 1)"]),
        ("warn = 3m", [], ["1: warn = 3m (line 1) is longer than dead (default 121s): it would never be seen"]),
        ("warn = 3s", ["-T", "2"], ["1: warn = 3s (line 1) is longer than -T 2s: it would never be seen"]),
        (
            "startup = 4s\ndead = 5s",
            [],
            ["2: startup = 4s (line 1) is shorter than dead = 5s (line 2): a node could start beside one that it "
             "did not hear"],
        ),
        (
            "startup = 100s",
            [],
            ["1: startup = 100s (line 1) is shorter than dead (default 121s): a node could start beside one that "
             "it did not hear"],
        ),
        (
            "startup_quorum = 30s\nstartup = 20s\ndead = 5s",
            [],
            ["2: startup_quorum = 30s (line 1) is longer than startup = 20s (line 2): it would never be used"],
        ),
        (
            "startup_quorum = 201s",
            [],
            ["1: startup_quorum = 201s (line 1) is longer than startup (default 200s): it would never be used"],
        ),
        (
            "startup_quorum = 1s",
            [],
            ["1: startup_quorum = 1s (line 1) is less than two heartbeats, 2s"],
        ),
        # What is unfit by itself is complained about once, and compared with nothing.
        (
            "dead = 1\nheartbeat = 5s",
            [],
            ["1: dead = 1 needs a unit: ms, s, m or h; allowed: a duration from 50ms to 24h, such as 250ms, 2s, "
             "3m or 1h"],
        ),
    ],
)  # fmt: skip
def test_contradictions_name_both_and_their_lines(conf, text, argv, lines):
    assert conf.mistakes(f"{text}\n{conf.lan}", *argv) == lines


def test_contradicting_defaults_are_nobodys_mistake(conf):
    assert conf.load(f"dead = 10m\n{conf.lan}").core.startup_ns == 200 * S


# -- Names and order ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uname", "name"),
    [("web-1_x.example.com", "web-1_x"), ("9lives", "9lives"), ("UP.case", "UP"), ("node!x", "node")],
)
def test_the_node_name_is_cut_as_the_old_daemon_did(conf, uname, name):
    assert conf.load(conf.lan, uname=uname).core.node == name


@pytest.mark.parametrize(
    ("uname", "shown", "why"),
    [
        (".x", "''", "is empty"),
        ("", "''", "is empty"),
        ("x" * 33, f"'{'x' * 33}'", "has 33 characters"),
    ],
)
def test_a_machine_whose_name_gives_no_node_name(conf, uname, shown, why):
    assert conf.mistakes(conf.lan, uname=uname) == [
        f"0: this machine's name, {uname!r}, gives the node name {shown}, which {why}; give -N NAME or node = "
        "NAME, 1 to 32 of A-Z a-z 0-9 - _"
    ]
    assert conf.load(conf.lan, "-N", "n1", uname=uname).core.node == "n1"
    assert conf.load(f"node = n2\n{conf.lan}", uname=uname).core.node == "n2"
    assert conf.load(f"node = n2\n{conf.lan}", "-N", "n1", uname=uname).core.node == "n1"


@pytest.mark.parametrize(
    ("text", "argv", "line"),
    [
        (
            "nodes = beta, gamma",
            [],
            "1: this node, alpha (from uname -n), is not among nodes = beta, gamma (line 1); add it, or give -N "
            "NAME or node = NAME",
        ),
        (
            "nodes = Alpha, gamma",
            [],
            "1: this node, alpha (from uname -n), is not among nodes = Alpha, gamma (line 1); Alpha differs in "
            "case; add it, or give -N NAME or node = NAME",
        ),
        (
            "nodes = beta, gamma\nnode = delta",
            [],
            "2: this node, node = delta (line 2), is not among nodes = beta, gamma (line 1); add it, or give -N "
            "NAME or node = NAME",
        ),
        (
            "nodes = beta, gamma",
            ["-N", "delta"],
            "1: this node, -N delta, is not among nodes = beta, gamma (line 1); add it, or give -N NAME or node "
            "= NAME",
        ),
        (
            "nodes = alpha, b\norder = alpha, c",
            [],
            "2: order = alpha, c (line 2) and nodes = alpha, b (line 1) must have the same names; only one has b, c",
        ),
        (
            "order = alpha\nnodes = 2",
            [],
            "2: order = alpha (line 1) has 1 names, and nodes = 2 (line 2) says 2",
        ),
        (
            "order = alpha, b, c",
            [],
            "1: order = alpha, b, c (line 1) has 3 names, and nodes (default 2) says 2",
        ),
    ],
)
def test_names_that_do_not_go_together(conf, text, argv, line):
    assert conf.mistakes(f"{text}\n{conf.lan}", *argv) == [line]


def test_an_unfit_node_name_is_told_once(conf):
    lines = conf.mistakes(f"nodes = a, b\nnode = c.d\n{conf.lan}")
    assert lines == ["2: node = c.d has the character '.'; allowed: 1 to 32 of A-Z a-z 0-9 - _"]


# -- Flags and file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "argv", "field", "value"),
    [
        ("nodes = 5", ["-n3"], "count", 3),
        ("nodes = alpha, b", ["-n2"], "names", ("alpha", "b")),
        ("nodes = alpha, b, c", ["-n2"], "names", ()),
        ("nodes = alpha, b, c", ["-n2"], "count", 2),
        ("node = x", ["-N", "y"], "node", "y"),
        ("heartbeat = 1s", ["-M", "2"], "heartbeat_ns", 2 * S),
        ("dead = 5s", ["-T", "7"], "dead_ns", 7 * S),
        ("", ["-m"], "force_main", True),
        ("", [], "force_main", False),
        ("", [], "isolation_by_machine", False),
        ("", ["-a", "10.1.1.1"], "isolation_by_machine", True),
    ],
)
def test_flags_win_over_the_file(conf, text, argv, field, value):
    assert getattr(conf.load(f"{text}\n{conf.lan}", *argv).core, field) == value


@pytest.mark.parametrize(
    ("text", "argv", "field", "value"),
    [
        ("instance = x", ["-I", "y"], "pid_file", "/run/had-y.pid"),
        ("instance = x", ["-I", "y"], "instance", "y"),
        ("[hooks]\ndirectory = /a", ["-s", "/b"], "hooks_directory", "/b"),
        ("[places]\nstate = /a", ["-l", "/b"], "state_file", "/b"),
        ("[places]\nlog = /a", ["-f"], "log", "stderr"),
    ],
)
def test_flags_win_over_the_places_of_the_file(conf, text, argv, field, value):
    assert getattr(conf.load(f"{text}\n{conf.lan}", *argv), field) == value


def test_the_port_flag_applies_to_all_links(conf):
    settings = conf.load(f"{conf.lan}port = 5000\n[[b]]\ninterface = eth1\n", "-p", "4000")
    assert [link.port for link in settings.links] == [4000, 4000]
    assert old("-a", "10.1.1.1", "-b", "10.2.1.1", "-p", "4000").links[1].port == 4000


def test_link_flags_replace_all_links_of_the_file_but_nothing_else(conf):
    settings = conf.load(f"dead = 5s\n{conf.lan}[[b]]\ninterface = eth1\n", "-b", "10.2.1.1")
    assert [link.name for link in settings.links] == ["link2"]
    assert settings.core.dead_ns == 5 * S
    # The file was read, so these are not "old flags alone".
    assert settings.core.startup_quorum_ns == 10 * S


def test_more_nodes_by_flag_than_names_is_warned_about(conf):
    settings = conf.load(f"nodes = alpha, b\n{conf.lan}", "-n", "3")
    assert settings.warnings[0] == "-n 3 wins over nodes = alpha, b (line 1): the names there are not used"
    assert settings.core.names == ()


def test_mistakes_of_a_link_that_the_flags_replace_are_still_told(conf):
    assert conf.mistakes("[links]\n[[lan]]\nport = x\nnetwork = 10.1.0.0/24\n", "-a", "10.1.1.1") == [
        "3: port = x is not a whole number; allowed: a whole number from 1 to 65535"
    ]


@pytest.fixture
def default_file(monkeypatch, conf):
    monkeypatch.setattr(loading, "CONFIG_FILE", str(conf.path))
    return conf.path


def test_the_default_file_is_read(default_file, conf):
    default_file.write_text(f"dead = 5s\n{conf.lan}")
    settings = old()
    assert settings.core.dead_ns == 5 * S
    assert settings.config_file == str(default_file)


def test_the_default_file_may_be_absent(default_file):
    assert refused() == [
        f"command line: there is no link: give -a ADDRESS, or write {default_file}, or name a file with -F"
    ]


def test_with_a_link_flag_the_default_file_is_not_read(default_file, conf):
    default_file.write_text(f"this = is [not\n{conf.lan}")
    settings = old("-a", "10.1.1.1")
    assert settings.config_file == ""
    assert settings.core.dead_ns == 121 * S


def test_a_default_file_with_mistakes_is_not_passed_over(default_file):
    default_file.write_text("x")
    assert refused()[-1].startswith(f"{default_file}:1: 'x' is neither")


# -- Old command lines -------------------------------------------------------------------------------


def test_an_old_command_line_means_what_it_meant():
    settings = old(
        "-a", "10.1.1.1", "-b", "10.2.1.1", "-B", "10.2.255.255", "-c", "192.168.0.9", "-n3", "-M1", "-T4"
    )
    link = LinkConfig("link1", "broadcast", 3891, address="10.1.1.1", broadcast="10.1.1.255")
    assert settings == DaemonSettings(
        core=Settings(
            "alpha",
            count=3,
            heartbeat_ns=1 * S,
            dead_ns=4 * S,
            warn_ns=2 * S,
            startup_ns=200 * S,
            startup_quorum_ns=200 * S,
            isolated=Isolated.KEEP,
            isolation_by_machine=True,
            links=settings.core.links,
        ),
        links=(
            link,
            LinkConfig("link2", "broadcast", 3891, address="10.2.1.1", broadcast="10.2.255.255"),
            LinkConfig("link3", "broadcast", 3891, address="192.168.0.9", broadcast="192.168.0.255"),
        ),
        warnings=(NO_KEY_WARNING,),
    )
    assert [link.name for link in settings.core.links] == ["link1", "link2", "link3"]


def test_the_defaults_of_an_old_command_line_are_the_old_ones():
    core = old("-a", "10.1.1.1").core
    assert core == Settings("alpha", links=core.links, isolation_by_machine=True)


def test_a_broadcast_flag_alone_makes_no_link():
    assert refused("-A", "10.1.1.255") == [
        "command line: there is no link: -A, -B and -C count only beside -a, -b and -c ADDRESS"
    ]
    settings = old("-a", "10.1.1.1", "-B", "10.2.1.255", "junk")
    assert [link.name for link in settings.links] == ["link1"]
    assert settings.warnings == (
        "'junk' is not a flag; it is ignored",
        "-B is ignored: its link has no own address (-b)",
        NO_KEY_WARNING,
    )


def test_two_old_links_with_one_broadcast_address_are_refused():
    assert refused("-a", "10.1.1.1", "-b", "10.1.1.2") == [
        "command line: link link2 is the same as link link1: another port or place is needed"
    ]


def test_contradicting_flags_are_told_with_other_mistakes():
    assert refused("-a", "10.1.1.1", "-M", "3", "-T", "4", uname="!") == [
        "command line: -T 4s is less than two heartbeats, 6s",
        "command line: this machine's name, '!', gives the node name '', which is empty; give -N NAME or node = "
        "NAME, 1 to 32 of A-Z a-z 0-9 - _",
    ]


# -- Places ------------------------------------------------------------------------------------------


def test_relative_paths_are_taken_from_the_current_directory(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "[hooks]\ndirectory = h\n[places]\nrun = r\nrecord = ./rec\nstate = r/../s\npid = p\n"
    (tmp_path / "had.conf").write_text(text + conf.lan)
    settings = load(parse(["-F", "had.conf"]), uname="a")
    here = str(tmp_path)
    assert settings.hooks_directory == f"{here}/h"
    assert settings.run_directory == f"{here}/r"
    assert settings.record_directory == f"{here}/./rec"
    # Not folded: r may be a link to elsewhere.
    assert settings.state_file == f"{here}/r/../s"
    assert settings.pid_file == f"{here}/p"
    assert settings.config_file == f"{here}/had.conf"
    settings = old("-a", "10.1.1.1", "-s", "bin", "-l", "st")
    assert (settings.hooks_directory, settings.state_file) == (f"{here}/bin", f"{here}/st")


def test_relative_paths_in_a_directory_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert refused("-a", "10.1.1.1", "-l", "state") == [
        "command line: there are relative paths, and the current directory is gone; write all paths in full"
    ]
    assert old("-a", "10.1.1.1", "-l", "/tmp/state").state_file == "/tmp/state"


@pytest.mark.parametrize(
    ("text", "argv", "line"),
    [
        ("[places]\nstate = /tmp/x\npid = /tmp/x", [], "3: pid and state are both /tmp/x"),
        ("[places]\nlog = /tmp/x\npid = /tmp/../tmp/x", [], "3: pid and log are both /tmp/../tmp/x"),
        ("[places]\nstate = /run/had", [], "2: state and run are both /run/had"),
        (
            "[places]\nrun = /tmp/x\nstate = /tmp/x/status",
            [],
            "3: state and the status file are both /tmp/x/status",
        ),
        (
            "[places]\nlog = /tmp/x",
            ["-l", "/run/had/status"],
            "-: state and the status file are both /run/had/status",
        ),
        ("[hooks]\ndirectory = /a\n[places]\npid = /a", [], "4: pid and hooks are both /a"),
        ("[places]\nlog = /tmp/x", ["-l", "/tmp/x"], "2: state and log are both /tmp/x"),
        ("nodes = 2", ["-l", "/run/had.pid"], "-: pid and state are both /run/had.pid"),
    ],
)
def test_one_place_for_two_things(conf, text, argv, line):
    assert conf.mistakes(f"{text}\n{conf.lan}", *argv) == [line]


def test_run_and_record_may_share_a_directory(conf):
    settings = conf.load(f"[places]\nrun = /tmp/x\nrecord = /tmp/x\n{conf.lan}")
    assert settings.run_directory == settings.record_directory


# -- Warnings and origins ----------------------------------------------------------------------------


def test_what_is_told_at_every_start(conf):
    text = f"order = b, alpha\nisolated = stop\n{conf.lan}crossover = yes\n"
    assert conf.load(text, "word").warnings == (
        "'word' is not a flag; it is ignored",
        "order is not used while the old wire format is spoken: it is by name",
        "isolated = stop never comes to pass: all links are marked crossover",
        NO_KEY_WARNING,
    )


def test_origins(conf):
    conf.path.write_text(f"dead = 5s\nnodes = 3\n{conf.lan}")
    options = parse(["-F", str(conf.path), "-n2", "-f"])
    _, origins = load_with_origins(options, uname="alpha")
    assert origins["dead"] == "line 1"
    assert origins["nodes"] == "-n"
    assert origins["node"] == "uname -n"
    assert origins["heartbeat"] == "default"
    assert origins["places.log"] == "-f"
    assert origins["hooks.monitor_interval"] == "default"


def test_nothing_is_written_and_no_directory_is_left(conf, tmp_path):
    before = os.getcwd()
    conf.load(conf.lan)
    assert os.listdir(tmp_path) == ["had.conf"]
    assert os.getcwd() == before


def test_an_old_command_line_does_not_need_configobj():
    options = Options(addresses=("10.1.1.1", None, None))
    code = (
        "import sys\nfrom had.cli.options import Options\nfrom had.config.load import load\n"
        f"load({options!r}, uname='a')\n"
        "print([name for name in ('configobj', 'validate', 'difflib') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_D3_every_start_warns_that_heartbeats_are_not_authenticated():
    settings = load(parse(["-a", "127.0.0.1"]), uname="n1")
    assert settings.warnings == (NO_KEY_WARNING,)
