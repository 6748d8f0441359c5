#!/bin/sh
# Two threads write and read through a small cache of blocks; what one thread has read another drops.
place=$(mktemp -d -p /dev/shm)
db_bench --benchmarks=fillrandom,readrandom --num=150000 --threads=2 --value_size=200 --cache_size=2097152 \
  --compression_type=none --db="$place/db" >/dev/null 2>&1
rm -r "$place"
