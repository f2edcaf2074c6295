-- IS JSON and its kinds.
CREATE TEMPORARY VIEW v AS SELECT k, CAST(j AS STRING) AS j FROM (VALUES (1, '{"a": 1}'), (2, 'no json'), (3, CAST(NULL AS STRING)), (4, '[1, 2, 3]'), (5, '"text"'), (6, '17'), (7, ''), (10, 'null')) AS t (k, j);
SELECT k, j IS JSON AS a, j IS JSON VALUE AS c, j IS JSON SCALAR AS d, j IS JSON ARRAY AS e, j IS JSON OBJECT AS f FROM v;
SELECT k, j IS NOT JSON AS b, j IS NOT JSON OBJECT AS g FROM v;
SELECT '{}' IS JSON AS a, 'x' IS NOT JSON AS b;
SELECT 1 IS JSON AS x;
