CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT carrier, COUNT(*) FILTER (WHERE dep_delay > 15) late, COUNT(*) n, SUM(distance) FILTER (WHERE origin = 'JFK') jfk, COUNT(DISTINCT dest) FILTER (WHERE dep_delay IS NULL) c FROM flights GROUP BY carrier;
