CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT id, CAST(moment AS DATE) a, CAST(moment AS TIME) b, CAST(moment AS STRING) c, CAST(day_ AS STRING) d, CAST(time_ AS STRING) e, CAST(day_ AS TIMESTAMP(3)) f, CAST(moment AS TIMESTAMP(0)) g, CAST(moment AS TIMESTAMP(6)) h FROM types;
SELECT id, EXTRACT(YEAR FROM moment) y, EXTRACT(MONTH FROM moment) m, EXTRACT(DAY FROM day_) d, HOUR(moment) h, MINUTE(moment) mi, SECOND(moment) s FROM types;
