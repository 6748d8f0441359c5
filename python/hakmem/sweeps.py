"""Sweeps: one TOML file that expands to many variants, for a question that is written in it.

A sweep file has ``name`` (the file's stem), ``question`` (what running it answers), ``combine``
(``"product"``: every legal combination; ``"pairs"``: every legal pair of values at least once), an
optional ``[base]`` of axis values, and ``[vary]``: an axis (``owner``) or option (``"pages.purge"``) to a
list of values. A value may be a table ``{label = "...", value = ...}`` where its own label would be clumsy.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import axes, sources, spec
from .axes import AXIS
from .errors import SpecError, UnknownNameError
from .spec import Variant

_KEYS = ("name", "question", "combine", "base", "vary")
_COMBINE = ("product", "pairs")


@dataclass(frozen=True)
class Choice:
    """One value of one varied axis or option, and the label it has in names."""

    label: str
    value: object


@dataclass(frozen=True)
class Sweep:
    """A sweep file that has been read: every value in it is legal on its own."""

    name: str
    question: str
    combine: str
    base: Mapping[str, object]
    vary: Mapping[str, tuple[Choice, ...]]
    file: str

    def table(self, chosen: Mapping[str, Choice]) -> dict[str, object]:
        """The axis values of one combination; with part of it chosen, only the axes that are settled."""
        table: dict[str, Any] = dict(self.base)
        for key, choice in chosen.items():
            if "." not in key:
                table[key] = choice.value
        for key, choice in chosen.items():
            axis, _, option = key.partition(".")
            if option:
                held: Any = table.get(axis, AXIS[axis].default)
                options = {"kind": held} if isinstance(held, str) else dict(held)
                table[axis] = {**options, option: choice.value}
        return table

    def is_open(self, axis: str, chosen: Mapping[str, Choice]) -> bool:
        """Whether an axis still has something to choose."""
        return any(key.partition(".")[0] == axis and key not in chosen for key in self.vary)

    def is_legal(self, chosen: Mapping[str, Choice]) -> bool:
        """Whether a combination, whole or in part, breaks no rule among the axes it settles."""
        table = self.table(chosen)
        policies = {}
        for axis in axes.AXES:
            value = table.get(axis.name, axis.default)
            if value is not None and not self.is_open(axis.name, chosen):
                policies[axis.name] = spec.read_policy(axis, value, self.file, axis.name)
        if (
            "front" in policies
            and "classes" in policies
            and axes.front_problem(policies["front"], policies["classes"])
        ):
            return False
        return axes.illegal_pair(policies) is None

    def variant(self, chosen: Mapping[str, Choice]) -> Variant:
        """The variant of one whole combination."""
        name = "__".join(choice.label for choice in chosen.values())
        return Variant(
            name, f"{self.name}: {self.question}", spec.read_policies(self.table(chosen), self.file)
        )


def sweep_names() -> list[str]:
    """Names of the sweeps that come with hakmem, sorted."""
    return sorted(path.stem for path in (sources.variants_folder() / "sweeps").glob("*.toml"))


def sweep_path(name: str) -> Path:
    """The file of a sweep by name, or the path itself when it ends in ``.toml``."""
    if name.endswith(".toml"):
        return Path(name)
    path = sources.variants_folder() / "sweeps" / f"{name}.toml"
    if not path.is_file():
        raise UnknownNameError("sweep", name, sweep_names())
    return path


def read_sweep(path: Path) -> Sweep:
    """Read one sweep file; anything wrong in it is one `SpecError`."""
    file = str(path)
    table = spec.read_toml(path)
    for key in table:
        if key not in _KEYS:
            raise SpecError(file, key, "one of " + ", ".join(_KEYS), "an unknown key")
    if spec.check_name(table.get("name", ""), file) != path.stem:
        raise SpecError(file, "name", f'"{path.stem}", the stem of the file', f'"{table["name"]}"')
    question = table.get("question")
    if not isinstance(question, str) or not question.strip():
        raise SpecError(file, "question", "the question that this sweep answers", "no such text")
    combine = table.get("combine", "product")
    if combine not in _COMBINE:
        raise SpecError(file, "combine", " or ".join(_COMBINE), repr(combine))
    base, vary = table.get("base", {}), table.get("vary", {})
    if not isinstance(base, dict) or not isinstance(vary, dict) or not vary:
        raise SpecError(file, "vary", "a table of axis or axis.option to a list of values", "none")
    for key in base:
        if key not in AXIS:
            raise SpecError(file, f"base.{key}", "one of " + ", ".join(AXIS), "an unknown key")
    choices = {key: _choices(file, key, values) for key, values in vary.items()}
    sweep = Sweep(path.stem, question.strip(), combine, base, choices, file)
    _check_values(sweep)
    return sweep


def _choices(file: str, key: str, values: object) -> tuple[Choice, ...]:
    axis = AXIS.get(key.partition(".")[0])
    if axis is None:
        raise SpecError(
            file, f"vary.{key}", "axis or axis.option, the axis one of " + ", ".join(AXIS), "an unknown key"
        )
    if not isinstance(values, list) or not values:
        raise SpecError(file, f"vary.{key}", "a list of values", str(values))
    choices = []
    for index, value in enumerate(values):
        label = None
        if isinstance(value, dict) and "label" in value:
            where = f"vary.{key}[{index}]"
            label = spec.check_name(value["label"], file, f"{where}.label")
            if set(value) != {"label", "value"}:
                raise SpecError(file, where, "label and value", ", ".join(value))
        held = value["value"] if label else value
        if "." in key:
            text = re.sub(r"[^a-z0-9]+", "_", str(held).lower()).strip("_")
            label = label or f"{key.rpartition('.')[2]}_{text}"
        else:
            label = label or spec.read_policy(axis, held, file, f"vary.{key}[{index}]").label
        choices.append(Choice(label, held))
    labels = [choice.label for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise SpecError(file, f"vary.{key}", "values with labels of their own", f"{label!r} twice")
    return tuple(choices)


def _check_values(sweep: Sweep) -> None:
    """Every value must be legal on its own, so that a later refusal can only come from a combination."""
    first = {key: choices[0] for key, choices in sweep.vary.items()}
    for key, choices in sweep.vary.items():
        for choice in choices:
            table = sweep.table({**first, key: choice})
            for axis in axes.AXES:
                value = table.get(axis.name, axis.default)
                if value is None:
                    raise SpecError(sweep.file, f"base.{axis.name}", "a value here or in vary", "no such key")
                spec.read_policy(axis, value, sweep.file, f"vary.{key}")


def expand(path: Path | str) -> list[Variant]:
    """The legal variants of a sweep, named after their values: ``unified__mask__bitmap__return_home``."""
    sweep = read_sweep(sweep_path(str(path)))
    combinations = _pairs(sweep) if sweep.combine == "pairs" else _product(sweep)
    variants = [sweep.variant(chosen) for chosen in combinations]
    if not variants:
        raise SpecError(sweep.file, "vary", "at least one legal combination", "none")
    return variants


def covering() -> list[Variant]:
    """The variants that hold every legal pair of values of any two axes at least once."""
    return expand("covering")


def _product(sweep: Sweep) -> Iterator[dict[str, Choice]]:
    for row in itertools.product(*sweep.vary.values()):
        chosen = dict(zip(sweep.vary, row, strict=True))
        if sweep.is_legal(chosen):
            yield chosen


def legal_pairs(sweep: Sweep) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """Every pair ((key, label), (key, label)) that some legal combination holds."""
    keys = list(sweep.vary)
    pairs = set()
    for left, right in itertools.combinations(keys, 2):
        for one, other in itertools.product(sweep.vary[left], sweep.vary[right]):
            if _complete(sweep, {left: one, right: other}) is not None:
                pairs.add(((left, one.label), (right, other.label)))
    return pairs


def _pairs(sweep: Sweep) -> list[dict[str, Choice]]:
    from allpairspy import AllPairs

    keys = list(sweep.vary)

    def legal(row: Sequence[Choice]) -> bool:
        return sweep.is_legal(dict(zip(keys, row, strict=False)))

    rows = [
        dict(zip(keys, row, strict=True))
        for row in AllPairs([list(sweep.vary[key]) for key in keys], filter_func=legal)
    ]
    # The library drops a pair when it runs into a dead end; such pairs get rows of their own, as many in
    # a row as go together.
    dropped = sorted(legal_pairs(sweep) - {pair for row in rows for pair in _pairs_of(row)})
    while dropped:
        row: dict[str, Choice] = {}
        whole: dict[str, Choice] = {}
        for pair in dropped:
            wanted = {**row, **{key: _choice(sweep, key, label) for key, label in pair}}
            if all(wanted[key] == choice for key, choice in row.items()):
                found = _complete(sweep, wanted)
                if found is not None:
                    row, whole = wanted, found
        assert whole, f"{dropped[0]} is no legal pair"
        rows.append(whole)
        held = set(_pairs_of(whole))
        dropped = [pair for pair in dropped if pair not in held]
    return rows


def _choice(sweep: Sweep, key: str, label: str) -> Choice:
    return next(choice for choice in sweep.vary[key] if choice.label == label)


def _pairs_of(row: Mapping[str, Choice]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for (left, one), (right, other) in itertools.combinations(row.items(), 2):
        yield (left, one.label), (right, other.label)


def _complete(sweep: Sweep, wanted: Mapping[str, Choice]) -> dict[str, Choice] | None:
    """A whole legal combination that holds the choices wanted, or None."""
    if not sweep.is_legal(wanted):
        return None
    for key, choices in sweep.vary.items():
        if key not in wanted:
            for choice in choices:
                found = _complete(sweep, {**wanted, key: choice})
                if found is not None:
                    return found
            return None
    return {key: wanted[key] for key in sweep.vary}
