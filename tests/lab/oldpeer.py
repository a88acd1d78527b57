"""A model of the old daemon (`freehad` of FreeHA 1.0): another implementation of the old format.

Mixed clusters are tested against it.  It is a stand-alone program that shares no code with `had`, so that a
misunderstanding of the old format can't hide by being made twice.  It has the old daemon's defects on
purpose: scripts block it, it knows itself only by its own broadcasts, it never yields to another running
node, its time-outs go by the wall clock, it exits after 200 s without a quorum, its state file is never
shortened, its scripts inherit its sockets.

Not modelled: the buffer overruns other than that of a long node name, and syslog's fall-back to the console.

Two environment variables, which the original doesn't have, serve the tests: OLDPEER_TURNS (how many turns the
start waits for the other nodes, 200) and OLDPEER_EVENTS (a file that gets what goes to syslog).
"""

import getopt
import os
import select
import signal
import socket
import struct
import sys
import syslog
import time

UNKNOWN, INITIAL, RUNNING, STOPPING, STARTING, STANDBY, ERRORED, TIMEDOUT = range(8)
ALERT_NAMES = (
    "UNKNOWN_STATE",
    "INITIAL",
    "RUNNING",
    "STOPPING",
    "STARTING",
    "STANDBY",
    "ERRORED",
    "TIMEDOUT",
)
FILE_NAMES = (
    "[invalid state]",
    "Initial",
    "Running",
    "Stopping",
    "Starting",
    "Standby",
    "ERRORED",
    "TIMEOUT",
)
ALIVE = range(INITIAL, ERRORED + 1)
NAME_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
WAITING_TEXT = b"Waiting for quorum of nodes to come online\n"
PACKET = struct.Struct("!I32sI8s")
SCRIPTS = ("starthasrv", "stophasrv", "monitorhasrv")
USAGE = """usage: freehad [-a|-b|-c ADDRESS] [-A|-B|-C BROADCAST] [-l STATEFILE] [-m] [-n NODES]
               [-p PORT (0xfee)] [-s SCRIPTDIR] [-M SECONDS] [-T SECONDS]
"""


def cut_name(uname):
    """The node name: `uname -n` up to the first byte that doesn't belong into a name; may be empty."""
    for place, byte in enumerate(uname):
        if byte not in NAME_CHARACTERS:
            return uname[:place]
    return uname


def lowered(name):
    """ASCII lower case: the sort key, and the equality of the election."""
    return bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in name)


def number(text):
    """C's atoi: leading decimal digits, anything else is 0."""
    text = text.lstrip()
    sign = -1 if text.startswith("-") else 1
    digits = ""
    for character in text.lstrip("+-"):
        if character not in "0123456789":
            break
        digits += character
    return sign * int(digits or "0")


def address(text):
    """What inet_aton takes, as a dotted quad; a bad one is the same as none."""
    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return None


def packet(name, state):
    """One heartbeat.  What stands behind the name's NUL is left-over memory, here random bytes; a name that
    is too long runs over into the status, as it did.
    """
    field = name + b"\0" + os.urandom(32)
    data = bytearray(PACKET.pack(2, field[:32], state, bytes(8)))
    if len(name) > 32:
        tail = (name + b"\0")[32:44]
        data[36 : 36 + len(tail)] = tail
    return bytes(data)


class Peer:
    """An entry of the table: the last state heard and when, by the wall clock."""

    def __init__(self, name):
        self.name = name
        self.state = UNKNOWN
        self.heard = 0


def first_candidate(table):
    """The first entry, in the order of names, that is INITIAL or STANDBY."""
    return next((peer for peer in table if peer.state in (INITIAL, STANDBY)), None)


def is_elected(name, table, nodes):
    """Whether the STANDBY node called `name` starts the services now."""
    count = sum(peer.state in ALIVE for peer in table)
    if nodes > 2 and count < nodes // 2 + 1:
        return False
    if any(peer.state in (RUNNING, STARTING, STOPPING) for peer in table):
        return False
    first = first_candidate(table)
    return first is not None and first.state == STANDBY and lowered(first.name) == lowered(name)


class Options:
    """The command line, read as the old one did: later flags win, nonsense is 0 or nothing."""

    def __init__(self, arguments):
        self.addresses = [None, None, None]
        self.broadcasts = [None, None, None]
        self.state_file = None
        self.force_main = False
        self.nodes = 2
        self.port = 3891
        self.directory = "/opt/freeha/bin"
        self.pause = 1
        self.dead = 121
        try:
            flags, _ignored_words = getopt.gnu_getopt(arguments, "a:b:c:A:B:C:hH:l:mn:p:s:M:T:")
        except getopt.GetoptError as error:
            print(f"freehad: {error}", file=sys.stderr)
            usage()
        for flag, value in flags:
            self.take(flag[1], value)

    def take(self, flag, value):
        if flag in "abc":
            self.addresses["abc".index(flag)] = address(value)
        elif flag in "ABC":
            self.broadcasts["ABC".index(flag)] = address(value)
        elif flag == "l":
            self.state_file = value
        elif flag == "m":
            self.force_main = True
        elif flag == "n":
            self.nodes = number(value)
        elif flag == "p":
            self.port = number(value) % 65536
        elif flag == "s":
            self.directory = value
        elif flag == "M":
            self.pause = number(value)
        elif flag == "T":
            self.dead = number(value)
        else:
            usage()


def usage():
    sys.stdout.write(USAGE)
    sys.exit(1)


def fail(message):
    print(f"freehad: {message}", file=sys.stderr)
    sys.exit(1)


class Daemon:
    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.state = INITIAL
        self.table = []
        self.senders = []
        self.listeners = []
        self.file = -1
        self.last_alert = None
        self.stop_wanted = False
        self.start_wanted = False
        self.quit_wanted = False
        self.error = False

    # --- setting up

    def check_scripts(self):
        for script in SCRIPTS:
            path = f"{self.options.directory}/{script}"
            if not os.access(path, os.X_OK):
                fail(f"can't execute {path}")

    def make_state_file(self):
        path = self.options.state_file
        if path is None:
            if os.access("/var/run", os.W_OK | os.X_OK):
                path = "/var/run/freeha"
            elif os.access("/var/freeha", os.W_OK | os.X_OK):
                path = "/var/freeha/state"
            else:
                fail("no place for the state file")
        try:
            if os.path.lexists(path):
                os.unlink(path)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o744)
        except OSError as error:
            fail(f"state file {path}: {error.strerror}")
        os.set_inheritable(self.file, True)

    def open_links(self):
        """Per link a sending socket on the own address and a listening one on the broadcast address.  An
        own address that can't be bound is only reported; a broadcast address ends the daemon.
        """
        for own, broadcast in zip(self.options.addresses, self.options.broadcasts):
            if own is None:
                continue
            to = broadcast or own.rpartition(".")[0] + ".255"
            try:
                self.senders.append((self.bound(own), to))
            except OSError as error:
                print(f"freehad: bind {own} port {self.options.port}: {error.strerror}", file=sys.stderr)
            try:
                self.listeners.append(self.bound(to))
            except OSError as error:
                fail(f"bind {to} port {self.options.port}: {error.strerror}")
        if not self.senders:
            fail("no link to send on")

    def bound(self, own):
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            link.bind((own, self.options.port))
        except OSError:
            link.close()
            raise
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # too late, as in the original
        link.set_inheritable(True)
        return link

    def handle_signals(self):
        self.wake_in, wake_out = os.pipe()
        os.set_blocking(self.wake_in, False)
        os.set_blocking(wake_out, False)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, self.on_hup)
        signal.signal(signal.SIGUSR1, self.on_usr1)
        signal.signal(signal.SIGUSR2, self.on_usr2)
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGINT, self.on_term)

    def on_hup(self, _signal, _frame):
        self.stop_wanted = True

    def on_usr1(self, _signal, _frame):
        self.start_wanted = True
        self.error = False

    def on_usr2(self, _signal, _frame):
        self.error = False
        if self.state == ERRORED:
            self.state = STANDBY

    def on_term(self, _signal, _frame):
        self.quit_wanted = self.stop_wanted = True

    # --- the outside

    def event(self, text, priority=syslog.LOG_INFO):
        syslog.syslog(priority, text)
        if "OLDPEER_EVENTS" in os.environ:
            with open(os.environ["OLDPEER_EVENTS"], "a", encoding="ascii", errors="backslashreplace") as file:
                file.write(f"{time.monotonic():.3f} {text}\n")

    def sleep(self, seconds):
        """Sleep; a signal that arrives meanwhile ends it."""
        try:
            while os.read(self.wake_in, 4096):
                pass
        except BlockingIOError:
            pass
        select.select([self.wake_in], [], [], max(0, seconds))

    def run(self, script, *arguments):
        """Run a script by the shell and wait for it: nothing else happens meanwhile.  INT is lost."""
        status = os.system(" ".join([f"{self.options.directory}/{script}", *arguments]))
        deliver_signals()
        return status

    def alert(self, state):
        if state != self.last_alert:
            self.last_alert = state
            self.run("alerthasrv", str(state), ALERT_NAMES[state])

    def send(self):
        for link, to in self.senders:
            try:
                link.sendto(packet(self.name, self.state), (to, self.options.port))
            except OSError as error:
                print(f"freehad: send to {to}: {error.strerror}", file=sys.stderr)

    def read(self):
        """Read every link until it is empty.  A short datagram ends the reading of this round."""
        for link in self.listeners:
            while True:
                try:
                    data = link.recv(65535)
                except BlockingIOError:
                    break
                except OSError as error:
                    print(f"freehad: receive: {error.strerror}", file=sys.stderr)
                    break
                if len(data) < PACKET.size:
                    return
                self.hear(data)

    def hear(self, data):
        version, field, state, _timestamp = PACKET.unpack_from(data)
        if version != 2:
            print(f"packet of unknown version {version}")
            return
        name = field.split(b"\0")[0]
        peer = next((peer for peer in self.table if peer.name == name), None)
        if peer is None:
            peer = Peer(name)
            self.table.append(peer)
            self.table.sort(key=lambda peer: lowered(peer.name))  # stable: the first heard of equals first
        peer.state = state if state <= TIMEDOUT else UNKNOWN
        peer.heard = int(time.time())

    def time_out(self):
        now = int(time.time())
        for peer in self.table:
            if peer.name != self.name and peer.state != TIMEDOUT and now - peer.heard > self.options.dead:
                peer.state = TIMEDOUT
                self.event(f"node {peer.name!r} timed out", syslog.LOG_ERR)

    def rewrite(self):
        """Write the state file from its start, line by line; it is never shortened."""
        os.lseek(self.file, 0, os.SEEK_SET)
        for peer in self.table:
            line = f" [{FILE_NAMES[peer.state]}] {time.asctime(time.localtime(peer.heard))}\n"
            os.write(self.file, peer.name + line.encode("ascii"))

    # --- starting

    def main(self):
        self.event("started")
        if self.options.force_main:
            self.event("forced to be the main node", syslog.LOG_WARNING)
            self.announce(STARTING)
            self.sleep(1)
            self.send()
            self.start_services()
        else:
            self.seed()
            self.first_look()
        while True:
            self.round()
            self.sleep(self.options.pause)

    def count(self):
        return sum(peer.state in ALIVE for peer in self.table)

    def seed(self):
        """Wait for the other nodes.  That all are there is looked at before whether to quit (a defect)."""
        os.write(self.file, WAITING_TEXT)
        for _turn in range(int(os.environ.get("OLDPEER_TURNS", "200"))):
            self.send()
            self.read()
            if self.count() == self.options.nodes:
                return
            if self.quit_wanted:
                sys.exit(0)
            self.sleep(1)
        if self.count() < self.options.nodes // 2 + 1:
            self.event("no quorum", syslog.LOG_ERR)
            sys.exit(1)

    def first_look(self):
        if self.run("monitorhasrv") == 0:
            self.event("services found running")
            self.state = RUNNING
            self.alert(RUNNING)
            return
        self.announce(STOPPING)
        self.stop_wanted = self.start_wanted = False  # but not quit_wanted (a defect)
        self.run("stophasrv")
        self.state = STANDBY
        self.alert(STANDBY)

    # --- rounds

    def announce(self, state):
        self.state = state
        self.alert(state)
        self.send()
        self.rewrite()

    def round(self):
        self.send()
        self.read()
        self.time_out()
        self.rewrite()
        if self.state == RUNNING and self.run("monitorhasrv") != 0:
            self.event("the monitor found a failure", syslog.LOG_ERR)
            self.state = ERRORED
            self.alert(ERRORED)
            self.error = self.stop_wanted = True
        if self.stop_wanted:
            self.stop()
        elif self.start_wanted or self.elected():
            self.announce(STARTING)
            self.start_services()

    def elected(self):
        if self.options.force_main or self.state != STANDBY:
            return False
        return is_elected(self.name, self.table, self.options.nodes)

    def start_services(self):
        self.start_wanted = False
        self.event("starting services")
        if self.run("starthasrv") == 0:
            self.event("services started", syslog.LOG_NOTICE)
            self.state = RUNNING
        else:
            self.event("services could not be started", syslog.LOG_ERR)
            self.state = ERRORED
        self.alert(self.state)

    def stop(self):
        """A stop is wanted.  On STANDBY it stays wanted for ever (a defect)."""
        if self.state == STANDBY:
            if self.quit_wanted:
                self.leave()
            self.send()
            self.rewrite()
            return
        self.announce(STOPPING)
        self.send()
        self.rewrite()
        self.stop_wanted = self.start_wanted = False
        leaving = self.quit_wanted
        self.event("stopping services")
        self.run("stophasrv")
        if leaving or self.quit_wanted:
            self.leave()
        self.state = ERRORED if self.error else STANDBY
        self.alert(self.state)
        self.send()

    def leave(self):
        self.event("stopped")
        sys.exit(0)


def deliver_signals():
    """Give Python a point at which it runs the handlers of signals that came while C code was waiting."""
    for _turn in range(2):
        time.sleep(0)


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the scripts inherit this
    daemon = Daemon(cut_name(os.fsencode(os.uname().nodename)), Options(sys.argv[1:]))
    print(f"node {os.fsdecode(daemon.name)}, {daemon.options.nodes} nodes")
    daemon.check_scripts()
    daemon.make_state_file()
    daemon.open_links()
    syslog.openlog("FreeHA", syslog.LOG_PID, syslog.LOG_LOCAL1)
    daemon.handle_signals()
    daemon.main()


if __name__ == "__main__":
    main()
