"""What all tests share: lab tests are skipped, visibly, where the machine can't run them."""

from __future__ import annotations

import os
import shutil

import pytest


def why_no_lab() -> str:
    """What keeps this machine from running daemons in network namespaces; empty if nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "nft", "unshare", "nsenter") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = why_no_lab()
    if why:
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason=why))
