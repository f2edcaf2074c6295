SET 'parallelism.default' = '3';
CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carrier, COUNT(*) AS n FROM flights GROUP BY carrier;
SET 'parallelism.default' = '1';
SELECT COUNT(*) AS n FROM flights;
SELECT origin, MAX(distance) AS far FROM flights GROUP BY origin;
