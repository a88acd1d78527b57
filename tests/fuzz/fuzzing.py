"""Plays the fuzz targets with atheris: ``make fuzz``, or ``python tests/fuzz/fuzzing.py --help``.

Each target runs in a process of its own, since libFuzzer never comes back.  It begins with the inputs under
``corpus/`` and those that earlier runs have found (``.fuzz/corpus``, not committed).  An input that breaks
something is written to ``.fuzz/crashes`` and told in hex, with the command that repeats it; that one needs no
atheris.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOUND = ROOT / ".fuzz"
CORPUS = HERE / "corpus"
_MEMORY_MB = 1024
_SLOW_S = 10
"""An input that takes longer is a find."""


def main() -> int:
    options = _options()
    if options.input or options.hex is not None:
        return _repeat(options)
    if options.inside:
        return _fuzz(options)
    from fuzz_targets import TARGETS

    names = options.targets or list(TARGETS)
    if not _has_atheris():
        version = "{}.{}".format(*sys.version_info)
        print(f"fuzz: SKIPPED: there is no atheris for Python {version} here; only the corpus is played")
        return max([_replay(name) for name in names], default=0)
    seconds = max(1, round(options.seconds / len(names)))
    failed = [name for name in names if _run(name, seconds, options.runs)]
    if failed:
        print(f"fuzz: found something: {', '.join(failed)}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz what reads bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="those to be played (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--runs", type=int, help="inputs for each target, however long that takes")
    parser.add_argument("--input", type=pathlib.Path, help="play one file, without atheris")
    parser.add_argument("--hex", help="play one input, without atheris")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return options  # nothing of had may be imported before atheris is ready for it
    from fuzz_targets import TARGETS

    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; there are {', '.join(TARGETS)}")
    if (options.input or options.hex is not None) and len(options.targets) != 1:
        parser.error("--input and --hex want one target")
    return options


def _has_atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def corpus_of(name: str) -> list[pathlib.Path]:
    """The committed inputs of a target."""
    return sorted((CORPUS / name).iterdir())


def _replay(name: str) -> int:
    from fuzz_targets import TARGETS

    for path in corpus_of(name):
        TARGETS[name].play(path.read_bytes())
    return 0


def _repeat(options: argparse.Namespace) -> int:
    from fuzz_targets import TARGETS

    data = options.input.read_bytes() if options.input else bytes.fromhex(options.hex)
    TARGETS[options.targets[0]].play(data)
    print(f"fuzz: {len(data)} bytes: nothing is wrong")
    return 0


def _run(name: str, seconds: int, runs: int | None) -> bool:
    """Fuzz one target in a process of its own; returns whether something was found."""
    crashes, grown = FOUND / "crashes", FOUND / "corpus" / name
    crashes.mkdir(parents=True, exist_ok=True)
    grown.mkdir(parents=True, exist_ok=True)
    before, size = set(crashes.iterdir()), len(list(grown.iterdir()))
    limit = ["--runs", str(runs)] if runs else ["--seconds", str(seconds)]
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzzing.py"), name, "--inside", *limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    told = re.findall(r"^#\d+\s+\w+\s+cov: (\d+) ft: (\d+)", done.stdout, re.M)
    played = re.search(r"^stat::number_of_executed_units:\s*(\d+)", done.stdout, re.M)
    speed = re.search(r"^stat::average_exec_per_sec:\s*(\d+)", done.stdout, re.M)
    print(
        f"fuzz: {name}: {played.group(1) if played else '?'} inputs, "
        f"{speed.group(1) if speed else '?'} a second, "
        f"coverage {'{} branches, {} features'.format(*told[-1]) if told else 'unknown'}, "
        f"{len(list(grown.iterdir())) - size} new in the corpus"
    )
    if done.returncode == 0:
        return False
    print(done.stdout)
    for path in sorted(set(crashes.iterdir()) - before):
        command = [sys.executable, "tests/fuzz/fuzzing.py", name, "--input", str(path.relative_to(ROOT))]
        print(f"fuzz: {name}: {path.read_bytes().hex()}\nfuzz: repeat it with: {shlex.join(command)}")
    return True


def _fuzz(options: argparse.Namespace) -> int:
    import atheris

    sys.path[:0] = [str(ROOT)]
    with atheris.instrument_imports(include=["had"]):
        from fuzz_targets import TARGETS
    name = options.targets[0]
    target = TARGETS[name]
    limit = f"-runs={options.runs}" if options.runs else f"-max_total_time={round(options.seconds)}"
    arguments = [
        f"-max_len={target.longest}",
        limit,
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-timeout={_SLOW_S}",
        f"-artifact_prefix={FOUND / 'crashes' / name}-",
        "-print_final_stats=1",
        "-verbosity=1",
        str(FOUND / "corpus" / name),
        str(CORPUS / name),
    ]
    atheris.Setup([sys.argv[0], *arguments], target.play)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
