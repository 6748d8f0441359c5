#!/bin/sh
# A server under a fixed load, ended by its client.
set -e
{ command -v redis-server && command -v redis-benchmark; } >/dev/null ||
  { echo "redis is not on this machine: apt-get install redis-server redis-tools" >&2; exit 1; }
place=$(mktemp -d)
redis-server --port 0 --unixsocket "$place/s" --save '' --appendonly no --loglevel warning --dir "$place" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$place"' EXIT
until redis-cli -s "$place/s" ping >/dev/null 2>&1; do
  kill -0 "$server" || exit 1 # its complaint stands above
  sleep 0.01
done
redis-benchmark -s "$place/s" -q -c 20 -P 64 -n 150000 -r 100000 -d 100 -t set,lpush,hset,sadd,zadd,get >/dev/null
redis-cli -s "$place/s" shutdown nosave
wait
trap 'rm -rf "$place"' EXIT
