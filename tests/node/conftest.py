"""Fixtures of the whole machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.namespaces import sweep

from .machine import Site


@pytest.fixture(scope="session", autouse=True)
def _swept() -> None:
    sweep()


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Two machines, alpha and beta, switched on, with nothing of ours on them, and a client."""
    made = Site(tmp_path / "site")
    request.node.site = made
    yield made
    made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the machines say beside a failure."""
    outcome: Any = yield
    report = outcome.get_result()
    site = getattr(item, "site", None)
    if report.failed and site is not None:
        report.sections.append(("the machines", site.describe()))
