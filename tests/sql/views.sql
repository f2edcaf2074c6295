CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE VIEW long_haul AS SELECT carrier, dest, distance, distance * 1.609 AS km FROM flights WHERE distance > 2000;
CREATE VIEW by_carrier (c, n, far) AS SELECT carrier, COUNT(*), MAX(km) FROM long_haul GROUP BY carrier;
CREATE TEMPORARY VIEW busy AS SELECT c FROM by_carrier WHERE n > 20;
SELECT * FROM by_carrier;
SELECT * FROM busy;
SELECT dest, COUNT(*) AS n FROM long_haul GROUP BY dest;
SELECT COUNT(*) AS n FROM by_carrier;
