CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT COUNT(*) AS n FROM flights GROUP BY 'all';
SELECT 1 AS uno, carrier, 'x' AS x FROM flights GROUP BY carrier;
SELECT carrier, origin FROM flights GROUP BY carrier, origin;
SELECT COUNT(*) + SUM(distance) AS s, MAX(distance) - MIN(distance) AS spread FROM flights;
