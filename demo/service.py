"""The service that the demo keeps alive: a small web server that says which node it runs on.

usage: service.py DIRECTORY NODE ADDRESS PORT

It returns once it listens, and goes on in the background, its process number in DIRECTORY/service.pid.  It
stamps its beginning and its end into the journal beside DIRECTORY, both by the monotonic clock: the
beginning as it was before the address was taken, the end as it is after the address was given back.
Only the standard library is used, and nothing of the demo: starthasrv starts it with a bare Python.
"""

from __future__ import annotations

import http.server
import os
import signal
import socketserver
import sys
import time
from typing import NoReturn


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the node's name and the server's process number."""

    timeout = 2
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        """Keep quiet: a hundred lines a second help nobody."""


class Server(http.server.ThreadingHTTPServer):
    """Takes its address alone: without SO_REUSEPORT a second server can't listen there."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_port = False

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service what the address is called, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "demo", int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up."""


def stamp(journal: str, word: str, node: str, moment_ns: int) -> None:
    """Add a line at one stroke."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{word} {node} {os.getpid()} {moment_ns}\n".encode())
    finally:
        os.close(descriptor)


def leave(*_: object) -> NoReturn:
    """Handle SIGTERM."""
    raise SystemExit(0)


def serve(server: Server, journal: str, node: str, began_ns: int) -> None:
    """Be the service, in the child."""
    os.setsid()
    Handler.answer = f"{node} {os.getpid()}\n".encode()
    stamp(journal, "up", node, began_ns)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        server.serve_forever(poll_interval=0.5)
    finally:
        # Once is enough; a second SIGTERM must not keep the end from being stamped.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server.server_close()
        stamp(journal, "down", node, time.monotonic_ns())


def main(directory: str, node: str, address: str, port: str) -> int:
    """Take the address, then go into the background."""
    journal = os.path.join(os.path.dirname(directory), "journal")
    began_ns = time.monotonic_ns()
    try:
        server = Server((address, int(port)), Handler)
    except OSError as error:
        stamp(journal, "refused", node, began_ns)
        sys.stderr.write(f"the service can't listen at {address}:{port}: {error.strerror}\n")
        return 1
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        serve(server, journal, node, began_ns)
        return 0
    with open(os.path.join(directory, "service.new"), "w", encoding="ascii") as file:
        file.write(f"{child}\n")
    os.rename(file.name, os.path.join(directory, "service.pid"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
