"""Runs programs for the service scripts in ways that a shell can't: a shell makes what it runs in the
background ignore two signals for good; and to become somebody else it needs a program (su, runuser, setpriv),
no two of which do the same.

    processes.py become USER PROGRAM ARGUMENT...
        Becomes USER, in all his groups, then PROGRAM, in the same process.
    processes.py background PIDFILE LOG USER PROGRAM ARGUMENT...
        Runs PROGRAM in a session of its own, as USER unless that is empty, in the current directory, output
        appended to LOG.  PIDFILE gets two lines: the pid; and when it was started (ticks since boot), with
        the boot.  Exit code 0 if it still runs a moment later, or if another call has started what PIDFILE
        tells of meanwhile; else 1, the reason on standard output, and nothing of it is left.

Standard library only; works under `python3 -I -S`, and with any Python 3 that a system may have.
"""

import contextlib
import errno  # noqa: F401  # os.execvp wants these two, when USER may not be able to read them
import fcntl
import os
import pwd
import signal
import sys
import time
import warnings  # noqa: F401

MOMENT = 0.3
"""Seconds that a program must live to count as started."""


def become(user):
    if os.geteuid() != user.pw_uid:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL=user.pw_shell)


def default_signals():
    """Python itself ignores two signals; more may have been ignored by who called."""
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def stat_of(pid):
    """Return the words after the name in /proc/PID/stat; none if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()
    except OSError:
        return []


def described(pid):
    """Return what a pid file says of a process that lives: nobody else has, or gets, the same."""
    words = stat_of(pid)
    if not words or words[0] in (b"Z", b"X"):
        return ""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{pid}\n{int(words[19])} {file.read().strip()}\n"


def record(path):
    """Write who this process is, so that the file is there, whole, before the program is."""
    try:
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(described(os.getpid()))
        os.replace(f"{path}.new", path)
    except OSError as problem:  # a full disk is told of without a name
        raise OSError(problem.errno, problem.strerror, path) from problem


def runs(path):
    """Whether the process lives that a pid file tells of."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return False
    pid = text.partition("\n")[0]
    return pid.isdigit() and text == described(pid)


def forget(path, session):
    """End what the program has left in its session, and remove its pid file."""
    if clear(session):
        for name in path, f"{path}.new":
            with contextlib.suppress(OSError):
                os.unlink(name)


def clear(session):
    """Kill a session; return whether nothing of it is left."""
    until = time.monotonic() + 5
    while True:
        all_of_them = {int(name): stat_of(name) for name in os.listdir("/proc") if name.isdigit()}
        theirs = {pid: words for pid, words in all_of_them.items() if words and int(words[3]) == session}
        left = [pid for pid, words in theirs.items() if words[0] not in (b"Z", b"X")]
        if not left or time.monotonic() > until:
            return not left
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def turn_into(path, log, user, command):
    """Become the program; raises OSError."""
    os.setsid()
    record(path)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # one is of the listing, and closed again
            os.set_inheritable(int(name), False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    if user:
        become(user)
    default_signals()
    os.execvp(command[0], command)  # noqa: S606


def background(path, log, user, command):
    """Return what went wrong, or an empty text."""
    # Of two that start the same at once the second waits here, and finds it started.
    lock = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if runs(path):
        return ""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    answer, question = os.pipe()  # closed by the exec
    child = os.fork()
    if child == 0:
        try:
            turn_into(path, opened, user, command)
        except OSError as problem:
            os.write(question, f"{problem.filename or command[0]}: {problem.strerror}".encode())
        finally:
            os._exit(127)
    os.close(question)
    with open(answer, encoding="utf-8", errors="replace") as file:
        complaint = file.read()
    if complaint:
        os.waitpid(child, 0)
        forget(path, child)
        return complaint
    signal.sigtimedwait([signal.SIGCHLD], MOMENT)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended == 0:
        return ""
    forget(path, child)
    if os.WIFSIGNALED(status):
        return f"it was ended at once by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"it ended at once with exit status {os.WEXITSTATUS(status)}"


def main(arguments):
    if arguments[0] == "become":
        become(pwd.getpwnam(arguments[1]))
        default_signals()
        os.execvp(arguments[2], arguments[2:])  # noqa: S606
    path, log, name, *command = arguments[1:]
    return background(path, log, pwd.getpwnam(name) if name else None, command)


if __name__ == "__main__":
    try:
        outcome = main(sys.argv[1:])
    except KeyError:
        outcome = "there is no such user"
    except OSError as failure:
        outcome = f"{failure.filename or sys.argv[3]}: {failure.strerror}"
    if outcome:
        print(outcome)  # noqa: T201
        sys.exit(1)
