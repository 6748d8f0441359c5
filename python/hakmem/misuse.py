"""Misuses of malloc, tried on stock malloc and on variants: which are noticed, and by what line or signal."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import bench, toolchain
from . import build as builds
from .bench import Contestant
from .build import BuildFailure
from .errors import HakmemError

PROGRAM = Path(__file__).resolve().parent / "_programs" / "misuses.c"
SIZES = (16, 100, 1000, 5000, 40_000, 300_000, 1 << 20)
"""Bytes of the block that is misused: small, medium and large ones."""

MISUSES = (
    "double free, at once",
    "double free, after another",
    "double free, after twenty others",
    "free inside a block",
    "free of a misaligned pointer",
    "free of what malloc never gave",
    "realloc of a freed block",
    "write of 1 byte past the end",
    "write of 16 bytes past the end",
    "write of 16 bytes before the block",
    "write after free",
    "a freed block's bytes can be read",
    "a freed block comes back at once",
    "the next block's address can be told",
)
"""The names that misuses.c knows. The last three are habits that an attack uses rather than mistakes."""

_TIMEOUT_S = 60
_NOTICED = 3


@dataclass(frozen=True)
class Trial:
    """One misuse of one block: ``line`` says what noticed it, and is empty when nothing did."""

    allocator: str
    misuse: str
    bytes: int
    line: str


def compiled(folder: Path) -> Path:
    """The program of misuses, compiled without what a compiler knows of malloc."""
    program = folder / "misuses"
    command = [str(toolchain.find_compiler()), "-x", "c", "-w", "-O1", "-fno-builtin", str(PROGRAM), "-o"]
    done = subprocess.run([*command, str(program)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HakmemError(f"{PROGRAM}: does not compile: {done.stderr.strip().splitlines()[:1]}")
    return program


def tried(program: Path, who: Contestant, misuse: str, size: int) -> Trial:
    """One misuse, tried in a process of its own."""
    done = subprocess.run(
        [str(program), misuse, str(size)],
        env=who.environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_TIMEOUT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    code = done.returncode
    if code == _NOTICED:
        line = done.stdout.strip()
    elif code < 0:
        said = done.stderr.strip().splitlines()
        line = said[0] if said else signal.Signals(-code).name
    elif code == 0:
        line = ""
    else:
        raise HakmemError(f"{PROGRAM.name}: {misuse!r} of {size} bytes ended with {code}")
    return Trial(who.name, misuse, size, line)


def trials(contestants: Sequence[Contestant], say: Callable[[str], None] = lambda _: None) -> list[Trial]:
    """Every misuse of every size, on each contestant."""
    found = []
    with tempfile.TemporaryDirectory(prefix="hakmem-misuse-") as folder:
        program = compiled(Path(folder))
        for who in contestants:
            for misuse in MISUSES:
                say(f"{who.name}: {misuse}")
                found += [tried(program, who, misuse, size) for size in SIZES]
    return found


def cell(found: Sequence[Trial]) -> str:
    """How many sizes of one misuse on one allocator were noticed, and by what most often."""
    lines = [trial.line for trial in found if trial.line]
    if not lines:
        return f"0 of {len(found)}"
    said = Counter(_without_pointers(line) for line in lines).most_common(1)[0][0]
    return f"{len(lines)} of {len(found)}: {said}"


def _without_pointers(line: str) -> str:
    words = [word for word in line.removeprefix("hakmem: ").split() if not word.startswith("0x")]
    return " ".join(words).removesuffix(":")


def cli_misuse(names: Sequence[str], as_json: bool) -> int:
    """What `hakmem misuse` does: the trials as a table, libc first; 1 when a variant did not build."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    with errors.status("building") as status:
        built = builds.build(names)
        failures = [item for item in built.values() if isinstance(item, BuildFailure)]
        variants = [item for item in built.values() if not isinstance(item, BuildFailure)]
        contestants = [bench.libc(), *map(bench.contestant, variants)]
        found = trials(contestants, lambda text: status.update(escape(text)))
    if as_json:
        sys.stdout.write(json.dumps([vars(trial) for trial in found], indent=1) + "\n")
    else:
        table = Table(f"of {len(SIZES)} sizes", *(who.name for who in contestants), header_style="bold")
        for misuse in MISUSES:
            of = [trial for trial in found if trial.misuse == misuse]
            cells = (cell([trial for trial in of if trial.allocator == who.name]) for who in contestants)
            table.add_row(misuse, *map(escape, cells))
        Console().print(table)
    for item in failures:
        errors.print(f"error: variant {item.name} did not build: {item.message}", markup=False, style="red")
    return 1 if failures else 0
