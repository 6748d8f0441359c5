"""Sweeps: expansion, names, refusals, and that the covering sweep covers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hakmem import axes, spec, sweeps
from hakmem.axes import AXES
from hakmem.errors import HakmemError, SpecError

HEAD = 'name = "s"\nquestion = "q?"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sweeps.sweep_names())
def test_every_sweep_expands_to_legal_variants_with_names_of_their_own(name: str) -> None:
    variants = sweeps.expand(name)
    assert len({item.name for item in variants}) == len(variants)
    assert len({spec.policy_set_json(item) for item in variants}) == len(variants)
    for item in variants:
        assert spec.NAME_PATTERN.fullmatch(item.name)
        assert item.name.count("__") == next(iter(variants)).name.count("__")
        again = spec.parse(spec.toml_text(item), item.name)
        assert again.policies == item.policies


def test_full_holds_every_legal_combination_of_its_axes() -> None:
    variants = {item.name: item for item in sweeps.expand("full")}
    assert 180 <= len(variants) <= 240
    assert "unified__mask__bitmap__return_home" in variants
    held = variants["unified__mask__bitmap__return_home"].policies
    assert [held[axis].kind for axis in ("front", "owner", "store", "remote")] == [
        "unified",
        "mask",
        "bitmap",
        "return_home",
    ]
    for kind in axes.AXIS["front"].kinds:
        if not kind.combines:
            assert any(
                part.kind == kind.name for item in variants.values() for part in item.policies["front"].walk()
            )


def _kinds(policies: dict[str, axes.Policy]) -> set[tuple[str, str]]:
    return {(axis, policy.kind) for axis, policy in policies.items()}


def _legal(*chosen: tuple[str, str]) -> bool:
    """Whether some variant holds these kinds, found by trying every kind of the axes that rules speak of."""
    fixed = dict(chosen)
    split = {"kind": "split", "low": "sll", "high": "sll"}
    stack = {"kind": "stack", "first": "sll", "second": "sll"}
    free = ("front", "owner", "remote", "store", "thread", "back", "classes")
    for row in itertools.product(*[[fixed[axis]] if axis in fixed else _defaults(axis) for axis in free]):
        table: dict[str, object] = {**fixed, **dict(zip(free, row, strict=True))}
        table["front"] = {"split": split, "stack": stack}.get(str(table["front"]), table["front"])
        try:
            spec.read_policies(table, "x")
        except SpecError:
            continue
        return True
    return False


def _defaults(axis: str) -> list[str]:
    rest = {"front": ["unified", "bypass"], "remote": ["adopt", "return_home"]}
    return rest.get(axis, [str(axes.AXIS[axis].default)])


def test_covering_holds_every_legal_pair_of_kinds_of_two_axes() -> None:
    variants = sweeps.covering()
    held: set[tuple[tuple[str, str], ...]] = set()
    for item in variants:
        held.update(itertools.permutations(_kinds(item.policies.as_mapping()), 2))
    missing = [
        ((left.name, one.name), (right.name, other.name))
        for left, right in itertools.combinations(AXES, 2)
        for one, other in itertools.product(left.outer_kinds, right.outer_kinds)
        if ((left.name, one.name), (right.name, other.name)) not in held
        and _legal((left.name, one.name), (right.name, other.name))
    ]
    assert not missing
    assert len(variants) <= 60


def test_covering_holds_every_legal_pair_of_its_own_values() -> None:
    sweep = sweeps.read_sweep(sweeps.sweep_path("covering"))
    names = {tuple(item.name.split("__")) for item in sweeps.covering()}
    keys = list(sweep.vary)
    for (left, one), (right, other) in sweeps.legal_pairs(sweep):
        first, second = keys.index(left), keys.index(right)
        assert any(name[first] == one and name[second] == other for name in names)


def test_product_leaves_illegal_combinations_out(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + '[vary]\nfront = ["sll", "sharded"]\nremote = ["adopt", "none"]')
    assert [item.name for item in sweeps.expand(path)] == ["sll__adopt", "sll__none", "sharded__none"]


def test_an_option_can_be_varied_alone_and_with_its_axis(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        HEAD + '[base]\nfront = "sll"\n[vary]\npages = ["mmap", "mmap_thp"]\n"front.cap" = [64, 128]',
    )
    variants = sweeps.expand(path)
    assert [item.name for item in variants] == [
        "mmap__cap_64",
        "mmap__cap_128",
        "mmap_thp__cap_64",
        "mmap_thp__cap_128",
    ]
    assert [item.policies["front"]["cap"] for item in variants] == [64, 128, 64, 128]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('name = "s"\n[vary]\nfront = ["sll"]', "question: expected the question"),
        ('name = "t"\nquestion = "q"\n[vary]\nfront = ["sll"]', 'name: expected "s"'),
        (HEAD + "[vary]", "vary: expected a table"),
        (HEAD + 'vry = 3\n[vary]\nfront = ["sll"]', "vry: expected one of name"),
        (HEAD + 'combine = "all"\n[vary]\nfront = ["sll"]', "combine: expected product or pairs"),
        (HEAD + '[vary]\nfrnt = ["sll"]', "vary.frnt: expected axis or axis.option"),
        (HEAD + '[vary]\nfront = "sll"', "vary.front: expected a list"),
        (HEAD + '[vary]\nfront = ["sllx"]', "vary.front[0]: expected one of"),
        (HEAD + '[vary]\nfront = ["sll", {kind = "sll", cap = 64}]', "values with labels of their own"),
        (HEAD + '[vary]\nowner = ["mask"]', "base.front: expected a value here or in vary"),
        (HEAD + '[base]\nfrnt = "sll"\n[vary]\nowner = ["mask"]', "base.frnt: expected one of front"),
        (HEAD + '[base]\nfront = "sll"\n[vary]\n"front.cap" = [1]', "expected an integer 16..4096, got 1"),
        (HEAD + '[vary]\nfront = ["sharded"]', "vary: expected at least one legal combination"),
        (HEAD + '[vary]\nfront = [{label = "A", value = "sll"}]', "vary.front[0].label: expected lower-case"),
        (HEAD + '[vary]\nfront = [{label = "a", valu = "sll"}]', "vary.front[0]: expected label and value"),
    ],
)
def test_a_wrong_sweep_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        sweeps.expand(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_sweep_is_one_line() -> None:
    with pytest.raises(HakmemError, match="sweep 'ful' is not known; did you mean full"):
        sweeps.expand("ful")
