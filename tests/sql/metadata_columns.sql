CREATE TABLE files (
  id INT, path STRING METADATA FROM 'file.path', v STRING, changed TIMESTAMP_LTZ(3) METADATA FROM 'file.modification-time',
  `file.name` STRING NOT NULL METADATA VIRTUAL, sz BIGINT METADATA FROM 'file.size' VIRTUAL,
  twice AS sz + sz, place AS SPLIT_INDEX(path, '/sql/data/', 1)
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true');
SELECT id, v, changed > TIMESTAMP '2020-01-01 00:00:00' AS later, `file.name`, sz, twice, place FROM files;
SELECT `file.name` FROM files;
SELECT v, sz FROM files WHERE `file.name` = 'a.csv' AND sz > 1;
SELECT COUNT(*) AS n FROM files;
SELECT place, COUNT(*) AS n, MAX(twice) AS m FROM files GROUP BY place;
CREATE TABLE cast_files (
  id INT, v STRING, name CHAR(3) METADATA FROM 'file.name', sz STRING NOT NULL METADATA FROM 'file.size',
  changed DATE METADATA FROM 'file.modification-time', path VARCHAR(1) METADATA FROM 'file.path'
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true');
SELECT id, name, sz, path, changed > DATE '2020-01-01' AS later FROM cast_files;
SELECT sz, v FROM cast_files WHERE sz <> '';
CREATE TABLE like_files (name STRING, twice AS id * 2, sz INT METADATA FROM 'file.size')
  WITH ('path' = '${DATA}/folder/a.csv') LIKE files (EXCLUDING GENERATED OVERWRITING METADATA);
SELECT id, v, name, twice, sz, `file.name` FROM like_files;
CREATE TABLE timed (
  id INT, ts TIMESTAMP_LTZ(3) METADATA FROM 'file.modification-time', v STRING, WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true');
SELECT id, v FROM timed WHERE ts IS NOT NULL;
CREATE TABLE unknown_key (v STRING, x STRING METADATA FROM 'file.nothing')
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
SELECT v FROM unknown_key;
CREATE TABLE uncastable (v STRING, `file.size` DATE METADATA)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/folder', 'format' = 'csv');
SELECT v FROM uncastable;
CREATE TABLE no_metadata (v STRING, x STRING METADATA) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
SELECT v FROM no_metadata;
CREATE TABLE parts (
  part STRING, name STRING, n INT, path STRING METADATA FROM 'file.path' VIRTUAL, sz INT METADATA FROM 'file.size' VIRTUAL
) PARTITIONED BY (part, n) WITH ('connector' = 'filesystem', 'path' = '${TMP}/parts', 'format' = 'json');
INSERT INTO parts VALUES ('a', 'x', 1), ('b c', 'yy', 2);
SELECT part, name, n, SPLIT_INDEX(SPLIT_INDEX(path, '/parts/', 1), '/part-', 0) AS folder, sz FROM parts;
SELECT name, sz FROM parts WHERE n = 2 AND path LIKE '%/parts/part=%';
SELECT sz, COUNT(*) AS n FROM parts GROUP BY sz;
