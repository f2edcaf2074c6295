CREATE TABLE quoted (id INT, text STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/quoted.csv', 'format' = 'csv');
CREATE TABLE literal (id INT, text STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/quoted.csv', 'format' = 'csv', 'csv.null-literal' = 'NULL');
SELECT * FROM quoted;
SELECT id, CHAR_LENGTH(text) AS n FROM quoted;
SELECT id FROM literal WHERE text IS NULL;
SELECT text FROM literal WHERE text = '';
