CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'early' WHEN dep_delay < 30 THEN 'late' ELSE 'very late' END AS bucket, COUNT(*) AS n FROM flights GROUP BY CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'early' WHEN dep_delay < 30 THEN 'late' ELSE 'very late' END;
SELECT CASE origin WHEN 'JFK' THEN 1 WHEN 'LGA' THEN 2 END AS o, COUNT(*) AS n FROM flights GROUP BY CASE origin WHEN 'JFK' THEN 1 WHEN 'LGA' THEN 2 END;
SELECT SUM(CASE WHEN arr_delay > 60 THEN 1 ELSE 0 END) AS late, SUM(CASE WHEN arr_delay < 0 THEN arr_delay END) AS gained FROM flights;
