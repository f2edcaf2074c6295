CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT COUNT(*) FROM flights WHERE dep_delay IS NULL;
SELECT COUNT(*) FROM flights WHERE dep_delay > 0;
SELECT COUNT(*) FROM flights WHERE NOT (dep_delay > 0);
SELECT COUNT(*) FROM flights WHERE dep_delay > 0 OR arr_delay > 0;
SELECT COUNT(*) FROM flights WHERE (dep_delay > 0) IS NOT TRUE;
SELECT COUNT(*) FROM flights WHERE dep_delay IS DISTINCT FROM arr_delay;
SELECT COUNT(*) FROM flights WHERE dep_delay <> arr_delay;
SELECT COUNT(*) FROM flights WHERE dep_delay NOT IN (0, -1, -2);
SELECT COUNT(*) FROM flights WHERE dep_delay = NULL;
