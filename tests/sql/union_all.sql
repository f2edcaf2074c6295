CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT origin AS airport, 'out' AS way, COUNT(*) AS n FROM flights GROUP BY origin UNION ALL SELECT dest, 'in', COUNT(*) FROM flights GROUP BY dest;
SELECT carrier, n FROM (SELECT carrier, 1 AS n FROM flights WHERE dep_delay > 200 UNION ALL SELECT carrier, 2 FROM flights WHERE arr_delay > 200);
SELECT COUNT(*) AS n FROM (SELECT * FROM flights UNION ALL SELECT * FROM flights);
