CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '/data/flights-2013.csv.gz', 'format' = 'csv', 'csv.null-literal' = '');
SELECT origin, dest, COUNT(*) AS n, AVG(arr_delay) AS d, AVG(CAST(arr_delay AS DOUBLE)) AS dd, MIN(air_time) AS best, SUM(CAST(distance AS BIGINT)) AS miles FROM flights GROUP BY origin, dest;
SELECT CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'early' WHEN dep_delay < 15 THEN 'on time' WHEN dep_delay < 60 THEN 'late' ELSE 'very late' END AS bucket, origin, COUNT(*) AS n FROM flights GROUP BY CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'early' WHEN dep_delay < 15 THEN 'on time' WHEN dep_delay < 60 THEN 'late' ELSE 'very late' END, origin;
SELECT DISTINCT carrier, origin FROM flights;
SELECT carrier, COUNT(DISTINCT tail) AS tails, COUNT(tail) AS known, COUNT(*) AS n FROM flights GROUP BY carrier;
SELECT dep, carrier || CAST(flight AS STRING) AS code, UPPER(tail) AS tail, distance * 1.609 AS km FROM flights WHERE arr_delay > 400;
SELECT COUNT(*), COUNT(dep_delay), SUM(dep_delay), AVG(distance), MIN(dep), MAX(dep), COUNT(DISTINCT dest) FROM flights;
SELECT dest, COUNT(*) AS n FROM flights WHERE carrier IN ('UA', 'DL', 'B6') AND distance BETWEEN 500 AND 1500 GROUP BY dest HAVING COUNT(*) > 1000;
SELECT n, COUNT(*) AS routes FROM (SELECT origin, dest, COUNT(*) AS n FROM flights GROUP BY origin, dest) GROUP BY n;
SELECT window_start, carrier, COUNT(*) AS flights, AVG(dep_delay) AS delay, MAX(arr_delay) AS worst FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' DAY)) GROUP BY window_start, window_end, carrier;
SELECT window_start, window_end, COUNT(*) AS n, SUM(distance) AS miles FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT origin AS airport, 'out' AS way, COUNT(*) AS n FROM flights GROUP BY origin UNION ALL SELECT dest, 'in', COUNT(*) FROM flights GROUP BY dest;
