"""What the service scripts share (scripts/services/common), through a script that is made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from .tools import SERVICES, call, every_shell, path_without

HEAD = """#!/bin/sh
# example start|stop|monitor NAME
#
#   key=VALUE   what it means
set -eu
. "${0%/*}/common"
key=default
count=7
"""


@pytest.fixture
def script(tmp_path):
    """Makes a script of a body; what it shares lies beside it."""
    shutil.copyfile(SERVICES / "common", tmp_path / "common")

    def make(body):
        path = tmp_path / "example"
        path.write_text(HEAD + body)
        path.chmod(0o755)
        return path

    return make


@every_shell
@pytest.mark.parametrize("words", [(), ("help",), ("--help",), ("-h", "more")])
def test_help_is_the_comment_at_the_top(script, words, shell):
    done = call(script('begin "$@"\n'), *words, shell=shell)
    assert done == (0, "example start|stop|monitor NAME\n\n  key=VALUE   what it means\n", "")


@every_shell
def test_verbs(script, shell):
    path = script('begin "$@"\nchecked\nsay "$verb of $what"\n')
    assert call(path, "start", "x", shell=shell) == (0, "example x: start of x\n", "")
    assert call(path, "check", "x", shell=shell) == (0, "", "")
    assert call(path, "restart", "x", shell=shell).code == 2
    assert call(path, "start stop", "x", shell=shell).code == 2
    done = call(path, "start", shell=shell)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"example: arguments are missing; '{path}' help' tells which\n".replace(
        "' help'", " help'"
    )


def test_a_script_may_have_verbs_of_its_own(script):
    path = script('verbs="start alert"\nbegin "$@"\nsay "$verb"\n')
    assert call(path, "alert", "x").out == "example x: alert\n"
    done = call(path, "stop", "x")
    assert done == (2, "", "example: 'stop' is no verb; there are: start alert check help\n")


@every_shell
def test_options(script, shell):
    path = script('begin "$@"\nshift 2\noptions "key count" "$@"\nsay "$key, $count"\n')
    said = "example x: "
    assert call(path, "start", "x", shell=shell).out == f"{said}default, 7\n"
    text = "a=b $HOME `id` 'quoted' * \\n"
    assert call(path, "start", "x", f"key={text}", "count=1", shell=shell).out == f"{said}{text}, 1\n"
    for words, mistake in {
        ("key=",): "key= has no value",
        ("more",): "'more' is not expected here; options are KEY=VALUE with one of the keys: key count",
        ("keys=1",): "unknown option keys=; there are: key count",
        ("key count=1",): "unknown option key count=; there are: key count",
        ("KEY=1",): "unknown option KEY=; there are: key count",
        ("key=1", "key=2"): "key= is given twice",
        ("=1",): "'=1' is not expected here; options are KEY=VALUE with one of the keys: key count",
        ("",): "'' is not expected here; options are KEY=VALUE with one of the keys: key count",
    }.items():
        assert call(path, "start", "x", *words, shell=shell) == (2, "", f"{said}{mistake}\n")


@every_shell
@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("1", 1),
        ("10", 1),
        ("0", 0),
        ("11", 0),
        ("01", 0),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("9999999999999", 0),
    ],
)
def test_numbers(script, shell, value, good):
    done = call(script('begin "$@"\nnumber count= "$2" 1 10\n'), "start", value, shell=shell)
    assert done.code == (0 if good else 2)
    if not good:
        assert f"count= {value} is not a whole number from 1 to 10\n" in done.err


def test_words_and_paths(script):
    path = script('begin "$@"\none_of key= "$2" yes no\nabsolute file "$3"\n')
    assert call(path, "start", "yes", "/x").code == 0
    assert call(path, "start", "maybe", "/x") == (2, "", "example maybe: key= maybe is none of: yes no\n")
    assert call(path, "start", "no", "x").err == "example no: file x does not begin with a slash\n"


@pytest.mark.parametrize(("word", "code"), [("fail", 1), ("mistake", 2), ("absent", 3)])
def test_ways_to_end(script, word, code):
    done = call(script(f'begin "$@"\n{word} "one line"\nsay "never said"\n'), "monitor", "x")
    assert done == (code, "", "example x: one line\n")


def test_a_missing_program_is_named_with_its_package(script, tmp_path):
    path = script('begin "$@"\nneed ls coreutils\nneed losetup util-linux\n')
    environment = {"PATH": path_without(tmp_path / "bin", "losetup")}
    done = call(path, "start", "x", environment=environment)
    assert done == (5, "", "example x: the program losetup is missing here; install the package util-linux\n")
    assert call(path, "start", "x").code == 0


@pytest.fixture(params=["coreutils", "busybox", "old busybox"])
def timeouts(request, tmp_path):
    """Environments with each kind of the program timeout."""
    if request.param == "coreutils":
        return {}
    if shutil.which("busybox") is None:
        pytest.skip("needs busybox")
    path = path_without(tmp_path / "bin", "timeout")
    if request.param == "busybox":
        (tmp_path / "bin" / "timeout").symlink_to(shutil.which("busybox"))
    else:
        (tmp_path / "bin" / "timeout").write_text(
            '#!/bin/sh\ncase $1 in -*) echo "unknown flag" >&2; exit 1 ;; esac\nexec busybox timeout "$@"\n'
        )
        (tmp_path / "bin" / "timeout").chmod(0o755)
    return {"PATH": path}


def test_a_bounded_program(script, timeouts):
    body = 'begin "$@"\nchecked\nshift 2\nstatus=0\nattempt 1 "$@" || status=$?\nsay "$status $output"\n'
    path = script(body)
    for command, said in {
        ("sh", "-c", "echo out; echo err >&2; echo more; exit 7"): "7 out err more",
        ("true",): "0 ",
        ("sh", "-c", "kill -TERM $$"): "143 Terminated",  # which the shell says
        ("sleep", "1000"): "124 sleep took longer than 1 s",
    }.items():
        assert (
            call(path, "start", "x", *command, environment=timeouts).out.strip()
            == f"example x: {said}".strip()
        )


def test_a_program_that_takes_no_notice_of_sigterm_is_killed(script):
    path = script(
        'begin "$@"\nchecked\nbounded 1 sh -c "trap : TERM; while :; do sleep 0.1; done" || say "$?"\n'
    )
    began = time.monotonic()
    assert call(path, "start", "x").out == "example x: 124\n"
    assert time.monotonic() - began >= 5.5


def test_a_bounded_program_belongs_to_the_hook(script):
    """Or it would go on after the hook was ended: a mount that comes when all has been unmounted."""
    path = script('begin "$@"\nchecked\nbounded 20 sh -c \'cut -d " " -f 5 /proc/$$/stat\'\n')
    hook = subprocess.Popen(
        [path, "start", "x"], stdout=subprocess.PIPE, text=True, start_new_session=True, encoding="ascii"
    )
    out, _ = hook.communicate(timeout=60)
    assert out == f"{hook.pid}\n"


@every_shell
def test_waiting(script, shell, tmp_path):
    path = script(
        'begin "$@"\nchecked\ntwice() { echo x >>"$what"; [ "$(wc -l <"$what")" -ge 2 ]; }\n'
        "await 20 twice\nawait 0 twice\nclock\nbegan=$now\nawait 1 false || clock\necho $((now - began))\n"
    )
    done = call(path, "start", str(tmp_path / "file"), shell=shell)
    assert (done.code, done.err) == (0, "")
    assert int(done.out) in range(1, 20)
    assert (tmp_path / "file").read_text() == "x\n" * 3


@pytest.mark.parametrize(("verb", "goes_on"), [("stop", True), ("start", False)])
@every_shell
def test_a_stop_goes_on_when_nobody_listens(script, shell, verb, goes_on, tmp_path):
    """The daemon may be killed while a hook runs."""
    path = script('begin "$@"\nsay first\nwarn second\n: >"$what"\n')
    read, write = os.pipe()
    os.close(read)
    code = subprocess.call([*shell, path, verb, tmp_path / "done"], stdout=write, stderr=write, timeout=60)
    os.close(write)
    assert (tmp_path / "done").exists() == goes_on
    assert (code == 0) == goes_on


@every_shell
def test_what_a_program_leaves_behind_is_not_waited_for(script, shell):
    """drbdadm is ended, but what it has called hangs, and keeps the output open."""
    path = script('begin "$@"\nchecked\nattempt 1 sh -c "sleep 30; :" || say "$? $output"\n')
    began = time.monotonic()
    assert call(path, "start", "x", shell=shell).out == "example x: 124 sh took longer than 1 s\n"
    assert time.monotonic() - began < 20


@pytest.mark.lab
@every_shell
@pytest.mark.parametrize("run", ["full", "read-only"])
def test_a_program_is_run_though_nothing_can_be_written(script, node, shell, run):
    """Or a stop would not be tried; and an initscript's status fails if it can't say what it says."""
    path = script(
        'begin "$@"\nchecked\nmount -t tmpfs -o size=16k none /run\nmkdir /run/had-services\n'
        "cat /dev/zero >/run/zeros 2>/dev/null || :\n"
        f'[ {run} = full ] || mount -o remount,ro /run\nlaunch 5 sh -c "echo x && exit 3" || say "$?"\n'
    )
    command = ["unshare", "--mount", *shell, str(path), "start", "x"]
    done = subprocess.run(node.command(command), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "example x: 3\n", "")
