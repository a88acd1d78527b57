"""The script http, with nginx."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading

import pytest

from .tools import call, every_shell

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not shutil.which("curl"), reason="needs curl"),
]
URL = "http://127.0.0.1:8080/"


@every_shell
def test_its_life(node, pages, shell):
    for verb in ("start", "monitor", "stop"):
        assert call("http", verb, URL, "expect=all is well", shell=shell, inside=node) == (0, "", "")
    done = call("http", "monitor", URL, "expect=all is lost", shell=shell, inside=node)
    assert done == (1, "", f"http {URL}: the page does not say: all is lost\n")


@pytest.mark.parametrize(
    "words",
    [
        ["http://[::1]:8080/index.html"],
        [f"{URL}moved", "status=301"],
        [f"{URL}nothing", "status=404"],
        ["http://www.example.org:8080/named", "address=127.0.0.1", "expect=for www.example.org"],
        ["http://www.example.org:8080/named", "address=::1"],
    ],
)
def test_what_is_right(node, pages, words):
    assert call("http", "monitor", *words, inside=node) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([f"{URL}nothing"], "the answer has status 404, not 200"),
        ([f"{URL}moved"], "the answer has status 301, not 200"),
        ([URL, "expect=all is lost"], "the page does not say: all is lost"),
        ([URL, "expect=one.line"], "the page does not say: one.line"),
        ([URL, "status=404"], "the answer has status 200, not 404"),
    ],
)
def test_what_is_wrong(node, pages, words, complaint):
    assert call("http", "monitor", *words, inside=node) == (1, "", f"http {words[0]}: {complaint}\n")


def test_start_waits_and_gives_up(node, pages):
    (pages / "later").unlink(missing_ok=True)
    done = call("http", "start", f"{URL}later", "timeout=1", inside=node)
    complaint = "not right within 1 s: the answer has status 404, not 200"
    assert done == (1, "", f"http {URL}later: {complaint}\n")
    later = threading.Timer(0.5, (pages / "later").touch)
    later.start()
    assert call("http", "start", f"{URL}later", inside=node) == (0, "", "")
    later.join()


def test_nobody_listens(node):
    done = call("http", "monitor", "http://127.0.0.1:8099/", inside=node)
    assert done.code == 3
    assert done.err.startswith("http http://127.0.0.1:8099/: curl: (7) ")


def test_a_server_that_does_not_answer(node):
    with node.network():
        listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    done = call("http", "monitor", url, "timeout=1", inside=node)
    assert done.code == 1
    assert "timed out" in done.err
    listening.close()


def test_proxies_and_settings_of_curl_are_left_aside(node, pages, tmp_path):
    (tmp_path / ".curlrc").write_text("proxy = http://127.0.0.1:1\nrequest = DELETE\n")
    environment = dict.fromkeys(("http_proxy", "ALL_PROXY"), "http://127.0.0.1:1")
    environment["HOME"] = environment["CURL_HOME"] = str(tmp_path)
    assert call("http", "monitor", URL, inside=node, environment=environment) == (0, "", "")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_a_certificate_is_checked(node, pages, tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    request += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True)
    settings = tmp_path / "nginx.conf"
    settings.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; server {{"
        f" listen 127.0.0.1:8443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
        " location / { return 200 fine; } } }"
    )
    words = [f"{tmp_path}/pid", "nginx", "-c", str(settings)]
    assert call("pidfile", "start", *words, inside=node).code == 0
    url = "https://localhost:8443/"
    done = call("http", "monitor", url, inside=node)
    assert done.code == 1
    assert "certificate" in done.err
    assert call("http", "monitor", url, "insecure=yes", "expect=fine", inside=node) == (0, "", "")
    assert call("pidfile", "stop", *words, inside=node).code == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["127.0.0.1"], "the URL does not begin with http://HOST or https://HOST"),
        (["http:///x"], "the URL does not begin with http://HOST or https://HOST"),
        (["http://a b/"], "the URL has a blank in it"),
        (["http://a/", "status=ok"], "status= ok is not a whole number from 100 to 599"),
        (["http://a/", "address=x"], "address= x is no IP address"),
        (["http://a/", "insecure=1"], "insecure= 1 is none of: yes no"),
    ],
)
def test_mistakes(words, complaint):
    assert call("http", "check", *words) == (2, "", f"http {words[0]}: {complaint}\n")


def test_a_missing_program(node, bare):
    done = call("http", "monitor", URL, inside=node, environment=bare)
    assert done == (5, "", f"http {URL}: the program curl is missing here; install the package curl\n")
