from __future__ import annotations

from pathlib import Path

import pytest
from roots import copy_source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, for whatever would write into it."""
    return copy_source(tmp_path_factory.mktemp("source") / "had")
