CREATE TABLE folder (id INT, text STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
SELECT * FROM folder;
SELECT text FROM folder WHERE id > 1;
SELECT COUNT(*) FROM folder;
