"""A service that needs a minute to stop.  By its name this file is the last one: the others run meanwhile."""

from __future__ import annotations

import pytest
from initscript_tools import Minute, why_not
from lab.namespaces import alive

pytestmark = pytest.mark.lab


def test_a_stop_of_a_minute(minute: Minute | None) -> None:
    """Begun by a fixture, before all other tests."""
    if minute is None:
        pytest.skip(why_not("alt", "bash"))
    result = minute.run.wait(120)
    assert (result.code, result.err) == (0, ""), result
    assert result.seconds >= 60
    assert "\n  STOPPING: SIGTERM: the services are stopped, then the daemon ends\n....." in result.out
    assert " s of at most 600 s\n" in result.out
    assert result.out.endswith("Stopping had service: [ DONE ]\n")
    assert not alive(minute.pid)
    assert not minute.machine.node.serving
