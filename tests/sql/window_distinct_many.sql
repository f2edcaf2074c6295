-- Keys of more values in a slice than one keeps in its own value, and of few, in windows of one slice and of several.
CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
  WITH ('connector' = 'datagen', 'rows-per-second' = '1000000',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '29999');
CREATE TEMPORARY VIEW vals AS
  SELECT CASE WHEN MOD(n, 10) = 0 THEN 'few' ELSE 'many' END AS k, CASE WHEN MOD(n, 10) = 0 THEN MOD(n, 70) ELSE MOD(n, 7000) END AS v, ts
  FROM numbers;
SELECT k, window_start, COUNT(*) AS a, COUNT(DISTINCT v) AS b, SUM(DISTINCT v) AS c, AVG(DISTINCT CAST(v AS DOUBLE)) AS d
  FROM TABLE(TUMBLE(TABLE vals, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
SELECT k, window_start, COUNT(DISTINCT v) AS a, COUNT(DISTINCT CAST(v AS STRING)) AS b, COUNT(DISTINCT v) FILTER (WHERE MOD(v, 3) = 0) AS c
  FROM TABLE(HOP(TABLE vals, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
SELECT window_start, window_end, COUNT(DISTINCT v) AS a, COUNT(DISTINCT MOD(v, 5)) AS b, VAR_POP(DISTINCT CAST(MOD(v, 2000) AS INT)) AS c
  FROM TABLE(CUMULATE(TABLE vals, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '15' SECOND)) GROUP BY window_start, window_end;
