CREATE TABLE airlines (carrier STRING, name STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv');
CREATE TABLE parts (name STRING, letter STRING, len INT) PARTITIONED BY (letter, len)
  WITH ('connector' = 'filesystem', 'path' = '${TMP}/parts', 'format' = 'csv');
INSERT INTO parts SELECT name, SUBSTRING(carrier, 1, 1), CHAR_LENGTH(name) FROM airlines;
SELECT * FROM parts;
SELECT letter, COUNT(*) AS n FROM parts GROUP BY letter;
SELECT name FROM parts WHERE letter = 'A' AND len > 15;
