-- A table of 200,000 rows in memory: indexes, groups, updates of texts, deletions.
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, price INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO orders SELECT i, i % 5000, 'item ' || (i * 7919 % 10007), i * 31 % 1000 FROM n;
CREATE INDEX by_customer ON orders (customer);
CREATE INDEX by_item ON orders (item, price);
SELECT customer, count(*), sum(price), group_concat(item, ',') FROM orders GROUP BY customer ORDER BY 3 DESC LIMIT 5;
SELECT item, avg(price) FROM orders WHERE item LIKE '%42%' GROUP BY item ORDER BY 2, 1 LIMIT 5;
UPDATE orders SET item = upper(item) || ' sold' WHERE customer % 3 = 0;
DELETE FROM orders WHERE price < 300;
SELECT count(*), sum(length(item)) FROM orders;
