CREATE TABLE `select` (`from` INT, `a b` STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
SELECT `from`, `a b` AS `x.y` FROM `select` AS `t able`;
SELECT s.`from` + 1, 5 FROM `select` s;
SELECT t.*, t.`from` AS again FROM `select` AS t;
SELECT default_database.`select`.`from` FROM default_catalog.default_database.`select`;
