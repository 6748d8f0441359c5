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


class Symbol(ctypes.Structure):
    """Elf64_Sym: what a file says of a name; of one that it only calls, that it is in no section."""

    _fields_ = [
        ("name", ctypes.c_uint32),
        ("info", ctypes.c_uint8),
        ("other", ctypes.c_uint8),
        ("section", ctypes.c_uint16),
        ("value", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
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
RTLD_DL_SYMENT = 1
RTLD_DI_LINKMAP = 2
RTLD_NOLOAD = 4


def home(name: str) -> str:
    """The file that holds what this process calls by this name; nothing when there is no such function.

    In a program at a fixed address, as Debian's Python is, the address of a function may be a stub of the
    program's, which leads to the first file behind it that has the function.
    """
    place, symbol = Place(), ctypes.POINTER(Symbol)()
    if not placed(PROGRAM, name, place, symbol):
        return ""
    if not symbol or symbol.contents.section != 0:
        return (place.file or b"").decode()
    first = ctypes.POINTER(Loaded)()
    PROGRAM.dlinfo(ctypes.c_void_p(PROGRAM._handle), RTLD_DI_LINKMAP, ctypes.byref(first))
    one = first.contents.next
    while one:
        try:
            library = ctypes.CDLL((one.contents.file or b"").decode(), mode=RTLD_NOLOAD)
        except OSError:  # the kernel's own
            library = None
        if library and placed(library, name, place, symbol) and place.file == one.contents.file:
            return (place.file or b"").decode()
        one = one.contents.next
    return ""


def placed(library: ctypes.CDLL, name: str, place: Place, symbol: ctypes._Pointer[Symbol]) -> bool:
    """Whether a library or what it needs has a function of this name: its place and its symbol."""
    try:
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p)
    except AttributeError:
        return False
    return bool(PROGRAM.dladdr1(address, ctypes.byref(place), ctypes.byref(symbol), RTLD_DL_SYMENT))


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
