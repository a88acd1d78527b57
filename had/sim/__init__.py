"""Clusters of the real core in virtual time: everything that may break does, and every promise is checked.

What is real here: :class:`had.core.node.Node`, the codec :mod:`had.wire.freeha`, the durable record's queue
of wishes, its text and the calls that its writer makes (:mod:`had.runtime.record`), and the queue of
alerts.  What is simulated: time, clocks, links, disks, processes, hooks with their service, guard and
worker, persons, and old daemons.  One process, one queue of what is to happen (:mod:`had.sim.clockwork`),
one seed for all chance (:mod:`had.sim.dice`); no order of a set or a hash decides anything, so a run is the
same to the byte on any machine.

::

    seed ── draw ──> schedule ── deeds ──> world ──> machines ──> daemon: guard, worker, Node
                        │                    ├──> network
                     text, file              └──> judge: truth, evidence; calm
                                                     │
                              transcript, report, shrink (a shorter schedule)

A *schedule* (:mod:`had.sim.schedule`) is a cluster and a list of timed steps, and has a form in text.  A
seed is only a way to draw one (:mod:`had.sim.draw`), a quarter of them with a theme that aims at one hard
place (:mod:`had.sim.themes`); a file is another.  What a step does is in
:mod:`had.sim.deeds`.  A *scenario* (:mod:`had.sim.scenario`) is a schedule that tells a story: steps that
wait for each other, what is expected (:mod:`had.sim.scenario_expect`), and a short transcript inline
(:mod:`had.sim.scenario_told`).

A run has two phases.  In the *storm* anything may break, and :mod:`had.sim.judge` checks at every step what
must hold at any moment, by what is true (:mod:`had.sim.truth`) and not by what a daemon believes.  In the
*calm* (:mod:`had.sim.calm`) all links are whole and who is there must have come to rest within a bound that
is computed from the settings.  No configuration has a safeguard yet; so of promise 1 the exact weaker form
is checked, whose excuses are listed, word for word, at the head of :mod:`had.sim.judge` and counted in the
report.

The *deaths* of a worker, of a daemon or of a machine come between two steps of what it was doing: an armed
fuse (:meth:`had.sim.machine.Machine.arm`) counts actions, snapshots and forks of hooks.  The disk
(:mod:`had.sim.disk`) forgets at a power cut what was not synced, or some of it.

What is not modelled stands in the head of each module that stands for something real:
:mod:`had.sim.worker`, :mod:`had.sim.guard`, :mod:`had.sim.runner`, :mod:`had.sim.freehad`.
"""
