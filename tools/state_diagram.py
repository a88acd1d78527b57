"""Print docs/states.md: the states, the phases and every move between them.

Made from the table in had/core/states.py, so that the documentation can't say otherwise than the program:
``make states`` writes it, and a test compares it.
"""

from __future__ import annotations

import ast
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from had.core.states import STATE_OF, TRANSITIONS, Phase, State  # noqa: E402

INTRODUCTION = """\
# States and phases

Made from `had/core/states.py` by `tools/state_diagram.py` (`make states`); change that table, not this page.

A *state* is what a node shows to the world: it goes over the wire, to `alerthasrv` (number and name) and into
the state file. A *phase* is what the node knows of itself; several phases may show the same state. Every move
of a group is an arrow below, and there are no others.
"""

SHOWN = {
    State.UNKNOWN: ("[invalid state]", "never sent; how a state that means nothing is shown of a peer"),
    State.INITIAL: ("Initial", "hearing who is there, or asking `monitorhasrv` at the start"),
    State.RUNNING: ("Running", "the services run here"),
    State.STOPPING: ("Stopping", "they are being stopped, cleaned up at the start, or could not be stopped"),
    State.STARTING: ("Starting", "the start is announced, or `starthasrv` runs"),
    State.STANDBY: ("Standby", "ready to take over"),
    State.ERRORED: ("ERRORED", "out until a person clears it; also sent by a node that is not ready"),
    State.TIMEDOUT: ("TIMEOUT", "never sent; how a peer that fell silent is shown"),
}
AFTER = """\
What is sent differs from the state in one case: a node that would not start the services if it were its turn
(on hold, isolated, without quorum, or still waiting after `startup`) sends ERRORED, so that others pass it
over (rule E3); its own state file and its alerts go on telling the state that it has.
"""


def phase_texts() -> dict[str, str]:
    """Return what the program says of its phases: the string below each member."""
    tree = ast.parse((ROOT / "had" / "core" / "states.py").read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Phase")
    texts = {}
    for node, after in zip(body, body[1:]):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            texts[node.targets[0].id] = str(after.value.value).replace("``", "`")
    return texts


def table(*rows: tuple[str, ...]) -> str:
    head, *rest = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *rest])


def states() -> str:
    rows = [(str(int(state)), state.name, shown, text) for state, (shown, text) in SHOWN.items()]
    return table(("number", "state", "state file", "meaning"), *rows)


def phases() -> str:
    texts = phase_texts()
    rows = []
    for phase in Phase:
        shown = "nothing" if phase is Phase.GONE else STATE_OF[phase].name
        rows.append((phase.name, shown, texts.get(phase.name, "as the state says")))
    return table(("phase", "shown as", "what it is"), *rows)


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.WAITING.name}"]
    for (phase, cause), target in TRANSITIONS.items():
        lines.append(f"    {phase.name} --> {target.name}: {cause.name}")
    return "\n".join([*lines, f"    {Phase.GONE.name} --> [*]", "```"])


def moves() -> str:
    rows = []
    for (phase, cause), target in TRANSITIONS.items():
        text = cause.value
        for script in ("starthasrv", "stophasrv", "monitorhasrv"):
            text = text.replace(script, f"`{script}`")
        rows.append((phase.name, cause.name, target.name, text))
    return table(("from", "cause", "to", "because"), *rows)


def page() -> str:
    """Return the whole page."""
    parts = (
        INTRODUCTION,
        "## States\n",
        states() + "\n",
        AFTER,
        "## Phases\n",
        phases() + "\n",
        f"With `-m` a node begins in {Phase.CLAIMING.name} instead of {Phase.WAITING.name} (rule M5).\n",
        "## The diagram\n",
        diagram() + "\n",
        f"## All {len(TRANSITIONS)} moves\n",
        moves() + "\n",
    )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
