CREATE TABLE computed (
  id INT, name VARCHAR(20), twice AS id * 2, loud AS UPPER(name) || '!', label AS CASE WHEN id > 1 THEN 'many' ELSE 'one' END
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
SELECT * FROM computed;
SELECT loud, COUNT(*) AS n FROM computed WHERE twice > 2 GROUP BY loud;
SELECT SUM(twice) AS s, MAX(label) AS m FROM computed;
