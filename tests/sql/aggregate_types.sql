CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT SUM(tiny) a, SUM(small) b, SUM(number) c, SUM(price) d, AVG(tiny) e, AVG(price) f, AVG(number) g, COUNT(day_) h FROM types;
SELECT MIN(tiny) a, MAX(small) b, MIN(big) c, MAX(price) d, MIN(day_) e, MAX(time_) f, MIN(moment) g, MAX(name) h FROM types;
SELECT MIN(single) a, MAX(single) b, SUM(big) c FROM types WHERE id < 5;
SELECT SUM(CAST(NULL AS INT)) a, MAX(CAST(NULL AS STRING)) b, AVG(CAST(NULL AS DOUBLE)) c, COUNT(CAST(NULL AS INT)) d FROM types;
SELECT COUNT(DISTINCT flag) a, COUNT(DISTINCT tiny) b, COUNT(DISTINCT price) c, COUNT(DISTINCT moment) d, COUNT(DISTINCT name) e FROM types;
