"""Fixtures of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .cluster import Lab
from .namespaces import sweep


@pytest.fixture(scope="session", autouse=True)
def _swept() -> None:
    """What killed test runs have left is gone before the first lab is built."""
    sweep()


@pytest.fixture
def make_lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """Builds the test's lab; at the end the auditor reads its journal and all of it is removed."""
    labs: list[Lab] = []

    def make(nodes: int | list[str] = 2, links: int = 1, seed: int | None = None) -> Lab:
        labs.append(Lab(tmp_path / "lab", nodes, links, seed))
        request.node.lab = labs[-1]
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()
        assert lab.violations() == []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the nodes' files beside a failure."""
    outcome: Any = yield
    report = outcome.get_result()
    lab = getattr(item, "lab", None)
    if report.failed and lab is not None:
        report.sections.append(("the lab", lab.describe()))
