CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT window_start, origin, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '30' DAY)) WHERE dep_delay > 10 GROUP BY window_start, window_end, origin HAVING COUNT(*) > 5;
SELECT window_end, COUNT(*) FILTER (WHERE arr_delay > 0) AS late, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '60' DAY)) GROUP BY window_start, window_end;
