"""Checks what is promised, at every step, by what is true and not by what the daemons believe.

Promise 1 (one at a time).  A service *may be up* from the begin of ``starthasrv`` to a successful end of
``stophasrv`` or the end of its machine.  No configuration has a safeguard yet, so two may be up at once, but
only with an excuse.  When B begins ``starthasrv`` while A's service may be up, one of these must hold:

``stop failed``   a ``stophasrv`` of A has failed since A started, and A does not say that it is busy
``forced``        a person forced B: SIGUSR1 since B's last start, not taken back by SIGHUP; or ``-m``
``old starts``    B runs the old daemon, which promises nothing
``old left it``   A runs the old daemon and does not say that it is busy (COMPAT D24, D14)
``silent``        by B's clock, a dead time has passed since a heartbeat of A that said STARTING, RUNNING or
                  STOPPING got through to B
``unheard``       no such heartbeat has got through to B since A announced the claim by which it runs

``overtaken``     on every link B's last word from A was sent before that claim, and is later than a word of
                  after it: the old format has no number by which this could be seen (H5)

One more is a narrow form of ``silent``: the core counts each link's own last word, so a slower link may have
brought the same packet a moment later.

*Got through* means: given to B's core, and not in the very turn of its loop in which the worker died.  A
heartbeat that waits in B's socket has not, which is why each use of ``unheard`` where one was waiting there
is counted apart.

The second half (once heartbeats pass both ways, all but one begin to stop): by what has got through to X of Y
while X is STARTING or RUNNING,
- X is later in order: it has begun to stop when Y's running was heard in four heartbeats in a row on one
  link, half an interval apart or more, with nothing else on any link meanwhile and no silence of a dead time;
- in any case when Y has been heard running so for two dead times and a bit;
but not while X was forced against Y, Y has said nothing but RUNNING since, and has not fallen silent.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Optional

from had.core.actions import Hook, Note
from had.core.events import Outcome, Word
from had.core.node import Node
from had.core.settings import Isolated
from had.core.states import BUSY_STATES, Phase, State
from had.sim import manners
from had.sim.clockwork import MS, SECOND
from had.sim.evidence import check_move, starter_is_silent
from had.sim.truth import LONG_AGO, BrokenPromiseError, Truth

if TYPE_CHECKING:
    from had.sim.handover import Snapshot
    from had.sim.machine import Machine
    from had.sim.scripts import Process
    from had.sim.worker import Worker
    from had.sim.world import World

RUNS = frozenset((Phase.STARTING, Phase.RUNNING))
STOPS = frozenset((Phase.ABORTING, Phase.STOPPING))
HOLDABLE = frozenset(
    (
        Phase.STARTING,
        Phase.RUNNING,
        Phase.ASKING,
        Phase.CLAIMING,
        Phase.ABORTING,
        Phase.STOPPING,
        Phase.BLOCKED,
    )
)
CLAIM_NS = 100 * MS
"""How long a claim is announced before its hook begins (E5)."""
SENDS_MAX = 60
"""Heartbeats within a second: the regular ones, and each change said twice."""


class Judge:
    """Watches one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.truths: list[Truth] = []
        self.counts: collections.Counter[str] = collections.Counter()
        """How often rules, excuses and faults were met."""

    def begin(self, machines: int) -> None:
        self.truths = [Truth() for _ in range(machines)]

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def broken(self, promise: str, text: str) -> BrokenPromiseError:
        return BrokenPromiseError(promise, text)

    def bug(self, machine: Machine, text: str) -> None:
        raise BrokenPromiseError("no bug", f"{machine.name}: {text}")

    def machines(self) -> list[Machine]:
        return self.world.machines

    def claim_begins(self, machine: Machine) -> int:
        """Return since when its claim has been announced: now, unless the service may be up already."""
        truth = self.truths[machine.index]
        return truth.claim_ns if truth.open_ns is not None else self.world.queue.now_ns

    def slack_ns(self) -> int:
        """How much later than over the quickest link a packet may come: the core counts each link's own."""
        return self.world.network.slowest_ns

    def may_be_up(self) -> list[Machine]:
        """Machines whose service may be up."""
        return [machine for machine in self.world.machines if self.truths[machine.index].open_ns is not None]

    # Hooks

    def hook_begins(self, machine: Machine, hook: Hook, _run: int) -> None:
        truth = self.truths[machine.index]
        if hook is not Hook.ALERT and not machine.old:
            beside = [other.value for other in machine.running if other is not Hook.ALERT]
            if beside:
                raise self.broken(
                    "G1 one hook at a time", f"{machine.name} runs {hook.value} beside {beside[0]}"
                )
            self.world.tell(machine, f"{hook.value} begins", hook is Hook.MONITOR)
        truth.hook_local[hook] = machine.local_ns()
        if hook is Hook.MONITOR and not machine.old:
            manners.monitor_begins(self, machine, truth)
        asks = hook is Hook.MONITOR and truth.phase is Phase.RUNNING and not machine.old
        if asks and truth.monitor_failures >= machine.settings.monitor_failures:
            raise self.broken("2 a failed service moves", f"{machine.name} asks its monitor again, and stays")
        if hook is Hook.START:
            self._start_begins(machine, truth)
        elif hook is Hook.STOP:
            truth.last_stop_failed = False

    def _start_begins(self, machine: Machine, truth: Truth) -> None:
        if not machine.old:
            self._check_start(machine, truth)
        for other in self.may_be_up():
            if other is not machine:
                excuse = self._excuse(machine, other)
                if excuse is None:
                    raise self.broken(
                        "1 one at a time",
                        f"{machine.name} begins starthasrv while the service of {other.name} may be up, "
                        f"which was heard {self._heard_ago(machine, other)} ago",
                    )
                self.count(f"excuse: {excuse}")
                self.world.tell(None, f"two may run: {machine.name} beside {other.name} ({excuse})")
        if truth.open_ns is None:
            truth.open_ns = self.world.queue.now_ns
        if machine.old:
            truth.claim_ns = self.world.queue.now_ns
        truth.stop_failed = truth.start_failed = truth.clean = False
        truth.forced = truth.force_main = False  # the word is obeyed; the next start needs another
        self.count("starts")

    def _check_start(self, machine: Machine, truth: Truth) -> None:
        """See what must hold for any start of ours, beside promise 1."""
        if not truth.clean and not truth.force_main:
            raise self.broken(
                "no start twice", f"{machine.name} begins starthasrv, and no stophasrv came between"
            )
        waited_ns = self.world.queue.now_ns - truth.claim_ns
        if not truth.forced and waited_ns < CLAIM_NS - MS and self._anybody_alive(machine):
            raise self.broken(
                "E5 a claim has time to be heard", f"{machine.name} starts {waited_ns} ns after its claim"
            )
        if machine.local_ns() < truth.listens_until_local and not truth.force_main:
            raise self.broken(
                "6 no licence", f"{machine.name} begins starthasrv while it must listen after a pause"
            )

    def _anybody_alive(self, machine: Machine) -> bool:
        """Whether anybody was heard so lately that no clock can take it for dead."""
        now_local, least_ns = machine.local_ns(), machine.settings.dead_ns
        return any(now_local - heard < least_ns for heard in machine.ears.heard_local)

    def _heard_ago(self, machine: Machine, other: Machine) -> str:
        local = machine.ears.busy_local[other.index]
        return "never" if local == LONG_AGO else f"{(machine.local_ns() - local) / SECOND:.3f} s"

    def _excuse(self, starter: Machine, holder: Machine) -> Optional[str]:
        """Say why the promise does not cover this overlap, or None where it does."""
        begins, holds = self.truths[starter.index], self.truths[holder.index]
        busy = self.says(holder) in BUSY_STATES
        if holds.stop_failed and not busy:
            return "stop failed"
        if starter.old:
            return "old starts"
        if begins.forced:
            return "forced"
        if holder.old and not busy:
            return "old left it"
        ears = starter.ears
        silence_ns = starter.local_ns() - ears.busy_local[holder.index]
        if silence_ns >= starter.settings.dead_ns:
            return "silent"
        if (
            silence_ns >= starter.settings.dead_ns - self.slack_ns()
            and State.INITIAL in ears.words[holder.index]
        ):
            return "silent on the quickest link, and INITIAL since"
        if ears.busy_ns[holder.index] < holds.claim_ns:
            return "unheard, though it waited in the socket" if self._waits(starter, holder) else "unheard"
        if self._is_overtaken(starter, holder):
            return "overtaken"
        return None

    def _is_overtaken(self, starter: Machine, holder: Machine) -> bool:
        """Whether the last words over all links are older than the claim, and came after later ones."""
        words = [word for word in starter.ears.words[holder.index] if word is not None]
        since_ns = self.world.queue.now_ns - self.truths[holder.index].claim_ns
        late_ns = self.world.network.slowest_ns + starter.settings.heartbeat_ns
        return not BUSY_STATES & set(words) and State.INITIAL not in words and since_ns <= late_ns

    def _waits(self, machine: Machine, other: Machine) -> bool:
        """Whether a packet that says that the other runs is in the sockets, unread."""
        datagrams = [self.world.datagram(other.name, state) for state in sorted(BUSY_STATES)]
        return any(datagram in queued for queued in machine.unread() for datagram in datagrams)

    def says(self, machine: Machine) -> Optional[State]:
        """Return what a machine's daemon says at the moment; None: there is none."""
        daemon = machine.daemon
        if daemon is None:
            return None
        return daemon.state

    def hook_ends(self, machine: Machine, process: Process) -> None:
        truth = self.truths[machine.index]
        good = process.status == 0
        hook = process.hook
        if hook is not Hook.ALERT:
            self.world.tell(
                machine, f"{hook.value} {'succeeds' if good else 'fails'}", hook is Hook.MONITOR and good
            )
        if hook is Hook.STOP:
            truth.clean = True
            truth.last_stop_failed = not good
            if good:
                self._closed(truth)
            elif truth.open_ns is not None:
                truth.stop_failed = True

    def stopped_by_hand(self, machine: Machine) -> None:
        truth = self.truths[machine.index]
        truth.clean = True
        self._closed(truth)

    def hook_told(self, machine: Machine, hook: Hook, outcome: Outcome) -> None:
        """Note what the core is told of a hook's end, which for a time-out is not what the script did."""
        truth = self.truths[machine.index]
        good = outcome is Outcome.OK
        if hook is Hook.MONITOR and outcome is not Outcome.ENDED:
            truth.monitor_failures = 0 if good else truth.monitor_failures + 1
            truth.monitor_good = good
        elif hook is Hook.STOP:
            truth.stop_told_failed = not good
        elif hook is Hook.START:
            truth.start_failed = not good

    def _closed(self, truth: Truth) -> None:
        truth.open_ns, truth.stop_failed = None, False

    # Lives and deaths

    def daemon_starts(self, machine: Machine, force_main: bool) -> None:
        truth = self.truths[machine.index]
        self.count("daemon starts")
        truth.phase = truth.before = None
        truth.held = truth.leaving = False
        truth.force_main = truth.began_main = truth.forced = force_main
        truth.words.clear()
        truth.quarrels.clear()
        truth.against, truth.starters = [], []
        truth.monitor_failures = 0
        truth.listens_until_local = LONG_AGO
        truth.must_erase = ""
        truth.began_local = truth.free_local = machine.local_ns()
        truth.alerted = State.UNKNOWN
        truth.told.clear()
        machine.hears_again_local = LONG_AGO
        machine.isolated_local = None

    def powered_off(self, machine: Machine) -> None:
        truth = self.truths[machine.index]
        self.count("power cuts")
        self._closed(truth)
        truth.clean = True

    def daemon_killed(self, machine: Machine) -> None:
        self.count("daemons killed")

    def worker_died(self, machine: Machine, before: Optional[Snapshot]) -> None:
        """Forget what the dead worker had decided and told nobody: the next one has this snapshot."""
        machine.lost_worker_local = machine.local_ns()
        if before is not None and before.node.groups:
            truth, group = self.truths[machine.index], before.node.groups[0]
            truth.phase = group.phase
            truth.run_since_local = group.run_since_ns
            truth.alerted = group.alerted
            truth.epoch_made = min(truth.epoch_made, before.node.epoch)
            for quarrel in truth.quarrels.values():
                quarrel.beats.clear()  # it may have counted one after the snapshot
        self.count("G1 G5 worker replaced")
        if any(process.hook is not Hook.ALERT for process in machine.running.values()):
            self.count("G1 a hook outlives its worker")

    def farewell_begins(self, machine: Machine) -> None:
        self.truths[machine.index].leaving = True

    def daemon_ended(self, machine: Machine, code: int) -> None:
        """See how a daemon ended by itself: not without having tried to stop what it started."""
        truth = self.truths[machine.index]
        self.count(f"exit code {code}")
        if machine.old or truth.open_ns is None:
            return
        if truth.before in (Phase.WAITING, Phase.PROBING):
            self.count("left while waiting, services of an earlier daemon up")
        elif not truth.stop_failed:
            raise self.broken(
                "stop follows start", f"{machine.name}: the daemon ends and its service may be up"
            )
        elif code == 0 and truth.before in (Phase.STOPPING, Phase.CLEANING):
            raise self.broken("M7 exit code", f"{machine.name}: exit code 0 after a stop that failed")

    # Steps

    def stepped(self, machine: Machine, node: Node) -> None:
        """Look at a step of the core with actions; nothing of them is done yet."""
        truth = self.truths[machine.index]
        data = node.data
        phase = data.groups[0].phase
        if phase is not truth.phase:
            truth.before, truth.phase = truth.phase, phase
            if phase in STOPS and truth.before not in (*STOPS, Phase.BLOCKED, Phase.ERRORED):
                truth.forced = truth.force_main = False  # stopped, perhaps before its hook began (I1)
            if phase is Phase.RUNNING:
                truth.forced = False  # started, or found running: the person has what was asked for
                truth.monitor_over_local = machine.local_ns()
            check_move(self, machine, truth, node)
            truth.words.clear()
        if truth.must_erase and data.stall_ns is None:
            why, truth.must_erase = truth.must_erase, ""
            if data.mark:
                raise self.broken(
                    "4 the mark", f"{machine.name} keeps the mark of the sole survivor though {why}"
                )
            truth.erasing = True

    def not_published(self, machine: Machine, worker: Worker) -> None:
        """See that a state file that was not written still tells what the node knows."""
        if machine.daemon is None or not worker.alive or worker.node.data.exit_code is not None:
            return
        self.check_state_file(machine, worker)

    def check_state_file(self, machine: Machine, worker: Worker) -> None:
        """Each line must be what the node knows, at any moment."""
        shown, known = worker.shown, worker.truth_for_file()
        if shown != known:
            raise self.broken(
                "the state file tells the truth", f"{machine.name} shows {shown}, knows {known}"
            )

    def note(self, machine: Machine, note: Note) -> None:
        self.counts[f"note {note.reason.code} {note.level.name}"] += 1
        truth = self.truths[machine.index]
        manners.complained(self, machine, truth, note)
        if note.reason.code == "hold-over" and truth.held and starter_is_silent(machine, truth):
            truth.held = False
        self.world.tell(machine, f"{note.reason.text} [{note.reason.code}]")

    def word(self, machine: Machine, word: Word, node: Node) -> None:
        """Note a person's word that is given to the core now."""
        truth = self.truths[machine.index]
        truth.words.append(word)
        phase = node.data.groups[0].phase if node.data.groups else None
        self.count(f"{word.value} in {phase.name if phase is not None else 'no phase'}")
        if word is Word.TAKE_OVER:
            if phase not in (Phase.STARTING, Phase.RUNNING, Phase.ASKING) and not truth.leaving:
                truth.forced = True
                truth.held = False
        elif word is Word.STAND_DOWN:
            if phase not in RUNS:
                truth.forced = False
            holds = phase in HOLDABLE and node.data.groups[0].goal is Phase.STANDBY
            if holds and not truth.held:
                truth.held, truth.starters = True, []
            if holds or phase is Phase.ERRORED:
                truth.must_erase = "SIGHUP came"
        elif word is Word.CLEAR:
            truth.held = False
        else:
            truth.leaving = True

    def stall(self, machine: Machine, until_local: int) -> None:
        """Note that the worker did not run for longer than the dead time (P1)."""
        truth = self.truths[machine.index]
        truth.listens_until_local = until_local
        truth.quarrels.clear()
        self.count("P1 stalls")

    def sent(self, machine: Machine, state: State) -> None:
        """Look at a heartbeat that goes out."""
        truth = self.truths[machine.index]
        second = self.world.queue.now_ns // SECOND
        truth.sent = truth.sent + 1 if second == truth.sent_second else 1
        truth.sent_second = second
        if truth.sent > SENDS_MAX:
            raise self.broken(
                "no spinning", f"{machine.name} sends more than {SENDS_MAX} heartbeats in a second"
            )
        if truth.open_ns is not None and state is State.STANDBY and not truth.stop_failed:
            raise self.broken("says the truth", f"{machine.name} says STANDBY while its service may be up")
        manners.announced(self, machine, truth, state)
        if state is State.RUNNING and machine.settings.isolated is Isolated.STOP:
            self._check_isolation(machine)
        if truth.listens_until_local != LONG_AGO:
            if machine.local_ns() >= truth.listens_until_local:
                truth.listens_until_local = LONG_AGO
            elif state is State.STOPPING:
                truth.listens_until_local = LONG_AGO  # it has heard who took over, and stops
                machine.hears_again_local = machine.local_ns()
            else:
                raise self.broken(
                    "6 no licence", f"{machine.name} says {state.name} while it must listen after a pause"
                )

    def _check_isolation(self, machine: Machine) -> None:
        """See that ``isolated = stop`` stops in time (I1)."""
        since_local, settings = machine.isolated_local, machine.settings
        if since_local is None:
            return
        runs = self.truths[machine.index].phase is Phase.RUNNING  # and not only for a part of this step
        if runs and machine.local_ns() - since_local > settings.dead_ns // 2 + SECOND:
            raise self.broken("I1 isolated = stop", f"{machine.name} runs on though it is isolated")

    def rejected(self, machine: Machine, _data: bytes) -> None:
        self.count("N datagrams rejected")

    # Hearing

    def counts_for(self, machine: Machine, other: Machine) -> bool:
        names = machine.settings.names
        return not names or other.name in names
