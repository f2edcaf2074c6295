CREATE TABLE flights (
  dep TIMESTAMP(3), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, air_time INT, distance INT,
  WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE first_sink (carrier STRING, flight INT) WITH ('connector' = 'filesystem', 'path' = '${TMP}/first', 'format' = 'csv');
CREATE TABLE second_sink (dest STRING, distance INT) WITH ('connector' = 'filesystem', 'path' = '${TMP}/second', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO first_sink SELECT carrier, flight FROM flights WHERE distance > 2500;
INSERT INTO second_sink SELECT dest, distance FROM flights WHERE distance < 100;
END;
SELECT carrier, COUNT(*) AS n FROM first_sink GROUP BY carrier;
SELECT DISTINCT dest, distance FROM second_sink;
