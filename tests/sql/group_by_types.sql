CREATE TABLE types (
  id INT, flag BOOLEAN, tiny TINYINT, small SMALLINT, number INT, big BIGINT, single FLOAT, real_ DOUBLE,
  price DECIMAL(10, 2), day_ DATE, time_ TIME, moment TIMESTAMP(3), name VARCHAR(20)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/types.csv', 'format' = 'csv', 'csv.null-literal' = '');
SELECT flag, COUNT(*) AS n FROM types GROUP BY flag;
SELECT tiny, COUNT(*) AS n FROM types GROUP BY tiny;
SELECT small, COUNT(*) AS n FROM types GROUP BY small;
SELECT number, COUNT(*) AS n FROM types GROUP BY number;
SELECT big, COUNT(*) AS n FROM types GROUP BY big;
SELECT single, COUNT(*) AS n FROM types GROUP BY single;
SELECT price, COUNT(*) AS n FROM types GROUP BY price;
SELECT day_, COUNT(*) AS n FROM types GROUP BY day_;
SELECT time_, COUNT(*) AS n FROM types GROUP BY time_;
SELECT moment, COUNT(*) AS n FROM types GROUP BY moment;
SELECT name, COUNT(*) AS n FROM types GROUP BY name;
SELECT flag, day_, name, SUM(number) AS s FROM types GROUP BY flag, day_, name;
