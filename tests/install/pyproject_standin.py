"""What ALT's %pyproject_build and %pyproject_install come down to, without a network.

build: a wheel into dist/.  install ROOT SITELIBDIR: that wheel below ROOT, its commands as files in /usr/bin.
"""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

COMMAND = "#!/usr/bin/python3\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"


def build() -> None:
    words = ["pip", "wheel", "-q", "--no-index", "--no-build-isolation", "--no-deps", "-w", "dist", "."]
    subprocess.run([sys.executable, "-m", *words], check=True)


def place(name: str, root: Path, sitelib: Path) -> Path:
    """Where a member of a wheel belongs."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return sitelib / name
    kind, _, rest = rest.partition("/")
    assert kind == "data", name
    return root / "usr" / rest


def install(root: Path, sitelib: Path) -> None:
    (wheel,) = Path("dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = place(member.filename, root, sitelib)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
            target.chmod(0o755 if member.external_attr >> 16 & 0o100 else 0o644)
            if target.name == "entry_points.txt":
                write_commands(target, root / "usr" / "bin")


def write_commands(entry_points: Path, directory: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(entry_points)
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in parser["console_scripts"].items():
        module, _, function = value.partition(":")
        command = directory / name
        command.write_text(COMMAND.format(module=module, function=function))
        command.chmod(0o755)


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build()
    else:
        top = Path(sys.argv[2])
        install(top, top / sys.argv[3].lstrip("/"))
