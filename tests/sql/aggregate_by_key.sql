CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carrier, COUNT(*) n, SUM(distance) miles, AVG(arr_delay) delay, MIN(air_time) best, MAX(air_time) worst FROM flights GROUP BY carrier;
SELECT origin, dest, COUNT(*) n FROM flights GROUP BY origin, dest;
SELECT tail, COUNT(*) n FROM flights GROUP BY tail HAVING COUNT(*) > 4;
