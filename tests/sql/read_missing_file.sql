CREATE TABLE missing (id INT) WITH ('connector' = 'filesystem', 'path' = '${DATA}/no-such-file.csv', 'format' = 'csv');
CREATE TABLE airlines (carrier STRING, name STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv');
SELECT * FROM missing;
SELECT carrier FROM airlines WHERE carrier = 'AA';
