CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT id, CAST(tiny AS INT) a, CAST(number AS BIGINT) b, CAST(big AS DOUBLE) c, CAST(big AS FLOAT) d, CAST(number AS DECIMAL(20, 3)) e, CAST(number AS STRING) f, CAST(big AS VARCHAR(5)) g FROM types;
SELECT id, CAST(number AS SMALLINT) a, CAST(big AS INT) b, CAST(small AS TINYINT) c FROM types;
SELECT id, CAST(price AS INT) a, CAST(price AS DECIMAL(8, 1)) b, CAST(price AS DOUBLE) c, CAST(price AS STRING) d FROM types;
SELECT id, CAST(single AS DOUBLE) a, CAST(single AS STRING) b, CAST(real_ AS STRING) c, CAST(flag AS STRING) d, CAST(flag AS INT) e, CAST(number AS BOOLEAN) f FROM types;
