"""Where and when it was measured, and what."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.contenders.base import said
from bench.plan import Plan

_TRY_PRIORITY = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"


def describe(plan: Plan, command: str) -> dict[str, str]:
    """Return the facts that stand above the tables, in their order."""
    facts = {
        "Date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "Command": f"`{command}`",
        "Machine": f"{_processor()}, {os.cpu_count()} processors, {_memory_gib()} GiB, {_virtual()}",
        "Kernel": f"{platform.system()} {platform.release()}; {_system()}",
        "Real-time priority": _priority(),
        "Load": said("stress-ng", "--version") or "own burners (no stress-ng here)",
        "Hooks": plan.hooks.kind,
        "Load average at the begin and at the end": load_average(),
    }
    for contender in plan.contenders:
        facts[contender.name] = contender.version()
    return facts


def load_average() -> str:
    """Of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


def _virtual() -> str:
    if shutil.which("systemd-detect-virt"):
        kind = said("systemd-detect-virt")
        return "not virtual" if kind == "none" else f"virtual ({kind})"
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return "virtual" if flags else "not virtual, as far as can be seen"


def _system() -> str:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return "unknown system"
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return found[1] if found else "unknown system"


def _priority() -> str:
    done = subprocess.run([sys.executable, "-c", _TRY_PRIORITY], capture_output=True, check=False)
    return "may be had (SCHED_RR)" if done.returncode == 0 else "may not be had (SCHED_RR is refused)"
