"""heartbeat 3 with haresources, as clusters of two were built before Pacemaker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, Timing, Way, package_version
from bench.watch import is_udp

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

_PROGRAM = "/usr/libexec/heartbeat/heartbeat"
_OLD_PROGRAM = "/usr/lib/heartbeat/heartbeat"
_PORT = 694
_INITIAL_DEAD_MS = 2000
_HA_CF = """\
logfile {log}
debugfile {log}
keepalive {heartbeat:g}ms
warntime {warn:g}ms
deadtime {dead:g}ms
initdead {initial:g}ms
udpport {port}
bcast {interface}
auto_failback off
node {nodes}
"""
_DIRECTORIES = """
mkdir -p /run/heartbeat /var/lib/heartbeat
for each in ccm crm dopd; do mkdir -p /run/heartbeat/$each; done
for each in api casual ccm ckpt cores crm pengine cores/root cores/nobody cores/hacluster; do
    mkdir -p /var/lib/heartbeat/$each
done
chown -R hacluster:haclient /run/heartbeat /var/lib/heartbeat/ccm /var/lib/heartbeat/crm
mountpoint -q /etc/ha.d || mount --bind {files} /etc/ha.d
"""


class Heartbeat(Contender):
    """One resource, our hook, and no address."""

    name = "heartbeat"
    speaks_always = True
    timings = (Timing("1 s", 1000, 3000), Timing("100 ms", 100, 400))
    loaded = Timing("load", 50, 200)

    def why_missing(self) -> str:
        return "" if self._program() else "heartbeat is not installed (Debian: apt install heartbeat)"

    @staticmethod
    def _program() -> str:
        return next((path for path in (_PROGRAM, _OLD_PROGRAM) if os.access(path, os.X_OK)), "")

    def version(self) -> str:
        return package_version("heartbeat")

    def prepare(self, cluster: Cluster, node: Node) -> None:
        files = node.directory / "ha.d"
        if not files.exists():
            files.mkdir(mode=0o755)
            node.namespace.run("cp", "-a", "/etc/ha.d/.", str(files))
            (files / "resource.d").mkdir(exist_ok=True)
            node.namespace.run("cp", cluster.hooks.path("resource"), str(files / "resource.d"))
            (files / "authkeys").write_text("auth 1\n1 crc\n")
            (files / "authkeys").chmod(0o600)
            (files / "haresources").write_text(f"{cluster.nodes[0].name} resource\n")
            timing = cluster.timing
            text = _HA_CF.format(
                log=node.log,
                heartbeat=timing.heartbeat_ms,
                warn=timing.dead_ms / 2,
                dead=timing.dead_ms,
                initial=max(_INITIAL_DEAD_MS, 2 * timing.dead_ms),
                port=_PORT,
                interface=node.interface,
                nodes=" ".join(each.name for each in cluster.nodes),
            )
            (files / "ha.cf").write_text(text)
        node.namespace.run("sh", "-e", given=_DIRECTORIES.format(files=files))

    def words(self, cluster: Cluster, node: Node) -> list[str]:
        return [self._program(), "-f"]

    def is_heartbeat(self, frame: bytes) -> bool:
        return is_udp(frame, _PORT)

    def settle_s(self, timing: Timing) -> float:
        # Its scripts and its own bookkeeping of who holds what go on after the start hook.
        return 4 + 2 * timing.dead_ms / 1000

    def start_s(self, timing: Timing) -> float:
        return 60 + 10 * timing.dead_ms / 1000

    def quiet_s(self, timing: Timing) -> float:
        return 25

    def ways(self) -> dict[str, Way]:
        return {"hb_standby on the active": _stand_by}


def _stand_by(cluster: Cluster) -> None:
    fifo = "HA_DIR=/etc/ha.d HA_FIFO=/var/lib/heartbeat/fifo HA_CURHOST=$(uname -n)"
    cluster.active.namespace.run("sh", "-c", f"{fifo} exec /usr/share/heartbeat/hb_standby all")
