SELECT OVERLAY('abc' PLACING 'x' FROM 2) AS a, OVERLAY(c PLACING 'x' FROM 2 FOR 0) AS b, LEFT(c, 2) AS d, RIGHT('abc', 2) AS e, LTRIM(c) AS f, RTRIM('abc', 'c') AS g, ELT(1, c, 'x') AS h, ELT(2, 'a', 'b') AS i FROM (VALUES (CAST('ab' AS CHAR(5)))) AS t (c);
SELECT STR_TO_MAP('a=1') AS a, FROM_UNIXTIME(0) AS b, ARRAY_CONTAINS(ARRAY[1, NULL], NULL) AS c, ARRAY_CONTAINS(ARRAY['a'], NULL) AS d;
SELECT COLLECT(v) AS a, ARRAY_AGG(v) AS b, LISTAGG(w, '-') AS c, LISTAGG('x') AS d FROM (VALUES (1, 'a'), (2, 'bc')) AS t (v, w);
SELECT COLLECT(v) AS a, ARRAY_AGG(v) AS b, LISTAGG(w) AS c FROM (VALUES (1, 'a'), (CAST(NULL AS INT), CAST(NULL AS STRING))) AS t (v, w);
SELECT w, COLLECT(v) AS a, ARRAY_AGG(v) AS b, LISTAGG(w, '-') AS c FROM (VALUES (1, 'a'), (2, 'bc'), (2, 'bc')) AS t (v, w) GROUP BY w;
SELECT COLLECT(v) FILTER (WHERE v > 5) AS a FROM (VALUES (1), (2)) AS t (v);
