CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'datagen');
CREATE TABLE sink (x STRING) WITH ('connector' = 'blackhole');
SELECT * FROM ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((SELECT * FROM t))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))));
