-- What gives NULL although its type is NOT NULL.
SELECT CAST(i AS DECIMAL(3, 1)) AS x FROM (VALUES (1000), (1)) AS t (i);
SELECT CAST(1000 AS DECIMAL(3, 1)) AS x;
SELECT i, CAST(i AS DECIMAL(3, 1)) IS NULL AS x, COALESCE(CAST(i AS DECIMAL(3, 1)), 5) IS NULL AS y, ARRAY[CAST(i AS DECIMAL(3, 1))] AS z FROM (VALUES (1000), (1)) AS t (i);
SELECT i FROM (VALUES (1000), (1)) AS t (i) WHERE CAST(i AS DECIMAL(3, 1)) < 5;
SELECT LPAD(s, i, '?') AS x FROM (VALUES ('hi', -1), ('hi', 3)) AS t (s, i);
CREATE TABLE lies (a INT NOT NULL) WITH ('connector' = 'datagen', 'number-of-rows' = '2', 'fields.a.null-rate' = '1');
SELECT a FROM lies;
