CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT window_start, carrier, COUNT(*) AS n, AVG(dep_delay) AS delay, MAX(arr_delay) AS worst FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '30' DAY)) GROUP BY window_start, window_end, carrier;
SELECT window_start, window_end, COUNT(*) AS n, SUM(distance) AS miles FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '7' DAY)) GROUP BY window_start, window_end;
