-- A FLOAT or DOUBLE in a list of other numbers, and exact numbers in lists of values that they can have.
CREATE TEMPORARY VIEW n AS SELECT k, CAST(x AS FLOAT) AS f, CAST(x AS DOUBLE) AS d, CAST(x AS DECIMAL(10, 2)) AS de, CAST(w AS DOUBLE) AS h, CAST(y AS INT) AS i, CAST(y AS BIGINT) AS b FROM (VALUES (1, '2.9', '2.9', '2'), (2, '2.5', '1e100', '16777217'), (3, '2.50', '-0.0', '4'), (4, '0', '-0.0', '0'), (5, '7', '16777216', '7'), (6, CAST(NULL AS STRING), '4', CAST(NULL AS STRING))) AS t (k, x, w, y);
SELECT k, f IN (d, d) AS a, f IN (2.9, 1) AS b1, f IN (2.9) AS c, f = 2.9 AS e, d IN (f, f) AS g, d IN (f) AS j, d IN (de, de) AS l, f IN (de, i) AS m, d IN (f, 2.9) AS n1, f IN (2.9e0, NULL) AS o, f NOT IN (2.9, 2.5) AS p, f IN (2.9, 7, 2.5) AS q FROM n;
SELECT k, i IN (7e0, 4e0) AS a, i IN (7.0, 4.0) AS b1, i IN (b, b) AS c, b IN (i, 7) AS e, de IN (2.50, 7) AS g, de IN (i, 7) AS j, de NOT IN (7e0, 2.5e0) AS l, i IN (h, 7) AS m, b NOT IN (7e0, 4) AS n1, h IN (i, 9) AS u, h IN (0) AS y FROM n WHERE k > 2;
SELECT k FROM n WHERE f IN (2.9, 7.0);
SELECT k FROM n WHERE f NOT IN (2.9, 7.0);
SELECT k FROM n WHERE k > 1 AND b IN (CAST(16777216 AS FLOAT), h, 4);
