"""Say, from inside this process, which file serves malloc, free, calloc and realloc, and its version.

Run by hakmem.peers under a preloaded library. Prints one JSON object: each function's file, and the version
that the file of malloc says of itself, or null.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable


class Place(ctypes.Structure):
    """Dl_info: where an address lies."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


class Loaded(ctypes.Structure):
    """link_map: the loaded files in the order in which names are looked up."""


Loaded._fields_ = [
    ("base", ctypes.c_void_p),
    ("file", ctypes.c_char_p),
    ("dynamic", ctypes.c_void_p),
    ("next", ctypes.POINTER(Loaded)),
]

PROGRAM = ctypes.CDLL(None)
RTLD_DI_LINKMAP = 2
RTLD_NOLOAD = 4


def home(name: str) -> str:
    """The file that holds what this process calls by this name; nothing when there is no such function.

    The first file behind the program that has a function of this name, as the loader looks it up. The program
    itself is not asked: it has no malloc, and in one at a fixed address, as Debian's Python is, the address
    of a function may be a stub of its own.
    """
    first = ctypes.POINTER(Loaded)()
    PROGRAM.dlinfo(ctypes.c_void_p(PROGRAM._handle), RTLD_DI_LINKMAP, ctypes.byref(first))
    one = first.contents.next
    while one:
        file, place = one.contents.file or b"", Place()
        try:
            function = getattr(ctypes.CDLL(file.decode(), mode=RTLD_NOLOAD), name)
        except (OSError, AttributeError):  # the kernel's own; a file without the function
            pass
        else:
            address = ctypes.cast(function, ctypes.c_void_p)
            if PROGRAM.dladdr(address, ctypes.byref(place)) and place.file == file:
                return file.decode()
        one = one.contents.next
    return ""


def mimalloc() -> str:
    """209 is 2.0.9; from five digits on, two each are for the last two parts."""
    number = int(PROGRAM.mi_version())
    if number < 10000:
        return f"{number // 100}.{number // 10 % 10}.{number % 10}"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def jemalloc() -> str:
    """A release says 5.3.0-0-gHASH of itself."""
    text = ctypes.c_char_p()
    size = ctypes.c_size_t(ctypes.sizeof(text))
    PROGRAM.mallctl(b"version", ctypes.byref(text), ctypes.byref(size), None, ctypes.c_size_t(0))
    return (text.value or b"").decode().partition("-0-g")[0]


def text_of(name: str) -> str:
    """What a function without arguments that returns a text says."""
    function = getattr(PROGRAM, name)
    function.restype = ctypes.c_char_p
    return (function() or b"").decode()


def tcmalloc() -> str:
    """gperftools."""
    PROGRAM.tc_version.restype = ctypes.c_char_p
    return (PROGRAM.tc_version(None, None, None) or b"").decode()


VERSIONS: dict[str, Callable[[], str]] = {
    "mi_version": mimalloc,
    "mallctl": jemalloc,
    "tc_version": tcmalloc,
    "hakmem_id": lambda: text_of("hakmem_id"),
    "gnu_get_libc_version": lambda: text_of("gnu_get_libc_version"),
}

homes = {name: home(name) for name in ("malloc", "free", "calloc", "realloc")}
version = next((say() for name, say in VERSIONS.items() if home(name) == homes["malloc"] != ""), "")
sys.stdout.write(json.dumps({**homes, "version": version or None}))
