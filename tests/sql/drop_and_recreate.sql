CREATE TABLE t (id INT, text STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
CREATE TABLE IF NOT EXISTS t (other INT) WITH ('connector' = 'datagen');
SELECT * FROM t;
DROP TABLE t;
CREATE TABLE t (text STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv');
DROP TABLE IF EXISTS nothing_here;
SELECT * FROM t WHERE text < 'B';
SELECT * FROM nothing_here;
