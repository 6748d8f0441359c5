"""The page of a tune in a real browser: no script fails, pictures are drawn, tables sorted, screens fitted.

A machine without Chromium passes: the page's parts are tested elsewhere.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from hakmem import tune_report
from hakmem.tuned import TuneResult
from test_tune_report import result as _result

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
result = _result

LOOK = """
<script>
const column = (table, index) => [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
addEventListener("load", () => {
  const table = document.querySelector("table");
  const head = [...table.tHead.rows[0].cells].findIndex((one) => one.textContent === "median, s");
  table.tHead.rows[0].cells[head].click();
  const up = column(table, head);
  table.tHead.rows[0].cells[head].click();
  const seen = {
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    page: getComputedStyle(document.body).backgroundColor,
    drawn: [...document.querySelectorAll(".plot")].map((one) => one.querySelectorAll("svg.main-svg").length),
    heights: [...document.querySelectorAll(".plot")].map((one) => one.getBoundingClientRect().height),
    up: up,
    down: column(table, head),
  };
  document.title = JSON.stringify(seen);
});
</script>
"""


def looked(page: str, folder: Path, width: int, *options: str) -> dict[str, Any]:
    """What the browser makes of a page at this width; none of its scripts may fail."""
    file = folder / "page.html"
    file.write_text(page.replace("</body>", LOOK + "</body>"), encoding="utf-8")
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=10000",
        "--enable-logging=stderr",
    ]
    done = subprocess.run(
        [*command, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True
    )
    assert [line for line in done.stderr.splitlines() if "Uncaught" in line] == []
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    found: dict[str, Any] = json.loads(unescape(title[1]))
    return found


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_is_drawn_and_sorted_and_as_wide_as_the_screen(
    result: TuneResult, tmp_path: Path, width: int
) -> None:
    if CHROMIUM is None:
        return
    found = looked(tune_report.page(result), tmp_path, width)
    assert found["width"] == width and found["scroll"] <= width
    assert len(found["drawn"]) >= 8 and all(found["drawn"]) and min(found["heights"]) > 100
    assert len(found["up"]) == len(result.standings)
    assert found["up"] == sorted(found["up"], key=float) and found["down"] == found["up"][::-1]
    assert brightness(found["page"]) > 200


def test_a_dark_screen_has_a_dark_page(result: TuneResult, tmp_path: Path) -> None:
    if CHROMIUM is None:
        return
    found = looked(tune_report.page(result), tmp_path, 1200, "--blink-settings=preferredColorScheme=0")
    assert brightness(found["page"]) < 60


def test_an_error_of_a_script_is_seen(result: TuneResult, tmp_path: Path) -> None:
    if CHROMIUM is None:
        return
    broken = tune_report.page(result).replace("\ndraw();\n", "\nundrawn();\n")
    with pytest.raises(AssertionError, match="undrawn is not defined"):
        looked(broken, tmp_path, 1200)
