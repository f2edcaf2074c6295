CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE written (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${TMP}/written', 'format' = 'csv', 'csv.null-literal' = '');
INSERT INTO written SELECT * FROM types WHERE id < 5;
INSERT INTO written (id, name) VALUES (10, 'x, "y"'), (11, CAST(NULL AS VARCHAR(20)));
SELECT * FROM written;
SELECT COUNT(*) AS n, COUNT(name) AS names FROM written;
