CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT MIN(worst) a, MAX(worst) b, COUNT(worst) c FROM (SELECT tail, MAX(arr_delay) AS worst FROM flights GROUP BY tail);
SELECT late, MIN(carrier) a, MAX(carrier) b FROM (SELECT carrier, SUM(CASE WHEN dep_delay > 30 THEN 1 ELSE 0 END) AS late FROM flights GROUP BY carrier) GROUP BY late;
SELECT d, COUNT(*) FROM (SELECT DISTINCT dest AS d, carrier FROM flights) GROUP BY d HAVING COUNT(*) = 1;
