-- All operands of COALESCE and IFNULL are evaluated, but for those behind one that is never null; not all of CASE, IF, AND and OR.
CREATE TABLE t (id INT, c INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${TMP}/t', 'format' = 'json');
INSERT INTO t VALUES (1, 1, 'a'), (2, CAST(NULL AS INT), CAST(NULL AS STRING)), (3, 3, '7');
SELECT COALESCE(c, c / 0) AS a FROM t;
SELECT IFNULL(c, CAST(s AS INT)) AS a FROM t;
SELECT COALESCE(c, 1, c / 0) AS a FROM t;
SELECT COALESCE(c, 10 % 0) AS a FROM t;
SELECT COALESCE(c, CASE WHEN c > 5 THEN c / 0 ELSE 1 END) AS a FROM t;
SELECT CASE WHEN c > 0 OR c IS NULL THEN c ELSE c / 0 END AS a, IF(c > 0 OR c IS NULL, c, CAST(s AS INT)) AS b FROM t;
SELECT c > 0 OR c / 0 > 1 AS a, c < 0 AND c / 0 > 1 AS b FROM t WHERE c IS NOT NULL;
-- What is null only for an operand that is.
SELECT id, c / 0 IS NULL AS a, -(c / 0) IS NOT NULL AS b, c / 0 > 1 IS NULL AS d, (c / 0 > 1) IS UNKNOWN AS e, c / 0 IS DISTINCT FROM NULL AS f FROM t;
SELECT id FROM t WHERE c / 0 IS NOT NULL;
SELECT id, c % 0 IS NULL AS a FROM t;
SELECT id, CAST(s AS INT) IS NULL AS a FROM t;
SELECT id, COALESCE(c / 0, 1) IS NULL AS a FROM t;
