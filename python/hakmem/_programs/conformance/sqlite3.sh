# A database in a file: built, queried, rolled back, vacuumed, dumped, checked.
set -eu
sqlite3 -batch -init /dev/null shop.db < "$HAKMEM_SCRIPTS/../orders.sql" | grep -v '^done$'
sqlite3 -batch -init /dev/null log.db <<'SQL'
CREATE TABLE log(id INTEGER PRIMARY KEY, day INTEGER, text TEXT);
CREATE INDEX log_by_text ON log(text);
BEGIN;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO log SELECT i, i * 7919 % 365, hex(i * 2654435761 % 4294967296) || printf('%0*d', i % 300, i) FROM n;
COMMIT;
BEGIN;
DELETE FROM log WHERE day < 200;
ROLLBACK;
DELETE FROM log WHERE day > 300;
VACUUM;
SELECT day, count(*), sum(length(text)), max(length(text)) FROM log GROUP BY day ORDER BY day LIMIT 20;
SELECT group_concat(text, ';') FROM (SELECT substr(text, 1, 6) AS text FROM log ORDER BY text LIMIT 500);
PRAGMA integrity_check;
SQL
sqlite3 -batch -init /dev/null log.db .dump | sha256sum
