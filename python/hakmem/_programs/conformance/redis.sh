# A server without a port: loaded by redis-benchmark and by a fixed list of commands, saved by a fork while it serves,
# started again from what it saved.
set -eu
server() {
  redis-server --port 0 --unixsocket "$PWD/s" --save '' --dbfilename dump.rdb --dir "$PWD" --enable-debug-command yes \
    --daemonize no --loglevel warning "$@" > server.log &
  pid=$!
  while ! redis-cli -s s ping > ping.log 2>&1; do kill -0 $pid; done
}
trap 'kill $pid 2> /dev/null || :' EXIT
server
redis-benchmark -s s -q -n 20000 -c 20 -P 8 -r 5000 -d 200 -t set,get,incr,lpush,rpop,sadd,hset,zadd,mset > benchmark.log
grep -c 'requests per second' benchmark.log
redis-cli -s s flushall
awk 'BEGIN { for (i = 0; i < 40000; i++) {
  printf "SET k%d %0*d\n", i % 9000, i * 31 % 900 + 1, i
  printf "HSET h%d f%d v%d\n", i % 70, i, i
  printf "ZADD z%d %d m%d\n", i % 30, i, i % 2000
  printf "RPUSH l%d e%d\n", i % 50, i
  if (i % 3 == 0) printf "DEL k%d\n", (i * 7) % 9000
  if (i % 5 == 0) printf "LPOP l%d\n", i % 50
} }' | redis-cli -s s --pipe | tail -n 1
redis-cli -s s debug digest > before
redis-cli -s s bgsave > bgsave.log
redis-benchmark -s s -q -n 20000 -c 20 -r 100 -t get > while-saving.log
while [ "$(redis-cli -s s info persistence | grep -c 'rdb_bgsave_in_progress:0')" = 0 ]; do :; done
redis-cli -s s info persistence | grep 'rdb_last_bgsave_status'
redis-cli -s s debug digest | cmp - before
redis-cli -s s memory purge
redis-cli -s s shutdown nosave
wait $pid
server
redis-cli -s s debug digest | cmp - before
redis-cli -s s dbsize
cat before
redis-cli -s s shutdown nosave
wait $pid
