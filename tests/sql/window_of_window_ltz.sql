-- Groups by windows over local time whose bounds are read, or that were grouped by window before.
SET 'table.local-time-zone' = 'America/St_Johns';
CREATE TABLE autumn (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((1289097060 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, SUM(k) AS s FROM TABLE(TUMBLE(TABLE autumn, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE window_end > TIMESTAMP '2010-11-06 23:30:00' GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) AS n, MAX(window_end) AS e FROM TABLE(HOP(TABLE autumn, DESCRIPTOR(ts), INTERVAL '15' MINUTE, INTERVAL '30' MINUTE)) GROUP BY window_start, window_end;
SELECT window_start, window_end, n, COUNT(*) AS c FROM (SELECT window_start, window_end, MOD(k, 7) AS m, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE autumn, DESCRIPTOR(ts), INTERVAL '30' MINUTE)) GROUP BY window_start, window_end, MOD(k, 7)) GROUP BY window_start, window_end, n;
CREATE TABLE spring (
  k BIGINT, ts AS TO_TIMESTAMP_LTZ((1268537460 + k) * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '2' HOUR
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/around.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*) AS n, MIN(window_end) AS e FROM TABLE(HOP(TABLE spring, DESCRIPTOR(ts), INTERVAL '15' MINUTE, INTERVAL '45' MINUTE)) GROUP BY window_start, window_end;
