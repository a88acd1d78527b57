"""Runs programs for the service scripts in ways that a shell can't: a shell makes what it runs in the
background ignore two signals for good; and to become somebody else it needs a program (su, runuser, setpriv),
no two of which do the same.

    processes.py become USER PROGRAM ARGUMENT...
        Becomes USER, in all his groups, then PROGRAM, in the same process.
    processes.py background PIDFILE LOG USER PROGRAM ARGUMENT...
        Runs PROGRAM in a session of its own, as USER unless that is empty, in the current directory, output
        appended to LOG.  PIDFILE gets two lines: the pid; and when it was started (ticks since boot), with
        the boot.  Exit code 0 if it still runs a moment later; else 1, and the reason on standard output.

Standard library only; works under `python3 -I -S`, and with any Python 3 that a system may have.
"""

import contextlib
import errno  # noqa: F401  # os.execvp wants these two, when USER may not be able to read them
import os
import pwd
import signal
import sys
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


def record(path):
    """Write who this process is, so that the file is there, whole, before the program is."""
    with open("/proc/self/stat", "rb") as stat:
        began = int(stat.read().rpartition(b")")[2].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n{began} {boot}\n")
    os.replace(f"{path}.new", path)


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
        return complaint
    signal.sigtimedwait([signal.SIGCHLD], MOMENT)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended == 0:
        return ""
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
