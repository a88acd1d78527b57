"""What all tests share: lab tests are skipped, visibly, where the machine can't run them; how the others are
run side by side; hypothesis sets no deadlines.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import hypothesis
import pytest

# Files whose tests share what is expensive to make: one worker runs them all.
TOGETHER = frozenset(
    (
        "tests/install/test_spec.py",
        "tests/install/test_systemd.py",
        "tests/install/test_wheel.py",
        "tests/services/test_postgresql.py",
        "tests/sim/test_seeds.py",
    )
)

# How long one example takes is the machine's affair: it may be busy.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unhurried"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--alone",
        choices=("only", "not"),
        help="run only the tests that are marked alone, or only the others (tools/run-tests does both)",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n: a worker gets one test at a time, in their order, but for the files that stay together.

    (Those come first.  What xdist has for this, the mark xdist_group, does nothing with pytest 9.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return Scheduler(config, log)


def why_no_lab() -> str:
    """What keeps this machine from running daemons in network namespaces; empty if nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "nft", "unshare", "nsenter") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    which = config.getoption("--alone")
    if which:
        alone = [item for item in items if item.get_closest_marker("alone")]
        others = [item for item in items if not item.get_closest_marker("alone")]
        items[:], left_out = (alone, others) if which == "only" else (others, alone)
        config.hook.pytest_deselected(items=left_out)
    why = why_no_lab()
    if why:
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason=why))
