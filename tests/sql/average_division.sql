CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carrier, AVG(dep_delay) a, AVG(CAST(dep_delay AS DOUBLE)) b, AVG(CAST(dep_delay AS DECIMAL(10, 2))) c, SUM(dep_delay) / COUNT(dep_delay) d FROM flights GROUP BY carrier;
