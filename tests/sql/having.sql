CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT dest, COUNT(*) AS n, AVG(arr_delay) AS delay FROM flights GROUP BY dest HAVING COUNT(*) > 50 AND AVG(arr_delay) > 5;
SELECT carrier FROM flights GROUP BY carrier HAVING SUM(distance) > 300000;
SELECT SUM(distance) AS s FROM flights HAVING COUNT(*) > 1000000;
SELECT SUM(distance) AS s FROM flights HAVING COUNT(*) > 1;
