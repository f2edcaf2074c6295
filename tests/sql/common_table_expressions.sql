CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE airlines (carrier STRING, name STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv');
WITH late AS (SELECT carrier, dep_delay FROM flights WHERE dep_delay > 60), counts AS (SELECT carrier, COUNT(*) AS n FROM late GROUP BY carrier) SELECT n, COUNT(*) AS carriers FROM counts GROUP BY n;
WITH a AS (SELECT * FROM airlines WHERE carrier < 'C') SELECT name FROM a UNION ALL SELECT UPPER(name) FROM a;
