"""A cluster of three nodes on this machine's loopback, to look at: ``python -m demo`` or ``make demo``."""
