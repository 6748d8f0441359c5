-- Build and query a database in memory; read by the sqlite3 shell. Deterministic: prints a few sums.
PRAGMA temp_store = MEMORY;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, day INTEGER NOT NULL, note TEXT);
CREATE TABLE lines (id INTEGER PRIMARY KEY, ordered INTEGER, article TEXT, count INTEGER, price REAL);
BEGIN;
INSERT INTO customers
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
  SELECT i, 'customer ' || i, 'city ' || (i * 7919 % 97) FROM n;
INSERT INTO orders
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
  SELECT i, 1 + i * 104729 % 2000, i * 31 % 365, 'note ' || hex(i * 2654435761) || substr('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 1, i % 32)
  FROM n;
INSERT INTO lines
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
  SELECT i, 1 + i * 7907 % 40000, 'article ' || (i * 48271 % 3001), 1 + i % 9, (i * 6151 % 100000) / 100.0 FROM n;
COMMIT;
CREATE INDEX orders_by_customer ON orders (customer, day);
CREATE INDEX lines_by_order ON lines (ordered);
SELECT city, count(*), round(sum(count * price), 2)
  FROM customers JOIN orders ON orders.customer = customers.id JOIN lines ON lines.ordered = orders.id
  GROUP BY city ORDER BY 3 DESC LIMIT 5;
SELECT length(group_concat(upper(note) || lower(note))) FROM orders WHERE day BETWEEN 20 AND 300;
SELECT article, group_concat(DISTINCT count) FROM lines GROUP BY article ORDER BY article LIMIT 3;
UPDATE orders SET note = note || ' checked' WHERE day % 3 = 0;
DELETE FROM lines WHERE id % 5 = 0;
SELECT count(*), round(sum(price), 2), max(article) FROM lines;
SELECT sum(length(note)) FROM orders;
SELECT count(*) FROM (SELECT article, ordered FROM lines ORDER BY article || ordered LIMIT 40000);
SELECT 'done';
