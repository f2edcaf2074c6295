CREATE TABLE nothing (
  ts TIMESTAMP(3), k STRING, v INT,
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/empty.csv', 'format' = 'csv');
SELECT * FROM nothing;
SELECT COUNT(*) AS n, SUM(v) AS s, MIN(v) AS lo FROM nothing;
SELECT k, COUNT(*) AS n FROM nothing GROUP BY k;
SELECT DISTINCT v FROM nothing;
SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE nothing, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
