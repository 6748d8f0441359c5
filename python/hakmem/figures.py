"""The README's table of rivals, written from figures that are kept: nobody types a figure.

``hakmem bench ... --suite rivals --json`` prints a whole race; `kept` is what the table and a reader of it
need of that, small enough to commit. `table` is its Markdown, between two markers of the README.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import sources
from .errors import HakmemError
from .rivals import PICKED

SUITE = "rivals"
BEGIN = "<!-- figures: written by `hakmem figures`, not by hand -->"
END = "<!-- figures end -->"
_TWIN = "#2"
_MACHINE = ("processor", "kernel", "C library", "compiler", "commit")


def kept(found: Mapping[str, Any], origin: Path) -> dict[str, Any]:
    """What is kept of a race's JSON; one that is no finished race of the suite is one line."""
    if found.get("suite") != SUITE or not found.get("against_rivals"):
        raise HakmemError(
            f"{origin}: expected what `hakmem bench --suite {SUITE} --json` prints, with a finished round, "
            f"got a suite of {found.get('suite')!r}"
        )
    against = found["against_rivals"]
    return {
        "suite": SUITE,
        "date": found["date"],
        "machine": {key: found["machine"][key] for key in _MACHINE},
        "rounds": against["rounds"],
        "noise_floor": _rounded(found["noise_floor"]),
        "failures": {one["variant"]: f"{one['label']}: {one['reason']}" for one in found["failures"]},
        "entrants": {
            one["variant"]: {"kind": one["kind"], "version": one["version"], "hash": one["hash"]}
            for one in found["entrants"]
            if not one["variant"].endswith(_TWIN)
        },
        "standings": _rounded(against["standings"]),
        "rows": [
            {
                "label": row["label"],
                "best_rival": row["best_rival"],
                "time": {
                    name: [_rounded(cell["time"][key]) for key in ("value", "low", "high")]
                    for name, cell in row["cells"].items()
                },
            }
            for row in against["rows"]
        ],
    }


def _rounded(value: Any) -> Any:
    """Numbers to four digits behind the point: more than a race says."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def table(found: Mapping[str, Any]) -> str:
    """The Markdown of kept figures: where, when and how they were measured, and one line an allocator."""
    machine, noise = found["machine"], found["noise_floor"]
    where = ", ".join(machine[key] for key in ("processor", "kernel", "C library", "compiler"))
    said = f"noise up to {100 * noise:.1f} % in a row" if noise is not None else "noise not known"
    lines = [
        f"Time over the {len(found['rows'])} rows of the suite `{found['suite']}`, to the best rival of each "
        "row: geometric means with 95 % intervals; below 1 is ahead of every rival. Measured on "
        f"{found['date']}: {where}, commit {machine['commit'][:12]}; {found['rounds']} interleaved rounds in "
        f"fresh processes; {said}.",
        "",
        "| allocator | version | time | worst row | rows led | peak memory to the lightest rival |",
        "|---|---|---|---|---|---|",
    ]
    for one in sorted(found["standings"], key=lambda item: item["time"]["value"]):
        time, worst = one["time"], one["worst"]
        entrant = found["entrants"].get(one["name"], {})
        name = one["name"] if one["name"] == PICKED else f"`{one['name']}`"
        version = entrant.get("version") or entrant.get("hash") or ""
        interval = f"({time['low']:.2f} to {time['high']:.2f})"
        cells = [name, version, f"{time['value']:.2f} {interval}"]
        cells += [f"{worst['value']:.2f}, {one['worst_row']}", str(one["leads"]), f"{one['memory']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\n`{name}` left the race on {reason}." for name, reason in found["failures"].items()]
    return "\n".join(lines) + "\n"


def with_table(text: str, markdown: str, origin: Path) -> str:
    """A page's text with this between its markers; a page that has not both of them once is one line."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise HakmemError(f"{origin}: expected the lines {BEGIN!r} and {END!r} once each, in this order")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown}{END}{rest.partition(END)[2]}"


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file; anything else is one line."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HakmemError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise HakmemError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(found, dict):
        raise HakmemError(f"{path}: expected a JSON object, got another kind of value")
    return found


def write(found: Mapping[str, Any], path: Path) -> None:
    """Keep figures; a row a line, so that a diff reads well."""
    text = json.dumps(found, indent=1)
    text = re.sub(r"\[\s+([-\d.]+),\s+([-\d.]+),\s+([-\d.]+)\s+\]", r"[\1, \2, \3]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def cli_figures(path: Path | None, check_only: bool, top: Path | None = None) -> int:
    """What `hakmem figures` does in the checkout at ``top``; 1 when a check finds a difference."""
    if top is None:
        if not sources.is_checkout():
            raise HakmemError("figures: expected a checkout of hakmem, whose README it writes, got a package")
        top = sources.root()
    store, readme = top / "docs" / "figures" / f"{SUITE}.json", top / "README.md"
    found = kept(read(path), path) if path else read(store)
    text = readme.read_text(encoding="utf-8")
    wanted = with_table(text, table(found), readme)
    if check_only:
        if wanted != text:
            sys.stderr.write(f"error: {readme} is not what {path or store} gives; run hakmem figures\n")
        return int(wanted != text)
    if path:
        write(found, store)
    readme.write_text(wanted, encoding="utf-8")
    return 0
