CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carier FROM flights;
SELECT * FROM flight;
SELECT no_such_function(dep) FROM flights;
SELECT carrier, COUNT(*) FROM flights;
SELECT f.carrier FROM flights AS g;
SELECT carrier FROM flights WHERE;
SELECT carrier AS c FROM flights GROUP BY carrier HAVING SUM(carrier) > 1;
SELECT COUNT(*) FROM flights WHERE COUNT(*) > 1;
SELECT 1 UNION ALL SELECT 1, 2;
SELECT COUNT(*) AS n FROM flights;
