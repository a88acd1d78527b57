"""keepalived: VRRP version 3, an address, and its notify scripts."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, Timing, Way, missing_program, package_version, said
from bench.watch import ip_protocol

if TYPE_CHECKING:
    from bench.cluster import Cluster, Node

PRIORITY = 150
_VRRP = 112
_CONFIGURATION = """\
global_defs {{
    router_id {node}
    vrrp_version 3
    script_user root
    enable_script_security
}}
vrrp_instance bench {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id 51
    priority {priority}
    advert_int {interval:g}
    virtual_ipaddress {{
        {address}/24
    }}
    notify_master "{hooks}/start"
    notify_backup "{hooks}/stop"
    notify_fault "{hooks}/stop"
    notify_stop "{hooks}/stop"
}}
"""


def _timing(group: str, interval_ms: int) -> Timing:
    """Three intervals and the skew, as RFC 5798 has it."""
    return Timing(group, interval_ms, 3 * interval_ms + interval_ms * (256 - PRIORITY) / 256)


class Keepalived(Contender):
    """Both nodes of one priority, without pre-emption."""

    name = "keepalived"
    together = False
    timings = (_timing("1 s", 1000), _timing("100 ms", 100), _timing("20 ms", 20))
    loaded = _timing("load", 60)

    def why_missing(self) -> str:
        return missing_program("keepalived", "keepalived")

    def version(self) -> str:
        return package_version("keepalived") or said("keepalived", "--version").partition("\n")[0]

    def prepare(self, cluster: Cluster, node: Node) -> None:
        from bench.cluster import SERVICE_ADDRESS  # noqa: PLC0415 - it imports us

        text = _CONFIGURATION.format(
            node=node.name,
            interface=node.interface,
            priority=PRIORITY,
            interval=cluster.timing.heartbeat_ms / 1000,
            address=SERVICE_ADDRESS,
            hooks=cluster.hooks.directory,
        )
        path = node.directory / "keepalived.conf"
        path.write_text(text)
        path.chmod(0o644)
        # A power cut takes the address as well.
        node.namespace.run(
            "sh", "-c", f"ip addr del {SERVICE_ADDRESS}/24 dev {node.interface} 2>/dev/null || :"
        )

    def words(self, cluster: Cluster, node: Node) -> list[str]:
        return ["keepalived", "-n", "-l", "-P", "-f", str(node.directory / "keepalived.conf")]

    def is_heartbeat(self, frame: bytes) -> bool:
        return ip_protocol(frame) == _VRRP

    def settle_s(self, timing: Timing) -> float:
        return 1 + 3 * timing.heartbeat_ms / 1000

    def ways(self) -> dict[str, Way]:
        return {"SIGTERM to the active": stop_active}


def stop_active(cluster: Cluster) -> None:
    """Its way to hand over: it says farewell at its end.  The bench starts it again afterwards."""
    active = cluster.active
    os.kill(active.main, signal.SIGTERM)
    active.wait_end()
