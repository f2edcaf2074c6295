CREATE TABLE w (s STRING, m MAP<STRING, STRING>) WITH ('connector' = 'filesystem', 'path' = '${TMP}/w', 'format' = 'json');
INSERT INTO w VALUES ('a😀b' || U&'\00E9\65E5\0001\0008\000C' || '"\/', MAP['𝒳', 'v']), ('😀😁', CAST(NULL AS MAP<STRING, STRING>)), ('plain', MAP['k', '😀']);
CREATE TABLE r (line STRING) WITH ('connector' = 'filesystem', 'path' = '${TMP}/w', 'format' = 'csv', 'csv.field-delimiter' = U&'\0001', 'csv.disable-quote-character' = 'true');
SELECT line FROM r;
SELECT s, CHAR_LENGTH(s) AS n, m FROM w;
