"""The decisions: events and the time go in, actions come out.

Nothing in this package knows a clock, a socket, a file, a process, chance or a log;
``tests/core/test_purity.py`` holds it to that.  Start reading in :mod:`had.core.node`.
"""
