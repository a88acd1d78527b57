"""``python -m demo``: see ``--help``."""

from __future__ import annotations

import sys

from demo.signals import Signals


def main() -> int:
    """Run the command; returns its exit code."""
    signals = Signals()
    # Loading the rest takes long enough to be interrupted, which is to end the demo without a traceback.
    from demo.command import run  # noqa: PLC0415

    return run(signals)


if __name__ == "__main__":
    sys.exit(main())
