CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT n, COUNT(*) AS routes FROM (SELECT origin, dest, COUNT(*) AS n FROM flights GROUP BY origin, dest) GROUP BY n;
SELECT MAX(n) a, MIN(n) b, SUM(n) c, AVG(n) d, COUNT(DISTINCT n) e FROM (SELECT carrier, COUNT(*) AS n FROM flights GROUP BY carrier);
SELECT first_letter, COUNT(*) AS dests, MAX(n) AS most FROM (SELECT SUBSTRING(dest, 1, 1) AS first_letter, dest, COUNT(*) AS n FROM flights GROUP BY SUBSTRING(dest, 1, 1), dest) WHERE n > 3 GROUP BY first_letter;
