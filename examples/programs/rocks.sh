#!/bin/sh
# Two threads write and read through a small cache of blocks; what one thread has read another drops.
set -e
command -v db_bench >/dev/null || { echo "db_bench is not on this machine: apt-get install rocksdb-tools" >&2; exit 1; }
place=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$place"' EXIT
db_bench --benchmarks=fillrandom,readrandom --num=150000 --threads=2 --value_size=200 --cache_size=2097152 \
  --compression_type=none --db="$place/db" >"$place/told" 2>&1 || { cat "$place/told" >&2; exit 1; }
