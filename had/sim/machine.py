"""A computer: its clock, disk, interfaces, processes, and at most one daemon.

What happens to the whole machine is here; what the daemon does is in :mod:`had.sim.worker` and
:mod:`had.sim.guard`, and what an old daemon does in :mod:`had.sim.freehad`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

from had.core.actions import Hook
from had.core.settings import Settings
from had.sim.clockwork import MS, SECOND, Clock
from had.sim.dice import Dice
from had.sim.disk import Disk
from had.sim.scripts import HONEST, KILLED, Process, Script
from had.sim.truth import LONG_AGO, Ears

if TYPE_CHECKING:
    from had.sim.freehad import OldDaemon
    from had.sim.guard import Daemon
    from had.sim.world import World

BUFFER = 400
"""Datagrams that a socket keeps while nobody reads; what comes after is lost."""
FUSE_NS = 2 * SECOND
"""A death that waits for its moment does not wait longer than this."""


class CutShort(BaseException):
    """The worker, the daemon or the machine dies here, between two steps of what it was doing."""


class Machine:
    """One computer of the cluster."""

    def __init__(self, world: World, index: int, settings: Settings, clock: Clock, *, old: bool) -> None:
        self.world, self.index, self.settings = world, index, settings
        self.name = settings.node
        self.clock = clock
        self.old = old
        self.dice = Dice(world.seed, f"machine {index}")
        self.guard_dice = Dice(world.seed, f"guard {index}")
        """Apart from the others: what is drawn for a disk then moves no time in a scenario's transcript."""
        self.wall_ahead_ns = 0
        self.disk = Disk()
        self.powered = False
        self.boots = 0
        self.carrier = [True] * len(settings.links)
        self.service = "down"
        self.monitored = 0
        """How often its monitor has been asked."""
        self.scripts: dict[Hook, Script] = dict(HONEST)
        self.running: dict[Hook, Process] = {}
        self.hook_files: dict[Hook, Process] = {}
        self.daemon: Optional[Union[Daemon, OldDaemon]] = None
        self.lives = 0
        self.exit_code: Optional[int] = None
        """How the last daemon that ended by itself did."""
        self.held = False
        """The whole machine stands still: a virtual machine that its host does not run."""
        self.stopped = False
        """The daemon stands still: SIGSTOP to guard and worker, or no processor time."""
        self.hung = False
        """Only the worker stands still."""
        self.sockets: list[list[bytes]] = [[] for _ in settings.links]
        self.fuse: Optional[int] = None
        """How many steps are left until what stands in ``fuse_kind`` happens."""
        self.fuse_kind = ""
        self.fuse_keep = "some"
        self.stalled_local = LONG_AGO
        self.lost_worker_local = LONG_AGO
        self.isolated_local: Optional[int] = None
        """Since when its core knows that it is isolated."""
        self.hears_again_local = LONG_AGO
        """When its last deafness ended: a pause or isolation (H3)."""
        self.ears = Ears(0, 0)
        self.record_locked = False
        """A writer of the record has the lock on its directory."""

    # Small things

    def local_ns(self) -> int:
        return self.clock.local(self.world.queue.now_ns)

    def wall_s(self) -> int:
        """Return what an old daemon goes by."""
        return (self.local_ns() + self.wall_ahead_ns) // SECOND

    @property
    def boot(self) -> str:
        return f"boot-{self.index}-{self.boots}"

    def told_isolated(self) -> bool:
        return (
            self.daemon is not None and self.daemon.worker is not None and self.daemon.worker.told_isolated()
        )

    def note_isolation(self, since_local: Optional[int], now_local: int) -> None:
        """Note since when the core knows that it is isolated, or that this has ended (H3, H4)."""
        if self.isolated_local is not None and since_local is None:
            self.hears_again_local = max(self.hears_again_local, now_local)
        self.isolated_local = since_local

    def late_ns(self) -> int:
        """How much more time the core gives others at the moment, having been late itself (P1)."""
        if self.daemon is None or self.daemon.worker is None:
            return 0
        return self.daemon.worker.node.data.late

    def lost_worker_lately(self) -> bool:
        """Whether a link's last word may be older for the core than for the judge."""
        return self.local_ns() - self.lost_worker_local <= 2 * self.settings.dead_ns

    def was_stalled(self) -> bool:
        """Whether the daemon stood still within the last few dead times."""
        return self.local_ns() - self.stalled_local < 4 * self.settings.dead_ns

    def unread(self) -> list[list[bytes]]:
        """Datagrams that have come and were not given to the core."""
        waiting = [list(queued) for queued in self.sockets]
        if self.daemon is not None and self.daemon.worker is not None:
            waiting.append(self.daemon.worker.unread())
        return waiting

    def new_ears(self, *, keep: bool) -> None:
        """Let a daemon begin to hear; one whose worker was replaced goes on with what it had heard."""
        if not keep:
            self.ears = Ears(len(self.world.machines), len(self.carrier))

    @property
    def up(self) -> bool:
        return self.powered and self.daemon is not None

    @property
    def frozen(self) -> bool:
        """Whether the daemon can do nothing at the moment."""
        return self.held or self.stopped

    # Hooks

    def fork_hook(self, hook: Hook, run: int, life: int, worker: int) -> Process:
        """Start a hook; the judge looks before it begins and is told when it is over."""
        self.world.judge.hook_begins(self, hook, run)
        process = Process(self, hook, run, life, worker)
        self.running[hook] = self.hook_files[hook] = process
        return process

    def process_over(self, process: Process) -> None:
        """Take note of a hook that has ended, by itself or not."""
        if self.running.get(process.hook) is process:
            del self.running[process.hook]
        self.world.judge.hook_ends(self, process)
        daemon = self.daemon
        if daemon is None or daemon.life != process.life:
            process.orphaned = True
            return
        daemon.child_ended(process)

    # The network

    def receive(self, link: int, data: bytes) -> None:
        """Take in a datagram that has come to one of our interfaces."""
        daemon = self.daemon
        if daemon is None or not self.carrier[link]:
            return
        if self.frozen or self.hung or not daemon.listening:
            if daemon.listening and len(self.sockets[link]) < BUFFER:
                self.sockets[link].append(data)
            return
        daemon.datagram(link, data)

    def set_carrier(self, link: int, up: bool) -> None:
        if self.carrier[link] is not up:
            self.carrier[link] = up
            self.world.queue.later(2 * MS, self._rings, self.daemon)

    def _rings(self, daemon: object) -> None:
        if self.daemon is not None and self.daemon is daemon:
            self.daemon.links_changed()

    # Life and death

    def power_on(self) -> None:
        if not self.powered:
            self.powered = True
            self.boots += 1
            self.disk.mood = "good"

    def power_off(self, keep: str = "some") -> None:
        """Everything ends at once; what was not synced may be lost."""
        if not self.powered:
            return
        self.release()
        self.powered = False
        self._drop_daemon("the power is cut")
        for process in list(self.running.values()):
            process.vanish()
        self.running.clear()
        self.hook_files.clear()
        self.disk.lose_power(self.dice, keep)
        self.service = "down"
        self.record_locked = False
        self.world.judge.powered_off(self)

    def kill_daemon(self) -> None:
        """SIGKILL to guard and worker at once: the service and running hooks live on."""
        if self.daemon is not None:
            self.stopped = self.hung = False
            self._drop_daemon("guard and worker are killed")
            self.world.judge.daemon_killed(self)

    def _drop_daemon(self, why: str) -> None:
        self.fuse = None
        if self.daemon is not None:
            self.world.tell(self, why)
            daemon, self.daemon = self.daemon, None
            daemon.dropped()
            for queued in self.sockets:
                queued.clear()

    def daemon_ends(self, code: int) -> None:
        """Take note of a daemon that has ended by itself."""
        self.world.tell(self, f"the daemon ends with exit code {code}")
        self.fuse = None
        self.stopped = self.hung = False
        self.daemon, self.exit_code = None, code
        for queued in self.sockets:
            queued.clear()
        self.world.judge.daemon_ended(self, code)

    # Standing still

    def hold(self) -> None:
        """Stop the virtual machine, by its host; its clock stands still, too (rule P2)."""
        if self.powered and not self.held:
            self.held = True
            self.clock.stand(self.world.queue.now_ns)

    def release(self) -> None:
        if self.held:
            self.held = False
            self.clock.go(self.world.queue.now_ns)
            self._goes_on()

    def pause(self) -> None:
        """Let the daemon stand still while the clock goes on."""
        if self.daemon is not None:
            self.stopped = True

    def resume(self) -> None:
        if self.stopped:
            self.stopped = False
            self._goes_on()

    def hang(self) -> None:
        """Let the worker stand still; the guard sees it."""
        if self.daemon is not None and not self.hung:
            self.hung = True
            self.daemon.hangs()

    def _goes_on(self) -> None:
        if self.daemon is not None and not self.frozen:
            self.daemon.goes_on()

    # Deaths at a chosen step

    def arm(self, kind: str, steps: int, keep: str = "some") -> None:
        """Let something happen (kill-worker, kill-daemon or power-off) after so many steps."""
        if self.daemon is None:
            if kind == "power-off":
                self.power_off(keep)
            return
        self.fuse, self.fuse_kind, self.fuse_keep = steps, kind, keep
        self.daemon.prepare_for_death()
        if steps == 0:
            self.blow()
        else:
            self.world.queue.later(FUSE_NS, self._waited_enough, self.daemon, kind)

    def burn(self) -> None:
        """One step is over.

        :raises CutShort: it was the last one.
        """
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                raise CutShort

    def _waited_enough(self, daemon: object, kind: str) -> None:
        if self.fuse is not None and self.daemon is daemon and self.fuse_kind == kind:
            self.blow()

    def blow(self) -> None:
        """Do what the fuse was for."""
        kind, keep = self.fuse_kind, self.fuse_keep
        self.fuse = None
        if kind == "power-off":
            self.power_off(keep)
        elif kind == "kill-daemon":
            self.kill_daemon()
        elif self.daemon is not None:
            self.daemon.kill_worker()

    def kill_hook(self, hook: Hook) -> None:
        """Somebody kills a script."""
        process = self.running.get(hook)
        if process is not None:
            process.signal(KILLED)
