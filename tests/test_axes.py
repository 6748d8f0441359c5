"""The table of axes: complete, consistent with itself, with the C++ headers and with the generated page."""

from __future__ import annotations

import re

import pytest

from hakmem import axes, build, sources, spec
from hakmem.axes import AXES, AXIS, Axis, Kind, Option

KINDS = [pytest.param(axis, kind, id=f"{axis.name}-{kind.name}") for axis in AXES for kind in axis.kinds]
OPTIONS = [
    pytest.param(axis, kind, option, id=f"{axis.name}-{kind.name}-{option.name}")
    for axis in AXES
    for kind in axis.kinds
    for option in kind.options
]


def test_every_axis_has_a_legal_default_but_the_front() -> None:
    assert [axis.name for axis in AXES if axis.default is None] == ["front"]
    for axis in AXES:
        assert axis.default is None or axis.kind(axis.default) is not None


@pytest.mark.parametrize(("axis", "kind", "option"), OPTIONS)
def test_every_option_accepts_its_default_and_refuses_what_is_beyond(
    axis: Axis, kind: Kind, option: Option
) -> None:
    assert option.meaning
    assert option.expected
    if option.type == "policy":
        assert set(option.choices) <= {other.name for other in axis.kinds}
        return
    assert option.accepts(option.default)
    wrong: list[object] = ["nonsense", None, 1.5, {}, []]
    if option.type == "int":
        wrong += [option.low - 1, option.high + 1, True]
        assert option.accepts(option.low)
        assert option.accepts(option.high)
    for value in wrong:
        assert not option.accepts(value)


@pytest.mark.parametrize(("axis", "kind"), KINDS)
def test_every_kind_has_its_header_with_that_type_and_those_options(axis: Axis, kind: Kind) -> None:
    path = sources.root() / "cpp" / "hakmem" / axis.folder / kind.header
    assert path.is_file(), f"{kind.name} is in the table but {path} does not exist"
    text = path.read_text()
    for include in re.findall(r'#include [<"](hakmem/[\w/]+\.hpp)[>"]', text):
        text += (sources.root() / "cpp" / include).read_text()
    assert re.search(rf"\b(struct|class|using) {kind.tag}\b", text), f"{path} does not define {kind.tag}"
    plain = [option for option in kind.options if option.type != "policy"]
    if plain:
        name = f"{kind.tag}Options"
        body = re.search(rf"struct {name} \{{(.*?)\n\}};", text, re.DOTALL)
        assert body, f"{path} does not define {name}"
        members = re.findall(r"^  [\w:<>, ]+?[ >](\w+)(?:\[\d+\])?(?: =|;|\{)", body[1], re.MULTILINE)
        assert members == [option.name for option in plain]


@pytest.mark.parametrize("pair", axes.ILLEGAL_PAIRS, ids=lambda pair: f"{pair.left}-{pair.right}"[:40])
def test_every_illegal_pair_names_axes_and_reason(pair: axes.IllegalPair) -> None:
    assert set(pair.axes) <= set(AXIS)
    assert len(pair.reason.split()) >= 5


def test_class_counts_match_the_maps() -> None:
    def count(text: str) -> int:
        return axes.class_count(spec.parse(f'name="x"\nwhy="w"\nfront="sll"\n{text}').policies["classes"])

    assert count('classes = "pow2"') == 7
    assert count('classes = {kind = "pow2", smallest = 8}') == 8
    assert count('classes = "linear16"') == 64
    # 16, 32, 48, 64, then four per doubling up to the largest
    assert count('classes = {kind = "geometric4", largest = 1024}') == 4 + 4 * 4
    assert count('classes = "geometric4"') == 4 + 4 * 9


def test_the_axes_page_is_fresh() -> None:
    page = sources.root() / "docs" / "axes.md"
    assert page.read_text() == axes.axes_markdown(), "run: python -m hakmem.axes > docs/axes.md"


def test_every_kind_is_used_by_a_kept_variant() -> None:
    used = {
        (axis, part.kind)
        for item in build.kept_variants()
        for axis, policy in item.policies
        for part in policy.walk()
    }
    assert {(axis.name, kind.name) for axis in AXES for kind in axis.kinds} <= used
