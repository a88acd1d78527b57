"""The worker: one loop that carries events to the core and does what it says.

A turn of the loop: wait for a descriptor or the nearest deadline; let the callables read and append; give
the core a Tick if it asked to be woken by now, then what was appended, in order; do the actions as they
come; save a snapshot for the next worker if anything changed.  Nothing on the loop blocks: hooks and the
record's writes are children.  Each part of the runtime says when it has to be looked at, and isn't before:
most turns are nothing but a heartbeat sent or heard, and that is what the daemon costs.

The snapshot is saved *before* a hook is forked or ended and *after* its result has reached the core, and a
hook's process is reaped only then.  So whenever the worker is killed, the next one knows of every hook that
may have been started, and gets every result (rule G1).  All other actions of a step are done before that
snapshot: what is killed in between is done once more by the next worker, never left out.  Only the files
that show people how things are come after the hooks: a disk may take milliseconds to replace one, which
``starthasrv`` would be late by, and the next worker writes them anyhow.
"""

from __future__ import annotations

import os
import selectors
from typing import Callable, Optional

from had.core.actions import (
    Action,
    Alert,
    DiscardQueued,
    EndHook,
    EraseMark,
    Exit,
    Hook,
    Level,
    Note,
    Publish,
    RecordEpoch,
    RunHook,
    Send,
    WriteMark,
)
from had.core.events import (
    Command,
    Event,
    Heard,
    HookOver,
    LeftoversGone,
    LinkChanged,
    MachineCarrier,
    Tick,
    Word,
    stop_beats_start,
)
from had.core.node import Node
from had.core.states import State
from had.runtime import channel as messages
from had.runtime import garbage, record
from had.runtime.alerts import AlertQueue
from had.runtime.channel import Channel
from had.runtime.clock import now_ns
from had.runtime.handover import Snapshot
from had.runtime.hookcheck import has_alert_hook
from had.runtime.hooks import HookRunner
from had.runtime.leftovers import Leftovers
from had.runtime.links import LinkFatal, Links
from had.runtime.output import OutputReader
from had.runtime.pidfile import PidFileError
from had.runtime.shared import Shared
from had.runtime.signals import SignalPipe, word_of
from had.runtime.statefile import StateFile
from had.runtime.statusfile import Answer
from had.wire import freeha

SECOND = 1_000_000_000
LAST_WORK_NS = 15 * SECOND
"""How long the end of the daemon waits for the record, and for a hook that it has ended."""
PID_FILE_NS = 60 * SECOND
NEVER_NS = 1 << 63


class Worker:
    """One worker, from fork to end."""

    def __init__(self, shared: Shared, channel: Channel, reaped: dict[int, int]) -> None:
        """``reaped``: processes that ended while no worker lived, with their exit statuses."""
        self._shared = shared
        self._settings = shared.settings
        self._log = shared.log
        self._channel = channel
        self._orphan = False
        self._events: list[Event] = []
        self._datagrams: list[tuple[int, bytes, str]] = []
        self._words: list[Word] = []
        self._obeyed = self._told = 0
        """The number of the last word that the guard has told; told: obeyed or not."""
        self._told_down: set[int] = set()
        """Links that were told to be down while they were opened."""
        self._asked: dict[int, RunHook] = {}
        self._answer: Optional[Answer] = None
        self._dirty = True
        """Something changed that the next worker must know before anything else is done."""
        self._heard = False
        """A heartbeat was heard: worth knowing, but not worth a snapshot each where there are hundreds."""
        self._look_ns = 0
        """When a part of the runtime is to be looked at, if no child ends before."""
        self._stirred = self._child_ended = True
        """Stirred: something other than a heartbeat may have changed that moment."""
        self._saved_ns = self._save_took_ns = self._exit_by_ns = 0
        self._rejected = 0
        self._exit_code: Optional[int] = None
        self._pid_file_ns = now_ns() + PID_FILE_NS
        self._tick_ns = shared.patience_ns // 2

        self._selector = selectors.DefaultSelector()
        self._signals = SignalPipe(self._selector, self._signalled)
        self._selector.register(channel.fileno(), selectors.EVENT_READ, self._hear_guard)
        self._output = OutputReader(shared.pipes, self._hook_said, now_ns)
        self._output.register(self._selector)
        standing = shared.fitness.before
        self._hooks = HookRunner(self._settings, shared.pipes, self._log, standing=standing)
        alerts = has_alert_hook(self._settings.hooks_directory)
        self._alerts = AlertQueue(self._hooks, self._state_now, self._log, present=alerts)
        self._links = Links(
            self._settings.links,
            self._selector,
            lambda link, data, source: self._datagrams.append((link, data, source)),
            self._link_changed,
            lambda up: self._events.append(MachineCarrier(up)),
            retry_cap_ns=self._settings.core.dead_ns // 4,
        )
        self._state_file = StateFile(self._settings.state_file, self._log)
        self._leftovers: Optional[Leftovers] = None
        self._do = self._doers()
        self._begin(shared.handover.load(), reaped)

    def _doers(self) -> dict[type[Action], Callable[..., None]]:
        """Return what does each kind of action."""
        return {
            Send: self._send,
            RunHook: self._run_hook,
            EndHook: lambda action: self._hooks.end(action.run, now_ns()),
            Alert: lambda action: self._alerts.add(action, now_ns()),
            Note: self._note,
            RecordEpoch: lambda action: self._recorder.record_epoch(action.epoch, now_ns()),
            WriteMark: lambda action: self._recorder.write_mark(action.epoch, now_ns()),
            EraseMark: lambda action: self._recorder.erase_mark(now_ns()),
            DiscardQueued: self._discard,
            Exit: self._exit,
        }

    # --- beginning ---

    def _begin(self, before: Optional[Snapshot], reaped: dict[int, int]) -> None:
        """Begin anew, or go on where another worker was (G5)."""
        moment_ns = now_ns()
        if before is None:
            known = record.load(self._settings.record_directory)
            for complaint in known.complaints:
                self._log(Level.WARNING, complaint)
            if not has_alert_hook(self._settings.hooks_directory):
                self._log(Level.NOTICE, "there is no alerthasrv: changes of state are not alerted")
            self._recorder = record.Recorder(self._settings.record_directory, self._log, known)
            self._node = Node(
                self._settings.core,
                epoch=known.epoch,
                mark=known.mark_epoch is not None,
                mark_same_boot=known.mark_same_boot,
            )
            self._leftovers = Leftovers(self._settings.run_directory, self._log, moment_ns)
            return
        self._recorder = record.Recorder(self._settings.record_directory, self._log, record.Record())
        self._node = Node(self._settings.core, before.node)
        self._node.resume(moment_ns)
        self._hooks.resume(before.hooks, moment_ns)
        for pid, status in reaped.items():
            self._hooks.reaped_elsewhere(pid, status)
        self._alerts.resume(before.alerts, moment_ns)
        self._recorder.resume(before.recorder, moment_ns)
        self._obeyed = self._told = before.obeyed
        self._answer = before.answer
        for action in before.asked:
            self._asked[action.run] = action
            if not self._hooks.knows(action.run):
                self._hooks.start(action, moment_ns, look_first=True)
        for group in before.node.groups:
            if group.hook is not None and group.ending:  # the dead worker may not have come to it
                self._hooks.end(group.run, moment_ns)
        if before.node.leftovers:
            self._leftovers = Leftovers(self._settings.run_directory, self._log, moment_ns)
        if before.node.exit_code is not None:
            self._exit(Exit(before.node.exit_code))  # the core has said so and says nothing more

    def run(self) -> int:
        """Run until the daemon ends; returns its exit code."""
        try:
            self._links.open(now_ns(), resumed=self._node.data.begun)
        except LinkFatal as fatal:
            self._channel.tell(messages.FAILED, text=str(fatal))
            return 1
        # A link counts as up until it is told to be down: so say which ones have come back meanwhile.
        back = [link for link in self._node.data.links_down if link not in self._told_down]
        self._events.extend(LinkChanged(link, True) for link in back)
        for line in self._links.describe():
            self._log(Level.INFO, line)
        if not self._node.data.begun and not self._state_file.begin(self._settings.core.force_main):
            self._links.close()
            self._channel.tell(messages.FAILED, text=f"state file: {self._state_file.failure}")
            return 1
        self._turn()
        self._channel.tell(messages.UP)
        self._log(Level.INFO, self._shared.fitness.lock_memory())
        garbage.collect_between_turns()
        while not self._ended():
            for key, _ in self._selector.select(self._timeout()):
                heard = len(self._datagrams)
                key.data()
                self._stirred = self._stirred or len(self._datagrams) == heard
            self._turn()
            garbage.collect(self._timeout)
        self._close()
        return self._exit_code or 0

    # --- the loop ---

    def _timeout(self) -> float:
        """How long nothing will have to be done, in seconds."""
        moment_ns = now_ns()
        if self._stirred:
            self._stirred = False
            left = self._leftovers.next_ns if self._leftovers is not None else None
            parts = (
                self._hooks.next_ns,
                self._output.next_ns,
                self._links.next_ns,
                self._recorder.next_ns,
                left,
            )
            self._look_ns = min((part_ns for part_ns in parts if part_ns is not None), default=NEVER_NS)
        nearest_ns = min(moment_ns + self._tick_ns, self._look_ns)
        if self._exit_by_ns and not self._alerts.busy:
            nearest_ns = min(nearest_ns, self._exit_by_ns)
        wake_ns = self._node.wake_ns
        if wake_ns is not None and wake_ns < nearest_ns:
            nearest_ns = wake_ns
        return max(0, nearest_ns - moment_ns) / SECOND

    def _turn(self) -> None:
        """Take in all that has happened since the last turn."""
        moment_ns = now_ns()
        self._shared.handover.tick(moment_ns)
        wake_ns = self._node.wake_ns
        # Before it the core would only find that nothing is due; a pause reaches beyond it (P1).
        if wake_ns is None or moment_ns >= wake_ns:
            self._step(Tick(), moment_ns)
        overs: list[HookOver] = []
        if self._child_ended or moment_ns >= self._look_ns:
            overs = self._look(moment_ns)
        datagrams, self._datagrams = self._datagrams, []
        for link, data, source in datagrams:
            self._hear(link, data, source, moment_ns)
        events, self._events = self._events, []
        for event in events:
            self._dirty = True
            self._step(event, moment_ns)
        if self._words:
            self._obey(moment_ns)
        for link_number, good, text in self._links.take_notices():
            self._log(Level.NOTICE if good else Level.WARNING, f"{self._link_name(link_number)}: {text}")
        if self._orphan and moment_ns >= self._pid_file_ns:
            self._pid_file_ns = moment_ns + PID_FILE_NS
            self._watch_pid_file()
        if self._dirty or self._is_stale(moment_ns):
            self._save()
            self._forget(overs, moment_ns)

    def _look(self, moment_ns: int) -> list[HookOver]:
        """Look after the parts of the runtime; returns the hooks that are over."""
        self._child_ended, self._stirred = False, True
        self._links.tick(moment_ns)
        self._output.tick(moment_ns)
        overs = self._hooks.poll(moment_ns)
        for over in overs:
            self._hook_over(over, moment_ns)
        for answer in self._recorder.poll(moment_ns):
            self._dirty = True
            self._step(answer, moment_ns)
        self._watch_leftovers(moment_ns)
        return overs

    def _is_stale(self, moment_ns: int) -> bool:
        """Whether the last snapshot should not be the one that the next worker has to begin with.

        It excuses peers for the time since (G5), so an old one makes it slower to see that one is dead.
        """
        limit_ns = heartbeat_ns = self._settings.core.heartbeat_ns
        if self._heard:  # with hundreds of peers a snapshot takes milliseconds
            limit_ns = min(heartbeat_ns, max(heartbeat_ns // 10, 40 * self._save_took_ns))
        return moment_ns - self._saved_ns >= limit_ns

    def _forget(self, overs: list[HookOver], moment_ns: int) -> None:
        """Let go of hooks whose results are safe; the next alert may begin."""
        if not overs:
            return
        for over in self._alerts.sift(overs, moment_ns):
            self._hooks.forget(over.run)
        self._save()

    def _obey(self, moment_ns: int) -> None:
        """Give the core what persons said.

        A snapshot may be made in any step.  The words count as obeyed from the last of them on: not before,
        or a death would lose them; and one that is told twice changes nothing (M8).
        """
        words, self._words = stop_beats_start(self._words), []
        for number, word in enumerate(words, 1):
            self._dirty = True
            if number == len(words):
                self._obeyed = self._told
            self._step(Command(word), moment_ns)

    def _step(self, event: Event, moment_ns: int) -> None:
        """Give the core one event and do what it says; hooks last, with a snapshot before, then files."""
        actions = self._node.step(event, moment_ns)
        if not actions:
            return
        hooks: list[Action] = []
        publish = False
        regular = isinstance(event, Tick)
        for action in actions:
            kind = type(action)
            if kind is Publish:
                publish = True
            elif kind is RunHook or kind is EndHook:
                hooks.append(action)
            else:
                regular = regular and kind is Send
                self._do[kind](action)
        # What a regular heartbeat changes need not outlive us: the next worker sends one at once.
        self._dirty = self._dirty or not regular
        if hooks:
            self._asked.update({action.run: action for action in hooks if isinstance(action, RunHook)})
            self._save()
            for action in hooks:
                self._do[type(action)](action)
            self._dirty = True
        if publish:
            self._publish()
        self._shared.show(self._node.status(moment_ns), self._answer, moment_ns)

    def _save(self) -> None:
        self._stirred = self._stirred or self._dirty
        self._dirty = self._heard = False
        begin_ns = now_ns()
        self._shared.handover.save(
            Snapshot(
                self._node.data,
                self._hooks.dump(),
                self._alerts.dump(),
                self._recorder.dump(),
                tuple(self._asked.values()),
                self._obeyed,
                self._answer,
            )
        )
        self._saved_ns = now_ns()
        self._save_took_ns = self._saved_ns - begin_ns

    # --- events ---

    def _hear(self, link: int, data: bytes, source: str, moment_ns: int) -> None:
        """Turn a datagram into a heartbeat; what is none changes nothing."""
        try:
            heartbeat = freeha.decode(data)
        except freeha.Rejected as rejected:
            self._rejected += 1
            text = f"{self._link_name(link)}: {source} sends what is no heartbeat: {rejected}"
            text += f" ({self._rejected} such packets so far)"
            self._log.once_per_minute(f"rejected {source}", Level.WARNING, text, moment_ns)
            return
        if heartbeat.name == self._settings.core.node:
            if source not in self._links.own_addresses():
                text = f"{self._link_name(link)}: {source} uses our name {heartbeat.name}: names must differ"
                self._log.once_per_minute(f"name {source}", Level.ERROR, text, moment_ns)
            return
        self._heard = True
        self._step(Heard(link, heartbeat.name, (heartbeat.state,)), moment_ns)

    def _hook_over(self, over: HookOver, moment_ns: int) -> None:
        self._dirty = True
        action = self._asked.pop(over.run, None)
        if action is not None:  # else it was an alert, which is none of the core's
            self._output.finish(action.hook, moment_ns)
            self._step(over, moment_ns)

    def _watch_leftovers(self, moment_ns: int) -> None:
        if self._leftovers is None:
            return
        self._leftovers.tick(moment_ns)
        if self._leftovers.gone:
            self._leftovers = None
            self._events.append(LeftoversGone())

    def _link_changed(self, link: int, up: bool, why: str) -> None:
        level = Level.NOTICE if up else Level.WARNING
        self._log(level, f"{self._link_name(link)} is {'up' if up else 'down'}: {why}")
        (self._told_down.discard if up else self._told_down.add)(link)
        self._events.append(LinkChanged(link, up))

    def _link_name(self, number: int) -> str:
        return f"link {self._settings.links[number].name}" if number >= 0 else "links"

    def _signalled(self, number: int) -> None:
        word = word_of(number)
        if word is not None:
            self._words.append(word)
        else:
            self._child_ended = True

    def _hear_guard(self) -> None:
        """Take what the guard tells; if it has died, stand in for it (G4)."""
        message = self._channel.take()
        while message is not None:
            if message.kind == messages.SIGNAL and message.second > self._told:
                self._told = message.second
                self._signalled(message.first)
            elif message.kind == messages.REAPED:
                self._hooks.reaped_elsewhere(message.first, message.second)
                self._child_ended = True
            message = self._channel.take()
        if self._channel.closed and not self._orphan:
            self._orphan = True
            self._shared.notify.tell(MAINPID=str(os.getpid()))  # first: systemd may hear of the death now
            self._selector.unregister(self._channel.fileno())
            text = "the guard has died: the worker goes on alone and takes the signals itself"
            self._log(Level.ERROR, f"{text} (process {os.getpid()}); restart had when it suits you")
            self._watch_pid_file()  # first: the guard may have made it anew, or somebody removed it
            try:
                self._shared.pid_file.write(os.getpid())
            except PidFileError as error:
                self._log(Level.ERROR, str(error))

    def _watch_pid_file(self) -> None:
        trouble = self._shared.pid_file.check(os.getpid())
        if trouble is not None:
            self._log(Level.WARNING, trouble)

    def _hook_said(self, hook: Hook, line: str) -> None:
        self._log(Level.INFO, f"{hook.value}: {line}")

    def _state_now(self) -> State:
        view = self._node.view(now_ns())
        return next(line.state for line in view.nodes if line.name == self._settings.core.node)

    # --- actions ---

    def _send(self, action: Send) -> None:
        self._links.send(freeha.encode(self._settings.core.node, action.states[0]), now_ns())

    def _note(self, action: Note) -> None:
        self._shared.tell(action, now_ns())
        if action.answers:
            self._answer = Answer(action.reason.text, now_ns())

    def _run_hook(self, action: RunHook) -> None:
        level = Level.DEBUG if action.hook is Hook.MONITOR else Level.INFO
        self._log(level, f"{action.hook.value} begins")
        self._hooks.start(action, now_ns())

    def _discard(self, action: DiscardQueued) -> None:
        self._datagrams.clear()
        self._links.discard()

    def _publish(self) -> None:
        if self._node.data.exit_code is None:  # else what stands there was the last state
            moment_ns = now_ns()
            self._state_file.publish(self._node.view(moment_ns), moment_ns)

    # --- ending ---

    def _exit(self, action: Exit) -> None:
        self._exit_code = action.code
        self._exit_by_ns = now_ns() + LAST_WORK_NS
        self._alerts.clear()

    def _ended(self) -> bool:
        """Whether the daemon may end: only a running alert and the record are waited for (A1)."""
        if self._exit_code is None or self._alerts.busy:
            return False
        if now_ns() >= self._exit_by_ns:
            return True
        return (self._recorder.idle or self._recorder.failing) and not self._asked

    def _close(self) -> None:
        self._links.close()
        self._state_file.close()
        # Before the pid file goes: who waits for that reads this next.
        reason = self._node.status(now_ns()).reason.text
        self._shared.show_end(self._exit_code or 0, reason, self._answer)
        self._shared.handover.finish(self._exit_code or 0)
        if self._orphan:
            self._shared.pid_file.remove()
            self._log(Level.NOTICE, f"had ends with exit code {self._exit_code}")
