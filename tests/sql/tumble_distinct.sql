CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT window_start, COUNT(DISTINCT carrier) AS carriers, COUNT(DISTINCT dest) AS dests, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '14' DAY)) GROUP BY window_start, window_end;
