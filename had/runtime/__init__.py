"""The world: event loop, links, hooks, signals, files, guard.  It carries events to the core and does what
the core says; it decides nothing.
"""
