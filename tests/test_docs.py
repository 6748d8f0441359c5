"""The pages say what is: links lead somewhere, commands and sessions exist, the examples are real."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from hakmem import axes, cli, sources, spec, toolchain

ROOT = sources.root()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def shell_lines(page: Path) -> list[str]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


def commands() -> list[tuple[str, list[str]]]:
    """Every ``hakmem …`` of the README: the line, and its words from the subcommand on."""
    found = []
    for line in shell_lines(ROOT / "README.md"):
        words = shlex.split(line, comments=True)
        if "$(hakmem" in line:
            words = shlex.split(line.split("$(")[1].split(")")[0])
        if words and words[0] == "hakmem":
            found.append((line, words[1:]))
    return found


@pytest.mark.parametrize(("line", "words"), commands())
def test_every_command_of_the_readme_is_understood(line: str, words: list[str]) -> None:
    group: Any = typer.main.get_command(cli.app)
    command = group.commands[words[0]]
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    assert context.params, line
    with context:
        for name in context.params.get("names") or []:
            assert (sources.variants_folder() / f"{name}.toml").is_file(), line


def test_the_table_of_commands_is_complete() -> None:
    table = re.findall(
        r"^\| `hakmem ([\w-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    group: Any = typer.main.get_command(cli.app)
    assert sorted(table) == sorted(group.commands)


def test_ci_runs_the_readmes_test_command() -> None:
    setups = [line for line in shell_lines(ROOT / "README.md") if line.startswith("python3 -m venv")]
    assert [line.rsplit("-s ")[1] for line in setups] == ["pick", "tests"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in setups[1].split(" && "):
        assert part in script, part


def test_the_readmes_variant_is_a_variant() -> None:
    (text,) = blocks(ROOT / "README.md", "toml")
    assert spec.parse(text).name == "sfc"


def test_the_axes_page_is_fresh() -> None:
    assert (ROOT / "docs" / "axes.md").read_text(encoding="utf-8") == axes.axes_markdown()


_CHECK = """
#include <hakmem/concepts/front_policy.hpp>
#include "duo.hpp"
struct Classes { static constexpr hakmem::base::ClassIndex kCount = 8; };
static_assert(hakmem::concepts::FrontPolicy<hakmem::front::Duo<>::Type<Classes>>);
"""


def test_the_worked_example_is_a_front(tmp_path: Path) -> None:
    page = ROOT / "docs" / "adding_a_policy.md"
    (header,) = blocks(page, "cpp")
    (tmp_path / "duo.hpp").write_text(header, encoding="utf-8")
    (tmp_path / "check.cpp").write_text(_CHECK, encoding="utf-8")
    compiler = str(toolchain.detect().compiler)
    subprocess.run(
        [
            compiler,
            "-std=c++20",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            f"-I{ROOT / 'cpp'}",
            "check.cpp",
        ],
        cwd=tmp_path,
        check=True,
    )
    (entry,) = blocks(page, "python")
    kind = eval(entry.strip().rstrip(","), {"Kind": axes.Kind, "Option": axes.Option})
    assert kind.name == "duo" and kind.tag == "Duo"
    assert [(option.name, option.default) for option in kind.options] == [("slots", 2)]
    assert "slots = 2;" in header and "O.slots >= 1 && O.slots <= 64" in header
