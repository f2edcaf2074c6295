CREATE TABLE strict (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/malformed.json', 'format' = 'json');
CREATE TABLE lenient (a INT, b STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/malformed.json', 'format' = 'json', 'json.ignore-parse-errors' = 'true');
CREATE TABLE complete (a INT, b STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/missing.json', 'format' = 'json', 'json.fail-on-missing-field' = 'true');
CREATE TABLE sparse (a INT, b STRING, c BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/missing.json', 'format' = 'json');
SELECT * FROM strict;
SELECT * FROM lenient;
SELECT * FROM complete;
SELECT * FROM sparse;
