"""Fixtures of the initscript's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from initscript_tools import FAMILIES, SHELLS, Machine, MakeMachines, Minute, why_not
from lab.cluster import Lab
from lab.namespaces import sweep


@pytest.fixture(scope="session", autouse=True)
def _swept() -> None:
    sweep()


@pytest.fixture(scope="session", autouse=True)
def minute(
    _swept: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Minute | None]:
    """A service that takes a minute to stop: begun before all tests, waited for by one of them."""
    wanted = any(
        item.name == "test_a_stop_of_a_minute" and not item.get_closest_marker("skip")
        for item in request.session.items
    )
    if not wanted or why_not("alt", "bash"):
        yield None
        return
    lab = Lab(tmp_path_factory.mktemp("minute") / "lab", 1)
    try:
        machine = Machine(lab.nodes[0], "alt", "bash")
        machine.start()
        machine.slow_stop(62)
        begun = Minute(machine, machine.node.guard, machine.begin("stop"))
        yield begun
        begun.run.close()  # of several workers only one has waited for it
    finally:
        lab.close()


@pytest.fixture
def make_machines(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeMachines]:
    """Builds machines of a family with a shell; at the end the auditor reads their journal."""
    labs: list[Lab] = []

    def make(nodes: int = 1, family: str = "debian", shell: str = "dash", flags: str = "") -> list[Machine]:
        why = why_not(family, shell)
        if why:
            pytest.skip(why)
        labs.append(Lab(tmp_path / "lab", nodes))
        request.node.lab = labs[-1]
        return [Machine(node, family, shell, flags) for node in labs[-1].nodes]

    yield make
    for lab in labs:
        lab.close()
        assert lab.violations() == []


@pytest.fixture
def machine(make_machines: MakeMachines) -> Machine:
    """One machine, for what is the same in all families and shells."""
    return make_machines()[0]


@pytest.fixture(params=[f"{family}-{shell}" for family in FAMILIES for shell in SHELLS])
def any_machine(request: pytest.FixtureRequest, make_machines: MakeMachines) -> Machine:
    """Every family with every shell, and `set -eu`."""
    family, shell = request.param.split("-")
    return make_machines(1, family, shell, "-eu")[0]


@pytest.fixture(params=["alt-bash", "debian-dash", "plain-busybox"])
def each_machine(request: pytest.FixtureRequest, make_machines: MakeMachines) -> Machine:
    """Every family once, and every shell."""
    family, shell = request.param.split("-")
    return make_machines(1, family, shell)[0]
