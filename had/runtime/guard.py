"""The guard: the parent that brings a dead or hung worker back (promise 5, rules G).

It does as little as it can, since nobody guards the guard: it passes signals on, looks at the worker's
tick, and waits for its children.  It is a child subreaper, so the hooks of a worker that died become its
children, and it tells their exit statuses to the next worker.  All modules are loaded before the first
fork, and the garbage collector's heap is frozen, so a new worker starts within milliseconds and shares
most of its memory.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import os
import selectors
import signal
from typing import NoReturn, Optional

from had.core.actions import Level
from had.core.node import Node
from had.core.states import STATE_OF, State
from had.runtime import channel as messages
from had.runtime.channel import Channel, pair
from had.runtime.clock import now_ns
from had.runtime.farewell import farewell
from had.runtime.fitness import become_subreaper
from had.runtime.handover import Snapshot
from had.runtime.processes import describe_status, signals_blocked
from had.runtime.shared import Shared
from had.runtime.signals import SignalPipe, ignore_words, word_of
from had.runtime.worker import Worker

SECOND = 1_000_000_000
DEATHS = 5
WITHIN_NS = 60 * SECOND
"""So many deaths of workers in so long a time are no accident (G3)."""
BACKOFF_NS = SECOND
BACKOFF_MAX_NS = 60 * SECOND
WORDS_MAX = 64
REAPED_MAX = 256
PID_FILE_NS = 60 * SECOND
DISCARD_NS = SECOND // 4
"""How often a guard without a worker empties the pipes of the hooks."""


class Report:
    """The answer to the command that started the daemon: through a pipe, or to nobody."""

    def __init__(self, pipe: Optional[int] = None) -> None:
        self._pipe = pipe

    def tell(self, code: int, why: str) -> None:
        """Say that the daemon is up (0), or with which exit code it ends and why.  Only the first counts."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(self._pipe, f"{code} {why}".encode())
        self.abandon()

    def abandon(self) -> None:
        """Close it, in a forked child too: who waits is to see the end when the guard dies."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


class Guard:
    """Forks workers until one ends on purpose."""

    def __init__(self, shared: Shared, report: Report) -> None:
        self._shared = shared
        self._log = shared.log
        self._report = report
        self._up = False
        self._patience_ns = shared.patience_ns
        self._selector = selectors.DefaultSelector()
        self._signals = SignalPipe(self._selector, self._signalled)
        self._channel: Optional[Channel] = None
        self._worker = 0
        self._forked_ns = 0
        self._until_ns = 0
        """Until when the guard meant to sleep; one that overslept can't blame the worker."""
        self._died_ns = 0
        self._again_ns: Optional[int] = None
        """When the next worker is forked, if not at once (G3)."""
        self._deaths: collections.deque[int] = collections.deque(maxlen=DEATHS)
        self._backoff_ns = BACKOFF_NS
        self._words: collections.deque[tuple[int, int]] = collections.deque(maxlen=WORDS_MAX)
        self._word = 0
        self._reaped: dict[int, int] = {}
        self._failure = ""
        """Why the guard ends the daemon, where no worker has."""
        self._pid_file_ns = now_ns() + PID_FILE_NS
        self._exit_code: Optional[int] = None

    def run(self) -> int:
        """Run until the daemon ends; returns its exit code.  The pid file must name this process by now."""
        self._become_subreaper()
        self._log(Level.INFO, self._shared.fitness.of_guard())
        self._fork()
        while self._exit_code is None:
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._reap()
            self._look()
        ignore_words()
        before = self._shared.handover.load()
        if before is not None and self._shared.handover.finished() is None:
            self._shared.show_end(self._exit_code, self._failure, before.answer)
        self._shared.pid_file.remove()
        self._report.tell(self._exit_code, self._failure)
        return self._exit_code

    def _become_subreaper(self) -> None:
        try:
            become_subreaper()
        except OSError as error:
            self._log(Level.WARNING, f"hooks of a worker that dies can't be inherited: {error.strerror}")

    def _timeout(self) -> float:
        moment_ns = now_ns()
        nearest_ns = self._pid_file_ns
        if self._again_ns is not None:
            nearest_ns = min(nearest_ns, self._again_ns, moment_ns + DISCARD_NS)
        elif self._worker:
            # A tick that is read while it is written may look like one of the far future.
            nearest_ns = min(nearest_ns, min(moment_ns, self._ticked_ns()) + self._patience_ns + 1)
        if self._shared.notify.is_waiting:
            nearest_ns = min(nearest_ns, moment_ns + SECOND)
        self._until_ns = max(moment_ns, nearest_ns)
        return (self._until_ns - moment_ns) / SECOND

    def _ticked_ns(self) -> int:
        """When the worker was last known to be well."""
        return max(self._shared.handover.last_tick_ns(), self._forked_ns)

    # --- workers ---

    def _fork(self) -> None:
        """Fork the next worker."""
        self._again_ns = None
        try:
            ours, theirs = pair()
        except OSError as error:
            self._fork_failed(error)
            return
        gc.collect()
        gc.freeze()
        # A signal between the fork and the child's own handlers would be told to both.
        try:
            with signals_blocked():
                self._worker = os.fork()
                if self._worker == 0:
                    self._be_worker(ours, theirs)
        except OSError as error:
            ours.close()
            theirs.close()
            self._fork_failed(error)
            return
        theirs.close()
        self._forked_ns = now_ns()
        self._channel = ours
        self._selector.register(ours.fileno(), selectors.EVENT_READ, self._hear_worker)
        for number, word in self._words:
            ours.tell(messages.SIGNAL, word, number)

    def _fork_failed(self, error: OSError) -> None:
        """Try again later, unless somebody waits to hear whether the daemon starts."""
        self._worker = 0
        text = f"no worker can be forked: {error.strerror}"
        if not self._up:
            self._failure = text
            self._log(Level.ERROR, text)
            self._exit_code = 1
            return
        self._again_ns = now_ns() + SECOND
        self._log(Level.ERROR, f"{text}; trying again")

    def _be_worker(self, guards: Channel, workers: Channel) -> NoReturn:
        """Become the worker, in the child; never returns into the guard's code."""
        code = 1
        try:
            guards.close()
            self._report.abandon()
            self._signals.abandon()
            self._selector.close()
            self._log(Level.INFO, self._shared.fitness.of_worker())
            code = Worker(self._shared, workers, self._reaped).run()
        except BaseException as error:  # a bug: told in the log, and the guard goes on
            self._tell_bug(error)
        finally:
            os._exit(code)

    def _tell_bug(self, error: BaseException) -> None:
        """Log a bug in the worker with the place where it happened."""
        place, trace = "", error.__traceback__
        while trace is not None:
            place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
            trace = trace.tb_next
        text = f"worker ends by a bug, please report it: {type(error).__name__}: {error} ({place})"
        self._log(Level.ERROR, text)

    def _hear_worker(self) -> None:
        channel = self._channel
        if channel is None:
            return
        message = channel.take()
        while message is not None:
            if message.kind == messages.UP:
                self._worker_up()
            elif message.kind == messages.FAILED:
                self._failure = message.text
            message = channel.take()
        if channel.closed:
            self._drop_channel()

    def _worker_up(self) -> None:
        if self._died_ns:
            took_ms = (now_ns() - self._died_ns) / 1e6
            self._log(Level.NOTICE, f"worker {self._worker} goes on after {took_ms:.0f} ms")
            self._died_ns = 0
        if not self._up:
            self._shared.notify.tell(MAINPID=str(os.getpid()), READY="1")
        self._up = True
        self._report.tell(0, "")

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None

    # --- children and signals ---

    def _signalled(self, number: int) -> None:
        """Pass a person's word on, numbered; SIGCHLD has only to wake the loop."""
        if word_of(number) is None:
            return
        self._word += 1
        self._words.append((self._word, number))
        if self._channel is not None:
            self._channel.tell(messages.SIGNAL, number, self._word)
        elif self._again_ns is not None:
            self._again_ns = now_ns()  # a person does not wait for the end of a pause

    def _reap(self) -> None:
        """Wait for whoever has ended: the worker, hooks of dead workers, and what those left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._worker:
                self._worker_ended(status)
                continue
            self._reaped[pid] = status
            if len(self._reaped) > REAPED_MAX:
                del self._reaped[next(iter(self._reaped))]
            if self._channel is not None:
                self._channel.tell(messages.REAPED, pid, status)

    def _worker_ended(self, status: int) -> None:
        """Replace the worker, unless it ended on purpose or dies too often."""
        self._hear_worker()
        self._drop_channel()
        pid, self._worker = self._worker, 0
        finished = self._shared.handover.finished()
        if finished is not None:
            self._exit_code = finished
            return
        if not self._up and self._failure:
            self._log(Level.ERROR, self._failure)
            self._exit_code = 1
            return
        moment_ns = now_ns()
        self._died_ns = self._died_ns or moment_ns
        self._deaths.append(moment_ns)
        self._forget_obeyed()
        text = f"worker {pid} has died ({describe_status(status)}): the services are not touched"
        self._log(Level.ERROR, f"{text}; another worker takes over")
        if len(self._deaths) == DEATHS and moment_ns - self._deaths[0] < WITHIN_NS:
            self._give_up_or_wait(moment_ns)
        else:
            self._backoff_ns = BACKOFF_NS
            self._fork()

    def _forget_obeyed(self) -> None:
        """Words that the dead worker had obeyed are not told again."""
        before = self._shared.handover.load()
        obeyed = before.obeyed if before is not None else 0
        while self._words and self._words[0][0] <= obeyed:
            self._words.popleft()

    def _give_up_or_wait(self, moment_ns: int) -> None:
        """Decide what to do with workers that die again and again (G3)."""
        before = self._shared.handover.load()
        if not self._up or before is None:
            self._failure = "the workers die as soon as they start; the log tells why"
            self._log(Level.ERROR, self._failure)
            self._exit_code = 1
            return
        node = Node(self._shared.settings.core, before.node)
        if node.next_can_take_over(moment_ns):
            self._failure = f"{DEATHS} workers died within a minute: another node is to take over"
            self._log(Level.ERROR, self._failure)
            if self._say_farewell(before):
                self._exit_code = 1
                return
        seconds = self._backoff_ns // SECOND
        text = f"{DEATHS} workers died within a minute, and nobody can take over in good order"
        self._log(Level.ERROR, f"{text}: the services stay up; trying again in {seconds} s")
        self._again_ns = moment_ns + self._backoff_ns
        self._backoff_ns = min(2 * self._backoff_ns, BACKOFF_MAX_NS)

    def _say_farewell(self, before: Snapshot) -> bool:
        """Stop the services if there may be any; returns False if not even that works."""
        if not any(STATE_OF[group.phase] in _HAS_SERVICES for group in before.node.groups):
            return True
        try:
            left = farewell(self._shared, before, self._reaped)
            self._failure = f"{DEATHS} workers died within a minute; {left}"
        except Exception as error:  # a bug here must not leave the services up with nobody to look after them
            self._tell_bug(error)
            return False
        return True

    # --- watching ---

    def _look(self) -> None:
        """Fork when it is time; kill a worker that hangs (G2); look after the pid file."""
        moment_ns = now_ns()
        self._shared.notify.retry()
        if self._again_ns is not None:
            # Nobody reads what services print meanwhile; they must not stand still for it.
            self._shared.pipes.discard()
            if moment_ns >= self._again_ns:
                self._fork()
        elif moment_ns - self._until_ns >= self._patience_ns // 4:
            self._forked_ns = moment_ns
        elif self._worker:
            hung_ns = moment_ns - self._ticked_ns()
            if hung_ns > self._patience_ns:
                self._log(
                    Level.ERROR, f"worker {self._worker} has hung for {hung_ns / 1e9:.1f} s: it is killed"
                )
                os.kill(self._worker, signal.SIGKILL)
                self._forked_ns = moment_ns  # it may take a moment to end
        if moment_ns >= self._pid_file_ns:
            self._pid_file_ns = moment_ns + PID_FILE_NS
            trouble = self._shared.pid_file.check(os.getpid())
            if trouble is not None:
                self._log(Level.WARNING, trouble)


_HAS_SERVICES = frozenset((State.STARTING, State.RUNNING, State.STOPPING))
