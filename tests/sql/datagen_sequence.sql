CREATE TABLE numbers (n BIGINT, s STRING, t TINYINT, d DOUBLE)
  WITH ('connector' = 'datagen', 'rows-per-second' = '1000000',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '-500', 'fields.n.end' = '1499',
        'fields.s.kind' = 'sequence', 'fields.s.start' = '1', 'fields.s.end' = '2000',
        'fields.t.kind' = 'sequence', 'fields.t.start' = '1', 'fields.t.end' = '2000',
        'fields.d.kind' = 'sequence', 'fields.d.start' = '0', 'fields.d.end' = '1999');
SELECT COUNT(*) AS c, SUM(n) AS s, MIN(n) AS lo, MAX(n) AS hi, COUNT(DISTINCT s) AS ds, COUNT(DISTINCT t) AS dt, SUM(d) AS sd FROM numbers;
SELECT MOD(n, 10) AS m, COUNT(*) AS c FROM numbers GROUP BY MOD(n, 10);
SELECT n FROM numbers WHERE n BETWEEN -3 AND 3;
