CREATE TABLE random_rows (i INT, s SMALLINT, v VARCHAR(5), b BOOLEAN, a ARRAY<INT>, r ROW<x INT, y STRING>, n INT)
  WITH ('connector' = 'datagen', 'number-of-rows' = '2000', 'rows-per-second' = '100000', 'fields.i.min' = '3', 'fields.i.max' = '5',
        'fields.s.min' = '-1', 'fields.s.max' = '-1', 'fields.a.element.min' = '1', 'fields.a.element.max' = '1',
        'fields.r.x.min' = '9', 'fields.r.x.max' = '9', 'fields.r.y.length' = '2', 'fields.n.null-rate' = '1');
SELECT COUNT(*), MIN(i), MAX(i), COUNT(DISTINCT i), MIN(s), MAX(s), MAX(CHAR_LENGTH(v)), COUNT(DISTINCT b), COUNT(n) FROM random_rows;
SELECT DISTINCT r.x, CHAR_LENGTH(r.y) AS y FROM random_rows;
CREATE TABLE odd (a INT, b INT, c INT, d INT) WITH ('connector' = 'datagen', 'number-of-rows' = '20', 'fields.a.null-rate' = 'NaN', 'fields.b.null-rate' = '2', 'fields.c.null-rate' = '-1', 'fields.d.null-rate' = 'Infinity');
SELECT COUNT(*) AS n, COUNT(a) AS a, COUNT(b) AS b, COUNT(c) AS c, COUNT(d) AS d FROM odd;
CREATE TABLE no_rows (a INT) WITH ('connector' = 'datagen', 'number-of-rows' = '-1');
SELECT COUNT(*) AS n FROM no_rows;
