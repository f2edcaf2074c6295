CREATE TABLE sparse (
  id INT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/null_times.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE sparse, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT COUNT(*) AS n, COUNT(ts) AS t FROM sparse;
