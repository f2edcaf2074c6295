CREATE TABLE types (
  id INT, flag BOOLEAN, small SMALLINT, number INT, big BIGINT, `real` DOUBLE, price DECIMAL(10, 2), `day` DATE,
  moment TIMESTAMP(3), instant TIMESTAMP_LTZ(3), name STRING, point ROW<x INT, y STRING>, tags ARRAY<STRING>,
  counts MAP<STRING, INT>
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.json', 'format' = 'json');
SELECT id, flag, small, number, big, `real`, price, `day`, moment, instant, name FROM types;
SELECT id, point, tags, counts FROM types;
SELECT id, point.x, point.y FROM types WHERE id < 3;
