"""Variant files: strict reading, overrides, the canonical policy set, digests and the generated header."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hakmem import build, spec, toolchain
from hakmem.errors import SpecError

HEAD = 'name = "x"\nwhy = "a test"\n'
TOOLS = toolchain.Toolchain(Path("c++"), "gcc 12", "-O2", "abc")


def parse(text: str) -> spec.Variant:
    return spec.parse(HEAD + text, "x.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('frnt = "sll"', "x.toml: frnt: expected one of name, why, front, classes"),
        ("", "x.toml: front: expected one of sll, ultra_sll"),
        ('front = "sllx"', "front: expected one of sll, ultra_sll, sfc, hot_mag, magazine, unified, sharded"),
        ("front = 3", "front: expected one of"),
        ("front = {cap = 3}", "front.kind: expected one of"),
        ('front = {kind = "sll", cap = 5}', "front.cap: expected an integer 16..4096, got 5"),
        ('front = {kind = "sll", cap = true}', "front.cap: expected an integer 16..4096, got true"),
        ('front = {kind = "sll", cap = "64"}', 'front.cap: expected an integer 16..4096, got "64"'),
        (
            'front = {kind = "sll", slots = 64}',
            "front.slots: expected an option of sll (cap, refill), got an unknown key",
        ),
        ('front = {kind = "bypass", cap = 64}', "front.cap: expected an option of bypass (it has none)"),
        ('front = {kind = "unified", capacity = [1, 2]}', "front.capacity: expected 8 integers 2..4096"),
        ('front = {kind = "unified", refill = 65}', "front.refill: expected an integer 1..64, got 65"),
        ('front = {kind = "split", low = "sll"}', "front.high: expected a front: one of"),
        (
            'front = {kind = "split", low = "sll", high = {kind = "sfc", cap = 512}}',
            "front.high.cap: expected",
        ),
        ('front = {kind = "split", low = "split", high = "sll"}', "front.low: expected one of sll"),
        (
            'front = {kind = "split", at = 4, low = "hot_mag", high = "sll"}',
            "front.low.classes: expected at least 4",
        ),
        (
            'front = {kind = "split", low = "sll", high = "hot_mag"}',
            "front.high: expected a front that covers",
        ),
        (
            'front = {kind = "stack", first = "sll", second = "hot_mag"}',
            "front.second: expected a front that",
        ),
        (
            'front = {kind = "sll", cap = 32}',
            "front.refill: expected an integer 1..256, at most cap = 32, got 64",
        ),
        (
            'front = {kind = "magazine", slots = 16}',
            "front.refill: expected an integer 1..256, at most slots = 16",
        ),
        ('front = {kind="split",at=8,low="sll",high="sll"}\nclasses="pow2"', "front.at: expected less than"),
        ('front = "hot_mag"', "front.kind: expected hot_mag under split or stack"),
        ('front = "sharded"', "adopt has no owners"),
        ('front = "sharded"\nremote = "none"\nstore = "bitmap"', "a bitmap has none"),
        ('front = "ultra_sll"', "an uncounted list cannot bound blocks"),
        ('front = {kind = "split", low = "ultra_sll", high = "sll"}', "an uncounted list cannot bound"),
        ('front = "sll"\nback = "direct"', "nothing to cache"),
        ('front = "bypass"\nback = "direct"\nremote = "none"', "no heap owns it"),
        ('front = "bypass"\nback = "direct"\nowner = "header"', "no class to write"),
        ('front = "sll"\nremote = "none"\nthread = "pthread_key"', "one heap for all threads"),
        ('front = "sll"\npages = {kind = "mmap", superslab_kib = 128}', "at least eight blocks"),
        ('front = "sll"\npages = {kind = "mmap", superslab_kib = 96}', "64..4096, a power of two, got 96"),
        (
            'front = "sll"\npages = {kind = "mmap", purge = "now"}',
            'expected one of "never", "decay", "eager"',
        ),
        ('front = "sll"\nclasses = {kind = "linear16", largest = 300}', "a multiple of 256, got 300"),
        ('front = "sll"\nclasses = {kind = "pow2", smallest = 32}', "expected 8 or 16, got 32"),
        ('front = "sll"\nclasses = {kind = "fitted", sizes = []}', "1..128 ascending integers 16..262144"),
        ('front = "sll"\nclasses = {kind = "fitted", sizes = [32, 16]}', "ascending integers"),
        ('front = "sll"\nclasses = {kind = "fitted", sizes = [16, 24]}', "multiples of 16, got [16, 24]"),
        ('front = "sll"\nclasses = {kind = "fitted", sizes = [16, 262144]}', "at least eight blocks"),
        ('front = "sll"\nguard = "armoured"', "guard: expected one of none, checks, hardened"),
        ("front = ", "x.toml: syntax: expected TOML, got"),
    ],
)
def test_a_wrong_file_is_one_line_with_file_key_and_expectation(text: str, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    message = str(caught.value)
    assert line in message
    assert message.startswith("x.toml: ")
    assert ": expected " in message
    assert ", got " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('why = "w"\nfront = "sll"', "name"),
        ('name = "x"\nfront = "sll"', "why"),
        ('name = "X"\nwhy = "w"\nfront = "sll"', "name"),
        ('name = "core"\nwhy = "w"\nfront = "sll"', "name"),
        ('name = "malloc_x"\nwhy = "w"\nfront = "sll"', "name"),
        ('name = "x"\nwhy = ""\nfront = "sll"', "why"),
        ('name = "x"\nwhy = 3\nfront = "sll"', "why"),
    ],
)
def test_name_and_why_are_required_and_checked(text: str, key: str) -> None:
    with pytest.raises(SpecError, match=rf"^f\.toml: {key}: expected "):
        spec.parse(text, "f.toml")


def test_a_files_name_must_be_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "y.toml"
    path.write_text(HEAD + 'front = "sll"')
    with pytest.raises(SpecError, match='name: expected "y", the stem'):
        spec.load_variant(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="expected a readable TOML file, got no such file"):
        spec.load_variant(tmp_path / "none.toml")


def test_options_have_their_defaults() -> None:
    policies = parse('front = "unified"').policies
    assert policies["front"]["capacity"] == (128, 128, 96, 64, 48, 32, 24, 16)
    assert policies["front"]["refill"] == 32
    assert policies["front"]["growth_kib"] == 512
    kinds = [policy.kind for _, policy in policies]
    expected = "unified geometric4 freelist page_tag adopt mmap tls_pointer none none superslab"
    assert kinds == expected.split()


def test_the_policy_set_is_canonical() -> None:
    one = parse('owner = "mask"\nfront = {refill = 16, kind = "sll", cap = 32}')
    other = parse(
        'front = {kind = "sll", cap = 32, refill = 16}\nowner = {kind = "mask"}\nstore = "freelist"'
    )
    text = spec.policy_set_json(one)
    assert text == spec.policy_set_json(other)
    assert " " not in text
    assert text.startswith('{"front":{"kind":"sll","cap":32,"refill":16},"classes":{"kind":"geometric4"')
    assert json.loads(text) == one.policies.as_json()


def test_toggling_one_axis_changes_no_other() -> None:
    base = parse('front = "unified"')
    for override in (
        "owner=mask",
        "store=bitmap",
        "remote=none",
        "pages=mmap_thp",
        "guard=checks",
        "probe=route",
    ):
        changed = spec.resolve(base, [override]).policies.as_mapping()
        differing = [axis for axis, policy in base.policies if changed[axis] != policy]
        assert differing == [override.partition("=")[0]]


def test_the_digest_covers_policies_sources_compiler_and_flags() -> None:
    variant = parse('front = "sll"')
    variants = [variant, spec.resolve(variant, ["front.cap=512"])]
    tools = [
        TOOLS,
        toolchain.Toolchain(Path("c++"), "gcc 13", "-O2", "abc"),
        toolchain.Toolchain(Path("c++"), "gcc 12", "-O3", "abc"),
        toolchain.Toolchain(Path("c++"), "gcc 12", "-O2", "abd"),
    ]
    digests = {spec.digest(item, tool) for item in variants for tool in tools}
    assert len(digests) == 8
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
    elsewhere = toolchain.Toolchain(Path("/opt/c++"), "gcc 12", "-O2", "abc")
    assert spec.digest(variant, TOOLS) == spec.digest(variant, elsewhere)


def test_overrides() -> None:
    base = parse('front = {kind = "split", low = "hot_mag", high = "unified"}')
    changed = spec.resolve(base, ["owner=mask", "front.low.slots=64", "front.high=sll", "front.high.cap=128"])
    front = changed.policies["front"]
    assert front.inner("low")["slots"] == 64
    assert front.inner("high").kind == "sll"
    assert front.inner("high")["cap"] == 128
    assert changed.policies["owner"].kind == "mask"
    assert spec.NAME_PATTERN.fullmatch(changed.name)
    assert changed.name.startswith("x__owner_mask__front_low_slots_64")
    other = spec.resolve(base, ["front=sfc"])
    assert other.policies["front"].kind == "sfc"
    assert (
        spec.resolve(parse('front = "unified"'), ["front.capacity=[8,8,8,8,8,8,8,8]"]).policies["front"][
            "capacity"
        ]
        == (8,) * 8
    )
    assert spec.resolve(base, []) is base


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("owner", "owner: expected axis=value"),
        ("ownr=mask", "ownr: expected one of front"),
        ("owner=msk", 'owner: expected one of page_tag, mask, registry, header, got "msk"'),
        ("front.capp=3", "front.capp: expected an option of sll"),
        ("front.cap.x=3", "front.cap.x: expected axis=value or axis.option=value"),
        ("front.low.cap=3", "front.low.cap: expected an option of sll"),
        ("front.cap=many", "front.cap: expected an integer"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.resolve(parse('front = "sll"'), [override])
    assert str(caught.value).startswith("--set: ")
    assert line in str(caught.value)


def test_a_variant_written_out_reads_back_the_same() -> None:
    for variant in build.kept_variants():
        again = spec.parse(spec.toml_text(variant), variant.name)
        assert (again.name, again.why, again.policies) == (variant.name, variant.why, variant.policies)


def test_the_header_names_each_policy_once() -> None:
    variant = parse(
        'front = {kind = "split", at = 2, low = "hot_mag", high = "unified"}\n'
        'remote = "return_home"\npages = {kind = "mmap_thp", purge = "eager"}'
    )
    text = spec.header_text(variant, "0123456789abcdef")
    assert 'kName[] = "x";' in text
    assert 'kDigest[] = "0123456789abcdef";' in text
    assert f'R"json({spec.policy_set_json(variant)})json"' in text
    assert (
        "using Front = front::Split<front::SplitOptions{.at = 2}, "
        "front::HotMag<front::HotMagOptions{.slots = 128, .classes = 3, .refill = 32}>, "
        "front::Unified<front::UnifiedOptions{.capacity = {128, 128, 96, 64, 48, 32, 24, 16}, .refill = 32, "
        ".growth_kib = 512}>>;"
    ) in text
    assert "using Store = slab::Freelist;" in text
    assert "using Remote = remote::ReturnHome<remote::ReturnHomeOptions{.batch = 32}>;" in text
    assert "using Pages = pages::MmapThp<pages::MmapThpOptions{.superslab_kib = 1024, " in text
    assert ".purge = pages::Purge::kEager, .decay_ms = 1000" in text
    assert (
        "using Back = back::SuperSlab<back::SuperSlabOptions"
        "{.run_cache_kib = 16384, .realloc_room_percent = 50, .refill_hint = back::RefillHint::kNear}>;"
    ) in text
    for include in ("front/split", "front/hot_mag", "front/unified", "slab/freelist", "pages/mmap_thp"):
        assert f"#include <hakmem/{include}.hpp>\n" in text
    assert "front/sll" not in text


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hakmem.spec", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(spec.__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_for_cmake(tmp_path: Path) -> None:
    source, output = tmp_path / "x.toml", tmp_path / "out" / "hakmem_variant.hpp"
    source.write_text(HEAD + 'front = "sll"')
    answer = _run("header", str(source), "-o", str(output), "--digest", "0123456789abcdef")
    assert answer.returncode == 0, answer.stderr
    assert output.read_text() == spec.header_text(spec.load_variant(source), "0123456789abcdef")
    source.write_text(HEAD + 'front = "sll"\nowner = 3')
    answer = _run("header", str(source), "-o", str(output))
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith(f"error: {source}: owner: expected ")


def test_the_command_for_cmake_needs_only_the_standard_library() -> None:
    # -S -E: no site-packages, so any import beyond the standard library fails. Python 3.10 needs tomli.
    package = Path(spec.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(package)!r}); import hakmem.spec, hakmem.axes"
    command = [sys.executable, "-S", "-E", "-c", code]
    if sys.version_info >= (3, 11):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


def test_every_kept_variant_has_a_sentence_of_its_own() -> None:
    kept = build.kept_variants()
    sentences = [variant.why for variant in kept]
    assert len(set(sentences)) == len(kept)
    assert all(len(sentence.split()) >= 8 and sentence[-1] in ".?" for sentence in sentences)
    policies = [spec.policy_set_json(variant) for variant in kept]
    assert len(set(policies)) == len(kept)


def test_the_named_fronts_owners_and_historical_paths_are_kept() -> None:
    kept = {variant.name: variant.policies for variant in build.kept_variants()}
    for front in ("sll", "ultra_sll", "sfc", "magazine", "unified", "sharded", "bypass", "split", "stack"):
        assert kept[front]["front"].kind == front
    for owner in ("page_tag", "mask", "registry", "header"):
        name = "unified" if owner == "page_tag" else f"unified_{owner}"
        assert kept[name]["front"].kind == "unified"
        assert kept[name]["owner"].kind == owner
    historical = "minimal_front ultra_simple metadata bench_fastpath bench_sll_only ultra_front diet"
    assert set(historical.split()) <= set(kept)
    for name in ("hot_mag", "hot_mag_over_sll", "sll_over_hot_mag"):
        assert any(policy.kind == "hot_mag" for policy in kept[name]["front"].walk())
