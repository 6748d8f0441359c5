"""``hakmem record``: what a program asked for stands in its trace, event for event, however it ends."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hakmem.record as record
import hakmem.trace as trace
from hakmem import build, toolchain, trace_summary
from hakmem.errors import HakmemError
from hakmem.trace import ALIGNED, CALLOC, FREE, MALLOC, REALLOC, Events, Trace

HEAD = """
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
"""


def program(folder: Path, source: str, *flags: str) -> str:
    """Compile a C program that calls nothing but what its source says."""
    made = folder / "program"
    (folder / "program.c").write_text(HEAD + source, encoding="utf-8")
    command = [
        str(toolchain.find_compiler()),
        "-x",
        "c",
        "-O0",
        "-fno-builtin",
        "-pthread",
        "-Wl,--as-needed",
    ]
    command += [*flags, str(folder / "program.c"), "-o", str(made)]
    subprocess.run(command, check=True)
    return str(made)


def recorded(folder: Path, source: str, code: int = 0) -> Trace:
    found = record.record([program(folder, source)], folder / "run.trace")
    assert found.code == code
    opened = Trace(found.path)
    assert opened.cut is None and found.stopped is None and found.missed == ()
    assert found.events == opened.count() == opened.foot["events"]
    assert found.bytes == found.path.stat().st_size
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    return opened


def events(opened: Trace, process: int = 0) -> Events:
    parts = list(opened.events(process))
    names = ("kinds", "threads", "ms", "sizes", "ages", "alignments")
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def rows(found: Events) -> list[tuple[int, int, int, int]]:
    """Kind, size, age and alignment of each event."""
    columns = (found.kinds, found.sizes, found.ages, found.alignments)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_every_call_is_there_with_its_size_alignment_and_block(tmp_path: Path) -> None:
    opened = recorded(
        tmp_path,
        """
        int main(void) {
          void *a = malloc(24), *b = calloc(3, 7), *c = aligned_alloc(64, 128), *d, *e = memalign(32, 5);
          if (posix_memalign(&d, 4096, 10) != 0) return 1;
          if (posix_memalign(&d, 3, 10) == 0) return 1;
          void *f = valloc(1), *g = pvalloc(4097), *h = malloc(0);
          void *fence = malloc(40);
          a = realloc(a, 1 << 20);
          a = realloc(a, 1 << 19);
          a = reallocarray(a, 3, 9);
          if (reallocarray(a, (size_t)1 << 33, (size_t)1 << 33)) return 1;
          if (malloc((size_t)1 << 62)) return 1;
          free(NULL);
          void *i = realloc(NULL, 77);
          if (realloc(i, 0)) return 1;
          free(e); free(d); free(c); free(b); free(a); free(fence);
          free(malloc(5000000));
          return f == g || g == h;
        }
        """,
    )
    page = os.sysconf("SC_PAGESIZE")
    assert rows(events(opened)) == [
        (MALLOC, 24, 0, 0),
        (CALLOC, 21, 0, 0),
        (ALIGNED, 128, 0, 64),
        (ALIGNED, 5, 0, 32),
        (ALIGNED, 10, 0, 4096),
        (ALIGNED, 1, 0, page),
        (ALIGNED, 2 * page, 0, page),
        (MALLOC, 0, 0, 0),
        (MALLOC, 40, 0, 0),
        (REALLOC, 1 << 20, 9, 0),
        (REALLOC, 1 << 19, 9, 0),
        (REALLOC, 27, 9, 0),
        (MALLOC, 77, 0, 0),
        (FREE, 0, 1, 0),
        (FREE, 0, 7, 0),
        (FREE, 0, 6, 0),
        (FREE, 0, 8, 0),
        (FREE, 0, 9, 0),
        (FREE, 0, 10, 0),
        (FREE, 0, 2, 0),
        (MALLOC, 5_000_000, 0, 0),
        (FREE, 0, 1, 0),
    ]
    (process,) = opened.processes
    assert process.program == str(tmp_path / "program") and not process.forked
    assert opened.head["command"] == [str(tmp_path / "program")]
    assert set(events(opened).threads.tolist()) == {0}


def test_a_program_that_asks_for_nothing(tmp_path: Path) -> None:
    opened = recorded(tmp_path, "int main(void) { return 7; }", code=7)
    assert opened.count() == 0 and opened.foot["exit_code"] == 7
    assert [process.program for process in opened.processes] == [str(tmp_path / "program")]


def test_a_block_freed_by_another_thread_is_freed_after_it_was_made(tmp_path: Path) -> None:
    # Each round one thread makes 50 blocks that another one frees while making its own; 20 threads in all.
    opened = recorded(
        tmp_path,
        """
        enum { kThreads = 20, kRounds = 400, kBlocks = 50 };
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static void *held[kBlocks];
        static void *work(void *argument) {
          void *mine[kBlocks];
          for (int i = 0; i < kRounds; ++i) {
            for (int j = 0; j < kBlocks; ++j) mine[j] = malloc(100 + 10 * j);
            mine[7] = realloc(mine[7], 3000 + i);
            pthread_mutex_lock(&lock);
            for (int j = 0; j < kBlocks; ++j) { void *p = held[j]; held[j] = mine[j]; mine[j] = p; }
            pthread_mutex_unlock(&lock);
            for (int j = 0; j < kBlocks; ++j) free(mine[j]);
          }
          return argument;
        }
        int main(void) {
          pthread_t threads[kThreads];
          for (int i = 0; i < kThreads; i += 2) {
            pthread_create(&threads[i], NULL, work, NULL);
            pthread_create(&threads[i + 1], NULL, work, NULL);
            pthread_join(threads[i], NULL);
            pthread_join(threads[i + 1], NULL);
          }
          return 0;
        }
        """,
    )
    found = events(opened)
    in_rounds = np.isin(found.sizes, np.arange(100, 600, 10)) & (found.kinds == MALLOC)
    assert np.count_nonzero(in_rounds) == 20 * 400 * 50
    assert np.count_nonzero(found.kinds == REALLOC) == 20 * 400
    assert len(set(found.threads[in_rounds].tolist())) == 20
    made = np.cumsum(found.kinds <= ALIGNED)
    freed = (found.kinds == FREE) & (found.ages > 0)
    blocks = made[freed] - found.ages[freed].astype(np.int64)
    assert blocks.min() >= 0 and len(np.unique(blocks)) == len(blocks)
    kept = np.setdiff1d(np.flatnonzero(in_rounds[found.kinds <= ALIGNED]), blocks)
    assert len(kept) == 50  # what the last one left
    owner = found.threads[found.kinds <= ALIGNED][blocks]
    assert np.count_nonzero(owner != found.threads[freed]) > 0
    assert np.all(np.diff(found.ms.astype(np.int64)) >= 0)


FORKS = """
int main(void) {
  void *before = malloc(1111), *after;
  pid_t child = %s;
  for (int i = 0; i < 30000; ++i) { after = malloc(child ? 48 : 64); if (i %% 2) free(after); }
  if (child == 0) { free(before); if (!realloc(malloc(2222), 3333)) return 1; _exit(0); }
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) return 1;
  free(before);
  execl("/bin/true", "true", NULL);
  return 1;
}
"""


@pytest.mark.parametrize("how", ["fork()", "_Fork()"])
def test_children_and_programs_that_follow_have_streams_of_their_own(tmp_path: Path, how: str) -> None:
    opened = recorded(tmp_path, FORKS % how)
    first, child, follower = opened.processes
    assert (first.forked, child.forked, follower.forked) == (False, True, False)
    assert child.parent == first.pid == follower.pid != child.pid
    assert follower.program == os.path.realpath("/bin/true")
    parents = [(MALLOC, 48, 0, 0), (MALLOC, 48, 0, 0), (FREE, 0, 1, 0)] * 15000
    children = [(MALLOC, 64, 0, 0), (MALLOC, 64, 0, 0), (FREE, 0, 1, 0)] * 15000
    found = rows(events(opened, 0))
    assert found == [(MALLOC, 1111, 0, 0), *parents, (FREE, 0, 30001, 0)]
    found = rows(events(opened, 1))
    assert found == [*children, (FREE, 0, 0, 0), (MALLOC, 2222, 0, 0), (REALLOC, 3333, 1, 0)]


def test_a_program_that_is_killed_keeps_its_tail(tmp_path: Path) -> None:
    source = """
    int main(void) {
      for (int i = 1; i <= 100003; ++i) malloc(i);
      raise(SIGKILL);
      return 0;
    }
    """
    opened = recorded(tmp_path, source, code=128 + signal.SIGKILL)
    assert rows(events(opened)) == [(MALLOC, i, 0, 0) for i in range(1, 100004)]


def test_threads_that_are_killed_leave_a_history_without_a_gap(tmp_path: Path) -> None:
    # Six threads put blocks into slots and free what was there; the process ends in the middle of it.
    source = """
    enum { kSlots = 512 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_barrier_t all_are_there;
    static void *slots[kSlots];
    static int steps;
    static void *work(void *argument) {
      unsigned seed = (unsigned)(size_t)argument;
      for (int i = 0;; ++i) {
        if (i == 100) pthread_barrier_wait(&all_are_there);
        void *mine = malloc(rand_r(&seed) % 2000);
        if (rand_r(&seed) % 8 == 0) mine = realloc(mine, rand_r(&seed) % 5000);
        pthread_mutex_lock(&lock);
        int slot = rand_r(&seed) % kSlots;
        void *old = slots[slot];
        slots[slot] = mine;
        if (++steps == 200000) raise(SIGKILL);
        pthread_mutex_unlock(&lock);
        free(old);
      }
    }
    int main(void) {
      pthread_t thread;
      pthread_barrier_init(&all_are_there, NULL, 6);
      for (size_t i = 1; i <= 6; ++i) pthread_create(&thread, NULL, work, (void *)i);
      pause();
    }
    """
    opened = recorded(tmp_path, source, code=128 + signal.SIGKILL)
    found = trace_summary.summarise(opened, opened.processes[0])
    assert found.unknown == 0 and len(found.threads) == 7
    assert 200_000 <= found.calls["malloc"] <= 200_006
    # the slots, what each thread had in its hands, and what the C library made for the threads
    assert 500 < found.live_blocks_at_end <= 512 + 2 * 6 + 6
    assert found.cross_thread > 0


def test_a_program_that_closes_every_file_is_recorded_on(tmp_path: Path) -> None:
    source = """
    int main(void) {
      malloc(1);
      for (int i = 3; i < 1024; ++i) close(i);
      for (int i = 0; i < 100000; ++i) malloc(2);
      return 0;
    }
    """
    assert recorded(tmp_path, source).count() == 100001


def test_a_chunk_that_was_being_copied_when_the_process_was_killed_counts_once(tmp_path: Path) -> None:
    made = program(tmp_path, MANY)
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "control").write_bytes(struct.pack("<5Q", 0, 1 << 30, 0, (1 << 64) - 1, 0))
    library = build.recorder()
    variables = {**os.environ, "LD_PRELOAD": str(library), record.FOLDER_VARIABLE: str(folder)}
    subprocess.run([made], check=True, env=variables)
    (file,) = folder.glob("process.*")

    def merged() -> bytes:
        return subprocess.run(
            [str(library.parent / "hakmem_merge"), str(file)], check=True, capture_output=True
        ).stdout

    whole, right = file.read_bytes(), merged()
    page, chunk, at = 1 << 12, 1 << 17, 5 * 8  # where the header counts the chunks
    (count,) = struct.unpack_from("<Q", whole, at)
    assert count > 3 and len(right) > 300_000
    for copied in (chunk, chunk // 2, 40):
        for source in range(count):
            again = bytearray(whole.ljust(page + (count + 1) * chunk, b"\0"))
            begin = page + source * chunk
            again[page + count * chunk : page + count * chunk + copied] = again[begin : begin + copied]
            struct.pack_into("<Q", again, at, count + 1)
            file.write_bytes(again)
            assert merged() == right, (copied, source)


MANY = """
int main(void) {
  for (int i = 0; i < 300000; ++i) malloc(9);
  return 0;
}
"""


def test_bytes_bound_a_recording(tmp_path: Path) -> None:
    found = record.record([program(tmp_path, MANY)], tmp_path / "t", max_bytes=300_000)
    assert found.code == 0 and found.stopped == "the bytes were used up"
    assert 10_000 < found.events < 300_000
    assert Trace(found.path).foot["stopped"] == found.stopped
    assert record.record([str(tmp_path / "program")], tmp_path / "t", max_bytes=1000).events == 0


def test_calls_that_are_far_apart_have_their_own_times(tmp_path: Path) -> None:
    source = """
    static long now(void) {
      struct timespec t;
      clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
      return t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }
    int main(void) {
      for (int i = 0; i < 1000; ++i) malloc(1);
      for (int i = 0; i < 20; ++i) {
        for (long start = now(); now() < start + 20;) {}
        malloc(2);
      }
      return 0;
    }
    """
    found = events(recorded(tmp_path, source))
    times = found.ms[found.sizes == 2].astype(np.int64)
    # the clock may have been left alone for the first 16
    assert len(times) == 20 and np.all(np.diff(times[16:]) >= 20)


def test_time_bounds_a_recording(tmp_path: Path) -> None:
    source = """
    static long now(void) {
      struct timespec t;
      clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
      return t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }
    int main(void) {
      long start = now();
      malloc(11);
      while (now() < start + 1500) {}
      while (now() < start + 1600) free(malloc(22));
      for (int i = 0; i < 100; ++i) malloc(33);
      return 0;
    }
    """
    made = program(tmp_path, source)
    found = record.record([made], tmp_path / "t", seconds=0.1)
    sizes = set(events(Trace(found.path)).sizes.tolist())
    assert found.stopped == "the time was up" and 33 not in sizes
    found = record.record([made], tmp_path / "t", after=1.0)
    sizes = set(events(Trace(found.path)).sizes.tolist())
    assert found.stopped is None and 33 in sizes and 11 not in sizes
    assert record.record([made], tmp_path / "t", after=3600).events == 0


def test_an_interrupt_is_the_programs_to_answer(tmp_path: Path) -> None:
    source = """
    static void stop(int number) { (void)number; }
    int main(void) {
      struct sigaction action = {.sa_handler = stop};
      sigset_t blocked, none;
      sigemptyset(&none);
      sigemptyset(&blocked);
      sigaddset(&blocked, SIGINT);
      sigprocmask(SIG_BLOCK, &blocked, NULL);
      sigaction(SIGINT, &action, NULL);
      malloc(5);
      if (write(1, "x", 1) != 1) return 1;
      sigsuspend(&none);
      malloc(6);
      return 4;
    }
    """
    command = [sys.executable, "-m", "hakmem", "record", "-o", str(tmp_path / "t"), "--"]
    command += [program(tmp_path, source)]
    environment = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as run:
        assert run.stdout is not None and run.stdout.read(1) == b"x"
        os.killpg(run.pid, signal.SIGINT)
    assert run.returncode == 4
    assert rows(events(Trace(tmp_path / "t"))) == [(MALLOC, 5, 0, 0), (MALLOC, 6, 0, 0)]


def test_an_anonymous_trace_names_nothing(tmp_path: Path) -> None:
    found = record.record([program(tmp_path, MANY)], tmp_path / "t", anonymous=True)
    opened = Trace(found.path)
    assert opened.count() == 300_000 and opened.head["command"] is None
    assert [process.program for process in opened.processes] == [""]


def test_variants_are_recorded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", str(build.build_one("unified").library))
    opened = recorded(tmp_path, MANY)
    found = rows(events(opened))
    # the variant asks whose the process's malloc is, and the witness whether a block is the variant's
    assert found[:4] == [(MALLOC, 1, 0, 0), (FREE, 0, 1, 0)] * 2
    assert found[4:] == [(MALLOC, 9, 0, 0)] * 300_000


def test_the_operators_of_a_library_do_not_pass_the_recorder_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.cpp").write_text(
        """
        #include <new>
        struct alignas(256) Wide { char c[300]; };
        int main() {
          delete[] new char[1111];
          delete new (std::nothrow) Wide;
          bool thrown = false;
          std::set_new_handler([] { std::set_new_handler(nullptr); });
          try { ::operator new(std::size_t{1} << 60); } catch (const std::bad_alloc&) { thrown = true; }
          return thrown && new (std::nothrow) char[std::size_t{1} << 60] == nullptr ? 0 : 1;
        }
        """,
        encoding="utf-8",
    )
    made = tmp_path / "p"
    flags = ["-std=c++20", "-O0", "-w", str(tmp_path / "p.cpp"), "-o", str(made)]
    subprocess.run([str(toolchain.find_compiler()), *flags], check=True)
    for preload in ("", str(build.build_one("unified").library)):
        monkeypatch.setenv("LD_PRELOAD", preload)
        found = record.record([str(made)], tmp_path / "t")
        assert found.code == 0
        seen = rows(events(Trace(found.path)))
        at = seen.index((MALLOC, 1111, 0, 0))
        assert seen[at + 1] == (FREE, 0, 1, 0)
        assert seen[at + 2 : at + 4] == [(ALIGNED, 512, 0, 256), (FREE, 0, 1, 0)]


def test_a_program_that_is_not_reached_is_named(tmp_path: Path) -> None:
    made = program(tmp_path, "int main(void) { return 0; }", "-static")
    with pytest.raises(HakmemError, match="statically linked"):
        record.record([made], tmp_path / "t")
    found = record.record(["sh", "-c", f"{made}; true"], tmp_path / "t")
    assert len(found.missed) == 1 and found.missed[0].startswith(f"{made}: {made} is statically linked")


def test_what_cannot_be_recorded_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HakmemError, match="expected a program in PATH or a path, got 'nonesuch'"):
        record.record(["nonesuch"], tmp_path / "t")
    program = bytearray(Path("/bin/true").read_bytes())
    program[18:20] = b"\x34\x12"  # e_machine: for a processor that does not exist
    (tmp_path / "odd").write_bytes(program)
    (tmp_path / "odd").chmod(0o755)
    with pytest.raises(HakmemError, match="odd: cannot be started: "):
        record.record([str(tmp_path / "odd")], tmp_path / "t")
    with pytest.raises(HakmemError, match="the trace cannot be written: No such file"):
        record.record(["true"], tmp_path / "none" / "t")


def test_the_command_passes_the_exit_code_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[1])}
    words = ["record", "-o", str(tmp_path / "t"), "--", "sh", "-c", "echo $0; exit 3"]
    answer = subprocess.run(
        [sys.executable, "-m", "hakmem", *words], capture_output=True, text=True, check=False, env=environment
    )
    assert answer.returncode == 3 and answer.stdout == "sh\n"
    assert answer.stderr.startswith(f"hakmem: {tmp_path / 't'}: ")
    assert trace.Trace(tmp_path / "t").count() > 0
