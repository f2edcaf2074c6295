CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carrier, COUNT(DISTINCT tail) a, COUNT(DISTINCT dest) b, COUNT(tail) c FROM flights GROUP BY carrier;
SELECT COUNT(DISTINCT origin) a, COUNT(DISTINCT dest) b, SUM(DISTINCT distance) c FROM flights;
SELECT origin, COUNT(DISTINCT carrier) AS n, MAX(dep_delay) AS worst FROM flights GROUP BY origin HAVING COUNT(DISTINCT carrier) > 8;
