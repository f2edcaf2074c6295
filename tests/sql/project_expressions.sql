CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT flight, dep_delay + arr_delay AS total, distance * 2 AS double_, distance / 7 AS seventh, MOD(distance, 7) AS rest, -dep_delay AS neg, distance * 1.609 AS km, CAST(distance AS DOUBLE) / air_time AS speed FROM flights WHERE origin = 'LGA' AND dest = 'ORD';
