#!/bin/sh
# A server under a fixed load, ended by its client.
place=$(mktemp -d)
redis-server --port 0 --unixsocket "$place/s" --save '' --appendonly no --loglevel warning --dir "$place" &
until redis-cli -s "$place/s" ping >/dev/null 2>&1; do sleep 0.01; done
redis-benchmark -s "$place/s" -q -c 20 -P 64 -n 150000 -r 100000 -d 100 -t set,lpush,hset,sadd,zadd,get >/dev/null
redis-cli -s "$place/s" shutdown nosave
wait
rm -r "$place"
