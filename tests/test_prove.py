"""Runs of a real program: figures that are its own, proof of who served it, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import bench, build, prove, toolchain
from hakmem.bench import Contestant
from hakmem.errors import HakmemError
from hakmem.prove import ProofError, Prover
from hakmem.store import Store

TOUCH = "b = bytearray(64 << 20); b[::4096] = b[::4096].translate(bytes(range(1, 256)) + b'a')"


def unified() -> Contestant:
    return bench.contestant(build.build_one("unified"))


def test_a_run_has_its_own_times_and_peak() -> None:
    small = Prover(["true"]).run(bench.libc())
    assert 0 < small.peak_rss_kib < 8 << 10, "the peak is not that of the Python that started it"
    big = Prover([sys.executable, "-S", "-c", TOUCH]).run(bench.libc())
    assert big.peak_rss_kib > 64 << 10
    assert big.wall_s > 0 and big.user_s + big.system_s > 0


def test_the_largest_process_of_a_command_is_its_peak() -> None:
    command = ["sh", "-c", f'{sys.executable} -S -c "{TOUCH}"; true']
    assert Prover(command).run(bench.libc()).peak_rss_kib > 64 << 10


def test_a_command_of_several_lines_is_told_in_one_that_bash_reads_alike() -> None:
    words = ["printf", "%s|", "two\nlines", "it's\ta\\n", "plain", "with blank", "", "é"]
    line = Prover(words).label
    assert "\n" not in line and line.endswith(" plain 'with blank' '' 'é'")
    read = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert read.stdout == "".join(f"{word}|" for word in words[2:])


def test_every_process_of_a_command_is_served_by_the_variant() -> None:
    who = unified()
    assert Prover(["sh", "-c", "ls / | sort"]).run(who).wall_s > 0
    wrong = Contestant("sll", who.preload, digest="0" * 16)
    with pytest.raises(ProofError, match=r"sll: expected malloc of .*libhakmem_unified.so, got unified "):
        Prover(["true"]).run(wrong)


def test_a_process_on_another_malloc_is_refused() -> None:
    who = unified()
    with pytest.raises(ProofError, match=r"expected malloc of the C library, got unified "):
        Prover(["sh", "-c", f"LD_PRELOAD={who.preload}:$LD_PRELOAD ls /"]).run(bench.libc())
    noted = f"7\t{who.preload}\tunified {who.digest}\t\n8\t/lib/libc.so.6\t\t\n"
    with pytest.raises(ProofError, match="expected malloc of"):
        prove.check_served(who, 7, noted)
    with pytest.raises(ProofError, match="without LD_PRELOAD reaching it"):
        prove.check_served(who, 9, noted)


@pytest.mark.parametrize(
    ("script", "says"),
    [("exit 3", "ended with exit code 3: no message"), ("kill -9 $$", "ended by SIGKILL: no message")],
)
def test_a_bad_end_is_one_line(script: str, says: str) -> None:
    with pytest.raises(ProofError, match=f"libc: {says}"):
        Prover(["sh", "-c", script]).run(bench.libc())


def test_a_command_that_cannot_be_proved_on_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HakmemError, match="--prove: expected a program in PATH or a path, got 'no-such'"):
        prove.parse("no-such program")
    with pytest.raises(HakmemError, match="--prove 'a \"b': expected a command as a shell reads it"):
        prove.parse('a "b')
    with pytest.raises(HakmemError, match="--prove: expected a command, got none"):
        prove.parse("  ")
    text = tmp_path / "text"
    text.write_text("not a program")
    text.chmod(0o755)
    with pytest.raises(HakmemError, match="expected an ELF program"):
        prove.parse(str(text))


def raced(
    folder: Path,
    command: list[str],
    contestants: list[Contestant],
    rounds: int = 3,
    gone: Callable[[int], list[str]] = lambda _: [],
) -> tuple[list[tuple[str, int]], dict[str, str]]:
    with Store(folder / "store") as store:
        run = store.open_run("it", {})
        results, failed = prove.race(
            Prover(command), contestants, rounds, 1, store, run, lambda _: True, lambda *_: None, gone
        )
        return sorted((one.variant, one.round) for one in results), failed


def test_rounds_are_whole_kept_and_not_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", f"echo x >> {log}"]
    contestants = [bench.libc(), unified()]
    found = raced(tmp_path, command, contestants)
    assert found == ([(name, index) for name in ("libc", "unified") for index in range(3)], {})
    assert raced(tmp_path, command, contestants) == found
    assert len(log.read_text()) == 2 * 6
    raced(tmp_path, command, contestants, rounds=4)
    assert len(log.read_text()) == 2 * 8


def test_who_has_left_runs_no_further_round_and_keeps_those_it_ran(tmp_path: Path) -> None:
    contestants = [bench.libc(), unified()]
    found = raced(tmp_path, ["true"], contestants, gone=lambda index: ["unified"] if index > 0 else [])
    assert found == ([("libc", 0), ("libc", 1), ("libc", 2), ("unified", 0)], {})


def test_a_contestant_that_fails_leaves_the_race_and_libc_does_not(tmp_path: Path) -> None:
    command = ["sh", "-c", 'case "$LD_PRELOAD" in *hakmem_unified*) exit 4;; esac']
    _, failed = raced(tmp_path, command, [bench.libc(), unified()])
    assert failed == {"unified": "ended with exit code 4: no message"}
    with pytest.raises(ProofError, match="libc: ended with exit code 1"):
        raced(tmp_path, ["false"], [bench.libc()])


def test_another_output_than_on_libc_is_a_failure_unless_libcs_own_varies(tmp_path: Path) -> None:
    contestants = [bench.libc(), unified()]
    _, failed = raced(tmp_path, ["sh", "-c", "echo $LD_PRELOAD"], contestants)
    assert failed == {"unified": "its standard output differs from that on libc"}
    (tmp_path / "other").mkdir()
    command = ["sh", "-c", "echo $$"]
    assert raced(tmp_path / "other", command, contestants)[1] == {}


def test_the_curve_is_of_the_command_and_its_children() -> None:
    points = Prover(["sh", "-c", f'{sys.executable} -S -c "{TOUCH}"; true']).curve(bench.libc())
    assert points and max(kib for _, kib in points) > 32 << 10
    assert [at for at, _ in points] == sorted(at for at, _ in points)


ADDRESS_OF_MALLOC = """
#include <stdio.h>
#include <stdlib.h>
int main(void) { void *(*volatile make)(size_t) = malloc; free(make(1)); return puts("made") < 0; }
"""


@pytest.mark.parametrize("flags", [["-no-pie", "-fno-pic"], ["-pie", "-fPIE"]])
def test_a_program_at_a_fixed_address_is_seen_through(tmp_path: Path, flags: list[str]) -> None:
    # without PIC the address of malloc is a stub in the program, whoever serves it
    (tmp_path / "it.c").write_text(ADDRESS_OF_MALLOC)
    program = tmp_path / "it"
    compiler = str(toolchain.find_compiler())
    subprocess.run(
        [compiler, "-x", "c", "-O0", *flags, "-o", str(program), str(tmp_path / "it.c")], check=True
    )
    for who in (bench.libc(), unified()):
        assert Prover([str(program)]).run(who).wall_s > 0


def test_a_program_with_a_malloc_of_its_own_proves_nothing(tmp_path: Path) -> None:
    source = "void *malloc(unsigned long n) { return n ? 0 : 0; } int main(void) { return 0; }\n"
    (tmp_path / "it.c").write_text(source)
    program = tmp_path / "it"
    compiler = str(toolchain.find_compiler())
    command = ["-fno-builtin", "-rdynamic", "-o", str(program), str(tmp_path / "it.c")]
    subprocess.run([compiler, "-x", "c", *command], check=True)
    with pytest.raises(ProofError, match="libc: expected malloc of the C library, got .*/it"):
        Prover([str(program)]).run(bench.libc())


def test_a_program_linked_with_another_malloc_runs_on_libc(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text(
        "void *__libc_malloc(unsigned long n); void *malloc(unsigned long n) { return __libc_malloc(n); }\n"
    )
    (tmp_path / "it.c").write_text(ADDRESS_OF_MALLOC)
    library, program = tmp_path / "libother.so", tmp_path / "it"
    compile_c = [str(toolchain.find_compiler()), "-x", "c", "-O0"]
    subprocess.run([*compile_c, "-shared", "-fPIC", "-o", library, tmp_path / "other.c"], check=True)
    link = ["-x", "none", str(library), f"-Wl,-rpath,{tmp_path}"]
    subprocess.run([*compile_c, "-o", program, tmp_path / "it.c", *link], check=True)
    for who in (bench.libc(), unified()):
        assert Prover([str(program)]).run(who).wall_s > 0
