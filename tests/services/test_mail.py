"""The script mail, with stand-ins for sendmail and mailx."""

from __future__ import annotations

import email
import email.policy
import time

import pytest

from .standins import StandIns
from .tools import call, every_shell

pytestmark = pytest.mark.lab

KEEP = """
cat >$PLACE/sent
[ -z "$FAILS" ] || eval "$FAILS"
"""
HAD = {
    "HAD_NODE": "alpha",
    "HAD_CLUSTER": "web",
    "HAD_REASON": "beta silent for 5.0 s",
    "HAD_PREVIOUS_STATE": "STANDBY",
    "HAD_STATE_NOW": "RUNNING",
}


class Post(StandIns):
    def __init__(self, node, directory, *programs):
        self.node = node
        super().__init__(directory, dict.fromkeys(programs, KEEP))
        self.sent = directory / "sent"
        self.environment.update(HAD)

    def __call__(self, *words, shell=(), **variables):
        environment = {**self.environment, **variables}
        return call("mail", *words, shell=shell, inside=self.node, environment=environment)

    def message(self):
        return email.message_from_bytes(self.sent.read_bytes(), policy=email.policy.default)


@pytest.fixture
def post(node, tmp_path):
    return Post(node, tmp_path, "sendmail")


@every_shell
def test_an_alert(post, shell):
    assert post("alert", "root", "4", "STARTING", shell=shell) == (0, "", "")
    assert post.calls() == ["sendmail -i root"]
    message = post.message()
    assert message["To"] == "root"
    assert message["Subject"] == "had: alpha is STARTING"
    lines = message.get_content().splitlines()
    assert lines[:6] == [
        "had: alpha is STARTING.",
        "",
        "Reason:  beta silent for 5.0 s",
        "State:   STARTING, before that STANDBY, now RUNNING",
        "Node:    alpha",
        "Cluster: web",
    ]
    assert lines[6].startswith("Time:    2")


@every_shell
def test_a_service(post, shell):
    people = ["root", "ann.lee+had@example.org"]
    assert post("start", *people, shell=shell) == (0, "", "")
    assert post.calls() == ["sendmail -i root ann.lee+had@example.org"]
    assert post.message()["To"] == "root, ann.lee+had@example.org"
    assert post.message()["Subject"] == "had: alpha has started the services"
    assert post("stop", *people, shell=shell) == (0, "", "")
    assert post.message()["Subject"] == "had: alpha stops the services"
    assert post.calls() == ["sendmail -i root ann.lee+had@example.org"]
    assert post("monitor", *people, shell=shell) == (0, "", "")
    assert post.calls() == []


def test_by_hand(post):
    variables = dict.fromkeys(HAD, "")
    assert post("start", "root", **variables) == (0, "", "")
    assert "Reason:  not known: not called by had" in post.message().get_content()


@pytest.mark.parametrize("program", ["sendmail", "mailx"])
def test_text_from_the_network_stays_text(node, tmp_path, program, no_sendmail):
    post = Post(node, tmp_path, program)
    reason = "х\nBcc: all@example.org\r\n\r\n.\n~!touch /tmp/x `id` $(id) \x1b[2J"
    variables = {"HAD_REASON": reason, "HAD_NODE": "alpha\nBcc: all@example.org", "HAD_CLUSTER": "~!id\n."}
    if program == "mailx":
        variables["PATH"] = _without_sendmail(post)
    assert post("alert", "root", "2", "RUNNING", **variables) == (0, "", "")
    text = post.sent.read_text()
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.startswith((".", "~", "Bcc:"))]
    assert "Reason:  х Bcc: all@example.org    . ~!touch /tmp/x `id` $(id)  [2J\n" in text
    if program == "sendmail":
        message = post.message()
        assert message["Bcc"] is None
        assert message["Subject"] == "had: alphaBccallexample.org is RUNNING"
        assert "Reason:  х Bcc:" in message.get_content()


def _without_sendmail(post):
    return f"{post.directory}:/usr/bin:/bin"


@pytest.mark.parametrize("program", ["mailx", "mail"])
def test_without_sendmail(node, tmp_path, program, no_sendmail):
    post = Post(node, tmp_path, program)
    assert post("start", "root", "ann@example.org", PATH=_without_sendmail(post)) == (0, "", "")
    assert post.calls() == [f"{program} -s had: alpha has started the services root ann@example.org"]
    assert post.sent.read_text().startswith("had: alpha has started the services.\n\nReason:")


def test_a_mail_that_can_not_be_sent_is_no_failure(post):
    done = post("alert", "root", "2", "RUNNING", FAILS="echo no such; echo user; exit 67")
    said = "mail root: the mail is not sent: sendmail failed with exit status 67: no such user\n"
    assert done == (0, "", said)
    assert post("start", "root", FAILS="exit 1").code == 0


def test_a_mail_server_that_hangs(post):
    began = time.monotonic()
    done = post("stop", "root", "timeout=1", FAILS="exec sleep 1000")
    assert done == (0, "", "mail root: the mail is not sent: sendmail took longer than 1 s\n")
    assert time.monotonic() - began < 15


def test_one_that_delivers_in_the_background_is_not_waited_for(post):
    began = time.monotonic()
    assert post("start", "root", FAILS="sleep 15 & exit 0") == (0, "", "")
    assert time.monotonic() - began < 10


def test_no_program_at_all(bare, no_sendmail):
    for words in (["start", "root"], ["alert", "root", "2", "RUNNING"]):
        done = call("mail", *words, environment=bare)
        missing = "neither sendmail nor mailx is here; install a mail server or the package mailx"
        assert done == (0, "", f"mail root: no mail is sent: {missing}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["start", "-x"],
        ["start", "root", "|/bin/sh"],
        ["start", "a b"],
        ["start", "root,ann"],
        ["start", "a@b@c"],
        ["start", "a@"],
        ["start", "root\nBcc: x"],
        ["alert", "root"],
        ["alert", "root", "2"],
        ["alert", "root", "two", "RUNNING"],
        ["alert", "root", "2", "RUNNING\nBcc: x"],
        ["alert", "root", "2", "RUNNING", "more"],
        ["restart", "root"],
        ["start", "timeout=5"],
        ["start", "root", "timeout=0"],
        ["start", "root", "time=5"],
    ],
)
def test_mistakes(post, words):
    done = post(*words)
    assert done.code == 2
    assert post.calls() == []
