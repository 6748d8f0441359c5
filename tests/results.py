"""A made-up row of results, for tests to vary."""

from __future__ import annotations

from hakmem.store import Result


def result() -> Result:
    """One row of libc."""
    return Result(
        run="r-1",
        time=1.0,
        variant="libc",
        kind="libc",
        digest=None,
        policy_set=None,
        commit="c",
        compiler="gcc",
        flags="-O2",
        cpu="cpu",
        label="lifo 16 B, 100 live",
        workload="lifo",
        params='{"live": 100}',
        histogram='{"16": 100}',
        seed=42,
        threads=1,
        shape="call",
        round=0,
        ops=100,
        ns_per_op=10.0,
        startup_ns=5,
        spawn_ns=None,
        instructions_per_op=None,
        counter=None,
        minor_faults=1,
        major_faults=0,
        syscalls_in_loop=None,
        peak_rss_kib=1000,
        rss_end_kib=900,
        harness_kib=10,
        served_share=1.0,
    )
