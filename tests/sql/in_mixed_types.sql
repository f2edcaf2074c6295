-- An item is taken as what the value is, where one of both is text.
SELECT s, s IN (1) AS a, s IN (1, 2) AS b, s IN (1.0) AS c, s IN (1.5, 2) AS d, s IN (1e0) AS e, s NOT IN (1, 2) AS f FROM (VALUES ('1'), ('1.0'), ('true'), ('2'), ('1.5'), (CAST(NULL AS STRING))) AS t (s);
SELECT s, s IN (TRUE, FALSE) AS a, s IN (DATE '2024-01-02') AS b, s IN (TIMESTAMP '2024-01-02 00:00:00') AS c FROM (VALUES ('TRUE'), ('true'), ('2024-01-02'), ('2024-01-02 00:00:00')) AS t (s);
SELECT n, n IN ('1', '2') AS a, n IN ('1.5', '2') AS b, n IN (CAST(n AS STRING)) AS c, n IN (NULL, 1) AS d FROM (VALUES (1), (2), (3), (CAST(NULL AS INT))) AS t (n);
SELECT n FROM (VALUES (1), (2), (3)) AS t (n) WHERE n NOT IN ('1', '3');
SELECT n IN ('x', '2') AS a FROM (VALUES (1), (2)) AS t (n);
SELECT n IN (1, 'a') AS a FROM (VALUES (1), (2)) AS t (n);
SELECT n IN (TRUE) AS a FROM (VALUES (1), (2)) AS t (n);
SELECT ts IN ('2024-01-02 03:04:05.678', '2024-01-01 00:00:00') AS a, ts IN (CAST(NULL AS TIMESTAMP(3))) AS b FROM (VALUES (TIMESTAMP '2024-01-02 03:04:05.678')) AS t (ts);
SELECT ts IN (DATE '2024-01-02') AS a FROM (VALUES (TIMESTAMP '2024-01-02 03:04:05.678')) AS t (ts);
