"""Hooks that tell when they ran: compiled from hook.c, or a shell script where there is no compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("starthasrv", "stophasrv", "monitorhasrv", "start", "stop", "resource")
_SOURCE = Path(__file__).with_name("hook.c")
_SHELL = """\
#!/bin/sh
# The clock on the wall: a shell has no other that is fine enough.
begin=$(date +%s%N)
read -r node </proc/sys/kernel/hostname
name=${{0##*/}}
word=$name
[ "$name" != resource ] || for word; do :; done
case $word in
start*) : >"{journal}.$node"; word=start ;;
stop*) rm -f "{journal}.$node"; word=stop ;;
*)
    if [ -e "{journal}.$node" ]; then echo running; exit 0; fi
    echo stopped
    [ "$name" = resource ]
    exit ;;
esac
echo "$node $word $begin $(date +%s%N) wall" >"{journal}"
"""


class Hooks:
    """The directory of the hooks, and the FIFO (`journal`) that they write to."""

    def __init__(self, directory: Path, compilers: tuple[str, ...] = ("cc", "gcc", "clang", "tcc")) -> None:
        self.directory = directory
        self.journal = directory / "journal"
        directory.mkdir(parents=True)
        os.mkfifo(self.journal)
        program = directory / "program"
        self.kind = _compile(program, self.journal, compilers)
        if not self.kind:
            program.write_text(_SHELL.format(journal=self.journal))
            self.kind = "a shell script (no compiler here; some ms slower, and by the clock on the wall)"
        program.chmod(0o755)
        for name in NAMES:
            # Copies, since a daemon may refuse hooks that are links.
            shutil.copy2(program, directory / name)
        self._stamp = directory / "stamp"
        if self.compiled:
            shutil.copy2(program, self._stamp)

    @property
    def compiled(self) -> bool:
        """Whether the hooks are the compiled ones; only these can stamp an exec."""
        return self.kind.startswith("compiled")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def stamped(self, words: list[str]) -> list[str]:
        """Return the command, telling first when it is executed, if that can be had."""
        return [str(self._stamp), *words] if self.compiled else words

    def forget(self, node: str) -> None:
        """Do what a power cut does to the service of a node."""
        Path(f"{self.journal}.{node}").unlink(missing_ok=True)


def _compile(program: Path, journal: Path, compilers: tuple[str, ...]) -> str:
    """Try all compilers, and static linking first, which starts quicker.  Returns how, or nothing."""
    for compiler in compilers:
        if shutil.which(compiler) is None:
            continue
        for flags in (["-static"], []):
            words = [compiler, "-O2", *flags, f'-DJOURNAL="{journal}"', "-o", str(program), str(_SOURCE)]
            if subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0:
                return f"compiled ({' '.join([compiler, '-O2', *flags])})"
    return ""
