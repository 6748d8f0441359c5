"""Comparing object code: equal functions and tables are one allocator under two names."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

from .errors import BuildError

# Symbols that hold or print a variant's name, digest and policy set: they differ between equal allocators.
_IDENTITY = re.compile(
    r"(5kName|7kDigest|10kPolicySet|12engine_table)E$|^(kName|kDigest|kPolicySet)$|10statistics|^hakmem_(id|policy_set)$"
)
_FUNCTION, _OBJECT, _SECTION_BSS = 2, 1, 8


def code_hash(object_file: Path) -> str:
    """A hash over every function and constant of a 64-bit ELF object file before linking, names left out.

    Relocations are still open there, so equal code has equal bytes wherever it will be placed.
    """
    data = object_file.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        raise BuildError(f"{object_file}: expected a 64-bit ELF object file")
    offset = struct.unpack_from("<Q", data, 40)[0]
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + index * size) for index in range(count)]
    pieces: list[bytes] = []
    for section in sections:
        if section[1] != 2:  # SHT_SYMTAB
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name_at, info, _, index, value, length = struct.unpack_from("<IBBHQQ", data, at)
            if info & 15 not in (_FUNCTION, _OBJECT) or not 0 < index < count or not length:
                continue
            name = data[strings + name_at : data.index(b"\0", strings + name_at)].decode()
            if _IDENTITY.search(name):
                continue
            home = sections[index]
            body = b"" if home[1] == _SECTION_BSS else data[home[4] + value : home[4] + value + length]
            pieces.append(struct.pack("<BQ", info & 15, length) + body)
    return hashlib.sha256(b"".join(sorted(pieces))).hexdigest()
