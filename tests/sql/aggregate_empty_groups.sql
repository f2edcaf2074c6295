CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT COUNT(*) a, SUM(distance) b, MAX(dep) c, AVG(distance) d FROM flights WHERE origin = 'XXX';
SELECT carrier, COUNT(*) AS n FROM flights WHERE origin = 'XXX' GROUP BY carrier;
SELECT COUNT(DISTINCT tail) AS n FROM flights WHERE FALSE;
SELECT origin FROM flights WHERE 1 = 0;
