SELECT * FROM (VALUES (1, 'a'), (2, 'bb'), (CAST(NULL AS INT), CAST(NULL AS STRING))) AS t(n, s);
SELECT n, COUNT(*) AS c FROM (VALUES (1), (1), (2), (CAST(NULL AS INT)), (CAST(NULL AS INT))) AS t(n) GROUP BY n;
SELECT SUM(n) AS s, AVG(n) AS a, MIN(n) AS lo, MAX(n) AS hi FROM (VALUES (1), (2), (4)) AS t(n);
SELECT x, y FROM (VALUES (1, 1.5), (20, 2.25)) AS t(x, y) WHERE y > 2;
