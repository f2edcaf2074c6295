-- Carriers by number of flights and average delay: an aggregate that changes as rows arrive.
-- Run it: @HOME@/bin/sql-client.sh -f @HOME@/examples/carriers.sql
SET 'pipeline.name' = 'carriers';

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
  distance INT
) WITH (
  'connector' = 'filesystem',
  'path' = '@HOME@/examples/data/flights-2013.csv.gz',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT
  carrier,
  COUNT(*) AS flights,
  SUM(CASE WHEN dep_delay IS NULL THEN 1 ELSE 0 END) AS cancelled,
  AVG(CAST(arr_delay AS DOUBLE)) AS average_delay
FROM flights
GROUP BY carrier
HAVING COUNT(*) > 10000;
