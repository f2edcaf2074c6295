CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT * FROM types;
SELECT id, real_ FROM types WHERE real_ IS NOT NULL;
SELECT COUNT(*), COUNT(flag), COUNT(name) FROM types;
