CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'datagen');
CREATE TABLE sink (x STRING) WITH ('connector' = 'blackhole');
INSERT INTO sink SELECT REPEAT('x', 400000000) FROM t;
