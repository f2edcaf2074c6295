CREATE TABLE types (
  id INT, flag BOOLEAN, small SMALLINT, number INT, big BIGINT, `real` DOUBLE, price DECIMAL(10, 2), `day` DATE,
  moment TIMESTAMP(3), instant TIMESTAMP_LTZ(3), name STRING, point ROW<x INT, y STRING>, tags ARRAY<STRING>,
  counts MAP<STRING, INT>
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.json', 'format' = 'json');
CREATE TABLE written (
  id INT, flag BOOLEAN, small SMALLINT, number INT, big BIGINT, `real` DOUBLE, price DECIMAL(10, 2), `day` DATE,
  moment TIMESTAMP(3), instant TIMESTAMP_LTZ(3), name STRING, point ROW<x INT, y STRING>, tags ARRAY<STRING>
) WITH ('connector' = 'filesystem', 'path' = '${TMP}/written', 'format' = 'json');
INSERT INTO written SELECT id, flag, small, number, big, `real`, price, `day`, moment, instant, name, point, tags FROM types;
SELECT * FROM written;
SELECT id, point.y AS y, tags[1] AS tag FROM written WHERE tags IS NOT NULL;
