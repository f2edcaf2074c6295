CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT id, CASE WHEN id = 1 THEN tiny WHEN id = 2 THEN big ELSE 0 END AS widened FROM types;
SELECT id, CASE WHEN flag THEN price ELSE 1.125 END AS decimals FROM types;
SELECT id, CASE WHEN flag THEN day_ END AS d, CASE WHEN NOT flag THEN moment END AS m, CASE WHEN flag IS NULL THEN time_ ELSE TIME '01:02:03' END AS t FROM types;
SELECT id, CASE WHEN flag THEN 'yes' WHEN NOT flag THEN 'certainly not' END AS s, COALESCE(name, 'nobody') AS c, NULLIF(number, 0) AS z FROM types;
