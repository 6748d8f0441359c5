"""Handing a variant over: one folder that holds the library, the headers, what decided, and how to ask again.

Everything in the folder names the rest of it relative to itself: it may be moved, and copied to another
machine. `SUMS` is in the form of ``sha256sum``.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import __version__, bench, spec
from . import build as builds
from .build import Built, library_name
from .errors import HakmemError
from .pick import check_out_folder
from .store import Result

MEASURED = "measured.json"
REPRODUCE = "reproduce.md"
REPORT = "report.html"
RUN = "run"
SUMS = "SHA256SUMS"
NO_RACE = "Handed over without a race: there is no verdict."
_VERSION = 1

_WRAPPER = """\
#!/bin/sh
# Starts a program on the malloc library of this folder: run PROGRAM [ARGUMENT...]
if [ $# -eq 0 ]; then
  echo "usage: $0 PROGRAM [ARGUMENT...]" >&2
  exit 2
fi
here=$(dirname -- "$(readlink -f -- "$0")")
library=$here/lib/@library@
case $library in
  *[[:space:]:]*)
    echo "$0: LD_PRELOAD is split at spaces and colons: move $here to a path without them" >&2
    exit 126 ;;
esac
if [ ! -r "$library" ]; then
  echo "$0: expected the library $library, got no file that can be read" >&2
  exit 126
fi
LD_PRELOAD=$library${LD_PRELOAD:+:$LD_PRELOAD}
export LD_PRELOAD
exec "$@"
"""

_PAGE = """\
# {name}

{verdict}

Variant `{name}`, digest `{digest}`: {why} Handed over on {made} by hakmem {version}.

## Use it

```sh
./run {command}
```

starts a program on it, the processes that it starts too. To link it instead:

```sh
c++ main.cpp -o main -Wl,--no-as-needed "$PWD/lib/{library}" -Wl,--as-needed -Wl,-rpath,"$PWD/lib"
c++ main.cpp -o main -Wl,--whole-archive "$PWD/lib/{archive}" -Wl,--no-whole-archive -rdynamic -pthread
c++ -std=c++20 -O2 -I"$PWD/include" main.cpp -o main -pthread
```

The first takes the shared library, the second the static one, the third the headers alone, beside the
program's malloc: `#include <hakmem_variants/{name}/hakmem_variant.hpp>` defines `hakmem::Variant`.
`find_package(hakmem)` and pkg-config find the folder by `CMAKE_PREFIX_PATH="$PWD"` and
`PKG_CONFIG_PATH="$PWD/lib/pkgconfig"`.

## Ask again

```sh
sha256sum --quiet --check {sums}
hakmem verify . -- {command}
```

The second runs the command here, under libc and under this library in turn, and says whether the verdict
holds.

## Build it again

```sh
hakmem hand-over {name}.toml --out again -- {command}
```

gives the same digest with the same sources, compiler and flags:

| | |
|---|---|
{machine}

`{measured}` holds the rows that decided, and this table.
"""


@dataclass(frozen=True)
class Handover:
    """A folder that was handed over, opened: what is in it, who it is, and what was measured.

    ``results`` are the rows that decided, as far as they are such as the store keeps.
    """

    folder: Path
    built: Built
    verdict: str
    command: tuple[str, ...]
    made: str
    machine: Mapping[str, str]
    results: tuple[Result, ...]


def hand_over(
    built: Built,
    folder: Path,
    *,
    verdict: str,
    command: Sequence[str] | None,
    rows: Sequence[Mapping[str, object]],
    page: str | None,
) -> None:
    """Write the folder that is taken away; it appears whole, by one rename, or not at all.

    ``verdict`` is a sentence, ``command`` the program that it is about, ``rows`` what decided: the store's
    `Result` rows as `dataclasses.asdict` gives them, which `hakmem verify` judges again, or any other
    records. ``page`` is the report as HTML. A folder that is not empty, a variant without a malloc library
    and a build whose sources are no longer there are a `HakmemError`.
    """
    check_out_folder(folder)
    library = built.library
    target = folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            made = Path(name) / "folder"
            builds.install(built, made)
            shutil.copy2(library, made / "lib")  # the very file that was measured
            _write(built, made, verdict, list(command or []), rows, page)
            made.rename(target)
    except OSError as error:
        raise HakmemError(f"--out {folder}: cannot be written: {error.strerror or error}") from error


def _write(
    built: Built,
    folder: Path,
    verdict: str,
    command: list[str],
    rows: Sequence[Mapping[str, object]],
    page: str | None,
) -> None:
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    machine = bench.machine()
    texts = {
        f"{built.name}.toml": spec.toml_text(built.variant),
        RUN: _WRAPPER.replace("@library@", library_name(built.name)),
        REPRODUCE: _PAGE.format(
            name=built.name,
            why=built.variant.why,
            digest=built.digest,
            verdict=verdict,
            made=made,
            version=__version__,
            command=shlex.join(command) or "PROGRAM",
            library=library_name(built.name),
            archive=Path(library_name(built.name)).with_suffix(".a"),
            sums=SUMS,
            measured=MEASURED,
            machine="\n".join(f"| {what} | {text} |" for what, text in machine.items()),
        ),
        MEASURED: json.dumps(
            {
                "version": _VERSION,
                "hakmem": __version__,
                "name": built.name,
                "digest": built.digest,
                "verdict": verdict,
                "command": command,
                "made": made,
                "machine": machine,
                "rows": [dict(row) for row in rows],
            },
            indent=1,
        )
        + "\n",
    }
    if page is not None:
        texts[REPORT] = page
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / RUN).chmod(0o755)
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ----------------------------------------------------------------------------------------------------
# Opening


def opened(folder: Path) -> Handover:
    """The folder, found whole: every file that was handed over is there with its content.

    Anything else is a `HakmemError` that names the file.
    """
    try:
        sums = (folder / SUMS).read_text(encoding="utf-8")
        for line in sums.splitlines():
            wanted, _, name = line.partition("  ")
            if not re.fullmatch(r"[0-9a-f]{64}", wanted) or not (folder / name).is_file():
                raise HakmemError(f"{folder / name}: expected a file as {SUMS} lists it, got none")
            if _sum(folder / name) != wanted:
                raise HakmemError(f"{folder / name}: expected the content that was handed over, got another")
        kept = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
        if kept["version"] != _VERSION:
            raise HakmemError(f"{folder / MEASURED}: version: expected {_VERSION}, got {kept['version']}")
        name = spec.check_name(kept["name"], str(folder / MEASURED))
        variant = spec.parse_file(folder / f"{name}.toml")
        return Handover(
            folder=folder,
            built=Built(variant, str(kept["digest"]), folder.absolute() / "lib"),
            verdict=str(kept["verdict"]),
            command=tuple(kept["command"]),
            made=str(kept["made"]),
            machine=dict(kept["machine"]),
            results=tuple(result for row in kept["rows"] if (result := _result(row))),
        )
    except OSError as error:
        raise HakmemError(
            f"{folder}: expected a folder that hakmem handed over, got {error.filename}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HakmemError(f"{folder / MEASURED}: expected what hakmem wrote, got {error!r}") from error


def _result(row: Mapping[str, Any]) -> Result | None:
    try:
        return Result(**row)
    except TypeError:
        return None  # a record of another kind


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_handover(built: Built, folder: Path, command: Sequence[str]) -> int:
    """What `hakmem hand-over` does."""
    hand_over(built, folder, verdict=NO_RACE, command=command or None, rows=[], page=None)
    start = shlex.join([str(folder.absolute() / RUN), *(command or ["PROGRAM"])])
    sys.stdout.write(f"{built.name} {built.digest} is in {folder}; {start} starts a program on it\n")
    return 0
