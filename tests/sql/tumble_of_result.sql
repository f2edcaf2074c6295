CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT MAX(n) a, MIN(n) b, COUNT(*) c FROM (SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start, window_end);
