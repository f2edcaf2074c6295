CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT COUNT(*) a, COUNT(dep_delay) b, SUM(dep_delay) c, AVG(dep_delay) d, MIN(dep_delay) e, MAX(dep_delay) f, COUNT(DISTINCT carrier) g, MIN(dep) h, MAX(tail) i FROM flights;
