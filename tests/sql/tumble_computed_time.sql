CREATE TABLE raw_flights (
  dep STRING, carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  ts AS CAST(dep AS TIMESTAMP(3)), route AS origin || '-' || dest,
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT window_start, COUNT(DISTINCT route) AS routes, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE raw_flights, DESCRIPTOR(ts), INTERVAL '90' DAY)) GROUP BY window_start, window_end;
SELECT route, ts FROM raw_flights WHERE distance > 4000;
