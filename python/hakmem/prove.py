"""Proving on the real program: repeated, interleaved runs of one command under each contestant.

Every process of a run notes which file its malloc comes from (``_programs/served.c``); a run that another
malloc served counts for nothing. Times and peak RSS come from a small launcher
(``_programs/report_usage.c``): a process's ``ru_maxrss`` begins with that of whoever started it, and a Python
would hide small programs. The peak is that of the largest process of the command; the kernel keeps none of a
whole tree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from . import bench, preload, process_group
from . import build as builds
from .bench import TWIN, Contestant
from .build import Progress
from .errors import HakmemError
from .programs import CommandRun
from .store import Failure, Result, Store
from .workloads import Row

PROGRAM = "program"
_SOURCES = Path(__file__).resolve().parent / "_programs"
_SLACK_S = 60.0
_FIRST_TIMEOUT_S = 3600.0
_TIMES_LIBC = 20.0
_SAMPLE_S = 0.01
_MOST_POINTS = 400


class ProofError(HakmemError):
    """A run that did not end well or was not served by the contestant; ``reason`` leaves the name out."""

    def __init__(self, who: Contestant, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{who.name}: {reason}")


def parse(text: str, option: str = "--prove") -> list[str]:
    """The words of a command line given as one text; what a shell would not read is one line."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise HakmemError(
            f"{option} {text!r}: expected a command as a shell reads it, got: {error}"
        ) from error
    if not words:
        raise HakmemError(f"{option}: expected a command, got none")
    check_command(words, option)
    return words


def check_command(command: Sequence[str], option: str) -> None:
    """Refuse a program that is not there or that LD_PRELOAD does not reach."""
    found = shutil.which(command[0])
    if found is None:
        raise HakmemError(f"{option}: expected a program in PATH or a path, got {command[0]!r}")
    preload.loader_of(Path(found))


def shell_line(command: Sequence[str]) -> str:
    """A command in one line, as bash would read it: a word of several lines is quoted with ``$'...'``."""
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in command)


def _escaped(word: str) -> str:
    plain = word.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain) + "'"


class Prover:
    """Runs one command again and again; made once, its helpers are compiled then."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self._launch, self._served = _compiled("report_usage", False), _compiled("served", True)
        self._timeout_s = _FIRST_TIMEOUT_S

    @property
    def label(self) -> str:
        """The command in one line, as bash would read it."""
        return shell_line(self.command)

    def expect(self, wall_s: float) -> None:
        """From now on a run that takes many times this long is ended."""
        self._timeout_s = _TIMES_LIBC * wall_s + _SLACK_S

    def run(self, who: Contestant) -> CommandRun:
        """Run the command once under a contestant; a bad end or another malloc is a `ProofError`."""
        with tempfile.TemporaryDirectory(prefix="hakmem-prove-") as name:
            folder = Path(name)
            with (folder / "out").open("wb") as out, (folder / "err").open("wb") as complaints:
                code = process_group.run(
                    [str(self._launch), str(folder / "report"), *self.command],
                    self._timeout_s,
                    env=self._environment(who, folder),
                    stdout=out,
                    stderr=complaints,
                )
            if code is None:
                raise ProofError(who, f"no end after {self._timeout_s:.0f} s")
            return self._read(who, folder)

    def _environment(self, who: Contestant, folder: Path) -> dict[str, str]:
        variables = who.environment()
        variables.pop("LD_PRELOAD", None)
        variables["LAUNCH_PRELOAD"] = f"{who.preload or preload.LIBC}:{self._served}"
        variables["HAKMEM_SERVED"] = str(folder / "served")
        return variables

    def _read(self, who: Contestant, folder: Path) -> CommandRun:
        try:
            report = json.loads((folder / "report").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProofError(who, "the launcher left no report") from error
        code = os.waitstatus_to_exitcode(report["status"])
        if code != 0:
            how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            lines = (folder / "err").read_bytes().decode(errors="replace").strip().splitlines()
            raise ProofError(who, f"{how}: {lines[-1] if lines else 'no message'}")
        noted = (folder / "served").read_text(errors="replace") if (folder / "served").is_file() else ""
        check_served(who, report["pid"], noted)
        return CommandRun(
            wall_s=report["wall_ns"] / 1e9,
            user_s=report["user_us"] / 1e6,
            system_s=report["system_us"] / 1e6,
            peak_rss_kib=report["peak_kib"],
            minor_faults=report["minor_faults"],
            major_faults=report["major_faults"],
            output=hashlib.sha256((folder / "out").read_bytes()).hexdigest(),
        )

    def curve(self, who: Contestant) -> list[tuple[float, int]]:
        """Seconds and KiB: the sum over the command's processes while it runs once, looked at every 10 ms."""
        with tempfile.TemporaryDirectory(prefix="hakmem-prove-") as name:
            return sample(
                [str(self._launch), str(Path(name) / "report"), *self.command],
                self._environment(who, Path(name)),
                self._timeout_s,
                with_leader=False,
            )


def check_served(who: Contestant, pid: int, noted: str) -> None:
    """Refuse a run in which a process that noted anything was served by another malloc than the contestant.

    ``noted`` has a line for each process that was started with the helper; ``pid`` must be among them.
    """
    lines = [line.split("\t") for line in noted.splitlines()]
    if not any(int(line[0]) == pid for line in lines):
        raise ProofError(who, "the program was started without LD_PRELOAD reaching it: nothing is proved")
    for _pid, home, identity, *_ in lines:
        if who.preload is not None:
            good = Path(home).resolve() == who.preload.resolve()
        else:
            good = Path(home).name.startswith(("libc.so", "libc-", "ld-musl"))
        if who.kind == "variant":
            good = good and identity == f"{who.real_name} {who.digest}"
        if not good:
            expected = str(who.preload) if who.preload else "the C library"
            raise ProofError(who, f"expected malloc of {expected}, got {identity or home or 'none'}")


def sample(
    command: Sequence[str], environment: dict[str, str], timeout_s: float, with_leader: bool = True
) -> list[tuple[float, int]]:
    """Start a command and add up the RSS of its session's processes until it ends; thinned out to peaks.

    Without the leader the process that was started itself, a launcher, is left out.
    """
    found: list[tuple[float, int]] = []
    quiet = subprocess.DEVNULL
    with process_group.started(command, env=environment, stdout=quiet, stderr=quiet) as child:
        start = time.monotonic()
        while child.poll() is None and time.monotonic() - start < timeout_s:
            found.append((time.monotonic() - start, _session_kib(child.pid, with_leader)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_SAMPLE_S)
    step = -(-len(found) // _MOST_POINTS) if found else 1
    return [max(found[at : at + step], key=lambda one: one[1]) for at in range(0, len(found), step)]


def _session_kib(session: int, with_leader: bool) -> int:
    total = 0
    page = os.sysconf("SC_PAGE_SIZE") // 1024
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or (entry.name == str(session) and not with_leader):
            continue
        try:
            words = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == session:
            total += int(words[21]) * page
    return total


def _compiled(name: str, shared: bool) -> Path:
    """A helper of ``_programs``, compiled into the cache when it is not there."""
    source = _SOURCES / f"{name}.c"
    tools = builds.toolchain()
    text = source.read_text(encoding="utf-8") + tools.compiler_id
    folder = builds.cache_root() / f"prove-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    target = folder / (f"libhakmem_{name}.so" if shared else name)
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}-{os.getpid()}"
    kind = ["-shared", "-fPIC"] if shared else []
    command = [str(tools.compiler), "-x", "c", "-std=gnu11", "-O2", *kind, "-o", str(temporary), str(source)]
    done = subprocess.run([*command, "-ldl"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HakmemError(f"{source.name}: {(done.stderr.strip().splitlines() or ['it did not compile'])[0]}")
    temporary.rename(target)
    return target


# ----------------------------------------------------------------------------------------------------
# The race


def race(
    prover: Prover,
    contestants: Sequence[Contestant],
    rounds: int,
    seed: int,
    store: Store,
    run: str,
    more: Callable[[int], bool],
    say: Progress,
    gone: Callable[[int], Collection[str]] = lambda _: (),
) -> tuple[list[Result], dict[str, str]]:
    """Run the command under all contestants in each round, in random order, every run kept at once.

    ``run`` is the race's id in the store; runs that it has are not repeated. ``more`` is asked before each
    round whether there is time for it, ``gone`` who no longer takes part in it. Returns the results of whole
    rounds, and who failed.
    """
    label = prover.label
    failed = {item.variant: item.reason for item in store.failures(run)}

    def taking_part(index: int) -> set[str]:
        return {who.name for who in contestants} - set(failed) - set(gone(index))

    for index in range(rounds):
        done = store.done(run)
        missing = {name for name in taking_part(index) if (name, label, index) not in done}
        if missing and not more(index):
            break
        order = random.Random(f"{seed}:{index}").sample(list(contestants), len(contestants))
        for who in order:
            if who.name not in missing or who.name in failed:
                continue
            say(index, rounds, f"round {index + 1} of at most {rounds}: {label}: {who.name}")
            try:
                store.add(_result(run, index, seed, label, who, prover.run(who)))
            except ProofError as error:
                if who.kind == "libc":
                    raise
                failed[who.name] = error.reason
                store.add_failure(Failure(run, who.name, label, index, error.reason, ""))
    failed |= other_outputs(store.results(run))
    results = [one for one in store.results(run) if one.variant not in failed]
    ran = [{one.variant for one in results if one.round == index} for index in range(rounds)]
    whole = [index for index in range(rounds) if ran[index] and ran[index] >= taking_part(index)]
    return [one for one in results if one.round in whole], failed


def other_outputs(results: Sequence[Result]) -> dict[str, str]:
    """Who wrote another standard output than libc; nobody when libc's own runs differ among themselves."""
    outputs: dict[str, set[str]] = {}
    for one in results:
        outputs.setdefault(one.variant.removesuffix(TWIN), set()).add(json.loads(one.params)["output"])
    stock = outputs.get("libc", set())
    if len(stock) != 1:
        return {}
    return {
        name: "its standard output differs from that on libc" for name, own in outputs.items() if own != stock
    }


def _result(run: str, index: int, seed: int, label: str, who: Contestant, measured: CommandRun) -> Result:
    figures = {
        "cpu_ms": round(1e3 * (measured.user_s + measured.system_s), 3),
        "user_ms": round(1e3 * measured.user_s, 3),
        "system_ms": round(1e3 * measured.system_s, 3),
        "output": measured.output,
    }
    return bench.result(run, index, who, Row(label, PROGRAM), seed, measured.answer(figures))
