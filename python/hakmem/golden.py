"""Golden tables: the instruction shape of malloc and free in every kept variant's malloc library.

The hot path is what falls through from the entry of ``malloc`` or ``free`` to its first ``ret``, with
unconditional jumps followed; every conditional jump on it is taken to fall through. A variant without a cache
has no such path: its walk may end where it would go round a loop again. Tables are kept per
compiler (``tests/golden/gcc-12.json``); a change is a diff that somebody reviews.
``python -m hakmem.golden`` compares, ``--update`` writes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from . import build as builds
from .build import Built
from .errors import HakmemError

FUNCTIONS = ("malloc", "free")
FORBIDDEN_IMPORTS = frozenset(
    {"malloc", "free", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign"}
    | {"dlsym", "dlvsym", "getenv", "secure_getenv", "__tls_get_addr"}
)


@dataclass(frozen=True)
class Shape:
    """One function's hot path: instructions up to and including its first return, and what is among them."""

    instructions: int
    conditional_jumps: int
    calls: int
    locked: int
    tls_loads: int


@dataclass(frozen=True)
class _Instruction:
    address: int
    mnemonic: str
    operands: str
    target: int | None  # of a direct jump
    after: int
    locked: bool


def _need(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        top = "pyelftools" if package.startswith("elftools") else package
        raise HakmemError(f"golden tables need the package {top}: pip install {top}") from error


def _open_elf(library: Path, file: Any) -> Any:
    try:
        return _need("elftools.elf.elffile").ELFFile(file)
    except _need("elftools.common.exceptions").ELFError as error:
        raise HakmemError(f"{library}: expected an ELF library, got another kind of file") from error


def shape(library: Path, function: str) -> Shape:
    """The shape of an exported function of an x86-64 library."""
    with library.open("rb") as file:
        elf = _open_elf(library, file)
        if elf["e_machine"] != "EM_X86_64":
            raise HakmemError(f"{library}: golden tables are for x86-64, got {elf['e_machine']}")
        symbols = elf.get_section_by_name(".dynsym").get_symbol_by_name(function)
        if not symbols:
            raise HakmemError(f"{library}: expected an exported {function}, got none")
        text = elf.get_section_by_name(".text")
        return hot_path(text.data(), text["sh_addr"], symbols[0]["st_value"])


def hot_path(code: bytes, base: int, entry: int) -> Shape:
    """The shape from ``entry`` (an address) in ``code`` (loaded at ``base``)."""
    path = list(_walk(code, base, entry))
    return Shape(
        instructions=len(path),
        conditional_jumps=sum(step.mnemonic.startswith("j") and step.mnemonic != "jmp" for step in path),
        calls=sum(step.mnemonic == "call" for step in path),
        locked=sum(step.locked for step in path),
        tls_loads=sum("fs:" in step.operands for step in path),
    )


def _walk(code: bytes, base: int, entry: int) -> Iterator[_Instruction]:
    at = entry
    seen: set[int] = set()
    while at not in seen:
        seen.add(at)
        step = _decode(code[at - base : at - base + 16], at)
        if step.mnemonic == "jmp" and step.target is not None:
            yield step
            at = step.target
            if not base <= at < base + len(code):
                return  # into another library
            continue
        yield step
        if step.mnemonic in ("ret", "repz ret", "bnd ret", "jmp", "ud2", "hlt"):
            return
        at = step.after


def _decode(code: bytes, address: int) -> _Instruction:
    capstone = _need("capstone")
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    found = next(decoder.disasm(code, address, 1), None)
    if found is None:
        raise HakmemError(f"no instruction could be decoded at {address:#x}")
    words = found.mnemonic.split()
    locked = words[0] == "lock" or (words[-1] == "xchg" and "[" in found.op_str)
    direct = words[-1].startswith("j") and re.fullmatch(r"0x[0-9a-f]+|\d+", found.op_str)
    target = int(found.op_str, 0) if direct else None
    return _Instruction(address, words[-1], found.op_str, target, address + found.size, locked)


def imports(library: Path) -> set[str]:
    """Names that a library imports, as `nm -D --undefined-only` lists them, versions left out."""
    with library.open("rb") as file:
        section = _open_elf(library, file).get_section_by_name(".dynsym")
        return {
            symbol.name
            for symbol in section.iter_symbols()
            if symbol.name and symbol["st_shndx"] == "SHN_UNDEF"
        }


def forbidden_imports(library: Path) -> list[str]:
    """What a malloc library must not import but does; sorted, empty when all is well."""
    return sorted(imports(library) & FORBIDDEN_IMPORTS)


def identical_code(built: Iterable[Built]) -> list[list[str]]:
    """Groups of variants whose object code is the same, names and digests not counted."""
    return builds.same_code(built)


def table(built: Iterable[Built]) -> dict[str, dict[str, dict[str, int]]]:
    """Shapes by variant and function, of every variant that has a malloc library."""
    return {
        item.name: {function: asdict(shape(item.library, function)) for function in FUNCTIONS}
        for item in sorted(built, key=lambda item: item.name)
        if item.variant.interposable
    }


def compiler_tag(compiler_id: str) -> str:
    """Family and major version: ``gcc-12``."""
    version = re.search(r"(\d+)\.\d+", compiler_id.partition(")")[2] or compiler_id)
    return f"{compiler_id.partition(' ')[0]}-{version[1] if version else 'unknown'}"


def path(tag: str | None = None) -> Path:
    """The table's file for a compiler (default: the one in use), in the checkout."""
    from . import sources

    return sources.root() / "tests" / "golden" / f"{tag or compiler_tag(builds.toolchain().compiler_id)}.json"


def dump(shapes: dict[str, dict[str, dict[str, int]]]) -> str:
    """The file's text: one line per variant and function, so that a diff reads well."""
    lines = []
    for name in sorted(shapes):
        parts = [f'  "{function}": {json.dumps(shapes[name][function])}' for function in sorted(shapes[name])]
        lines.append(f' "{name}": {{\n' + ",\n".join(parts) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def differences(
    expected: dict[str, dict[str, dict[str, int]]], got: dict[str, dict[str, dict[str, int]]]
) -> list[str]:
    """One line per figure that differs, variant that is missing, or variant that is new."""
    lines = []
    for name in sorted(expected.keys() | got.keys()):
        if name not in got or name not in expected:
            words = ("a shape", "none") if name in expected else ("none", "a shape")
            lines.append(f"{name}: expected {words[0]}, got {words[1]}")
            continue
        for function in FUNCTIONS:
            before, after = expected[name].get(function, {}), got[name].get(function, {})
            for figure in sorted(before.keys() | after.keys()):
                if before.get(figure) != after.get(figure):
                    lines.append(
                        f"{name}: {function}: {figure}: expected {before.get(figure)}, "
                        f"got {after.get(figure)}"
                    )
    return lines


def built_kept() -> list[Built]:
    """Every kept variant, built; one that does not build is an error."""
    return builds.build_or_raise(builds.kept_variants())


def check() -> list[str]:
    """Differences between the kept table and what is built now; empty when they agree."""
    file = path()
    if not file.is_file():
        raise HakmemError(
            f"{file}: expected a golden table of this compiler; python -m hakmem.golden --update"
        )
    return differences(json.loads(file.read_text(encoding="utf-8")), table(built_kept()))


def update() -> Path:
    """Write the table of what is built now."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump(table(built_kept())), encoding="utf-8")
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare with the kept table (exit 1 when it differs), or write it."""
    parser = argparse.ArgumentParser(prog="python -m hakmem.golden", description=main.__doc__)
    parser.add_argument("--update", action="store_true", help="write the table instead")
    options = parser.parse_args(arguments)
    try:
        if options.update:
            sys.stdout.write(f"{update()}\n")
            return 0
        lines = check()
    except HakmemError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
