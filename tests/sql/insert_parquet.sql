CREATE TABLE types (b BOOLEAN, t TINYINT, sm SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, dec1 DECIMAL(9, 2),
    dec2 DECIMAL(18, 4), dec3 DECIMAL(30, 10), s STRING, c CHAR(3), byt BYTES, da DATE, ti TIME(0), ts3 TIMESTAMP(3),
    ts6 TIMESTAMP(6), tz TIMESTAMP_LTZ(3), ar ARRAY<INT>, ro ROW<x INT, y STRING>, ma MAP<STRING, INT>)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/parquet/types', 'format' = 'parquet');
CREATE TABLE written (da DATE, ti TIME(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), tz TIMESTAMP_LTZ(3), b BOOLEAN, t TINYINT,
    sm SMALLINT, l BIGINT, f FLOAT, d DOUBLE, dec1 DECIMAL(9, 2), dec3 DECIMAL(30, 10), s STRING, ar ARRAY<INT>,
    ro ROW<x INT, y STRING>, ma MAP<STRING, INT>, i INT)
  WITH ('connector' = 'filesystem', 'path' = '${TMP}/written', 'format' = 'parquet', 'parquet.compression' = 'GZIP');
INSERT INTO written SELECT da, ti, ts3, ts6, tz, b, t, sm, l, f, d, dec1, dec3, s, ar, ro, ma, i FROM types;
SELECT * FROM written;
SELECT i, COUNT(*), SUM(l) FROM written GROUP BY i;
