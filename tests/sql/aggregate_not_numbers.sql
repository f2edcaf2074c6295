-- NaN, infinities and -0.0 in sums, averages and variances.
CREATE TEMPORARY VIEW v AS SELECT k, CAST(x AS DOUBLE) AS d, CAST(x AS FLOAT) AS f FROM (VALUES (1, '1'), (1, 'NaN'), (1, '3'), (2, 'Infinity'), (2, '1'), (3, 'NaN'), (4, '-Infinity'), (5, '1e30'), (5, '-1e30'), (6, '1'), (6, '2'), (7, CAST(NULL AS STRING))) AS t (k, x);
SELECT k, VAR_POP(d) AS a, VAR_SAMP(d) AS b, STDDEV_POP(d) AS c, STDDEV_SAMP(d) AS e, VARIANCE(d) AS g, STDDEV(d) AS h, SUM(d) AS i, AVG(d) AS j FROM v GROUP BY k;
SELECT VAR_POP(s) AS a, VAR_SAMP(s) AS b, STDDEV_POP(s) AS c, COUNT(*) AS n FROM (SELECT k, SUM(d) AS s FROM v GROUP BY k) AS t WHERE k IN (3, 6);
SELECT VAR_POP(d) AS a, STDDEV_SAMP(d) AS b FROM (SELECT CAST(x AS DOUBLE) AS d FROM (VALUES ('1e200'), ('-1e200')) AS t (x)) AS u;
CREATE TEMPORARY VIEW z AS SELECT k, CAST(x AS DOUBLE) AS d, CAST(x AS FLOAT) AS f FROM (VALUES (1, '-0.0'), (2, '-1'), (3, '-0.0'), (3, '0.0'), (4, '-0.0'), (4, '-0.0')) AS t (k, x);
SELECT k, SUM(d) AS a, SUM(d * 0) AS b, SUM(f) AS c, SUM(DISTINCT d) AS e, AVG(d) AS g, MIN(d) AS h, SUM(d) FILTER (WHERE k < 3) AS i FROM z WHERE k <> 3 GROUP BY k;
SELECT SUM(d) AS a, SUM(f) AS b, AVG(d) AS c, SUM(DISTINCT d) AS e FROM z WHERE k = 4;
SELECT SUM(s) AS a, AVG(s) AS b, COUNT(*) AS n FROM (SELECT k, SUM(d) AS s FROM z WHERE k IN (1, 4) GROUP BY k) AS u;
