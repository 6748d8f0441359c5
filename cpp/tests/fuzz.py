"""Fuzzes the engine with libFuzzer: fuzz_engine.cpp for every legal triple of front, owner and store.

``python fuzz.py [--seconds N] [--variant NAME ...]`` builds each target with clang, under AddressSanitizer
and UndefinedBehaviorSanitizer, and feeds it for N seconds. Corpora stay in ``FOLDER/corpus/<name>`` and are
grown by the next run; a stream that fails is kept in ``FOLDER/crashes``, and the line that names it gives the
command that replays it. Triples are named ``<front>__<owner>__<store>``; remote policy, thread slot, guard,
probe and purge policy take turns over them. Exit code: 0, 1 when a target has failed, 2 when none could run.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stress_variants import triples, write_header

from hakmem import sources
from hakmem.errors import BuildError, HakmemError

HERE = Path(__file__).resolve().parent
COMPILERS = ("clang++", *(f"clang++-{version}" for version in range(22, 13, -1)))
FLAGS = (
    *("-std=c++20", "-O1", "-g", "-pthread", "-fno-omit-frame-pointer"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
)
STREAM_BYTES = 4096
MOST_MIB = 2048
MOST_SECONDS = 120
"""What one stream may take before it counts as hanging."""


@dataclass(frozen=True)
class Run:
    """What one target did: streams and operations played, and the streams kept because they failed."""

    streams: int
    operations: int
    crashes: list[Path]
    ended_well: bool
    last_line: str


def find_clang() -> str:
    """The first clang++ in PATH; one line when there is none."""
    for name in COMPILERS:
        if found := shutil.which(name):
            return found
    raise BuildError(
        "no clang++ in PATH: libFuzzer comes with clang; install it (Debian: apt install "
        "clang libclang-rt-14-dev)"
    )


def build(clang: str, name: str, folder: Path) -> Path:
    """The fuzzing program of a target, compiled anew."""
    target = folder / "targets" / name / "fuzz_engine"
    command = [clang, *FLAGS, f"-I{sources.root() / 'cpp'}", f"-I{target.parent}"]
    command += [str(HERE / "fuzz_engine.cpp"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.splitlines() or ["no message"]
        told = next((line for line in lines if "error: " in line), lines[-1])
        raise BuildError(f"{name}: {Path(clang).name} failed: {told.strip()}")
    return target


def feed(target: Path, name: str, folder: Path, seconds: int) -> Run:
    """Run libFuzzer on a target, from the corpus that is there."""
    corpus, crashes = folder / "corpus" / name, folder / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    known = set(crashes.iterdir())
    command = [
        *(str(target), str(corpus), f"-artifact_prefix={crashes}/{name}-", f"-max_total_time={seconds}"),
        *(f"-max_len={STREAM_BYTES}", f"-rss_limit_mb={MOST_MIB}", f"-timeout={MOST_SECONDS}"),
        "-len_control=0",
        "-print_final_stats=1",
    ]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    text = done.stderr.decode(errors="replace")
    streams = re.search(r"stat::number_of_executed_units: *(\d+)", text)
    operations = re.search(rf"^{name}: (\d+) operations", text, re.MULTILINE)
    told = [line for line in text.splitlines() if "ERROR: " in line or line.startswith(f"{name}: ")]
    return Run(
        int(streams[1]) if streams else 0,
        int(operations[1]) if operations else 0,
        sorted(set(crashes.iterdir()) - known),
        done.returncode == 0,
        told[0] if told else f"exit code {done.returncode}",
    )


def fuzz(clang: str, names: list[str], seconds: int, folder: Path) -> bool:
    """Feed each target and print a line for it and one for all; whether none has failed."""
    started, streams, operations, failed = time.monotonic(), 0, 0, []
    for name in names:
        target = build(clang, name, folder)
        run = feed(target, name, folder, seconds)
        streams += run.streams
        operations += run.operations
        if run.ended_well:
            sys.stdout.write(f"{name}: {run.streams} streams, {run.operations} operations\n")
        else:
            failed.append(name)
            sys.stdout.write(f"{name}: FAILED: {run.last_line}\n")
            for crash in run.crashes:
                sys.stdout.write(f"  replay: {shlex.join([str(target), str(crash)])}\n")
        sys.stdout.flush()
    minutes = (time.monotonic() - started) / 60
    sys.stdout.write(
        f"{len(names)} targets, {minutes:.1f} minutes, {streams} streams, {operations} operations, "
        f"{len(failed)} failed{': ' if failed else ''}{', '.join(failed)}\n"
    )
    return not failed


def main() -> int:
    """Fuzz what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target, 1 or more (60)")
    parser.add_argument("--variant", action="append", metavar="NAME", help="a target; again for more (all)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=sources.root() / "build" / "fuzz",
        help="for programs, corpora, crashes",
    )
    given = parser.parse_args()
    if given.seconds < 1:
        parser.error(f"--seconds: expected 1 or more, got {given.seconds}")
    try:
        known = triples()
        names = given.variant or sorted(known)
        for name in names:
            write_header(known, name, given.folder / "targets")
        return 0 if fuzz(find_clang(), names, given.seconds, given.folder.resolve()) else 1
    except (HakmemError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
