CREATE TABLE strict (a INT, b INT, c STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/malformed.csv', 'format' = 'csv');
CREATE TABLE lenient (a INT, b INT, c STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/malformed.csv', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true');
CREATE TABLE commented (a INT, b INT, c STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/malformed.csv', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true', 'csv.allow-comments' = 'true');
SELECT * FROM strict;
SELECT * FROM lenient;
SELECT c FROM strict;
SELECT * FROM commented;
