-- Values of nested types that are computed and constant ones, put together.
SELECT ARRAY[ROW(n), ROW(0)] FROM (VALUES (1), (2)) AS t (n);
SELECT MAP['a', ROW(n), 'b', ROW(0)] FROM (VALUES (1), (2)) AS t (n);
SELECT NULLIF(ROW(n), ROW(1)) FROM (VALUES (1), (2)) AS t (n);
SELECT ROW(n) FROM (VALUES (1), (2)) AS t (n) UNION ALL SELECT ROW(0);
SELECT ARRAY_APPEND(ARRAY[ROW(n)], ROW(0)), ARRAY_CONCAT(ARRAY[ROW(n)], ARRAY[ROW(0)]) FROM (VALUES (1), (2)) AS t (n);
SELECT ARRAY_CONTAINS(ARRAY[ROW(n)], ROW(1)), ARRAY_POSITION(ARRAY[ROW(n)], ROW(1)), ARRAY_REMOVE(ARRAY[ROW(n)], ROW(1)) FROM (VALUES (1), (2)) AS t (n);
SELECT MAP_UNION(MAP['a', ROW(n)], MAP['b', ROW(0)]) FROM (VALUES (1), (2)) AS t (n);
SELECT CASE WHEN n > 1 THEN ROW(n, ROW(n)) WHEN n > 5 THEN ROW(0, ROW(0)) ELSE ROW(n, ROW(0)) END FROM (VALUES (1), (2)) AS t (n);
SELECT CASE WHEN n > 1 THEN ROW(n) END FROM (VALUES (1), (2)) AS t (n);
