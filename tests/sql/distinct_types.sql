CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT DISTINCT flag FROM types;
SELECT DISTINCT CAST(number AS BIGINT) AS n, price FROM types;
SELECT DISTINCT moment, name FROM types;
SELECT DISTINCT CASE WHEN id > 2 THEN 'high' ELSE 'low' END AS half FROM types;
