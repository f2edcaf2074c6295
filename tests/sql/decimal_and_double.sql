-- Beside a DECIMAL a FLOAT or DOUBLE has the order of Java's objects, but equality is that of numbers.
CREATE TEMPORARY VIEW t AS SELECT k, CAST(NULLIF(x, '') AS DOUBLE) AS d, CAST(NULLIF(x, '') AS FLOAT) AS f, CAST(y AS DECIMAL(10, 2)) AS dc FROM (VALUES (1, '-0.0', '0.00'), (2, 'NaN', '0.00'), (3, '0.1', '0.10'), (4, '1.5', '1.50'), (5, 'Infinity', '9.00'), (6, '-1', '-1.00'), (7, '0.0', '0.00'), (8, '1e-30', '0'), (9, '', '1')) AS t (k, x, y);
SELECT k, d < dc AS a, d > dc AS b, d = dc AS c, d <> dc AS e, d <= dc AS g, d >= dc AS h, d IS DISTINCT FROM dc AS i, d IS NOT DISTINCT FROM dc AS j, d BETWEEN dc AND dc AS l, dc < d AS m, dc > d AS n, dc = d AS o FROM t;
SELECT k, f < dc AS a, f > dc AS b, f = dc AS c, f <> dc AS e, f <= dc AS g, f >= dc AS h, f IS DISTINCT FROM dc AS i, f IS NOT DISTINCT FROM dc AS j, f BETWEEN dc AND dc AS l, dc < f AS m, dc > f AS n, dc = f AS o FROM t;
SELECT k, d < 0.00 AS a, d > 0.00 AS b, d = 0.00 AS c, d <> 0.00 AS e, d < 0 AS g, d > 0 AS h, d = 0 AS i, d > 0.5 AS j, NOT (d > 0.5) AS l, d BETWEEN 0.0 AND 5.0 AS m, d NOT BETWEEN 0.0 AND 5.0 AS n, 0.0 > d AS o, d < CAST(dc AS DOUBLE) AS p, d > CAST(dc AS DOUBLE) AS q FROM t;
SELECT k FROM t WHERE d < dc;
SELECT k FROM t WHERE d > 0.5;
SELECT k FROM t WHERE NOT (d > 0.5);
SELECT k FROM t WHERE d = dc;
SELECT k FROM t WHERE d BETWEEN dc AND dc;
SELECT k, GREATEST(d, dc) AS a, LEAST(d, dc) AS b, NULLIF(d, dc) AS c, CASE d WHEN dc THEN 1 ELSE 0 END AS e FROM t;
