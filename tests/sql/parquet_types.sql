-- Written by Apache Flink 2.3: one row of values, one of nulls. A TIMESTAMP(9) before 1970 is left out: Flink reads it wrong.
CREATE TABLE types (b BOOLEAN, t TINYINT, sm SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, dec1 DECIMAL(9, 2),
    dec2 DECIMAL(18, 4), dec3 DECIMAL(30, 10), s STRING, c CHAR(3), da DATE, ti TIME(0), ts3 TIMESTAMP(3),
    ts6 TIMESTAMP(6), tz TIMESTAMP_LTZ(3), ar ARRAY<INT>, ro ROW<x INT, y STRING>, ma MAP<STRING, INT>)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/parquet/types', 'format' = 'parquet', 'parquet.utc-timezone' = 'true');
CREATE TABLE nested (a INT, ts6 TIMESTAMP(6), ts9 TIMESTAMP(9),
    n ROW<p ARRAY<ROW<q INT>>, m MAP<INT, ROW<r STRING>>>)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/parquet/nested', 'format' = 'parquet', 'parquet.utc-timezone' = 'true');
CREATE TABLE millis (i INT, tz TIMESTAMP_LTZ(3), ts3 TIMESTAMP(3), missing STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/parquet/millis', 'format' = 'parquet', 'parquet.utc-timezone' = 'true');
SELECT * FROM types;
SELECT * FROM nested;
SELECT n.p, a FROM nested WHERE ts6 > TIMESTAMP '2000-01-01 00:00:00';
SELECT * FROM millis;
SELECT COUNT(*), MAX(dec3), MIN(ts3), COUNT(i) FROM types;
