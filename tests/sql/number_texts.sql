-- One number has one text: by CAST, and as the formats write it.
CREATE TABLE numbers_csv (k STRING, d DOUBLE, f FLOAT) WITH ('connector' = 'filesystem', 'path' = '${TMP}/csv', 'format' = 'csv');
CREATE TABLE numbers_json (k STRING, d DOUBLE, f FLOAT) WITH ('connector' = 'filesystem', 'path' = '${TMP}/json', 'format' = 'json');
CREATE TABLE texts_csv (k STRING, d STRING, f STRING) WITH ('connector' = 'filesystem', 'path' = '${TMP}/csv', 'format' = 'csv');
CREATE TABLE texts_json (k STRING, d STRING, f STRING) WITH ('connector' = 'filesystem', 'path' = '${TMP}/json', 'format' = 'json');
CREATE VIEW numbers AS SELECT k, CAST(k AS DOUBLE) AS d, CAST(g AS FLOAT) AS f FROM (VALUES ('4.9E-324', '1.4E-45'), ('1.5E-323', '2.8E-45'), ('9.99E-4', '9.99E-4'), ('1.0E-3', '1.0E-3'), ('2E-3', '2E-3'), ('0.1', '0.1'), ('0.30000000000000004', '3.3'), ('9999999', '9999999'), ('1E7', '1E7'), ('12345678', '16777215'), ('9007199254740991', '16777216'), ('9007199254740992', '16777218'), ('9007199254740994', '33554432'), ('18014398509481984', '90745184'), ('123456789012345678', '123456789'), ('1152921504606846976', '1E10'), ('-1152921504606846976', '-90745184'), ('1131077703239266560', '211382157000'), ('4611686018427387904', '9007199254740992'), ('9223372036854774784', '1152921504606846976'), ('9223372036854775808', '9223372036854775808'), ('18446744073709551616', '1E23'), ('1E21', '-0.0'), ('1.7976931348623157E308', '3.4028235E38')) AS t (k, g);
INSERT INTO numbers_csv SELECT * FROM numbers;
INSERT INTO numbers_json SELECT * FROM numbers;
SELECT k, d, f FROM numbers;
SELECT k, CAST(d AS STRING) AS d, CAST(f AS STRING) AS f FROM numbers;
SELECT k, d, f FROM texts_csv;
SELECT k, d, f FROM texts_json;
SELECT a.k FROM texts_csv AS a WHERE d <> CAST(CAST(d AS DOUBLE) AS STRING) OR f <> CAST(CAST(f AS FLOAT) AS STRING);
SELECT k, CAST(d AS DECIMAL(38, 0)) AS d FROM numbers WHERE d BETWEEN 9e15 AND 1e21;
