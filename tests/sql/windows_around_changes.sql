SET 'table.local-time-zone' = 'America/St_Johns';
CREATE TABLE autumn (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((1289097060 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE autumn, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE autumn, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
SELECT k, window_start, window_end FROM TABLE(CUMULATE(TABLE autumn, DESCRIPTOR(ts), INTERVAL '20' MINUTE, INTERVAL '1' HOUR));
CREATE TABLE spring (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((1268537460 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE spring, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT k, CAST(ts AS TIMESTAMP(3)) AS c, DATE_FORMAT(ts, 'HH:mm:ss') AS d, EXTRACT(MINUTE FROM ts) AS m, FROM_UNIXTIME(1268537460 + k) AS u FROM spring;
SET 'table.local-time-zone' = 'Africa/Monrovia';
CREATE TABLE standard (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((63593070 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE standard, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(CUMULATE(TABLE standard, DESCRIPTOR(ts), INTERVAL '15' MINUTE, INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT k, CAST(ts AS TIMESTAMP(3)) AS c, DATE_FORMAT(ts, 'HH:mm:ss') AS d, EXTRACT(MINUTE FROM ts) AS m, FROM_UNIXTIME(63593070 + k) AS u FROM standard;
SELECT k, window_start FROM TABLE(TUMBLE(TABLE standard, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '-299' SECOND(3)));
SET 'table.local-time-zone' = 'Europe/Amsterdam';
CREATE TABLE greenwich (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((-2450995200 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE greenwich, DESCRIPTOR(ts), INTERVAL '15' MINUTE)) GROUP BY window_start, window_end;
SELECT k, CAST(ts AS TIMESTAMP(3)) AS c, DATE_FORMAT(ts, 'HH:mm:ss') AS d FROM greenwich;
