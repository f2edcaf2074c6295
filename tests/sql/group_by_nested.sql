CREATE TABLE types (
  id INT, flag BOOLEAN, small SMALLINT, number INT, big BIGINT, `real` DOUBLE, price DECIMAL(10, 2), `day` DATE,
  moment TIMESTAMP(3), instant TIMESTAMP_LTZ(3), name STRING, point ROW<x INT, y STRING>, tags ARRAY<STRING>,
  counts MAP<STRING, INT>
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.json', 'format' = 'json');
SELECT point.x, COUNT(*) AS n FROM types GROUP BY point.x;
SELECT tags[1] AS first_tag, COUNT(*) AS n FROM types GROUP BY tags[1];
SELECT instant, COUNT(*) AS n FROM types GROUP BY instant;
SELECT COUNT(*) AS n, COUNT(point) AS p, COUNT(tags) AS t, COUNT(counts) AS c FROM types;
