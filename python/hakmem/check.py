"""Running the behaviour suite over one built variant and keeping its outcome beside the artefacts."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import process_group, sources
from .build import Built
from .errors import HakmemError

RECORD = "checked.json"
_KEPT_LINES = 15


@dataclass(frozen=True)
class CheckResult:
    """Outcome of the behaviour suite for one variant.

    ``reason`` is empty when it passed, else one line (a failed test, a signal's name, a timeout); ``log``
    holds the last lines that the suite printed; ``suite`` is the hash of the suite that was run.
    """

    name: str
    digest: str
    passed: bool
    tests: int
    seconds: float
    reason: str
    log: str
    suite: str


def suite_hash() -> str:
    """Hash over the behaviour suite's files: a pass counts for this suite only."""
    folder = sources.suite_folder()
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def last_check(built: Built) -> CheckResult | None:
    """The outcome kept for this build and this suite, or None."""
    path = built.folder / RECORD
    if not path.is_file():
        return None
    try:
        kept = CheckResult(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
    return kept if kept.digest == built.digest and kept.suite == suite_hash() else None


def check(built: Built, timeout_s: float = 300.0, fresh: bool = True) -> CheckResult:
    """Run the behaviour suite over a built variant in a process of its own.

    A crash, a hang beyond ``timeout_s`` seconds or a failing test is a result that did not pass, never an
    exception. With ``fresh`` false a pass kept from before is returned as it is.
    """
    if not fresh:
        kept = last_check(built)
        if kept and kept.passed:
            return kept
    for needed in ("pytest", "hypothesis"):
        if importlib.util.find_spec(needed) is None:
            raise HakmemError(f"check needs the package {needed}: pip install {needed}")
    suite = sources.suite_folder()
    argument = (
        built.name
        if built.variant.path and built.variant.path.parent == sources.variants_folder()
        else str(built.folder)
    )
    command = [sys.executable, "-m", "pytest", str(suite), "--variant", argument, "-q", "-x"]
    # A hang prints where every thread stands, shortly before it is ended.
    command += ["-p", "no:cacheprovider", "-o", f"faulthandler_timeout={0.9 * timeout_s:g}"]
    start = time.monotonic()
    code, text = _run(command, suite, timeout_s)
    reason = f"no end after {timeout_s:g} s" if code is None else _reason(text, code)
    counted = re.findall(r"(\d+) passed", text)
    result = CheckResult(
        name=built.name,
        digest=built.digest,
        passed=not reason,
        tests=int(counted[-1]) if counted else 0,
        seconds=round(time.monotonic() - start, 3),
        reason=reason,
        log="\n".join(text.rstrip().splitlines()[-_KEPT_LINES:]),
        suite=suite_hash(),
    )
    _keep(built, result)
    return result


def _run(command: list[str], folder: Path, timeout_s: float) -> tuple[int | None, str]:
    """Exit code (None: it lasted too long) and output of a command and all the processes it starts."""
    with tempfile.TemporaryFile() as output:
        code = process_group.run(
            command,
            timeout_s,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _keep(built: Built, result: CheckResult) -> None:
    path = built.folder / RECORD
    try:
        path.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    except OSError:
        return  # the package's own folder may be read-only: then a pass is not remembered


def _reason(text: str, code: int) -> str:
    if code == 0:
        return "" if re.search(r"\b[1-9]\d* passed", text) else "no test ran"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    for line in text.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line
    lines = text.strip().splitlines()
    return f"pytest exit code {code}: {lines[-1] if lines else 'no output'}"
