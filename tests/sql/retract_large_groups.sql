-- Groups of more values than one keeps in its own value.
CREATE TABLE numbers (n BIGINT)
  WITH ('connector' = 'datagen', 'rows-per-second' = '1000000',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '-500', 'fields.n.end' = '2099');
CREATE TEMPORARY VIEW sums AS SELECT MOD(n + 500, 1100) AS k, SUM(n) AS s FROM numbers GROUP BY MOD(n + 500, 1100);
SELECT MIN(s) AS a, MAX(s) AS b, MIN(CAST(s AS STRING)) AS c, MAX(CAST(s AS DOUBLE)) AS d, COUNT(DISTINCT s) AS e FROM sums;
SELECT MOD(k, 2) AS m, MIN(s) AS a, MAX(-s) AS b FROM sums GROUP BY MOD(k, 2);
SELECT CARDINALITY(ARRAY_AGG(s)) AS a, CHAR_LENGTH(LISTAGG(CAST(s AS STRING))) AS b, CHAR_LENGTH(CAST(COLLECT(s) AS STRING)) AS c FROM sums;
SELECT CARDINALITY(ARRAY_AGG(n)) AS a, CHAR_LENGTH(LISTAGG(CAST(n AS STRING), '; ')) AS b, CHAR_LENGTH(CAST(COLLECT(n) AS STRING)) AS c FROM numbers;
