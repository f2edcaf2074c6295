CREATE TABLE target (a INT, b STRING, c DOUBLE) WITH ('connector' = 'filesystem', 'path' = '${TMP}/target', 'format' = 'json');
INSERT INTO target (c, a) VALUES (1.5, 1), (CAST(NULL AS DOUBLE), 2);
INSERT INTO target (b) SELECT 'only b';
INSERT INTO target VALUES (3, 'all', 2);
SELECT * FROM target;
