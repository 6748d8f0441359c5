"""The axes of a variant: one table of axes, their kinds and options, and the pairs that cannot be combined.

Everything else reads this table: the TOML reader, the header generator, the sweeps, the command line and
``docs/axes.md``. A new policy is one `Kind` here and one header under ``cpp/hakmem/<folder>/``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Union

Value = Union[int, bool, str, tuple[int, ...], "Policy"]


@dataclass(frozen=True)
class Policy:
    """One kind of one axis with every option resolved, options sorted by name."""

    kind: str
    options: tuple[tuple[str, Value], ...] = ()

    def __getitem__(self, option: str) -> Value:
        for name, value in self.options:
            if name == option:
                return value
        raise KeyError(f"{self.kind} has no option {option}")

    def integer(self, option: str) -> int:
        """The value of an integer option."""
        value = self[option]
        if not isinstance(value, int):
            raise TypeError(f"{self.kind}.{option} is not an integer")
        return value

    def inner(self, option: str) -> Policy:
        """The policy that an option of a combinator holds."""
        value = self[option]
        if not isinstance(value, Policy):
            raise TypeError(f"{self.kind}.{option} is not a policy")
        return value

    def walk(self) -> Iterator[Policy]:
        """This policy and those inside it, outermost first."""
        yield self
        for _, value in self.options:
            if isinstance(value, Policy):
                yield from value.walk()

    @property
    def label(self) -> str:
        """A short name: the kind, and for a combinator the kinds inside it."""
        inner = [policy.label for option in INNER_ORDER for policy in self._inner(option)]
        return "_".join([self.kind, *inner])

    def _inner(self, option: str) -> list[Policy]:
        return [value for name, value in self.options if name == option and isinstance(value, Policy)]


INNER_ORDER = ("low", "high", "first", "second")
"""Order in which a combinator's policies are named and passed as template arguments."""


@dataclass(frozen=True)
class Option:
    """One option of a kind: type, range, default and meaning.

    ``type`` is ``int``, ``bool``, ``choice`` (one of ``choices``), ``ints`` (``count`` integers), ``sizes``
    (at most ``count`` ascending integers) or ``policy`` (another value of the same axis, one of ``choices``).
    ``low`` and ``high`` are inclusive.
    """

    name: str
    type: str
    meaning: str
    default: Value | None = None
    low: int = 0
    high: int = 0
    power_of_two: bool = False
    multiple_of: int = 1
    count: int = 0
    at_most: str = ""
    """Another option of the same kind that bounds this one."""
    choices: tuple[str, ...] = ()
    choice_type: str = ""
    """C++ enumeration that holds ``choices``, members named kChoice."""

    @property
    def expected(self) -> str:
        """What a legal value looks like, for error lines and the axes page."""
        if self.type == "bool":
            return "true or false"
        if self.type == "choice":
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        if self.type == "policy":
            return "a front: one of " + ", ".join(self.choices)
        if self.type == "ints":
            return f"{self.count} integers {self.low}..{self.high}"
        if self.type == "sizes":
            return (
                f"1..{self.count} ascending integers {self.low}..{self.high}, multiples of {self.multiple_of}"
            )
        if self.power_of_two and self.high < 4 * self.low:
            return f"{self.low} or {self.high}"
        limits = [f"an integer {self.low}..{self.high}"]
        limits += ["a power of two"] if self.power_of_two else []
        limits += [f"a multiple of {self.multiple_of}"] if self.multiple_of > 1 else []
        limits += [f"at most {self.at_most}"] if self.at_most else []
        return ", ".join(limits)

    def accepts(self, value: object) -> bool:
        """Whether a TOML value is legal here; for ``policy`` the reader of policies decides."""
        if self.type == "bool":
            return isinstance(value, bool)
        if self.type == "choice":
            return isinstance(value, str) and value in self.choices
        if self.type == "ints":
            if not isinstance(value, (list, tuple)) or len(value) != self.count:
                return False
            return all(self._in_range(item) for item in value)
        if self.type == "sizes":
            if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= self.count:
                return False
            return all(map(self._in_range, value)) and all(a < b for a, b in itertools.pairwise(value))
        return self._in_range(value)

    def _in_range(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return False
        return value % self.multiple_of == 0 and not (self.power_of_two and value & (value - 1))


@dataclass(frozen=True)
class Kind:
    """One policy of an axis.

    ``cpp`` names its tag where it is not the kind in PascalCase; its options struct is that plus ``Options``.
    """

    name: str
    meaning: str
    options: tuple[Option, ...] = ()
    cpp: str = ""
    inner_only: bool = False
    combines: bool = False

    @property
    def tag(self) -> str:
        """Name of the C++ type."""
        return self.cpp or "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def header(self) -> str:
        """Name of the header in the axis's folder."""
        return f"{self.name}.hpp"

    def option(self, name: str) -> Option | None:
        """The option of this name, or None."""
        return next((option for option in self.options if option.name == name), None)


@dataclass(frozen=True)
class Axis:
    """One axis: what it decides, its kinds, the default, and the folder and namespace of its headers."""

    name: str
    meaning: str
    kinds: tuple[Kind, ...]
    default: str | None
    folder: str
    member: str
    """Name of the alias in the generated ``hakmem::Variant``."""

    def kind(self, name: str) -> Kind | None:
        """The kind of this name, or None."""
        return next((kind for kind in self.kinds if kind.name == name), None)

    @property
    def outer_kinds(self) -> tuple[Kind, ...]:
        """The kinds that may stand alone."""
        return tuple(kind for kind in self.kinds if not kind.inner_only)


# ----------------------------------------------------------------------------------------------------
# The table

_INNER_FRONTS = ("sll", "ultra_sll", "sfc", "hot_mag", "magazine", "unified")


def _refill(default: int, high: int = 256, at_most: str = "") -> Option:
    return Option("refill", "int", "blocks asked of the back after a miss", default, 1, high, at_most=at_most)


def _growth() -> Option:
    meaning = (
        "KiB by which all classes of a thread up to 1 KiB may grow together between two decays, those above "
        "by four times as much, then in larger batches; 0: none grows"
    )
    return Option("growth_kib", "int", meaning, 512, 0, 65536)


def _inner_front(name: str, meaning: str) -> Option:
    return Option(name, "policy", meaning, choices=_INNER_FRONTS)


_PAGES_OPTIONS = (
    Option(
        "superslab_kib",
        "int",
        "KiB of a SuperSlab, the aligned unit taken from the page source",
        1024,
        64,
        4096,
        True,
    ),
    Option(
        "reserve_gib",
        "int",
        "GiB of addresses reserved once; memory beyond it is refused",
        1024,
        1,
        16384,
        True,
    ),
    Option(
        "purge",
        "choice",
        "when empty memory goes back to the operating system: never, after decay_ms, or at once",
        "decay",
        choices=("never", "decay", "eager"),
        choice_type="Purge",
    ),
    Option(
        "decay_ms",
        "int",
        "under purge = decay, the most milliseconds that empty memory is kept; the least is half",
        1000,
        1,
        3_600_000,
    ),
    Option("large_cache_mib", "int", "MiB of freed large blocks kept for reuse", 64, 0, 65536),
)

_AFTER_MIB = "MiB that the heap has on ordinary OS pages before it asks for huge ones"

_FITTED = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)

AXES: tuple[Axis, ...] = (
    Axis(
        "front",
        "what a thread keeps in front of the slabs; the hot path of malloc and free",
        (
            Kind(
                "sll",
                "one counted intrusive list per size class",
                (
                    Option("cap", "int", "blocks a class may hold before it spills", 256, 16, 4096),
                    _refill(64, at_most="cap"),
                ),
            ),
            Kind(
                "ultra_sll",
                "one intrusive list per size class without a count: the shortest pop and push",
                (_refill(64),),
            ),
            Kind(
                "sfc",
                "counted intrusive list per class that spills when nearly full (Super Front Cache)",
                (
                    Option("cap", "int", "blocks a class may hold", 256, 16, 256),
                    _refill(128),
                    Option("spill_percent", "int", "per cent of cap above which a free spills", 90, 50, 100),
                ),
            ),
            Kind(
                "hot_mag",
                "array of pointers for the few smallest classes only",
                (
                    Option("slots", "int", "pointers per class", 128, 8, 1024),
                    Option("classes", "int", "how many of the smallest classes are served", 3, 1, 8),
                    _refill(32, at_most="slots"),
                ),
                inner_only=True,
            ),
            Kind(
                "magazine",
                "array of pointers for every class",
                (
                    Option("slots", "int", "pointers per class", 128, 8, 1024),
                    _refill(32, at_most="slots"),
                    _growth(),
                ),
            ),
            Kind(
                "unified",
                "one bounded cache per class, refilled in batches straight from the slabs",
                (
                    Option(
                        "capacity",
                        "ints",
                        "blocks kept per class: entry i for blocks of at most 8 << i bytes; "
                        "beyond the last entry it halves "
                        "per doubling, at least 2",
                        (128, 128, 96, 64, 48, 32, 24, 16),
                        2,
                        4096,
                        count=8,
                    ),
                    _refill(32, 64),
                    _growth(),
                ),
            ),
            Kind("sharded", "no cache of its own: blocks are popped from and pushed to their slab's list"),
            Kind("bypass", "no cache: every call goes to the back"),
            Kind(
                "split",
                "two fronts by size: classes 1..at go to low, the others to high",
                (
                    Option("at", "int", "the last class served by low", 3, 1, 16),
                    _inner_front("low", "front of the smallest classes"),
                    _inner_front("high", "front of the other classes"),
                ),
                combines=True,
            ),
            Kind(
                "stack",
                "two levels: second answers what first misses or has no room for",
                (
                    Option(
                        "cascade", "int", "blocks moved from second to first after a miss of first", 16, 1, 64
                    ),
                    Option("prewarm", "int", "blocks per class fetched when a thread starts", 0, 0, 128),
                    _inner_front("first", "the level asked first"),
                    _inner_front("second", "the level below it"),
                ),
                combines=True,
            ),
        ),
        None,
        "front",
        "Front",
    ),
    Axis(
        "classes",
        "which block sizes exist",
        (
            Kind(
                "geometric4",
                "four sizes per doubling",
                (Option("largest", "int", "bytes of the largest small block", 32768, 1024, 262144, True),),
            ),
            Kind(
                "linear16",
                "a size every 16 bytes",
                (
                    Option(
                        "largest", "int", "bytes of the largest small block", 1024, 256, 3840, multiple_of=256
                    ),
                ),
            ),
            Kind(
                "fitted",
                "sizes given one by one, as a program's own call for them",
                (
                    Option(
                        "sizes",
                        "sizes",
                        "bytes of each small block",
                        tuple(_FITTED),
                        16,
                        262144,
                        multiple_of=16,
                        count=128,
                    ),
                ),
            ),
            Kind(
                "pow2",
                "powers of two only",
                (
                    Option("largest", "int", "bytes of the largest small block", 1024, 512, 262144, True),
                    Option(
                        "smallest",
                        "int",
                        (
                            "bytes of the smallest block; with 8 the alignment malloc owes is lost, "
                            "so no malloc library is made"
                        ),
                        16,
                        8,
                        16,
                        True,
                    ),
                ),
            ),
        ),
        "geometric4",
        "classes",
        "Classes",
    ),
    Axis(
        "store",
        "how a slab remembers its free blocks",
        (
            Kind("freelist", "intrusive list, fresh blocks by bumping"),
            Kind("bitmap", "one bit per block, fresh blocks by bumping"),
        ),
        "freelist",
        "slab",
        "Store",
    ),
    Axis(
        "owner",
        "how free finds class and owner of a pointer",
        (
            Kind("page_tag", "a dense table by address: one small load, neither block nor slab is touched"),
            Kind("mask", "the SuperSlab's start by masking the address"),
            Kind("registry", "a hash table of SuperSlabs with linear probing"),
            Kind("header", "the class in bytes before the block"),
        ),
        "page_tag",
        "owner",
        "Owner",
    ),
    Axis(
        "remote",
        "what a free of another thread's block does",
        (
            Kind(
                "adopt",
                "the freeing thread's own cache takes the block",
                (
                    Option(
                        "depot",
                        "int",
                        "blocks of a class, of 64 KiB at most, that one cache has spilled and the next may "
                        "have; 0: they go to their slabs",
                        256,
                        0,
                        1024,
                    ),
                ),
            ),
            Kind(
                "return_home",
                "the block goes to its owner's queue",
                (Option("batch", "int", "blocks gathered before they are sent", 32, 1, 256),),
            ),
            Kind("none", "one heap for the whole process behind one lock"),
        ),
        "adopt",
        "remote",
        "Remote",
    ),
    Axis(
        "pages",
        "where memory comes from and when it goes back",
        (
            Kind("mmap", "anonymous mappings of ordinary OS pages", _PAGES_OPTIONS),
            Kind(
                "mmap_thp",
                "anonymous mappings with transparent huge pages asked for",
                (*_PAGES_OPTIONS, Option("after_mib", "int", _AFTER_MIB, 8, 0, 65536)),
            ),
        ),
        "mmap",
        "pages",
        "Pages",
    ),
    Axis(
        "thread",
        "how a thread finds its heap",
        (
            Kind("tls_pointer", "one initial-exec thread-local pointer"),
            Kind("pthread_key", "a POSIX thread-specific key"),
            Kind("per_cpu", "each call borrows the heap of the processor that it runs on"),
        ),
        "tls_pointer",
        "thread",
        "Thread",
    ),
    Axis(
        "guard",
        "what is checked on free",
        (
            Kind("none", "nothing beyond foreign pointers"),
            Kind("checks", "a double, foreign or misplaced free prints one line and aborts"),
            Kind(
                "hardened",
                "the checks, and guards against what corrupts or reads a heap, each with its own switch",
                (
                    Option(
                        "canary", "bool", "16 keyed bytes behind every block, read when it is freed", True
                    ),
                    Option("fences", "bool", "read-only OS pages between metadata and blocks", True),
                    Option("links", "bool", "the links of free blocks masked and checked", True),
                    Option("quarantine", "int", "small blocks a thread holds back from reuse", 64, 0, 1024),
                    Option("shuffle", "bool", "fresh blocks in random order", True),
                    Option("zero", "bool", "a block's bytes are cleared when it is freed", True),
                ),
            ),
        ),
        "none",
        "guard",
        "Guard",
    ),
    Axis(
        "probe",
        "what is counted while the program runs",
        (
            Kind("none", "nothing; the probe is an empty type"),
            Kind("counters", "events per heap, reported by statistics"),
            Kind("route", "counters and the last 64 events of the calling thread"),
        ),
        "none",
        "probe",
        "Probe",
    ),
    Axis(
        "back",
        "what serves the fronts",
        (
            Kind(
                "superslab",
                "slabs inside aligned SuperSlabs",
                (
                    Option(
                        "run_cache_kib",
                        "int",
                        "KiB of medium blocks a thread keeps for itself",
                        16384,
                        0,
                        65536,
                    ),
                    Option(
                        "realloc_room_percent",
                        "int",
                        "percent more than asked for, in a small block that realloc moves to grow",
                        50,
                        0,
                        100,
                    ),
                    Option(
                        "refill_hint",
                        "choice",
                        "prefetch of each block that a refill gives to a front: none, to the nearest cache, "
                        "or non-temporal",
                        "near",
                        choices=("none", "near", "non_temporal"),
                        choice_type="RefillHint",
                    ),
                ),
                cpp="SuperSlab",
            ),
            Kind("direct", "every block has its own mapping: slow, simple, the oracle of the tests"),
        ),
        "superslab",
        "back",
        "Back",
    ),
)

AXIS: Mapping[str, Axis] = {axis.name: axis for axis in AXES}


# ----------------------------------------------------------------------------------------------------
# Pairs that cannot be combined


@dataclass(frozen=True)
class IllegalPair:
    """Two axis values that exclude each other, and why.

    ``broken`` takes the policies of the two axes in the order of ``axes``.
    """

    axes: tuple[str, str]
    left: str
    right: str
    reason: str
    broken: Callable[[Policy, Policy], bool] = field(compare=False)


def _has(kind: str) -> Callable[[Policy], bool]:
    return lambda policy: any(inner.kind == kind for inner in policy.walk())


def _largest_does_not_fit(classes: Policy, pages: Policy) -> bool:
    return classes.kind != "linear16" and largest_class(classes) * 8 > pages.integer("superslab_kib") * 1024


ILLEGAL_PAIRS: tuple[IllegalPair, ...] = (
    IllegalPair(
        ("front", "remote"),
        "sharded",
        "adopt",
        "sharded pops from slabs that one heap owns; adopt has no owners",
        lambda front, remote: _has("sharded")(front) and remote.kind == "adopt",
    ),
    IllegalPair(
        ("front", "store"),
        "sharded",
        "bitmap",
        "sharded pops from the slab's own free list; a bitmap has none",
        lambda front, store: _has("sharded")(front) and store.kind == "bitmap",
    ),
    IllegalPair(
        ("front", "remote"),
        "ultra_sll, anywhere in the front",
        "adopt",
        "an uncounted list cannot bound blocks it adopts from other threads",
        lambda front, remote: _has("ultra_sll")(front) and remote.kind == "adopt",
    ),
    IllegalPair(
        ("front", "back"),
        "anything but bypass",
        "direct",
        "every block is its own mapping; nothing to cache",
        lambda front, back: back.kind == "direct" and front.kind != "bypass",
    ),
    IllegalPair(
        ("remote", "back"),
        "anything but adopt",
        "direct",
        "every block is its own mapping; no heap owns it",
        lambda remote, back: back.kind == "direct" and remote.kind != "adopt",
    ),
    IllegalPair(
        ("owner", "back"),
        "header",
        "direct",
        "every block is its own mapping; there is no class to write before it",
        lambda owner, back: back.kind == "direct" and owner.kind == "header",
    ),
    IllegalPair(
        ("classes", "owner"),
        "pow2 with smallest = 8",
        "header",
        "a header needs 16-byte blocks",
        lambda classes, owner: owner.kind == "header" and dict(classes.options).get("smallest") == 8,
    ),
    IllegalPair(
        ("pages", "back"),
        "mmap_thp",
        "direct",
        "every block is its own mapping; a huge page for each would fill the memory",
        lambda pages, back: back.kind == "direct" and pages.kind == "mmap_thp",
    ),
    IllegalPair(
        ("classes", "pages"),
        "geometric4, fitted or pow2 with largest > superslab_kib * 128",
        "that superslab_kib",
        "a slab holds at least eight blocks and must fit its SuperSlab",
        _largest_does_not_fit,
    ),
    IllegalPair(
        ("remote", "thread"),
        "none",
        "pthread_key",
        "one heap for all threads needs no thread slot",
        lambda remote, thread: remote.kind == "none" and thread.kind == "pthread_key",
    ),
    IllegalPair(
        ("remote", "thread"),
        "anything but adopt",
        "per_cpu",
        "a heap that is lent has no blocks of its own",
        lambda remote, thread: remote.kind != "adopt" and thread.kind == "per_cpu",
    ),
    IllegalPair(
        ("probe", "thread"),
        "route",
        "per_cpu",
        "a heap that is lent has the calls of many threads",
        lambda probe, thread: probe.kind == "route" and thread.kind == "per_cpu",
    ),
)


def largest_class(classes: Policy) -> int:
    """Bytes of the largest small block that a policy of the classes axis makes."""
    return sizes_of(classes)[-1] if classes.kind == "fitted" else classes.integer("largest")


def sizes_of(fitted: Policy) -> tuple[int, ...]:
    """The block sizes of `fitted`."""
    sizes = fitted["sizes"]
    if not isinstance(sizes, tuple):
        raise TypeError("fitted.sizes is not a list of integers")
    return sizes


def class_count(classes: Policy) -> int:
    """How many size classes a policy of the classes axis makes."""
    if classes.kind == "fitted":
        return len(sizes_of(classes))
    largest = classes.integer("largest")
    if classes.kind == "linear16":
        return largest // 16
    if classes.kind == "pow2":
        return (largest // classes.integer("smallest")).bit_length()
    return 4 * ((largest // 64).bit_length() - 1) + 4


def front_problem(front: Policy, classes: Policy) -> tuple[str, str, str] | None:
    """What is wrong inside a front: (key below the front, expected, got), or None.

    A front must cover every class; `hot_mag` covers only the smallest ones.
    """
    every = class_count(classes)
    expected = f"a front that covers every one of {every} classes; hot_mag covers only the smallest"
    if front.kind == "hot_mag":
        return "kind", "hot_mag under split or stack; it covers only the smallest classes", "hot_mag alone"
    if front.kind == "split":
        low, high = front.inner("low"), front.inner("high")
        if front.integer("at") >= every:
            return (
                "at",
                f"less than the number of classes, {every}: high serves the classes above at",
                str(front["at"]),
            )
        if low.kind == "hot_mag" and low.integer("classes") < front.integer("at"):
            return (
                "low.classes",
                f"at least {front.integer('at')}: low serves classes 1..at",
                str(low.integer("classes")),
            )
        if high.kind == "hot_mag" and high.integer("classes") < every:
            return "high", expected, f"hot_mag with classes = {high.integer('classes')}"
    if front.kind == "stack":
        second = front.inner("second")
        if second.kind == "hot_mag" and second.integer("classes") < every:
            return "second", expected, f"hot_mag with classes = {second.integer('classes')}"
    return None


def illegal_pair(policies: Mapping[str, Policy]) -> IllegalPair | None:
    """The first illegal pair among the policies given; axes that are absent break nothing."""
    for pair in ILLEGAL_PAIRS:
        left, right = (policies.get(axis) for axis in pair.axes)
        if left is not None and right is not None and pair.broken(left, right):
            return pair
    return None


# ----------------------------------------------------------------------------------------------------
# The axes page


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return "required" if value is None else str(value)


def axes_markdown() -> str:
    """The text of ``docs/axes.md``, generated from the table above."""
    lines = [
        "# The axes of a variant",
        "",
        "Generated by `python -m hakmem.axes` from `python/hakmem/axes.py`; a test checks that it is fresh.",
        "",
        (
            "A variant file gives `name` (the file's stem), `why` (one sentence) and one key per "
            "axis. A value is a kind"
        ),
        (
            '(`owner = "mask"`) or a table with options (`front = {kind = "sll", cap = 64}`). An '
            "axis left out has its default."
        ),
        "On the command line: `--set owner=mask`, `--set front.cap=64`.",
        "",
    ]
    for axis in AXES:
        default = f"Default: `{axis.default}`." if axis.default else "Required."
        lines += [f"## {axis.name}", "", f"{axis.meaning[0].upper()}{axis.meaning[1:]}. {default}", ""]
        lines += ["| kind | what it is |", "|---|---|"]
        for kind in axis.kinds:
            note = "; only under `split` or `stack`" if kind.inner_only else ""
            lines.append(f"| `{kind.name}` | {kind.meaning}{note} |")
        lines.append("")
        rows = [(kind, option) for kind in axis.kinds for option in kind.options]
        if rows:
            lines += ["| option | value | default | meaning |", "|---|---|---|---|"]
            lines += [
                f"| `{kind.name}.{option.name}` | {option.expected} | {_shown(option.default)} "
                f"| {option.meaning} |"
                for kind, option in rows
            ]
            lines.append("")
    lines += ["## Pairs that cannot be combined", "", "| one | with | why |", "|---|---|---|"]
    for pair in ILLEGAL_PAIRS:
        lines.append(f"| {pair.axes[0]}: {pair.left} | {pair.axes[1]}: {pair.right} | {pair.reason} |")
    lines += [
        "| front: split, low = hot_mag | at > hot_mag.classes | low must cover classes 1..at |",
        "| front: split, high = hot_mag; stack, second = hot_mag | hot_mag.classes < the number "
        "of classes | a front must "
        "cover every class |",
        "| front: hot_mag | alone | hot_mag covers only the smallest classes |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(axes_markdown())
