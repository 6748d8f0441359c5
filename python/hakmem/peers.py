"""Peers: the allocators of others, found on this machine or given by path, to race variants against.

A peer is a shared library for ``LD_PRELOAD``, or the C library's own malloc, with environment variables of
its own. Each is asked in a process that it serves (see ``_programs/who_serves.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from .errors import HakmemError

GLIBC = "glibc"
_CUT = ("LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES", "MALLOC_", "MIMALLOC_", "SCUDO_", "TCMALLOC_", "_RJEM_")
_NOT_A_KNOB = ("LD_PRELOAD", "LD_AUDIT")
_ASK = Path(__file__).resolve().parent / "_programs" / "who_serves.py"
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Known:
    """A peer that is looked for: the library's name to the loader, and the Debian package that has it."""

    name: str
    soname: str
    package: str


KNOWN = (
    Known("mimalloc", "libmimalloc.so.2", "libmimalloc2.0"),
    Known("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
    Known("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
)


@dataclass(frozen=True)
class Peer:
    """An allocator to race against.

    ``path`` is None for the C library's malloc, where ``home`` is its file. ``version`` is what the library
    says of itself, if it can. ``problem`` says why it does not serve a process; it is empty when it does.
    """

    name: str
    path: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None
    version: str | None = None
    problem: str = ""

    def content_hash(self) -> str | None:
        """The first 16 digits of the file's SHA-256."""
        file = self.path or self.home
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file and file.is_file() else None


def plain_environment() -> dict[str, str]:
    """This process's environment less what would choose or change an allocator."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_CUT)}


# ----------------------------------------------------------------------------------------------------
# Asking


def asked(peer: Peer) -> Peer:
    """The peer with its home and version, or with its problem, as a process that it serves tells them."""
    homes, complaint = _ask(str(peer.path) if peer.path else "", peer.environment)
    if not homes:
        return replace(peer, problem=complaint)
    for name in ("malloc", "free", "calloc", "realloc"):
        home = homes[name] or ""
        if peer.path and (not home or Path(home).resolve() != peer.path.resolve()):
            why = f": {complaint}" if complaint else ""
            return replace(peer, problem=f"{name} comes from {home or 'nowhere'}, not from {peer.path}{why}")
    return replace(peer, home=Path(homes["malloc"] or "").resolve(), version=homes["version"])


def _ask(preload: str, environment: Mapping[str, str]) -> tuple[dict[str, str | None], str]:
    """What a process with this preload says, if it says anything, and the last line of its complaint."""
    variables = {**plain_environment(), **environment}
    if preload:
        variables["LD_PRELOAD"] = preload
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", str(_ASK)],
            env=variables,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return {}, f"a process with it did not end within {_TIMEOUT_S:g} s"
    complaint = (answer.stderr.strip().splitlines() or [""])[-1]
    if answer.returncode < 0:
        return {}, f"a process with it was ended by {signal.Signals(-answer.returncode).name}"
    if answer.returncode != 0:
        return {}, f"a process with it ended with exit code {answer.returncode}: {complaint}"
    found: dict[str, str | None] = json.loads(answer.stdout)
    return found, complaint


def glibc() -> Peer:
    """The C library's own malloc."""
    return asked(Peer(GLIBC, None))


def find(known: Known) -> Peer | None:
    """A known peer's library, as the loader finds it, or None when it is not on this machine."""
    homes, _complaint = _ask(known.soname, {})
    home = Path(homes.get("malloc") or "")
    if homes and home.name != known.soname:
        return None
    return asked(Peer(known.name, home.absolute() if homes else Path(known.soname)))


def found() -> tuple[list[Peer], list[Known]]:
    """The known peers that are on this machine, and those that are not."""
    here = {known: find(known) for known in KNOWN}
    return [peer for peer in here.values() if peer], [known for known, peer in here.items() if not peer]


# ----------------------------------------------------------------------------------------------------
# ``--peer``


def parse(text: str) -> Peer:
    """The peer that a ``NAME=PATH[,VAR=VALUE...]`` describes.

    PATH is a shared library, the name of a known peer, or ``glibc``. A part like ``option:value`` belongs to
    the value before it, as in jemalloc's MALLOC_CONF. Anything wrong is one line.
    """
    name, equals, rest = text.partition("=")
    where, *parts = rest.split(",")
    if not equals or not where:
        raise _refused(text, "NAME=PATH[,VAR=VALUE...]", repr(text))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        raise _refused(text, "a name of letters, digits and _.+-", repr(name))
    environment: dict[str, str] = {}
    last = ""
    for part in parts:
        variable, equals, value = part.partition("=")
        if last and not equals and ":" in part:
            environment[last] += "," + part
        elif not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            raise _refused(text, "VAR=VALUE", repr(part))
        elif variable in _NOT_A_KNOB:
            raise _refused(text, "a variable that does not load a library", variable)
        elif variable in environment:
            raise _refused(text, "each variable once", f"{variable} twice")
        else:
            environment[last := variable] = value
    return Peer(name, None if where == GLIBC else _library(text, where), environment)


def _refused(text: str, expected: str, got: str) -> HakmemError:
    return HakmemError(f"--peer {text}: expected {expected}, got {got}")


def _library(text: str, where: str) -> Path:
    known = {item.name: item for item in KNOWN}
    if where in known:
        peer = find(known[where])
        if peer is None or peer.path is None:
            raise _refused(text, f"{where} on this machine", f"none; apt-get install {known[where].package}")
        return peer.path
    path = Path(where).expanduser().absolute()
    if re.search(r"[\s:]", str(path)):
        raise _refused(text, "a path without spaces and colons, at which LD_PRELOAD is split", str(path))
    expected = "a shared library that exports malloc"
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".dynsym")
            if elf["e_type"] != "ET_DYN" or not isinstance(table, SymbolTableSection):
                raise _refused(text, expected, f"{path}, which is ELF of another kind")
            symbols = table.get_symbol_by_name("malloc") or []
            if all(symbol["st_shndx"] == "SHN_UNDEF" for symbol in symbols):
                raise _refused(text, expected, f"{path}, which exports none")
    except OSError as error:
        raise _refused(text, expected, f"{path}: {error.strerror or error}") from error
    except ELFError as error:
        raise _refused(text, expected, f"{path}, which is not ELF") from error
    return path


def given(texts: Sequence[str], taken: Iterable[str] = ()) -> list[Peer]:
    """The peers that ``--peer`` options describe, each asked; ``taken`` holds names that others have."""
    names = set(taken)
    peers = []
    for text in texts:
        peer = parse(text)
        if peer.name in names:
            raise _refused(text, "a name that no other has", f"{peer.name!r} for the second time")
        names.add(peer.name)
        peers.append(peer)
    return [asked(peer) for peer in peers]


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_peers(texts: Sequence[str], as_json: bool) -> int:
    """List peers: what `hakmem peers` does. The exit code is 1 when one does not serve a process."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from .report import TABLE_WIDTH

    here, missing = found()
    taken = [GLIBC, *(item.name for item in KNOWN)]
    peers = [glibc(), *here, *given(texts, taken)]
    if as_json:
        answer = {"peers": [_as_json(peer) for peer in peers], "missing": [vars(item) for item in missing]}
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    else:
        table = Table("peer", "version", "serves a process", "library", "variables", box=None)
        for peer in peers:
            knobs = " ".join(f"{name}={value}" for name, value in peer.environment.items())
            serves = "[red]no[/]" if peer.problem else "yes"
            place = str(peer.path or peer.home or "")
            table.add_row(peer.name, escape(peer.version or ""), serves, escape(place), escape(knobs))
        console = Console()
        console.width = TABLE_WIDTH
        console.print(table)
        for item in missing:
            console.print(f"{item.name} is not on this machine: apt-get install {item.package}")
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    for peer in peers:
        if peer.problem:
            errors.print(f"[red]error: {escape(peer.name)}: {escape(peer.problem)}[/]")
    return int(any(peer.problem for peer in peers))


def _as_json(peer: Peer) -> dict[str, object]:
    return {
        "name": peer.name,
        "path": str(peer.path or peer.home or "") or None,
        "version": peer.version,
        "hash": peer.content_hash(),
        "environment": dict(peer.environment),
        "serves": not peer.problem,
        "problem": peer.problem,
    }
