"""Who may enter a tune: policy sets that the program can tell apart, their numbers, and stock with its knobs.

A set with a guard, a probe or the oracle's back only costs time, so it enters only when it is asked for. With
one thread no block is ever freed by another, so of sets that differ in `remote` alone the simplest enters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import axes, peers, ranking, spec, sweeps
from . import build as builds
from .axes import AXIS, Option, Policy, Value
from .errors import SpecError
from .spec import PolicySet, Variant

_PLAIN = {"guard": "none", "probe": "none", "back": "superslab"}
_NOT_TUNED = ("guard", "probe", "thread")
_FIXED = ("reserve_gib",)
_MEDIUM = ("run_cache_kib", "large_cache_mib")
_REALLOC = ("realloc_room_percent",)
_STEPS = (-3, -2, -1, 0, 1, 2, 3)
_FROM_ZERO = (0, 16, 64)

WHOLE_POLICIES = ("classes", "pages")
"""Axes whose policy may change as a whole with the numbers."""

STOCK_KNOBS = (
    "libc_arena1=glibc,MALLOC_ARENA_MAX=1",
    "libc_tcache=glibc,GLIBC_TUNABLES=glibc.malloc.tcache_count=2000",
    "libc_keep=glibc,MALLOC_TOP_PAD_=67108864,MALLOC_TRIM_THRESHOLD_=1073741824",
    "libc_thp=glibc,GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
)
PEER_KNOBS = {
    "mimalloc": (
        "mimalloc_keep=mimalloc,MIMALLOC_PAGE_RESET=0,MIMALLOC_PURGE_DELAY=-1",
        "mimalloc_large=mimalloc,MIMALLOC_LARGE_OS_PAGES=1,MIMALLOC_ALLOW_LARGE_OS_PAGES=1",
    ),
    "jemalloc": (
        "jemalloc_keep=jemalloc,MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1",
        "jemalloc_arena1=jemalloc,MALLOC_CONF=narenas:1,lg_tcache_max:16",
        "jemalloc_thp=jemalloc,MALLOC_CONF=thp:always,metadata_thp:auto",
    ),
    "tcmalloc": ("tcmalloc_cache=tcmalloc,TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES=268435456",),
}
"""What the libraries' own manuals offer against time or memory, in the form of ``--peer``."""


@dataclass(frozen=True)
class Habits:
    """What of a program decides who can be told apart, and what may be fitted to it.

    ``largest`` is the largest block asked for in bytes, ``sizes`` block sizes fitted to the program, if any;
    ``reallocs`` says whether it calls realloc.
    """

    threads: int
    cross_thread: bool
    largest: int
    sizes: tuple[int, ...] = ()
    reallocs: bool = True

    @property
    def fitted(self) -> Policy | None:
        """The classes fitted to the program."""
        return Policy("fitted", (("sizes", self.sizes),)) if self.sizes else None


UNKNOWN = Habits(threads=2, cross_thread=True, largest=1 << 40)
"""Habits of workloads and of a program that was not looked at: everything may matter."""


def short_name(policies: PolicySet) -> str:
    """A variant's name made of its front and of what is off its default."""
    parts = [policies["front"].label]
    for axis, outer in policies:
        if axis != "front" and outer.kind != AXIS[axis].default:
            parts.append(outer.kind)
        kind = AXIS[axis].kind(outer.kind)
        for name, value in outer.options:
            option = kind.option(name) if kind else None
            if option and option.type in ("int", "bool", "choice") and value != option.default:
                parts.append(f"{name}_{value}".lower())
    return "_".join(parts)


def default_sets(habits: Habits) -> list[Variant]:
    """The kept variants and the sets of the sweep `covering`, less what the program cannot tell apart."""
    found = [item for item in builds.kept_variants() if _is_raced(item)]
    names = {item.name for item in found}
    for item in map(_plain, sweeps.covering()):
        if item and item.name not in names and item.policies["front"].kind != "bypass":
            names.add(item.name)
            found.append(item)
    return distinct(found, habits)


def _is_raced(item: Variant) -> bool:
    return item.interposable and all(item.policies[axis].kind == kind for axis, kind in _PLAIN.items())


def _plain(item: Variant) -> Variant | None:
    """The set without guard, probe and oracle under a short name; None when that is not legal."""
    table = {**item.policies.as_json(), **_PLAIN}
    try:
        policies = spec.read_policies(table, item.name)
    except SpecError:
        return None
    found = Variant(short_name(policies), "of the sweep covering", policies)
    return found if found.interposable else None


def distinct(variants: Iterable[Variant], habits: Habits) -> list[Variant]:
    """One of each group that the program cannot tell apart: the simplest, in the order given."""
    groups: dict[str, Variant] = {}
    for item in variants:
        table = item.policies.as_json()
        if habits.threads == 1:
            table.pop("remote")
        key = json.dumps(table, sort_keys=True)
        if key not in groups or ranking.simplicity(item) < ranking.simplicity(groups[key]):
            groups[key] = item
    return list(groups.values())


def knobs_of(peer_names: Iterable[str]) -> list[str]:
    """``--peer`` texts of libc's knobs and of those of the peers named."""
    return [*STOCK_KNOBS, *(text for name in peer_names for text in PEER_KNOBS.get(name, ()))]


def known_peers() -> list[str]:
    """Names of the peers that have knobs here."""
    return [item.name for item in peers.KNOWN if item.name in PEER_KNOBS]


# ----------------------------------------------------------------------------------------------------
# Numbers


@dataclass(frozen=True)
class Number:
    """An option to tune, by its dotted key, with the values to try in ascending order; one is the set's.

    Of `WHOLE_POLICIES` the values are policies, the set's own first.
    """

    key: str
    values: tuple[Value, ...]
    current: int


def numbers(item: Variant, habits: Habits) -> list[Number]:
    """The options of a set that may be tuned: each by powers of two around its value, within its range.

    Caches of blocks beyond the small ones are left alone when the program asks for none.
    """
    classes = item.policies["classes"]
    medium = habits.largest > axes.largest_class(classes)
    unfelt = _FIXED + (() if medium else _MEDIUM) + (() if habits.reallocs else _REALLOC)
    found = []
    if habits.fitted and habits.fitted != classes:
        found.append(Number("classes", (classes, habits.fitted), 0))
    pages = item.policies["pages"]
    found.append(Number("pages", (pages, *_other_kinds("pages", pages)), 0))
    for axis, policy in item.policies:
        if axis in _NOT_TUNED or (axis == "remote" and not habits.cross_thread):
            continue
        for key, option, value in _options(axis, axis, policy):
            if option.name in unfelt:
                continue
            values = _around(option, value)
            if len(values) > 1:
                found.append(Number(key, values, values.index(value)))
    return found


def _other_kinds(axis: str, own: Policy) -> Iterator[Policy]:
    """The axis's other kinds, with the numbers that they share with ``own`` as it has them."""
    held = dict(own.options)
    for kind in AXIS[axis].outer_kinds:
        if kind.name != own.kind:
            shared = {option.name: held.get(option.name, option.default) for option in kind.options}
            yield Policy(
                kind.name, tuple((name, value) for name, value in shared.items() if value is not None)
            )


def _options(axis: str, path: str, policy: Policy) -> Iterator[tuple[str, Option, Value]]:
    kind = AXIS[axis].kind(policy.kind)
    assert kind is not None
    for option in kind.options:
        value = policy[option.name]
        if isinstance(value, Policy):
            yield from _options(axis, f"{path}.{option.name}", value)
        else:
            yield f"{path}.{option.name}", option, value


def _around(option: Option, value: Value) -> tuple[Value, ...]:
    if option.type == "bool":
        return (False, True)
    if option.type == "choice":
        return option.choices
    if option.type == "sizes":
        return (value,)
    if isinstance(value, tuple):
        scaled = [tuple(_bounded(option, part * 2.0**step) for part in value) for step in _STEPS]
        return tuple(dict.fromkeys(scaled))
    assert isinstance(value, int)
    tried = [_bounded(option, value * 2.0**step) for step in _STEPS] if value else list(_FROM_ZERO)
    return tuple(sorted({one for one in [*tried, value] if option.accepts(one)}))


def _bounded(option: Option, value: float) -> int:
    return max(option.low, min(option.high, round(value)))


def with_numbers(item: Variant, chosen: Mapping[str, Value]) -> Variant | None:
    """The set with these values, named after it and its content; None when they do not go together.

    A number that another one bounds is cut to it, and one that nothing reads has its default.
    """
    table: dict[str, Any] = item.policies.as_json()
    for key, value in chosen.items():
        if isinstance(value, Policy):
            table[key] = as_table(value)
    for key, value in chosen.items():
        place, *path = key.split(".")
        held = table[place]
        if not path or path[0] not in held:
            continue  # a number of classes or pages that others have taken the place of
        for step in path[:-1]:
            held = held[step]
        held[path[-1]] = list(value) if isinstance(value, tuple) else value
    for axis in axes.AXES:
        _settle(axis.name, table[axis.name])
    try:
        policies = spec.read_policies(table, item.name)
    except SpecError:
        return None
    if policies == item.policies:
        return item
    return replace(
        item, name=tuned_name(item, policies), why=f"{item.name}, tuned", policies=policies, path=None
    )


def tuned_name(item: Variant, policies: PolicySet) -> str:
    """A name of its own for a set that was made of another one."""
    text = json.dumps(policies.as_json(), sort_keys=True)
    return f"{item.name[:80]}__{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _settle(axis: str, held: dict[str, Any]) -> None:
    kind = AXIS[axis].kind(held["kind"])
    assert kind is not None
    for option in kind.options:
        if isinstance(held[option.name], dict):
            _settle(axis, held[option.name])
        elif option.at_most:
            held[option.name] = min(held[option.name], held[option.at_most])
        elif option.name == "decay_ms" and held["purge"] != "decay":
            held[option.name] = option.default


def as_table(value: Value) -> object:
    """A value of an option or axis as TOML and JSON have it."""
    if isinstance(value, Policy):
        return {"kind": value.kind, **{name: as_table(inner) for name, inner in value.options}}
    return list(value) if isinstance(value, tuple) else value


# ----------------------------------------------------------------------------------------------------
# One axis at a time


@dataclass(frozen=True)
class Change:
    """A set that differs from another in one axis: which, and its new value in words."""

    axis: str
    value: str
    variant: Variant


def single_changes(item: Variant, fitted: Policy | None = None) -> list[Change]:
    """Every legal set that has another kind in one axis, or that axis's options at their defaults.

    ``fitted`` are the classes fitted to the program: their defaults are nobody's.
    """
    found = []
    for axis in axes.AXES:
        if axis.name in _PLAIN:
            continue
        own = item.policies[axis.name]
        for kind in axis.outer_kinds:
            if any(option.type == "policy" for option in kind.options) and kind.name != own.kind:
                continue  # a combinator without its fronts is no value
            if any(option.type == "policy" for option in kind.options):
                continue
            if kind.name == "fitted" and fitted is None:
                continue
            chosen = as_table(fitted) if fitted and kind.name == "fitted" else kind.name
            table = {**item.policies.as_json(), axis.name: chosen}
            try:
                policies = spec.read_policies(table, item.name)
            except SpecError:
                continue
            if policies == item.policies:
                continue
            value = kind.name if kind.name != own.kind else f"{kind.name}, default numbers"
            name = tuned_name(item, policies)
            changed = Variant(name, f"{item.name} with {axis.name} = {value}", policies)
            if changed.interposable:
                found.append(Change(axis.name, value, changed))
    return found


def in_words(item: Variant, others: Sequence[Variant]) -> str:
    """What a set is beyond the defaults; a kept one of the same policies is named."""
    same = next((other.name for other in others if other.policies == item.policies), "")
    text = spec.short_policies(item)
    return f"{same}: {text}" if same and same != item.name else text
