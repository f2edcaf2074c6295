-- Departures from New York's three airports in 2013, in windows of four weeks: a streaming query with event time.
-- Run it: @HOME@/bin/sql-client.sh -f @HOME@/examples/flights.sql
SET 'pipeline.name' = 'flights';

CREATE TABLE flights (
  dep TIMESTAMP(0),
  carrier STRING,
  flight INT,
  tail STRING,
  origin STRING,
  dest STRING,
  dep_delay INT,
  arr_delay INT,
  air_time INT,
  distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = '@HOME@/examples/data/flights-2013.csv.gz',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT
  window_start,
  origin,
  COUNT(*) AS flights,
  COUNT(DISTINCT carrier) AS carriers,
  AVG(CAST(dep_delay AS DOUBLE)) AS average_delay,
  MAX(distance) AS longest
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(dep), INTERVAL '28' DAY))
GROUP BY window_start, window_end, origin;
