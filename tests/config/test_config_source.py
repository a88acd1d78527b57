"""Files that can't be read, aren't text, or were written for something else: one clear line each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from had.cli.options import Options
from had.config.load import ConfigErrors, load

LAN = b"[links]\n[[lan]]\nnetwork = 10.1.0.0/24\n"


def refused(path):
    with pytest.raises(ConfigErrors) as caught:
        load(Options(config_file=str(path)), uname="alpha")
    (complaint,) = caught.value.complaints
    return str(complaint).replace(str(path), "FILE")


def refused_content(tmp_path, content):
    path = tmp_path / "had.conf"
    path.write_bytes(content)
    return refused(path)


def test_a_named_file_must_be_there(tmp_path):
    assert refused(tmp_path / "none") == "FILE: cannot be read: No such file or directory"


def test_a_directory(tmp_path):
    assert refused(tmp_path) == "FILE: cannot be read: it is a directory"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "FILE: cannot be read: it is not a regular file"


def test_a_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file" / "had.conf") == "FILE: cannot be read: Not a directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_an_unreadable_file(request):
    directory = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(directory))
    directory.chmod(0o755)
    path = directory / "had.conf"
    path.write_bytes(LAN)
    path.chmod(0)
    program = (
        "import os, sys\n"
        "from had.cli.options import Options\n"
        "from had.config.load import ConfigErrors, load\n"
        "os.setuid(65534)\n"
        "try:\n    load(Options(config_file=sys.argv[1]), uname='alpha')\n"
        "except ConfigErrors as problem:\n    print(problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{path}: cannot be read: Permission denied\n"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n   # here\n"])
def test_an_empty_file(tmp_path, content):
    assert refused_content(tmp_path, content) == "FILE: says nothing: it has neither a key nor a section"


def test_a_huge_file(tmp_path):
    content = b"# a comment\n" * 20_000
    assert refused_content(tmp_path, content) == "FILE: is larger than 128 KiB; that can't be a had.conf"


def test_a_huge_line(tmp_path):
    content = LAN + b"# " + b"x" * 20_000
    assert refused_content(tmp_path, content) == "FILE:4: this line has more than 20000 characters"


def test_not_utf8(tmp_path):
    content = b"cluster = one\n# \xe4\n" + LAN
    assert refused_content(tmp_path, content) == (
        "FILE:2: has the byte 0xe4, which is not UTF-8; save it as UTF-8"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16(tmp_path, encoding):
    text = LAN.decode().encode(encoding)
    mark = b"" if encoding == "utf-16" else {"le": b"\xff\xfe", "be": b"\xfe\xff"}[encoding[-2:]]
    assert refused_content(tmp_path, mark + text) == "FILE:1: is written in UTF-16; save it as UTF-8"


@pytest.mark.parametrize(
    ("character", "name"),
    [("\0", r"'\x00'"), ("\x1b", r"'\x1b'"), ("\r", r"'\r'"), ("\u2028", r"'\u2028'"), ("\x85", r"'\x85'")],
)
def test_control_characters(tmp_path, character, name):
    content = f"nodes = 2\ncluster = a{character}b\n".encode() + LAN
    assert refused_content(tmp_path, content) == (
        f"FILE:2: has the control character {name}; is it a text file?"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + LAN,
        LAN.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + LAN.replace(b"\n", b"\r\n"),
        LAN[:-1],
    ],
)
def test_a_byte_order_mark_and_other_line_ends_are_taken(conf, content):
    conf.path.write_bytes(content)
    settings = load(Options(config_file=str(conf.path)), uname="alpha")
    assert settings.links[0].network == "10.1.0.0/24"


def test_comments_may_be_in_any_script(conf):
    assert conf.load("# Два узла\n" + conf.lan).core.count == 2


def test_mistakes_of_a_file_with_byte_order_mark_have_the_right_line(conf):
    assert conf.mistakes("\ufeffnodes = 0\n" + conf.lan)[0].startswith("1: nodes = 0 is too small")


SHELL = "a shell's (NAME=value); an old command line can stay as it is, though"
COROSYNC = "corosync's or YAML (name: value)"
KEEPALIVED = "keepalived's (braces)"
HEARTBEAT = "heartbeat's (ha.cf or haresources)"


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ('NODE="a"\n', 1, SHELL),
        ("# HAD's settings\n\nexport X=1\nHADOPTS='-a 10.1.1.1 -n 2'\n", 3, SHELL),
        ("node=alpha\nexport PORT=3891\n", 2, SHELL),
        (". /etc/sysconfig/network\nNODES=2\nif [ -n x ]\nthen\nDEAD=4\nfi\n", 1, SHELL),
        ("#!/bin/sh\nexec had\n", 1, "a script's"),
        ('{\n "nodes": 2,\n "links": [\n {"kind": "x"}\n ]\n}\n', 1, "JSON"),
        ("nodes:\n  - alpha\n  - beta\ndead: 5s\n", 1, COROSYNC),
        ("totem {\n  version: 2\n  interface {\n    mcastport: 5405\n  }\n}\n", 1, COROSYNC),
        (
            "! a comment\nvrrp_instance VI_1 {\n  state MASTER\n  interface eth0\n  virtual_ipaddress {\n"
            "    10.1.0.9/24 dev eth0\n  }\n}\n",
            2,
            KEEPALIVED,
        ),
        ("keepalive 1\ndeadtime 10\nbcast eth1\nauto_failback on\nnode alpha\nnode beta\n", 1, HEARTBEAT),
        ("alpha 10.1.0.9 httpd\n", 1, HEARTBEAT),
        ("alpha IPaddr2::10.1.0.9/24/eth0 httpd\n", 1, HEARTBEAT),
    ],
)
def test_another_syntax_is_recognised_as_such(tmp_path, text, line, name):
    assert refused_content(tmp_path, text.encode()) == (
        f"FILE:{line}: this is not had.conf's syntax (key = value, [section]), but {name}"
    )


@pytest.mark.parametrize(
    "text", ["dead=5s\nheartbeat=1s\n", "dead = 5s\nthis is text\n", "this is text, all of it\n", "X = 1\n"]
)
def test_what_is_only_wrong_is_told_line_by_line(conf, text):
    lines = conf.mistakes(text + conf.lan + "kind = x\n")
    assert lines
    assert not any("syntax" in line for line in lines)


def test_quotes_and_commas_cost_no_time(conf):
    # Handed to ConfigObj as they are, of the first it would take items out of the comment, and over the
    # second it would sit for longer than anybody waits: seconds with 18 names, and several times that for
    # each two more.
    names = ", ".join(f'"n{number}"' for number in range(300))
    settings = conf.load(f"nodes = {names} # not {names}, at all\n{conf.lan}", uname="n1")
    assert settings.core.count == 300
    lines = conf.mistakes(f"nodes = {names} at all\n{conf.lan}")
    assert lines == ["1: nodes: 'at all' follows the closing quote"]
