"""Small worlds, all of them: two or three real cores through every order of a bounded set of events.

The random simulator asks whether a seed breaks a promise.  This explorer asks whether *any* schedule does,
in worlds small enough to go through (:mod:`had.sim.small.worlds`).  It drives the same
:class:`had.core.node.Node` and lets the same judge (:mod:`had.sim.judge`, :mod:`had.sim.evidence`,
:mod:`had.sim.hearing`) look at every step; ``calm`` (:mod:`had.sim.calm`) says what settled means.

**What is bounded.**  Time stands still until all that is due has happened; then it goes on to the next
deadline of any node, hook or late packet.  Deadlines are met at the first multiple of 50 ms that is not
before them.  Whatever comes at one moment comes in every order: ticks, deliveries, ends of hooks, signals,
faults.  A packet arrives at the moment at which it was sent, in the order of its sender, on each link and
way alone; a *late* one up to 1.5 heartbeats later, and those behind it wait, too.  A hook ends within 100
ms of its begin (the monitor's at the same moment), a *slow* one at any moment until its time-out.  Every
fault has a budget: so many losses, duplicates, late packets, packets that others overtake, power cuts
(record kept, or lost), killed daemons, signals, failures of hooks, slow hooks, cuts, pulled cables, pauses,
starts with ``-m``. Healing and starting a daemon again cost nothing.  Faults come at the moments that there
are, not between them. Where the monitor is asked every 1000 s, no world waits for it.

**What is merged.**  Two states are one if nothing that a rule or a check looks at tells them apart: moments
are distances from now, epochs are distances from the node's own, and a moment that is longer ago than any
rule asks for is "long ago" (:mod:`had.sim.small.picture` lists each such reading and why it is harmless).
States are compared, not only their hashes, so no collision can hide one.  What happens at one computer
depends on that computer alone; so each is a number here, and each of its steps is done by the core once and
then looked up (:mod:`had.sim.small.steps`).  The transcript of a break is played without any of this; should
it not break there, the merging was wrong, and it says so.

**What is checked.**  In every state all that the judge checks, and the core's own invariants; and who
writes the mark (L1). In each state in which time is about to go on: from there, with all links whole and no
more faults, the cluster settles within the bound of :func:`had.sim.calm.bound_ns`, and for ever: the calm
run is followed until it repeats itself (:mod:`had.sim.small.rest`).  Once with everybody on, and, where a
computer is off, once more without it.

**What is left out.**  The worker and its guard (a snapshot, a hand-over), the disk's syncs (a record is
written at once), old daemons, monitors that lie, packets older than 1.5 heartbeats, clocks that differ.
"""
