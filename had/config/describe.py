"""What would run, for people: the answer to ``had --check``.

It is a had.conf itself: reading it gives the same settings, whatever flags they came from; but for
``-m`` and ``-f``, and for isolation, which links from flags see differently (rule H4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from had.config.settings import DaemonSettings, LinkConfig
from had.config.units import show_duration


def describe(settings: DaemonSettings, origins: Optional[Mapping[str, str]] = None) -> str:
    """Return every effective setting under its name in had.conf, with its origin if that is known.

    ``origins`` is what :func:`had.config.load.load_with_origins` tells.
    """
    core = settings.core
    # Defaults that don't go together are let pass, but are refused where somebody writes them.
    startup = "startup" if core.startup_ns >= core.dead_ns else "# startup"
    quorum = "startup_quorum" if core.startup_quorum_ns >= 2 * core.heartbeat_ns else "# startup_quorum"
    top = {
        "cluster": settings.cluster,
        "instance": settings.instance,
        "node": core.node,
        "nodes": _list(core.names) or str(core.count),
        "order": _list(core.order),
        "heartbeat": show_duration(core.heartbeat_ns),
        "warn": show_duration(core.warn_ns),
        "dead": show_duration(core.dead_ns),
        startup: show_duration(core.startup_ns),
        quorum: show_duration(core.startup_quorum_ns),
        "alone": core.alone.value,
        "isolated": core.isolated.value,
        "stop_failure": core.stop_failure.value,
    }
    hooks = {
        "directory": _quoted(settings.hooks_directory),
        "start_timeout": show_duration(core.start_timeout_ns),
        "stop_timeout": show_duration(core.stop_timeout_ns),
        "monitor_timeout": show_duration(core.monitor_timeout_ns),
        "alert_timeout": show_duration(core.alert_timeout_ns),
        "monitor_interval": show_duration(core.monitor_interval_ns),
        "monitor_failures": str(core.monitor_failures),
    }
    places = {
        "run": _quoted(settings.run_directory),
        "record": _quoted(settings.record_directory),
        "state": _quoted(settings.state_file),
        "pid": _quoted(settings.pid_file),
        "log": _quoted(settings.log),
    }
    process = {
        "realtime": _yes(settings.realtime),
        "oom_protection": _yes(settings.oom_protection),
        "lock_memory": _yes(settings.lock_memory),
    }
    lines = [_headline(settings), *_section("", top, origins)]
    lines += ["", "[hooks]", *_section("hooks", hooks, origins)]
    lines += ["", "[places]", *_section("places", places, origins)]
    lines += ["", "[process]", *_section("process", process, origins), "", "[links]"]
    for link in settings.links:
        lines += [f"[[{link.name}]]", *_section(f"links.{link.name}", _link(link), None)]
    notes = [f"# Note: {note}" for note in (*_notes(settings), *settings.warnings)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _headline(settings: DaemonSettings) -> str:
    core = settings.core
    file = settings.config_file
    source = f"from {file if file.isprintable() else ascii(file)}" if file else "from the command line alone"
    nodes = "1 node" if core.count == 1 else f"{core.count} nodes"
    forced = " It starts the services at once (-m)." if core.force_main else ""
    return f"# Node {core.node}, one of {nodes}, {source}.{forced}"


def _section(section: str, values: Mapping[str, str], origins: Optional[Mapping[str, str]]) -> list[str]:
    lines = []
    for name, value in values.items():
        if value:
            line = f"{name} = {value}"
            key = name.lstrip("# ")
            origin = (origins or {}).get(f"{section}.{key}" if section else key)
            lines.append(f"{line:<40}  # {origin}" if origin else line)
    return lines


def _link(link: LinkConfig) -> dict[str, str]:
    return {
        "kind": link.kind,
        "port": str(link.port),
        "address": link.address,
        "interface": _quoted(link.interface),
        "network": link.network,
        "broadcast": link.broadcast,
        "group": link.group,
        "peers": _list(link.peers),
        "crossover": _yes(link.crossover),
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _list(items: Sequence[str]) -> str:
    """Write a list; the comma behind a single name keeps it from being taken for a number."""
    return ", ".join(items) + ("," if len(items) == 1 else "")


def _quoted(text: str) -> str:
    """Quote what ConfigObj would take for something else; what can't be printed is only shown."""
    if not text.isprintable():
        return ascii(text)
    if text == text.strip() and not set(text) & set(",#\"'"):
        return text
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    return f'"""{text}"""' if '"""' not in text and not text.endswith('"') else ascii(text)


def _notes(settings: DaemonSettings) -> list[str]:
    """Tell what is not wrong, but worth a thought before the daemon runs."""
    core, notes = settings.core, []
    if len(settings.links) == 1:
        notes.append("there is one link only; where it is cut, both sides may run the services")
    if core.dead_ns < 4 * core.heartbeat_ns:
        notes.append("dead is less than four heartbeats: a few lost packets make a living peer look dead")
    if core.alone.value == "start":
        notes.append("alone = start: a node that is cut off while it starts runs the services a second time")
    return notes
