CREATE TABLE quoted (id INT, text STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/quoted.csv', 'format' = 'csv', 'csv.null-literal' = 'NULL');
SELECT id, UPPER(text) AS u, LOWER(text) AS l, CHAR_LENGTH(text) AS n, TRIM(text) AS t, text || '!' AS c FROM quoted;
SELECT id, SUBSTRING(text, 2) AS a, SUBSTRING(text, 2, 3) AS b, SUBSTRING(text FROM -3) AS c, REPLACE(text, 'i', 'ee') AS d FROM quoted;
SELECT id, SPLIT_INDEX(text, ' ', 1) AS word, REGEXP_EXTRACT(text, '([a-z]+)', 1) AS letters FROM quoted;
SELECT id FROM quoted WHERE text LIKE '%\n%' OR text LIKE '_l%';
