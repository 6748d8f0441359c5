"""Variant files: strict reading, the canonical policy set, its digest, and the generated C++ header.

``python -m hakmem.spec header FILE -o OUT`` is what CMake calls, so this module and those it imports need
nothing beyond the standard library (and tomli on Python 3.10).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

from . import axes, toolchain
from .axes import AXES, AXIS, Axis, Kind, Option, Policy, Value
from .errors import HakmemError, SpecError
from .toolchain import Toolchain

DEFAULT_VARIANT = "magazine"
"""The variant that is meant where none is named."""

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
_OVERRIDE = "--set"


@dataclass(frozen=True)
class PolicySet:
    """One policy per axis, in the order of `hakmem.axes.AXES`, every option resolved."""

    policies: tuple[tuple[str, Policy], ...]

    def __getitem__(self, axis: str) -> Policy:
        return self.as_mapping()[axis]

    def __iter__(self) -> Iterator[tuple[str, Policy]]:
        return iter(self.policies)

    def as_mapping(self) -> dict[str, Policy]:
        """Axis to policy, in the order of the axes."""
        return dict(self.policies)

    def as_json(self) -> dict[str, Any]:
        """The policy set as JSON values: axis to an object of ``kind`` and the options, sorted by name."""
        return {axis: _json_of(policy) for axis, policy in self.policies}


@dataclass(frozen=True)
class Variant:
    """A named policy set and the sentence that says why it exists. ``path`` is its file, if it has one."""

    name: str
    why: str
    policies: PolicySet
    path: Path | None = None

    @property
    def interposable(self) -> bool:
        """Whether a malloc library can be made of it: every block must be aligned to 16 bytes."""
        classes = self.policies["classes"]
        return classes.kind != "pow2" or classes.integer("smallest") == 16


# ----------------------------------------------------------------------------------------------------
# Reading


def _got(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "a table"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; a file that cannot be read or parsed is one `SpecError`."""
    try:
        return toml_of(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise SpecError(str(path), "file", "a readable TOML file", "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), "file", "a readable TOML file", str(error).replace("\n", " ")) from error


def toml_of(text: str, file: str) -> dict[str, Any]:
    """TOML text as a dict; ``file`` names it in errors."""
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(file, "syntax", "TOML", str(error).replace("\n", " ")) from error


def read_policy(axis: Axis, value: object, file: str, key: str, inner_of: Option | None = None) -> Policy:
    """One axis value (a kind, or a table of kind and options) with every option resolved.

    ``inner_of`` is the combinator's option that holds it, if any: that limits the kinds.
    """
    names = inner_of.choices if inner_of else tuple(kind.name for kind in axis.kinds)
    expected = "one of " + ", ".join(names)
    if isinstance(value, str):
        kind_name, table = value, {}
    elif isinstance(value, Mapping):
        table = {str(name): item for name, item in value.items()}
        kind_name = table.pop("kind", None)
        if kind_name is None:
            raise SpecError(file, f"{key}.kind", expected, "no such key")
        if not isinstance(kind_name, str):
            raise SpecError(file, f"{key}.kind", expected, _got(kind_name))
        key_of_kind = f"{key}.kind"
    else:
        raise SpecError(file, key, f"{expected}, or a table with kind and options", _got(value))
    kind = axis.kind(kind_name)
    if kind is None or kind_name not in names:
        raise SpecError(file, key if isinstance(value, str) else key_of_kind, expected, _got(kind_name))
    for name in table:
        if kind.option(name) is None:
            options = ", ".join(option.name for option in kind.options)
            raise SpecError(
                file,
                f"{key}.{name}",
                f"an option of {kind.name} ({options or 'it has none'})",
                "an unknown key",
            )
    resolved = sorted(
        (option.name, _read_option(axis, option, table, file, f"{key}.{option.name}"))
        for option in kind.options
    )
    policy = Policy(kind.name, tuple(resolved))
    for option in kind.options:
        if option.at_most and policy.integer(option.name) > policy.integer(option.at_most):
            bound = f"{option.expected} = {policy[option.at_most]}"
            raise SpecError(file, f"{key}.{option.name}", bound, _got(policy[option.name]))
    return policy


def _read_option(axis: Axis, option: Option, table: Mapping[str, object], file: str, key: str) -> Value:
    value = table.get(option.name, option.default)
    if value is None:
        raise SpecError(file, key, option.expected, "no such key")
    if option.type == "policy":
        return read_policy(axis, value, file, key, inner_of=option)
    if not option.accepts(value):
        raise SpecError(file, key, option.expected, _got(value))
    return tuple(value) if isinstance(value, (list, tuple)) else value  # type: ignore[return-value]


def read_policies(table: Mapping[str, object], file: str) -> PolicySet:
    """The policy set of a table of axis values: defaults filled in, illegal pairs refused."""
    chosen: dict[str, Policy] = {}
    for axis in AXES:
        value = table.get(axis.name, axis.default)
        if value is None:
            raise SpecError(
                file, axis.name, "one of " + ", ".join(kind.name for kind in axis.outer_kinds), "no such key"
            )
        chosen[axis.name] = read_policy(axis, value, file, axis.name)
    problem = axes.front_problem(chosen["front"], chosen["classes"])
    if problem:
        raise SpecError(file, f"front.{problem[0]}", problem[1], problem[2])
    pair = axes.illegal_pair(chosen)
    if pair:
        first, second = pair.axes
        raise SpecError(
            file,
            first,
            f"a legal combination with {second} ({pair.reason})",
            f"{first} = {chosen[first].label} with {second} = {_pair_side(chosen[second])}",
        )
    return PolicySet(tuple(chosen.items()))


def _pair_side(policy: Policy) -> str:
    if policy.kind in ("mmap", "mmap_thp"):
        return f"{policy.kind}, superslab_kib = {policy['superslab_kib']}"
    return policy.label


def check_name(name: object, file: str, key: str = "name") -> str:
    """A variant's name, or one `SpecError`."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise SpecError(file, key, "lower-case letters, digits and _ beginning with a letter", _got(name))
    if name == "core" or name.startswith("malloc_"):  # hakmem::core, hakmem::malloc_<variant>
        raise SpecError(file, key, "neither core nor malloc_..., which name other CMake targets", _got(name))
    return name


def parse(text: str, file: str = "<text>", path: Path | None = None) -> Variant:
    """The variant that TOML text describes; ``file`` names it in errors."""
    return from_table(toml_of(text, file), file, path)


def from_table(table: Mapping[str, object], file: str, path: Path | None = None) -> Variant:
    """The variant that a parsed variant file describes."""
    known = ["name", "why", *AXIS]
    for key in table:
        if key not in known:
            raise SpecError(file, key, "one of " + ", ".join(known), "an unknown key")
    for key in ("name", "why"):
        if key not in table:
            raise SpecError(file, key, "a string", "no such key")
    name = check_name(table["name"], file)
    why = table["why"]
    if not isinstance(why, str) or not why.strip() or "\n" in why:
        raise SpecError(file, "why", "one sentence on one line", _got(why))
    return Variant(name, why.strip(), read_policies(table, file), path)


def load_variant(path: Path) -> Variant:
    """Read one variant file; its ``name`` must be the file's stem."""
    variant = parse_file(path)
    if variant.name != path.stem:
        raise SpecError(str(path), "name", f'"{path.stem}", the stem of the file', _got(variant.name))
    return variant


def parse_file(path: Path) -> Variant:
    """Read one variant file, whatever its stem."""
    return from_table(read_toml(path), str(path), path)


# ----------------------------------------------------------------------------------------------------
# Overrides


def resolve(variant: Variant, overrides: Sequence[str]) -> Variant:
    """The variant with overrides applied: ``axis=value``, ``axis.option=value``, ``front.low.option=value``.

    A value is TOML where it parses as such, else a string. Choosing another kind drops the options of the
    old one. The result is named after the variant and the overrides.
    """
    if not overrides:
        return variant
    table: dict[str, Any] = {axis: _json_of(policy) for axis, policy in variant.policies}
    labels = []
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SpecError(_OVERRIDE, override, "axis=value or axis.option=value", "no value")
        _apply(table, key, _override_value(text.strip()))
        labels.append(re.sub(r"[^a-z0-9]+", "_", f"{key}_{text}".lower()).strip("_"))
    name = "__".join([variant.name, *labels])
    if len(name) > 100:
        name = f"{variant.name}__{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return Variant(name, f"{variant.name} with {', '.join(overrides)}", read_policies(table, _OVERRIDE))


def _override_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _apply(table: dict[str, Any], key: str, value: object) -> None:
    axis, *steps = key.split(".")
    if axis not in AXIS:
        raise SpecError(_OVERRIDE, axis, "one of " + ", ".join(AXIS), "an unknown key")
    place, last = table, axis
    for step in steps:
        inner = place[last]
        if isinstance(inner, str):
            inner = place[last] = {"kind": inner}
        if not isinstance(inner, dict):
            raise SpecError(_OVERRIDE, key, "axis=value or axis.option=value", "an option of an option")
        place, last = inner, step
        if last not in place and step is not steps[-1]:
            raise SpecError(_OVERRIDE, key, f"an option of {place['kind']}", "an unknown key")
    if last == "kind":
        place.clear()
    place[last] = value


# ----------------------------------------------------------------------------------------------------
# Writing


def _json_of(policy: Policy) -> dict[str, Any]:
    return {"kind": policy.kind, **{name: _json_value(value) for name, value in policy.options}}


def _json_value(value: Value) -> object:
    if isinstance(value, Policy):
        return _json_of(value)
    return list(value) if isinstance(value, tuple) else value


def policy_set_json(variant: Variant) -> str:
    """The canonical policy set: JSON, axes in their order, options sorted by name, no spaces."""
    return json.dumps(variant.policies.as_json(), separators=(",", ":"))


def digest(variant: Variant, tools: Toolchain) -> str:
    """16 hex digits over policy set, sources, compiler and flags: equal digest, equal allocator."""
    text = "\n".join([policy_set_json(variant), tools.sources, tools.compiler_id, tools.flags])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml_value(item)}" for name, item in value.items()) + "}"
    return str(value)


def toml_text(variant: Variant) -> str:
    """The variant as a file that `parse` reads back to the same variant, every option written out."""
    lines = [f"name = {_toml_value(variant.name)}", f"why = {_toml_value(variant.why)}"]
    for axis, policy in variant.policies:
        lines.append(f"{axis} = {_toml_value(_json_of(policy) if policy.options else policy.kind)}")
    return "\n".join(lines) + "\n"


def short_policies(variant: Variant) -> str:
    """What a variant sets beyond the defaults, on one line: for tables."""
    parts = []
    for axis, policy in variant.policies:
        kind = _kind(AXIS[axis], policy)
        default = {option.name: option.default for option in kind.options}
        changed = [
            f"{name}={_toml_value(v)}"
            for name, v in policy.options
            if not isinstance(v, Policy) and v != default[name]
        ]
        if axis == "front" or policy.kind != AXIS[axis].default or changed:
            text = policy.label if axis == "front" else f"{axis}={policy.kind}"
            parts.append(text + (f"({', '.join(changed)})" if changed else ""))
    return " ".join(parts)


def _kind(axis: Axis, policy: Policy) -> Kind:
    kind = axis.kind(policy.kind)
    if kind is None:
        raise KeyError(f"{axis.name} has no kind {policy.kind}")
    return kind


def _cpp_value(axis: Axis, option: Option, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "{" + ", ".join(str(item) for item in value) + "}"
    if option.type == "choice":
        member = "".join(part.capitalize() for part in str(value).split("_"))
        return f"{axis.folder}::{option.choice_type}::k{member}"
    return str(value)


def _cpp_type(axis: Axis, policy: Policy) -> str:
    kind = _kind(axis, policy)
    if not kind.options:
        return f"{axis.folder}::{kind.tag}"
    plain = [option for option in kind.options if option.type != "policy"]
    members = ", ".join(
        f".{option.name} = {_cpp_value(axis, option, policy[option.name])}" for option in plain
    )
    arguments = [f"{axis.folder}::{kind.tag}Options{{{members}}}"]
    arguments += [
        _cpp_type(axis, policy.inner(option.name)) for option in kind.options if option.type == "policy"
    ]
    return f"{axis.folder}::{kind.tag}<{', '.join(arguments)}>"


def header_text(variant: Variant, variant_digest: str) -> str:
    """The text of ``hakmem_variant.hpp``: the policies named, name, digest and policy set as constants."""
    includes = {
        f"#include <hakmem/{AXIS[axis].folder}/{_kind(AXIS[axis], inner).header}>"
        for axis, policy in variant.policies
        for inner in policy.walk()
    }
    lines = [
        f"// Variant {variant.name}: written by `python -m hakmem.spec header`. Do not edit.",
        "#pragma once",
        *sorted(includes),
        "",
        "namespace hakmem {",
        "struct Variant {",
        f'  static constexpr char kName[] = "{variant.name}";',
        f'  static constexpr char kDigest[] = "{variant_digest}";',
        f'  static constexpr char kPolicySet[] = R"json({policy_set_json(variant)})json";',
    ]
    lines += [
        f"  using {AXIS[axis].member} = {_cpp_type(AXIS[axis], policy)};" for axis, policy in variant.policies
    ]
    return "\n".join([*lines, "};", "}  // namespace hakmem", ""])


def write_if_changed(path: Path, text: str) -> None:
    """Write a file only when its content differs, so that nothing is rebuilt for an equal header."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_record(
    variant: Variant, variant_digest: str, tools: Toolchain, folder: Path, code: str | None = None
) -> None:
    """Write ``variant.toml`` and ``policy.json`` of a built variant into its folder."""
    record = {
        "name": variant.name,
        "digest": variant_digest,
        "policy_set": variant.policies.as_json(),
        "code": code,
        "compiler": tools.compiler_id,
        "flags": tools.flags,
        "sources": tools.sources,
    }
    (folder / "variant.toml").write_text(toml_text(variant), encoding="utf-8")
    (folder / "policy.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


# ----------------------------------------------------------------------------------------------------
# Command line for CMake


def main(arguments: Sequence[str] | None = None) -> int:
    """Commands for CMake; returns 0, or 2 after one line.

    ``header FILE -o OUT`` writes the header; ``generate FILE -o FOLDER`` writes the header and the record
    of a build and prints the digest; ``digest FILE`` prints the digest.
    """
    parser = argparse.ArgumentParser(prog="python -m hakmem.spec", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    header = commands.add_parser("header", help="write the generated C++ header of a variant file")
    header.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    header.add_argument("--digest", default="", help="digest to compile in (default: computed)")
    generate = commands.add_parser(
        "generate", help="write header, variant.toml and policy.json, print the digest"
    )
    generate.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    digest_command = commands.add_parser("digest", help="print the digest of a variant file")
    for command in (header, generate, digest_command):
        command.add_argument("file", type=Path, help="a variant's TOML file")
        command.add_argument("--more-flags", default="", help="flags of a debug or sanitizer build")
        command.add_argument("--compiler", type=Path, help="the C++ compiler (default: as hakmem finds it)")
    given = parser.parse_args(arguments)
    try:
        variant = parse_file(given.file)
        if given.command == "header" and given.digest:
            write_if_changed(given.output, header_text(variant, given.digest))
            return 0
        tools = toolchain.detect(given.compiler, given.more_flags)
        computed = digest(variant, tools)
        if given.command == "header":
            write_if_changed(given.output, header_text(variant, computed))
            return 0
        if given.command == "generate":
            write_if_changed(given.output / "hakmem_variant.hpp", header_text(variant, computed))
            write_record(variant, computed, tools, given.output)
        sys.stdout.write(computed + "\n")
    except (HakmemError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
