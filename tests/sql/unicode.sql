CREATE TABLE quoted (id INT, text STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/quoted.csv', 'format' = 'csv');
CREATE VIEW words AS SELECT * FROM (VALUES ('漢字', 1), ('üñí', 2), ('😀', 3), ('漢字', 4), ('ÜÑÍ', 5), ('é', 6), ('é', 7)) AS t(w, n);
SELECT w, SUM(n) AS s FROM words GROUP BY w;
SELECT w, CHAR_LENGTH(w) AS l, UPPER(w) AS u, LOWER(w) AS lo, SUBSTRING(w, 1, 1) AS f FROM words;
SELECT COUNT(DISTINCT w) AS n FROM words;
SELECT text FROM quoted WHERE text LIKE '%漢%';
SELECT MIN(w) AS lo, MAX(w) AS hi FROM words;
SELECT n FROM words WHERE w = 'üñí' OR w > '😀';
