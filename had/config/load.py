"""From the command line and had.conf to one checked object.

Flags win over the file, and any link flag replaces all links of the file.  With a link flag and no -F
the default file is not read at all, so that an old command line means what it always meant.

Every mistake is collected, and nothing is returned while there is one.
"""

from __future__ import annotations

from typing import Any

from had.config import links as linking
from had.config.complaints import COMMAND_LINE, Complaint, ConfigErrors
from had.config.document import arrange
from had.config.index import index
from had.config.keys import BY_PLACE, CONFIG_FILE, HOOKS, PLACES, PROCESS, TOP, names_in
from had.config.options import Options
from had.config.places import Places, absolute
from had.config.settings import DaemonSettings, LinkConfig
from had.config.source import read_lines
from had.config.timers import Timers
from had.config.units import UnfitError, parse_name, show_duration, shown
from had.config.values import Setting, Values
from had.core.settings import Alone, Isolated, Link, Settings, StopFailure
from had.wire.freeha import node_name

__all__ = ["Complaint", "ConfigErrors", "load", "load_with_origins"]

NO_KEY_WARNING = (
    "heartbeats are not authenticated: whoever can send to the links can start and stop the services"
)


def load(options: Options, *, uname: str) -> DaemonSettings:
    """Make the settings of one daemon.  ``uname`` is the machine's name as ``uname -n`` has it.

    Reads the configuration file and the current directory, and nothing else.  Raises ConfigErrors.
    """
    return load_with_origins(options, uname=uname)[0]


def load_with_origins(options: Options, *, uname: str) -> tuple[DaemonSettings, dict[str, str]]:
    """As :func:`load`; returns also where each setting came from: a flag, a line, or the default."""
    loader = _Loader(options, uname)
    return loader.load(), loader.origins


class _Loader:
    def __init__(self, options: Options, uname: str) -> None:
        self._options = options
        self._uname = uname
        self._complaints: list[Complaint] = []
        self._warnings = list(options.warnings)
        self._file = ""
        """The had.conf that was read, as it was named."""
        self._values = Values()
        self._misses_sections = False
        self.origins: dict[str, str] = {}

    def load(self) -> DaemonSettings:
        self._read_file()
        core = self._names()
        timers = self._timers()
        core.update({field: self._get(HOOKS, name).value for name, field in _HOOK_FIELDS.items()})
        policies = {name: self._get(TOP, name).value for name in _POLICIES}
        links = self._links()
        places = self._places()
        if self._complaints:
            raise ConfigErrors(self._complaints)
        core.update(timers.in_ns())
        core.update({name: kind(policies[name]) for name, kind in _POLICIES.items()})
        settings = Settings(
            links=tuple(Link(link.name, link.crossover) for link in links),
            isolation_by_machine=self._options.has_links,
            force_main=self._options.force_main,
            **core,
        )
        self._warn(settings, links)
        return DaemonSettings(
            core=settings,
            links=links,
            cluster=self._get(TOP, "cluster").value or "",
            instance=self._get(TOP, "instance").value or "",
            config_file=absolute(self._file) if self._file else "",
            warnings=tuple(self._warnings),
            realtime=bool(self._get(PROCESS, "realtime").value),
            oom_protection=bool(self._get(PROCESS, "oom_protection").value),
            lock_memory=bool(self._get(PROCESS, "lock_memory").value),
            **places,
        )

    def _read_file(self) -> None:
        named = self._options.config_file
        if named is None and self._options.has_links:
            return
        path = CONFIG_FILE if named is None else named
        lines = read_lines(path, required=named is not None)
        if lines is None:
            return
        self._file = path
        document = arrange(index(lines))
        self._misses_sections = document.has_lost_sections
        self._values = Values(document)
        for line, text in (*document.mistakes, *self._values.mistakes):
            self._complain(line, text)

    def _complain(self, line: int, text: str) -> None:
        self._complaints.append(Complaint(self._file or COMMAND_LINE, line, text))

    def _contradiction(self, text: str, one: Setting, other: Setting) -> None:
        """Complain where the file says one of the two; at the later line if it says both."""
        line = max(one.line, other.line)
        self._complaints.append(Complaint(self._file if line else COMMAND_LINE, line, text))

    def _get(self, section: str, name: str) -> Setting:
        """Return the flag's value if there is one, else the file's, else the default."""
        flag = BY_PLACE[section, name].flag
        field = _FIELD_OF_FLAG.get(flag, "")
        value = getattr(self._options, field) if field else None
        setting = self._values.get(section, name)
        if value is not None:
            text = show_duration(value) if field.endswith("_ns") else str(value)
            setting = Setting(name, value, text, flag=flag)
        self.origins[f"{section}.{name}" if section else name] = setting.origin
        return setting

    def _names(self) -> dict[str, Any]:
        """Who this node and the others are."""
        self._get(TOP, "instance")
        self._get(TOP, "cluster")
        node = self._node()
        nodes = self._get(TOP, "nodes")
        in_file = self._values.get(TOP, "nodes")
        names: tuple[str, ...] = ()
        if nodes.flag and isinstance(in_file.value, tuple):
            if len(in_file.value) == nodes.value:
                nodes = in_file
            else:
                text = f"{nodes} wins over {in_file}: the names there are not used"
                self._warnings.append(text)
        if isinstance(nodes.value, tuple):
            names = nodes.value
            if node and node not in names:
                self._not_among(node, nodes)
        count = len(names) or nodes.value
        order = self._get(TOP, "order")
        if order.value and nodes.value:
            self._check_order(order, nodes, names, count)
        return {"node": node, "count": count, "names": names, "order": order.value or ()}

    def _node(self) -> str:
        node = self._get(TOP, "node")
        if node.is_given:
            return node.value or ""
        self.origins["node"] = "uname -n"
        name = node_name(self._uname)
        try:
            return parse_name(name)
        except UnfitError as problem:
            self._complain(
                0,
                f"this machine's name, {shown(self._uname)!r}, gives the node name {shown(name)!r}, which "
                f"{problem}; give -N NAME or node = NAME, 1 to 32 of A-Z a-z 0-9 - _",
            )
            return ""

    def _not_among(self, node: str, nodes: Setting) -> None:
        source = self._get(TOP, "node")
        said = str(source) if source.is_given else f"{node} (from uname -n)"
        alike = [name for name in nodes.value if name.lower() == node.lower()]
        hint = f"; {alike[0]} differs in case" if alike else ""
        self._complain(
            max(nodes.line, source.line),
            f"this node, {said}, is not among {nodes}{hint}; add it, or give -N NAME or node = NAME",
        )

    def _check_order(self, order: Setting, nodes: Setting, names: tuple[str, ...], count: int) -> None:
        if names and set(order.value) != set(names):
            odd = ", ".join(sorted(set(order.value) ^ set(names)))
            self._contradiction(
                f"{order} and {nodes} must have the same names; only one has {odd}", order, nodes
            )
        elif len(order.value) != count:
            text = f"{order} has {len(order.value)} names, and {nodes} says {count}"
            self._contradiction(text, order, nodes)

    def _timers(self) -> Timers:
        timers = Timers(
            heartbeat=self._get(TOP, "heartbeat"),
            warn=self._get(TOP, "warn"),
            dead=self._get(TOP, "dead"),
            startup=self._get(TOP, "startup"),
            startup_quorum=self._get(TOP, "startup_quorum"),
            monitor_interval=self._get(HOOKS, "monitor_interval"),
            is_file_read=bool(self._file),
        )
        timers.check(self._contradiction)
        return timers

    def _links(self) -> tuple[LinkConfig, ...]:
        options = self._options
        lines = {}
        if options.has_links:
            links = linking.from_flags(options)
        else:
            made = []
            for section, settings in self._values.links:
                lines[section.name] = section.line
                made.append(linking.from_section(section, settings, options.port, self._complain))
            links = tuple(link for link in made if link)
        if not (links or lines or self._misses_sections):
            self._complain_of_no_link()
        linking.check_together(links, lines, self._complain_of_links)
        return links

    def _complain_of_links(self, line: int, text: str) -> None:
        self._complaints.append(Complaint(self._file if line else COMMAND_LINE, line, text))

    def _complain_of_no_link(self) -> None:
        if self._options.has_links:
            text = "there is no link: -A, -B and -C count only beside -a, -b and -c ADDRESS"
            self._complaints.append(Complaint(COMMAND_LINE, 0, text))
        elif self._file:
            self._complain(0, "there is no link: write [links], and below it a [[NAME]] for each link")
        else:
            text = f"there is no link: give -a ADDRESS, or write {CONFIG_FILE}, or name a file with -F"
            self._complain(0, text)

    def _places(self) -> dict[str, str]:
        given = {name: self._get(PLACES, name) for name in names_in(PLACES)}
        given["hooks"] = self._get(HOOKS, "directory")
        if self._options.foreground:
            given["log"] = Setting("log", "stderr", "stderr", flag="-f")
            self.origins["places.log"] = "-f"
        if any(setting.is_unfit for setting in given.values()):
            return {}
        try:
            return Places(self._get(TOP, "instance").value, self._contradiction).fields(given)
        except FileNotFoundError:
            text = "there are relative paths, and the current directory is gone; write all paths in full"
            self._complain(0, text)
            return {}

    def _warn(self, core: Settings, links: tuple[LinkConfig, ...]) -> None:
        if core.order:
            self._warnings.append("order is not used while the old wire format is spoken: it is by name")
        if core.isolated is Isolated.STOP and all(link.crossover for link in links):
            self._warnings.append("isolated = stop never comes to pass: all links are marked crossover")
        if core.count == 1:
            text = f"{core.node} is the only node: it starts the services and waits for nobody; "
            self._warnings.append(text + "if there are others, name them all in nodes")
        self._warnings.append(NO_KEY_WARNING)


_FIELD_OF_FLAG = {
    "-I": "instance",
    "-N": "node",
    "-n": "nodes",
    "-M": "heartbeat_ns",
    "-T": "dead_ns",
    "-s": "hooks_directory",
    "-l": "state_file",
}
_HOOK_FIELDS = {
    "start_timeout": "start_timeout_ns",
    "stop_timeout": "stop_timeout_ns",
    "monitor_timeout": "monitor_timeout_ns",
    "alert_timeout": "alert_timeout_ns",
    "monitor_failures": "monitor_failures",
}
_POLICIES = {"alone": Alone, "isolated": Isolated, "stop_failure": StopFailure}
